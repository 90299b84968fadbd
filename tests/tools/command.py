# SPDX-FileCopyrightText: 2026 The dlquant authors
# SPDX-License-Identifier: Apache-2.0
"""Run the command and make checkpoints for it. The arguments of the program that imports this are
DLQUANT PLUGIN_DIR SOURCE_ROOT."""

import json
import os
import shutil
import struct
import subprocess
import sys

DLQUANT, PLUGINS, ROOT = (os.path.abspath(arg) for arg in sys.argv[1:4])
DATA = os.path.join(ROOT, "tests", "data")
JARGON = os.path.join(DATA, "jargon-llama")
SIZES = {"F16": 2, "BF16": 2, "F32": 4, "F64": 8, "I32": 4, "I64": 8, "I8": 1, "U8": 1}


def dlquant(*args, plugins=PLUGINS):
    env = dict(os.environ, DLQ_PLUGIN_PATH=plugins)
    return subprocess.run([DLQUANT, *args], capture_output=True, text=True, env=env, timeout=240,
                          check=False)


def lines(run):
    return [json.loads(line) for line in run.stdout.splitlines()]


def expect(run, status, *words):
    """The exit status, and words on standard error, which is one line and a hint."""
    assert run.returncode == status, f"status {run.returncode}: {run.stdout}{run.stderr}"
    for word in words:
        assert word in run.stderr, f"no {word!r} in {run.stderr!r}"
    if status > 1:
        kept = [line for line in run.stderr.splitlines() if ": warning: " not in line]
        assert len(kept) == 2 and kept[1].startswith("hint: "), run.stderr


def write_safetensors(path, tensors):
    """tensors: name -> (dtype, shape[, bytes]); without bytes the file has a hole there."""
    header, at = {}, 0
    for name, entry in tensors.items():
        size = SIZES[entry[0]]
        for n in entry[1]:
            size *= n
        header[name] = {"dtype": entry[0], "shape": entry[1], "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name, entry in tensors.items():
            if len(entry) > 2:
                file.seek(8 + len(text) + header[name]["data_offsets"][0])
                file.write(entry[2])
        file.truncate(8 + len(text) + at)


def offsets(path):
    """Absolute first byte of each tensor."""
    with open(path, "rb") as file:
        size = struct.unpack("<Q", file.read(8))[0]
        header = json.loads(file.read(size))
    header.pop("__metadata__", None)
    return {name: 8 + size + entry["data_offsets"][0] for name, entry in header.items()}


def patch(path, at, data):
    os.chmod(path, 0o644)
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(data)


def copy(name, where):
    target = os.path.join(where, name)
    shutil.copytree(os.path.join(JARGON, name), target, copy_function=shutil.copyfile)
    return target


def write_config(folder, **keys):
    with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as file:
        json.dump(keys, file)


AWQ = {"quant_method": "awq", "bits": 4, "group_size": 64, "zero_point": True, "version": "gemm"}


def awq_linear(path, k, n):
    return {f"{path}.qweight": ("I32", [k, n // 8]), f"{path}.qzeros": ("I32", [k // 64, n // 8]),
            f"{path}.scales": ("F16", [k // 64, n])}


def llama(blocks, where):
    tensors = {}
    for i in range(blocks):
        path = f"model.layers.{i}."
        for name, k, n in (("self_attn.q_proj", 64, 64), ("self_attn.k_proj", 64, 32),
                           ("self_attn.v_proj", 64, 32), ("self_attn.o_proj", 64, 64),
                           ("mlp.gate_proj", 64, 128), ("mlp.up_proj", 64, 128),
                           ("mlp.down_proj", 128, 64)):
            tensors.update(awq_linear(path + name, k, n))
        tensors[path + "input_layernorm.weight"] = ("F16", [64])
    write_safetensors(os.path.join(where, "model.safetensors"), tensors)
    write_config(where, hidden_size=64, num_attention_heads=4, num_key_value_heads=2,
                 torch_dtype="float16", quantization_config=AWQ)
    return len(tensors)
