#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The dlquant authors
# SPDX-License-Identifier: Apache-2.0
"""Arguments of the command, what input it refuses and with which exit code.

usage: test_arguments.py DLQUANT PLUGIN_DIR SOURCE_ROOT. Prints TAP.
"""

import os
import re
import subprocess
import sys

import tap
from command import (AWQ, JARGON, PLUGINS, ROOT, copy, dlquant, expect, lines, llama,
                     write_config, write_safetensors)


def help_goes_to_standard_output(_):
    run = dlquant("--help")
    assert run.returncode == 0 and "dlquant run" in run.stdout and not run.stderr
    for command in ("plugins", "inspect", "plan", "run", "bench"):
        assert dlquant(command, "--help").returncode == 0


def version_names_the_abi(_):
    assert re.match(r"dlquant \S+, plugin ABI \d+\.\d+\n$", dlquant("--version").stdout)


def no_subcommand_is_a_usage_error(_):
    assert dlquant().returncode == 2


def wrong_arguments_are_usage_errors(_):
    for args in (["rum"], ["run"], ["run", "a", "b"], ["run", "a", "--nonsense"],
                 ["run", "a", "--tp"], ["run", "a", "--tp", "0"], ["run", "a", "--tp", "1,"],
                 ["run", "a", "--tp", "2x"], ["run", "a", "--tp", "4-2"],
                 ["run", "a", "--tp", "1,2"], ["run", "a", "--dtype", "fp64"],
                 ["run", "a", "--device", "tpu"], ["run", "a", "--device", "sm80"],
                 ["run", "a", "--m", "-1"], ["run", "a", "--threads", "0"],
                 ["plan", "a", "--tp", "1-99999"], ["plan", "a", "--golden", "b"],
                 ["bench", "a"], ["bench", "--op", "w4a17"], ["bench", "--op", "dense,"],
                 ["bench", "--shapes", "64"], ["bench", "--shapes", "64x"],
                 ["bench", "--shapes", "64x64,"], ["bench", "--tp", "2"], ["plan", "a", "--op", "x"],
                 ["plugins", "a"], ["plugins", "--plugin-dir", "relative"]):
        expect(dlquant(*args), 2)


def instruction_sets_that_do_not_exist_are_a_usage_error(_):
    os.environ["DLQ_CPU_FLAGS"] = "avx2,nonsense"
    try:
        for args in (["run", os.path.join(JARGON, "awq")], ["inspect", os.path.join(JARGON, "awq")],
                     ["bench", "--m", "1", "--shapes", "64x64"]):
            expect(dlquant(*args), 2, "DLQ_CPU_FLAGS", "nonsense")
    finally:
        del os.environ["DLQ_CPU_FLAGS"]


def manual_and_completion_name_every_option(_):
    with open(os.path.join(ROOT, "tools", "options.c"), encoding="utf-8") as file:
        options = re.findall(r'\{"([a-z-]+)", (?:no|required)_argument', file.read())
    assert len(options) > 10
    for place in ("man/dlquant.1.scd", "completion/dlquant"):
        with open(os.path.join(ROOT, place), encoding="utf-8") as file:
            text = file.read()
        for option in options:
            assert f"--{option}" in text or option == "help", f"{place} lacks --{option}"


def completion_offers_subcommands_and_options(_):
    script = f". '{ROOT}/completion/dlquant'; COMP_WORDS=(dlquant %s); COMP_CWORD=%d; _dlquant; " \
             'echo "${COMPREPLY[*]}"'
    for words, index, want in (("r", 1, "run"), ("run --no-f", 2, "--no-fuse"), ("b", 1, "bench"),
                               ("bench --sv", 2, "--svg"),
                               ("plan --device sm9", 3, "sm90"), ("run --dtype b", 3, "bf16"),
                               (f"run {JARGON}/awq/mo", 2, f"{JARGON}/awq/model.safetensors")):
        out = subprocess.run(["bash", "-c", script % (words, index)], capture_output=True,
                             text=True, check=True).stdout
        assert out.split() == [want], (words, out)


def a_missing_checkpoint_is_bad_input(tmp):
    expect(dlquant("run", os.path.join(tmp, "none")), 3, "none")
    expect(dlquant("inspect", os.path.join(tmp, "none")), 3, "none")


def a_missing_golden_folder_is_bad_input(tmp):
    expect(dlquant("run", os.path.join(JARGON, "awq"), "--golden", os.path.join(tmp, "none")), 3,
           "none")


def a_truncated_file_is_bad_input(tmp):
    path = copy("awq", tmp)
    model = os.path.join(path, "model.safetensors")
    os.chmod(model, 0o644)
    os.truncate(model, os.path.getsize(model) - 1000)
    expect(dlquant("run", path), 3, "model.safetensors")


def malformed_json_is_bad_input(tmp):
    path = copy("awq", tmp)
    with open(os.path.join(path, "config.json"), "a", encoding="utf-8") as file:
        file.write("}")
    expect(dlquant("plan", path), 3, "config.json")


def a_recording_of_other_sizes_is_bad_input(tmp):
    golden = os.path.join(tmp, "golden")
    os.mkdir(golden)
    name = "model.layers.0.mlp.down_proj"
    write_safetensors(os.path.join(golden, "layers.safetensors"),
                      {f"{name}.x": ("F16", [4, 512]), f"{name}.y": ("F64", [4, 256])})
    expect(dlquant("run", os.path.join(JARGON, "awq"), "--golden", golden), 3, name)


def quantized_tensors_without_a_configuration_are_unsupported(_):
    path = os.path.join(JARGON, "awq", "model.safetensors")
    layer, why = "model.layers.0.mlp.down_proj", "it is quantized, the checkpoint holds 'qweight'"
    expect(dlquant("run", path), 4, f"{layer}: unquantized cannot run it: {why}")
    rows = lines(dlquant("inspect", path, "--json"))
    part = "unquantized cannot run its part model.layers.0.mlp.gate_proj: " + why
    assert any(part in row.get("why", "") for row in rows), rows


def a_recording_that_cannot_be_compared_is_bad_input(tmp):
    path = copy("w8a8", tmp)
    golden = os.path.join(path, "golden", "layers.safetensors")
    with open(golden, "rb") as file:
        text = file.read()
    down = "model.layers.0.mlp.down_proj."
    for name, old, new, words in (
            ("xq", f'"{down}xq"', f'"{down}xx"', "golden " + down + "acc: expected codes of I8"),
            ("acc", '"I32"', '"U32"', down + "acc: expected I32, found"),
            ("xs", '"F32"', '"U32"', down + "xs: expected floats, found")):
        at = text.index(old.encode(), text.index(f'"{down}{name}"'.encode()))
        with open(golden, "r+b") as file:
            file.write(text)
            file.seek(at)
            file.write(new.encode())
        expect(dlquant("run", path, "--golden", os.path.join(path, "golden"), "--no-times"), 3, words)


def a_missing_tensor_is_named(tmp):
    llama(1, tmp)
    model = os.path.join(tmp, "model.safetensors")
    with open(model, "rb") as file:
        data = file.read()
    with open(model, "wb") as file:
        file.write(data.replace(b"down_proj.qzeros", b"down_proj.qzeroz"))
    run = dlquant("run", tmp)
    assert run.returncode in (3, 4), run
    assert "down_proj" in run.stderr and "qzeros" in run.stderr, run.stderr


def a_checkpoint_without_layers_is_bad_input(tmp):
    write_safetensors(os.path.join(tmp, "model.safetensors"), {"norm.weight": ("F16", [8])})
    write_config(tmp)
    expect(dlquant("run", tmp), 3, "no linear layers")


def an_unknown_method_is_unsupported_by_name(tmp):
    llama(1, tmp)
    write_config(tmp, quantization_config=dict(AWQ, quant_method="nosuch"))
    for command in ("run", "inspect", "plan"):
        expect(dlquant(command, tmp), 4, "nosuch")


def a_method_name_never_becomes_a_path(tmp):
    llama(1, tmp)
    write_config(tmp, quantization_config=dict(AWQ, quant_method="../../evil"))
    run = dlquant("run", tmp)
    assert run.returncode in (3, 4) and "evil" in run.stderr, run


def without_plugins_the_error_lists_the_folders(tmp):
    run = dlquant("run", os.path.join(JARGON, "awq"), plugins=tmp)
    expect(run, 4, "awq", tmp)


def wrong_group_size_is_refused_with_the_field(tmp):
    llama(1, tmp)
    write_config(tmp, quantization_config=dict(AWQ, group_size=0))
    run = dlquant("run", tmp)
    assert run.returncode in (3, 4) and "group_size" in run.stderr, run


def a_broken_plugin_file_is_no_fault_of_the_checkpoint(tmp):
    broken = os.path.join(tmp, "awq_marlin.so")
    with open(broken, "w", encoding="utf-8") as file:
        file.write("no library")
    os.chmod(broken, 0o644)
    ckpt = os.path.join(tmp, "ckpt")
    os.mkdir(ckpt)
    write_config(ckpt, quantization_config={**AWQ, "quant_method": "awq_marlin"})
    write_safetensors(os.path.join(ckpt, "model.safetensors"), {"fc1.weight": ("F16", [8, 8])})
    run = dlquant("run", ckpt, "--plugin-dir", tmp)
    expect(run, 5, broken, "not an ELF file", "hint: dlquant plugins")
    # By an alias nobody knows that it is the one; it hides the one that is.
    run = dlquant("run", os.path.join(JARGON, "awq"), "--plugin-dir", tmp)
    expect(run, 4, "unknown quantization method 'awq'", f"not usable: {broken}: not an ELF file")


def plugins_are_listed(_):
    rows = lines(dlquant("plugins", "--json"))
    found = {row["name"]: row for row in rows[:-1]}
    assert found["awq_marlin"]["abi"] == [1, 0] and found["awq_marlin"]["problem"] is None
    assert found["awq_marlin"]["origin"].startswith(PLUGINS)
    assert not found["awq_marlin"]["loaded"]
    table = dlquant("plugins").stdout
    assert re.search(r"^unquantized ", table, re.MULTILINE)


def a_broken_plugin_file_is_listed_with_its_problem(tmp):
    with open(os.path.join(tmp, "junk.so"), "wb") as file:
        file.write(b"no ELF")
    rows = lines(dlquant("plugins", "--json", "--plugin-dir", tmp))
    junk = [row for row in rows if row.get("name") == "junk"]
    assert len(junk) == 1 and junk[0]["problem"], rows
    assert rows[-1]["unusable"] == 1


if __name__ == "__main__":
    sys.exit(tap.run_all(globals()))
