#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The dlquant authors
# SPDX-License-Identifier: Apache-2.0
"""Write an AWQ checkpoint of the shapes of a 70B Llama with random weights, for load benchmarks.

make_awq.py FOLDER GIGABYTES    as many blocks as fit, of 0.44 GB each
"""

import json
import multiprocessing
import os
import random
import struct
import sys

HIDDEN, INTER, HEADS, KV_HEADS, HEAD, GROUP = 8192, 28672, 64, 8, 128, 128
LINEARS = (("self_attn.q_proj", HIDDEN, HEADS * HEAD), ("self_attn.k_proj", HIDDEN, KV_HEADS * HEAD),
           ("self_attn.v_proj", HIDDEN, KV_HEADS * HEAD), ("self_attn.o_proj", HEADS * HEAD, HIDDEN),
           ("mlp.gate_proj", HIDDEN, INTER), ("mlp.up_proj", HIDDEN, INTER),
           ("mlp.down_proj", INTER, HIDDEN))
BLOCKS_A_FILE = 10


def tensors(block):
    """(name, dtype, shape, bytes) of one block."""
    for name, k, n in LINEARS:
        path = f"model.layers.{block}.{name}"
        yield f"{path}.qweight", "I32", [k, n // 8], k * n // 2
        yield f"{path}.qzeros", "I32", [k // GROUP, n // 8], k // GROUP * n // 2
        yield f"{path}.scales", "F16", [k // GROUP, n], k // GROUP * n * 2


def write_file(job):
    path, blocks = job
    header, at = {}, 0
    listed = [t for block in blocks for t in tensors(block)]
    for name, dtype, shape, size in listed:
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 4096 + 4088)
    rng = random.Random(blocks[0])
    words = memoryview(rng.randbytes(32 << 20))
    some = struct.pack("<65536e", *(rng.uniform(0.002, 0.02) for _ in range(65536)))
    scales = memoryview(some * 128)
    with open(path, "wb", buffering=0) as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _, dtype, _, size in listed:
            source = scales if dtype == "F16" else words
            while size > 0:
                size -= file.write(source[:min(size, len(source))])
    return {t[0]: os.path.basename(path) for t in listed}, at


def main():
    folder, gigabytes = sys.argv[1], float(sys.argv[2])
    block_bytes = sum(t[3] for t in tensors(0))
    blocks = max(1, int(gigabytes * 1e9 / block_bytes))
    os.makedirs(folder, exist_ok=True)
    files = [(os.path.join(folder, f"model-{first // BLOCKS_A_FILE + 1:05}.safetensors"),
              list(range(first, min(first + BLOCKS_A_FILE, blocks))))
             for first in range(0, blocks, BLOCKS_A_FILE)]
    with multiprocessing.Pool(min(len(files), os.cpu_count() or 1)) as pool:
        written = pool.map(write_file, files)
    index = {"metadata": {"total_size": sum(size for _, size in written)},
             "weight_map": {name: file for names, _ in written for name, file in names.items()}}
    with open(os.path.join(folder, "model.safetensors.index.json"), "w", encoding="utf-8") as file:
        json.dump(index, file)
    config = {"model_type": "llama", "hidden_size": HIDDEN, "intermediate_size": INTER,
              "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS, "head_dim": HEAD,
              "num_hidden_layers": blocks, "torch_dtype": "float16",
              "quantization_config": {"quant_method": "awq", "bits": 4, "group_size": GROUP,
                                      "zero_point": True, "version": "gemm"}}
    with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as file:
        json.dump(config, file)
    print(f"{blocks} blocks, {index['metadata']['total_size'] * 1e-9:.2f} GB in {folder}")


main()
