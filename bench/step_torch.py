"""PyTorch's side of bench/step.ts: trains the same GPT in float32 on one thread, one step for each line it reads.

usage: step_torch.py CASE.json    prints "ready VERSION BLAS", then for each line of stdin "WALL CPU LOSS", in seconds and nats
"""
import json
import os
import sys
import time

import torch

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "test", "trainer"))
import gpt_torch  # noqa: E402  (it lies beside the tests, whose oracle it is)


def blas_library():
    """The file of the BLAS that this process has loaded: it decides how fast PyTorch's matmul is."""
    with open("/proc/self/maps", encoding="utf-8") as maps:
        files = sorted({line.split()[-1] for line in maps if "/" in line})
    known = [f for f in files if any(name in os.path.basename(f) for name in ("openblas", "mkl_core", "blis"))]
    known += [f for f in files if "libblas" in os.path.basename(f)]
    # Debian's optimized libraries are called libblas.so.3 too, in a folder that bears their name.
    return known[0] if known else "built-in"


def main(path):
    torch.set_num_threads(1)
    torch.manual_seed(1)
    with open(path, encoding="utf-8") as file:
        case = json.load(file)
    shape, settings = case["shape"], case["settings"]
    parameters = {}
    for slot in case["slots"]:
        tensor = torch.randn(slot["shape"]) * 0.02
        if slot["name"].endswith(".gain"):
            tensor = torch.ones(slot["shape"])
        elif len(slot["shape"]) == 1:
            tensor = torch.zeros(slot["shape"])
        parameters[slot["name"]] = tensor.requires_grad_()
    optimizer = gpt_torch.optimizer_of(parameters, settings)
    rows = shape["batch"] * shape["context"]
    tokens = torch.tensor(case["tokens"]).view(shape["batch"], shape["context"])
    targets = torch.tensor(case["targets"])
    assert targets.numel() == rows
    print("ready", torch.__version__, blas_library(), flush=True)
    for _ in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        loss, _ = gpt_torch.train_step(parameters, optimizer, tokens, targets, shape, settings, case["learningRate"])
        print(time.perf_counter() - wall, time.process_time() - cpu, loss.item(), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
