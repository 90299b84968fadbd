#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The dlquant authors
# SPDX-License-Identifier: Apache-2.0
"""Make a checkpoint of one MLP in AWQ's format, with weights of -1, 0 and 1.

mlp.py FOLDER HIDDEN INTERMEDIATE GROUP [headers]

With `headers` the data is a hole in the file, so that a model of any size costs nothing: enough to plan."""

import json
import os
import random
import struct
import sys

PAIRS = [a | b << 4 for a in (7, 8, 9) for b in (7, 8, 9)]
TABLE = bytes(PAIRS[i % len(PAIRS)] for i in range(256))


def layer(path, k, n, group):
    return {f'{path}.qweight': ('I32', [k, n // 8]), f'{path}.qzeros': ('I32', [k // group, n // 8]),
            f'{path}.scales': ('F16', [k // group, n])}


def make(folder, hidden, inter, group, headers):
    tensors = {}
    for name, k, n in (('down', inter, hidden), ('gate', hidden, inter), ('up', hidden, inter)):
        tensors.update(layer(f'model.layers.0.mlp.{name}_proj', k, n, group))
    header, at = {}, 0
    for name, (dtype, shape) in tensors.items():
        size = shape[0] * shape[1] * (4 if dtype == 'I32' else 2)
        header[name] = {'dtype': dtype, 'shape': shape, 'data_offsets': [at, at + size]}
        at += size
    os.makedirs(folder, exist_ok=True)
    text = json.dumps(header).encode()
    rng = random.Random(2)
    with open(os.path.join(folder, 'model.safetensors'), 'wb') as file:
        file.write(struct.pack('<Q', len(text)) + text)
        if headers:
            file.truncate(8 + len(text) + at)
        for name, info in header.items() if not headers else ():
            size = info['data_offsets'][1] - info['data_offsets'][0]
            if name.endswith('qweight'):
                file.write(rng.randbytes(size).translate(TABLE))
            else:
                file.write(b'\x88' * size if name.endswith('qzeros') else b'\0\x3c' * (size // 2))
    with open(os.path.join(folder, 'config.json'), 'w', encoding='utf-8') as file:
        json.dump({'model_type': 'qwen2', 'torch_dtype': 'float16', 'hidden_size': hidden,
                   'intermediate_size': inter, 'num_attention_heads': 8, 'quantization_config': {
                       'quant_method': 'awq', 'bits': 4, 'group_size': group, 'zero_point': True,
                       'version': 'gemm'}}, file)


if __name__ == '__main__':
    make(sys.argv[1], *map(int, sys.argv[2:5]), len(sys.argv) > 5)
