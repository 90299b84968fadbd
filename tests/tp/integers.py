#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The dlquant authors
# SPDX-License-Identifier: Apache-2.0
"""Copy a checkpoint with weights of -1, 0 and 1 in its own format: all sums of small integer inputs are then exact.

integers.py CHECKPOINT FOLDER

Shapes, dtypes, names and config.json stay; codes become those of -1, 0 and 1, scales 1."""

import json
import os
import random
import shutil
import struct
import sys


def read_header(path):
    with open(path, 'rb') as file:
        size = struct.unpack('<Q', file.read(8))[0]
        return json.loads(file.read(size))


def packing(elements, count):
    """Bits of a code when so many elements fill so many words, and the bits of a word that hold codes."""
    for bits in (4, 8, 3, 2, 5, 6, 7):
        for used in (32, 32 // bits * bits):
            if (elements * bits + used - 1) // used == count:
                return bits, used
    raise ValueError(f'{elements} elements in {count} words')


def pick(rng, count, values):
    """Random bytes out of a few values."""
    table = bytes(values[i % len(values)] for i in range(256))
    return rng.randbytes(count).translate(table)


def spread(high, width, middle=None):
    """Elements of `width` bytes whose last byte is given, and perhaps the one before."""
    out = bytearray(len(high) * width)
    out[width - 1::width] = high
    if middle is not None:
        out[width - 2::width] = middle
    return bytes(out)


def floats(rng, dtype, count):
    if dtype == 'F16':
        return spread(pick(rng, count, (0xbc, 0x00, 0x3c)), 2)
    high = pick(rng, count, (0xbf, 0x00, 0x3f))
    middle = high.translate(bytes(0x80 if i in (0x3f, 0xbf) else 0 for i in range(256)))
    return spread(high, 2 if dtype == 'BF16' else 4, middle)


def ones(dtype, count):
    one = {'F16': b'\0\x3c', 'BF16': b'\x80\x3f', 'F32': b'\0\0\x80\x3f', 'F8_E4M3': b'\x38',
           'U8': b'\x7f', 'F8_E8M0': b'\x7f'}[dtype]
    return one * count


def words(codes, bits, used):
    """32-bit words of codes that lie one behind the other, from the lowest bit on."""
    value = 0
    for i, code in enumerate(codes):
        value |= code << (i * bits)
    count = (len(codes) * bits + used - 1) // used
    return b''.join((value >> i * used & (1 << used) - 1).to_bytes(4, 'little') for i in range(count))


def packed_rows(rng, shape, k):
    bits, used = packing(k, shape[1])
    middle = 1 << (bits - 1)
    if bits == 4:
        pairs = [a | b << 4 for a in (7, 8, 9) for b in (7, 8, 9)]
        return pick(rng, shape[0] * shape[1] * 4, pairs)
    return b''.join(words([middle - 1 + rng.randrange(3) for _ in range(k)], bits, used)
                    for _ in range(shape[0]))


def packed_zeros(shape, n):
    """Zero points in the middle of the codes, packed along the first dimension."""
    bits, used = packing(n, shape[0])
    column = words([1 << (bits - 1)] * n, bits, used)
    return b''.join(column[i * 4:i * 4 + 4] * shape[1] for i in range(shape[0]))


def convert(rng, name, dtype, shape, data, shapes):
    path, last = name.rsplit('.', 1)
    count = len(data)
    if last == 'qweight':
        return pick(rng, count, [a | b << 4 for a in (7, 8, 9) for b in (7, 8, 9)])
    if last == 'qzeros':
        return b'\x88' * count
    if last == 'weight_packed' and dtype == 'U8':
        return pick(rng, count, [a | b << 4 for a in (2, 0, 10) for b in (2, 0, 10)])
    if last == 'weight_packed':
        return packed_rows(rng, shape, shapes[path][1])
    if last == 'weight_zero_point':
        return packed_zeros(shape, shapes[path][0]) if dtype == 'I32' else bytes(count)
    if last == 'weight' and len(shape) == 2:
        if dtype == 'I8':
            return pick(rng, count, (0xff, 0, 1))
        if dtype == 'F8_E4M3':
            return pick(rng, count, (0xb8, 0, 0x38))
        return floats(rng, dtype, count // (4 if dtype == 'F32' else 2))
    if last in ('scales', 'weight_scale', 'weight_global_scale', 'input_global_scale', 'weight_scale_inv',
                'input_scale'):
        return ones(dtype, count // {'F32': 4, 'F16': 2, 'BF16': 2}.get(dtype, 1))
    return data


def main():
    source, target = sys.argv[1:]
    os.makedirs(target, exist_ok=True)
    shutil.copy(os.path.join(source, 'config.json'), target)
    path = os.path.join(source, 'model.safetensors')
    header = read_header(path)
    with open(path, 'rb') as file:
        body = file.read()[8 + len_of(path):]
    shapes = {name[:-len('.weight_shape')]: struct.unpack('<2q', body[slice(*info['data_offsets'])])
              for name, info in header.items() if name.endswith('.weight_shape')}
    rng = random.Random(1)
    out = bytearray(body)
    for name, info in header.items():
        if name != '__metadata__':
            first, end = info['data_offsets']
            data = convert(rng, name, info['dtype'], info['shape'], body[first:end], shapes)
            assert len(data) == end - first, name
            out[first:end] = data
    text = json.dumps(header).encode()
    with open(os.path.join(target, 'model.safetensors'), 'wb') as file:
        file.write(struct.pack('<Q', len(text)) + text + out)


def len_of(path):
    with open(path, 'rb') as file:
        return struct.unpack('<Q', file.read(8))[0]


if __name__ == '__main__':
    main()
