#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The dlquant authors
# SPDX-License-Identifier: Apache-2.0
"""Run the example engine and compare what it prints with the same MLP in plain Python."""

import json
import math
import re
import struct
import subprocess
import sys

HIDDEN, INTER = 256, 768
ORDER = (0, 4, 1, 5, 2, 6, 3, 7)  # nibble of column 8c + j in an AWQ word


def read(folder):
    with open(f"{folder}/model.safetensors", "rb") as file:
        data = file.read()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + size])

    def tensor(name):
        if name not in header:
            return None, None
        entry = header[name]
        code = {"F16": "e", "I32": "I"}[entry["dtype"]]
        begin, end = entry["data_offsets"]
        raw = data[8 + size + begin : 8 + size + end]
        return entry["shape"], struct.unpack(f"<{len(raw) // struct.calcsize(code)}{code}", raw)

    return tensor


def weight(tensor, path, k, n):
    """The matrix [N][K], dequantized when it is stored as AWQ."""
    shape, plain = tensor(f"{path}.weight")
    if plain:
        return [plain[i * k : (i + 1) * k] for i in range(n)]
    _, words = tensor(f"{path}.qweight")
    shape, zeros = tensor(f"{path}.qzeros")
    _, scales = tensor(f"{path}.scales")
    group, columns = k // shape[0], n // 8
    matrix = [[0.0] * k for _ in range(n)]
    for row in range(k):
        g = row // group
        for column in range(n):
            shift = 4 * ORDER[column % 8]
            code = words[row * columns + column // 8] >> shift & 15
            zero = zeros[g * columns + column // 8] >> shift & 15
            matrix[column][row] = (code - zero) * scales[g * n + column]
    return matrix


def multiply(matrix, x):
    return [math.fsum(w * v for w, v in zip(row, x)) for row in matrix]


def main():
    embed, folder = sys.argv[1:3]
    path = "model.layers.0.mlp"
    out = subprocess.run([embed, folder, path, str(HIDDEN), str(INTER)], check=True,
                         capture_output=True, text=True).stdout
    print(out, end="")
    found = re.search(r"y\[0\] = (\S+), y\[255\] = (\S+)", out)
    tensor = read(folder)
    x = [math.sin(i) for i in range(HIDDEN)]
    gate = multiply(weight(tensor, f"{path}.gate_proj", HIDDEN, INTER), x)
    up = multiply(weight(tensor, f"{path}.up_proj", HIDDEN, INTER), x)
    act = [g / (1.0 + math.exp(-g)) * u for g, u in zip(gate, up)]
    y = multiply(weight(tensor, f"{path}.down_proj", INTER, HIDDEN), act)
    scale = max(abs(v) for v in y)
    for text, want in ((found[1], y[0]), (found[2], y[255])):
        print(f"found {text}, expected {want:.4f}")
        # fp32 activations in two int8 limbs, the coarsest kernel, keep 2e-4 of the norm.
        if not abs(float(text) - want) <= 2e-3 * scale + 6e-5:
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
