"""The GPT of lib/trainer/gpt-model.ts in PyTorch: an oracle for tests, and the yardstick of bench/step.ts.

usage: gpt_torch.py FOLDER    runs one training step in float64 on the case that gpt-torch.test.ts wrote there
"""
import json
import math
import os
import sys

import numpy
import torch
import torch.nn.functional as functional


def forward(parameters, tokens, shape):
    """tokens i64[B, T] -> logits[B * T, V]; parameters by the names of gptLayout()."""
    batch, context = tokens.shape
    width, heads = shape["width"], shape["heads"]

    def norm(x, name):
        return functional.layer_norm(x, (width,), parameters[name + ".gain"], parameters[name + ".bias"], 1e-5)

    def linear(x, name):
        return torch.addmm(parameters[name + ".bias"], x, parameters[name + ".weight"])

    masked = torch.ones(context, context, dtype=torch.bool).triu(1)
    x = functional.embedding(tokens, parameters["token.table"]) + parameters["position.table"]
    x = x.reshape(batch * context, width)
    for layer in range(shape["layers"]):
        block = f"block{layer}."
        qkv = linear(norm(x, block + "norm1"), block + "qkv")
        qkv = qkv.view(batch, context, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
        scores = qkv[0] @ qkv[1].transpose(-2, -1) / math.sqrt(width // heads)
        probabilities = torch.softmax(scores.masked_fill(masked, -math.inf), -1)
        mixed = (probabilities @ qkv[2]).transpose(1, 2).reshape(batch * context, width)
        x = x + linear(mixed, block + "projection")
        hidden = functional.gelu(linear(norm(x, block + "norm2"), block + "up"), approximate="tanh")
        x = x + linear(hidden, block + "down")
    return norm(x, "norm") @ parameters["head.weight"]


def optimizer_of(parameters, settings):
    """AdamW with weight decay on matrices only, as the trainer has it; one fused pass over all tensors."""
    decayed = [p for p in parameters.values() if p.dim() == 2]
    others = [p for p in parameters.values() if p.dim() != 2]
    groups = [
        {"params": decayed, "weight_decay": settings["weightDecay"]},
        {"params": others, "weight_decay": 0.0},
    ]
    betas = (settings["beta1"], settings["beta2"])
    return torch.optim.AdamW(groups, lr=1.0, betas=betas, eps=settings["epsilon"], foreach=True)


def train_step(parameters, optimizer, tokens, targets, shape, settings, learning_rate):
    """One step; returns the loss before it and the gradient's norm. Gradients stay clipped in .grad."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
    optimizer.zero_grad(set_to_none=True)
    loss = functional.cross_entropy(forward(parameters, tokens, shape), targets)
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(parameters.values(), settings["clip"])
    optimizer.step()
    return loss, norm


def parameters_of(bucket, slots, dtype):
    """The tensors of a flat numpy bucket, by name."""
    return {
        s["name"]: torch.tensor(bucket[s["offset"] : s["offset"] + s["elements"]].reshape(s["shape"]), dtype=dtype)
        .requires_grad_()
        for s in slots
    }


def main(folder):
    def read(name, dtype):
        return numpy.fromfile(os.path.join(folder, name), dtype=dtype)

    def write(name, tensors):
        flat = torch.cat([t.detach().reshape(-1) for t in tensors]).numpy()
        flat.astype("<f8").tofile(os.path.join(folder, name))

    with open(os.path.join(folder, "case.json"), encoding="utf-8") as file:
        case = json.load(file)
    shape, settings = case["shape"], case["settings"]
    parameters = parameters_of(read("parameters.f32", "<f4"), case["slots"], torch.float64)
    rows = (shape["batch"], shape["context"])
    tokens = torch.from_numpy(read("tokens.i32", "<i4").astype("int64")).view(rows)
    targets = torch.from_numpy(read("targets.i32", "<i4").astype("int64"))
    optimizer = optimizer_of(parameters, settings)
    result = []
    for learning_rate in case["learningRates"]:
        loss, norm = train_step(parameters, optimizer, tokens, targets, shape, settings, learning_rate)
        result.append({"loss": loss.item(), "norm": norm.item()})
    write("gradients.f64", [p.grad for p in parameters.values()])
    write("parameters.f64", parameters.values())
    write("first.f64", [optimizer.state[p]["exp_avg"] for p in parameters.values()])
    write("second.f64", [optimizer.state[p]["exp_avg_sq"] for p in parameters.values()])
    print(json.dumps({"steps": result, "version": torch.__version__}))


if __name__ == "__main__":
    main(sys.argv[1])
