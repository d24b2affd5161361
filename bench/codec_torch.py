"""PyTorch's side of bench/codec.ts: its own ways to make a float32 tensor smaller, one thread, beside memcpy in turns.

usage: codec_torch.py TURNS BYTES...    prints a JSON object a line
"""
import json
import statistics
import sys
import time

import torch

BLOCK = 256
TOP_BLOCK, TOP = 4096, 64
LEAST_S = 2e-3


def timed(repeats, run):
    start = time.perf_counter()
    for _ in range(repeats):
        run()
    return (time.perf_counter() - start) / repeats


def beside_memcpy(turns, moved, run):
    """The same turns as bench/native/turns.h: the run, then a copy that reads and writes as many bytes."""
    source = torch.zeros(moved // 2, dtype=torch.uint8)
    target = torch.zeros_like(source)
    copy = lambda: target.copy_(source)
    timed(1, copy)
    once = timed(1, run)
    repeats = 1 if once >= LEAST_S or turns == 1 else int(LEAST_S / once) + 1
    times = []
    for _ in range(min(turns, 1 if once > 1 else 3 if once > 0.3 else turns)):
        times.append((timed(repeats, run), timed(repeats, copy)))
    return {
        "moved": moved,
        "seconds": statistics.median(run for run, _ in times),
        "memcpySeconds": statistics.median(copied for _, copied in times),
        "ratio": statistics.median(copied / run for run, copied in times),
        "turns": len(times),
    }


def casts(x, dtype):
    small, back = x.to(dtype), torch.empty_like(x)
    return lambda: small.copy_(x), lambda: back.copy_(small), 2 * x.numel()


def per_channel(x):
    rows = x.view(-1, BLOCK)
    zeros = torch.zeros(rows.shape[0], dtype=torch.int64)

    def encode():
        return torch.quantize_per_channel(rows, rows.abs().amax(1).double() / 127, zeros, 0, torch.qint8)

    coded = encode()
    return encode, coded.dequantize, x.numel() + 4 * rows.shape[0]


def per_tensor(x):
    def encode():
        return torch.quantize_per_tensor(x, float(x.abs().max()) / 127, 0, torch.qint8)

    coded = encode()
    return encode, coded.dequantize, x.numel()


def topk(x):
    rows = x.view(-1, TOP_BLOCK)

    def encode():
        indices = rows.abs().topk(TOP, sorted=False).indices
        return rows.gather(1, indices), indices

    values, indices = encode()
    return encode, lambda: torch.zeros_like(rows).scatter_(1, indices, values), 12 * values.numel()


def main(turns, sizes):
    torch.set_num_threads(1)
    torch.manual_seed(1)
    for size in sizes:
        x = (torch.randn(min(size // 4, 1 << 20)) * 0.02).repeat(max(size >> 22, 1))
        peers = {
            "torch bfloat16": casts(x, torch.bfloat16),
            "torch half": casts(x, torch.half),
            f"torch.quantize_per_channel int8, {BLOCK} a channel": per_channel(x),
            "torch.quantize_per_tensor int8": per_tensor(x),
            f"torch.topk {TOP} of {TOP_BLOCK}": topk(x),
        }
        for peer, (encode, decode, wire) in peers.items():
            for operation, run in (("encode", encode), ("decode", decode)):
                result = beside_memcpy(turns, 4 * x.numel() + wire, run)
                record = {"kind": "peer", "peer": peer, "operation": operation, "size": size, "bytes": 4 * x.numel()}
                print(json.dumps({**record, **result}), flush=True)


if __name__ == "__main__":
    with torch.no_grad():
        main(int(sys.argv[1]), [int(size) for size in sys.argv[2:]])
