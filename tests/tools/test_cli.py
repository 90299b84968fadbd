#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The dlquant authors
# SPDX-License-Identifier: Apache-2.0
"""The command dlquant as its users meet it: arguments, exit codes, layers found, verdicts.

usage: test_cli.py DLQUANT PLUGIN_DIR SOURCE_ROOT. Prints TAP.
"""

import json
import os
import pty
import re
import resource
import shutil
import struct
import subprocess
import sys

import tap

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


# Arguments.


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
    for words, index, want in (("r", 1, "run"), ("run --no", 2, "--no-fuse"), ("b", 1, "bench"),
                               ("bench --sv", 2, "--svg"),
                               ("plan --device sm9", 3, "sm90"), ("run --dtype b", 3, "bf16")):
        out = subprocess.run(["bash", "-c", script % (words, index)], capture_output=True,
                             text=True, check=True).stdout
        assert out.split() == [want], (words, out)


# Verdicts on real checkpoints.


def bundled_checkpoints_meet_their_recordings(_):
    for name in ("fp16", "awq"):
        path = os.path.join(JARGON, name)
        for extra in ([], ["--dtype", "bf16"], ["--dtype", "fp32", "--no-fuse"], ["--tp", "2"],
                      ["--m", "1,9"], ["--threads", "1"]):
            run = dlquant("run", path, "--golden", os.path.join(path, "golden"), "--json", *extra)
            expect(run, 0)
            last = lines(run)[-1]
            assert last["layers"] == (29 if "--no-fuse" in extra else 17)
            assert last["failed"] == 0 and last["compared"] == last["layers"], last


def integer_checkpoints_meet_codes_and_accumulators(_):
    path = os.path.join(JARGON, "w8a8")
    run = dlquant("run", path, "--golden", os.path.join(path, "golden"), "--json")
    if "compressed" in run.stderr:
        return "the compressed_tensors plugin is not built"
    expect(run, 0)
    rows = lines(run)
    int8 = [row for row in rows[:-1] if row.get("arithmetic") == "int8"]
    assert len(int8) == 16 and all(row["worst"] <= 1 for row in int8), rows
    recorded = [row for row in int8 if "codes" in row]
    assert len(recorded) == 8 and rows[-1]["codes"] > 10000 and rows[-1]["ties"] < 10, rows[-1]
    return None


def a_changed_accumulator_fails_its_layer_only(tmp):
    path = copy("w8a8", tmp)
    golden = os.path.join(path, "golden", "layers.safetensors")
    patch(golden, offsets(golden)["model.layers.3.self_attn.o_proj.acc"], struct.pack("<i", 12345))
    run = dlquant("run", path, "--golden", os.path.join(path, "golden"), "--json")
    if "compressed" in run.stderr:
        return "the compressed_tensors plugin is not built"
    expect(run, 1)
    failed = [row for row in lines(run)[:-1] if not row["ok"]]
    assert [row["layer"] for row in failed] == ["model.layers.3.self_attn.o_proj"], failed
    assert "accumulator" in failed[0]["why"], failed
    return None


def check_judges_every_layer(_):
    run = dlquant("run", os.path.join(JARGON, "awq"), "--check", "--json", "--m", "1,5")
    expect(run, 0)
    rows = lines(run)
    assert len(rows) == 2 * 17 + 1
    keys = {"layer", "method", "scheme", "kernel", "m", "k", "n", "dtype", "us", "gbps", "err",
            "bound", "ok"}
    for row in rows[:-1]:
        assert keys <= row.keys() and row["ok"] and row["err"] <= row["bound"], row
        assert row["reference"] == "float64" and row["us"] > 0 and row["worst"] <= 1
    qkv = [r for r in rows if r.get("layer") == "model.layers.2.self_attn.qkv_proj"]
    assert len(qkv) == 2 and (qkv[0]["k"], qkv[0]["n"]) == (256, 512)
    assert qkv[0]["method"] == "awq_marlin"


def without_a_judge_nothing_is_compared(_):
    run = dlquant("run", os.path.join(JARGON, "fp16"), "--json", "--m", "1")
    expect(run, 0)
    assert lines(run)[-1]["compared"] == 0 and lines(run)[0]["err"] is None


def the_table_ends_with_the_sums(_):
    run = dlquant("run", os.path.join(JARGON, "awq"), "--m", "1")
    expect(run, 0)
    assert "17 layers: 17 ok, 0 failed" in run.stdout and "of weights on 1 rank" in run.stdout
    assert not run.stderr, "no progress bar when standard error is no terminal"


def progress_is_shown_on_a_terminal(_):
    try:
        master, slave = pty.openpty()
    except OSError as error:
        return f"no terminal: {error}"
    env = dict(os.environ, DLQ_PLUGIN_PATH=PLUGINS)
    with subprocess.Popen([DLQUANT, "run", os.path.join(JARGON, "awq"), "--m", "1"], env=env,
                          stdout=subprocess.DEVNULL, stderr=slave) as run:
        os.close(slave)
        text = b""
        while True:
            try:
                chunk = os.read(master, 4096)
            except OSError:  # the other end is closed
                break
            if not chunk:
                break
            text += chunk
        assert run.wait(60) == 0
    os.close(master)
    assert b"/17 model.layers.0" in text and text.endswith(b"\r\x1b[K"), text
    return None


def a_changed_recording_fails_its_layer_only(tmp):
    path = copy("awq", tmp)
    golden = os.path.join(path, "golden", "layers.safetensors")
    patch(golden, offsets(golden)["model.layers.0.mlp.down_proj.y"], struct.pack("<d", 3.25))
    run = dlquant("run", path, "--golden", os.path.join(path, "golden"), "--json")
    expect(run, 1)
    failed = [row["layer"] for row in lines(run)[:-1] if not row["ok"]]
    assert failed == ["model.layers.0.mlp.down_proj"], failed
    table = dlquant("run", path, "--golden", os.path.join(path, "golden"))
    expect(table, 1)
    assert "FAILED model.layers.0.mlp.down_proj" in table.stdout


def a_changed_weight_fails_its_layer_only(tmp):
    path = copy("awq", tmp)
    model = os.path.join(path, "model.safetensors")
    patch(model, offsets(model)["model.layers.3.self_attn.k_proj.scales"], b"\x00\x3c" * 64)
    run = dlquant("run", path, "--golden", os.path.join(path, "golden"), "--json")
    expect(run, 1)
    failed = [row for row in lines(run)[:-1] if not row["ok"]]
    assert [row["layer"] for row in failed] == ["model.layers.3.self_attn.qkv_proj"], failed
    assert failed[0]["why"], failed


def a_changed_part_is_found_in_single_layers_too(tmp):
    path = copy("fp16", tmp)
    model = os.path.join(path, "model.safetensors")
    patch(model, offsets(model)["model.layers.0.mlp.up_proj.weight"] + 512, b"\x00\x44" * 256)
    run = dlquant("run", path, "--golden", os.path.join(path, "golden"), "--json", "--no-fuse")
    expect(run, 1)
    failed = [row["layer"] for row in lines(run)[:-1] if not row["ok"]]
    assert failed == ["model.layers.0.mlp.up_proj"], failed


def ranks_agree_on_what_cannot_work(_):
    path = os.path.join(JARGON, "awq")
    planned = dlquant("plan", path, "--tp", "5", "--json")
    assert planned.returncode == 4
    why = lines(planned)[-1]["why"]
    run = dlquant("run", path, "--tp", "5")
    expect(run, 4)
    assert why in run.stderr, (why, run.stderr)
    assert "hint: dlquant plan CKPT" in run.stderr, run.stderr


# Bad input.


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


# Unsupported.


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


# Layers.


def layers_are_found_and_fused(tmp):
    llama(2, tmp)
    rows = lines(dlquant("inspect", tmp, "--json"))
    found = {row["layer"]: row for row in rows[:-1]}
    assert sorted(row["kind"] for row in found.values()) == ["merged"] * 2 + ["qkv"] * 2 + \
        ["row"] * 4, found
    qkv = found["model.layers.1.self_attn.qkv_proj"]
    assert qkv["parts"] == [64, 32, 32] and qkv["k"] == 64 and qkv["ok"]
    assert found["model.layers.0.mlp.gate_up_proj"]["parts"] == [128, 128]
    single = lines(dlquant("inspect", tmp, "--json", "--no-fuse"))
    assert single[-1]["layers"] == 14 and single[-1]["tensors"] == 44


def layers_come_in_the_order_of_their_numbers(tmp):
    llama(12, tmp)
    rows = lines(dlquant("inspect", tmp, "--json"))
    numbers = [int(row["layer"].split(".")[2]) for row in rows[:-1]]
    assert numbers == sorted(numbers)


def tensors_fused_on_disk_are_split_by_heads(tmp):
    write_safetensors(os.path.join(tmp, "model.safetensors"), {
        "model.layers.0.self_attn.qkv_proj.weight": ("F16", [128, 64]),
        "model.layers.0.mlp.gate_up_proj.weight": ("F16", [256, 64]),
        "model.layers.0.mlp.down_proj.weight": ("F16", [64, 128])})
    write_config(tmp, hidden_size=64, num_attention_heads=4, num_key_value_heads=2)
    found = {row["layer"].split(".")[-1]: row for row in lines(dlquant("inspect", tmp, "--json"))
             if "layer" in row}
    assert found["qkv_proj"]["parts"] == [64, 32, 32] and found["qkv_proj"]["fused_on_disk"]
    assert found["gate_up_proj"]["parts"] == [128, 128] and found["gate_up_proj"]["fused_on_disk"]
    expect(dlquant("run", tmp, "--check", "--tp", "2", "--m", "3"), 0)


def unlike_parts_stay_single(tmp):
    tensors = {}
    for name, n in (("q_proj", 64), ("k_proj", 32)):
        tensors.update(awq_linear(f"model.layers.0.self_attn.{name}", 64, n))
    tensors["model.layers.0.self_attn.v_proj.weight"] = ("F16", [32, 64])
    write_safetensors(os.path.join(tmp, "model.safetensors"), tensors)
    write_config(tmp, hidden_size=64, num_attention_heads=4, num_key_value_heads=2,
                 quantization_config=AWQ)
    rows = lines(dlquant("inspect", tmp, "--json"))
    assert sorted(row["layer"].split(".")[-1] for row in rows[:-1]) == ["k_proj", "q_proj",
                                                                        "v_proj"]


def embeddings_norms_and_convolutions_are_left_out(tmp):
    write_safetensors(os.path.join(tmp, "model.safetensors"), {
        "model.embed_tokens.weight": ("F16", [16, 8]), "transformer.wte.weight": ("F16", [16, 8]),
        "visual.patch_embed.proj.weight": ("F16", [8, 8]), "model.norm.weight": ("F16", [8]),
        "conv.weight": ("F16", [8, 8, 3]), "lm_head.weight": ("F16", [16, 8])})
    write_config(tmp)
    run = dlquant("inspect", tmp, "--explain")
    expect(run, 0)
    rows = lines(dlquant("inspect", tmp, "--json"))
    assert [row["layer"] for row in rows[:-1]] == ["lm_head"], rows
    for words in ("model.embed_tokens: embedding", "model.norm: norm", "conv: not a matrix"):
        assert words in run.stdout, run.stdout


def explain_names_file_and_rule(_):
    run = dlquant("inspect", os.path.join(JARGON, "awq"), "--explain")
    expect(run, 0)
    assert "config.json" in run.stdout and "quant_method awq" in run.stdout
    assert re.search(r"lm_head: \S+", run.stdout), run.stdout


def explain_names_patterns_that_matched_no_layer(tmp):
    path = copy("w8a8", tmp)
    with open(os.path.join(path, "config.json"), encoding="utf-8") as file:
        config = json.load(file)
    quant = config["quantization_config"]
    group = next(iter(quant["config_groups"]))
    quant["ignore"].append("re:.*nowhere.*")
    quant["config_groups"][group]["targets"].append("model.nothing")
    os.chmod(os.path.join(path, "config.json"), 0o644)
    write_config(path, **config)
    run = dlquant("inspect", path, "--explain")
    expect(run, 0)
    for words in (f"/ignore/{len(quant['ignore']) - 1} 're:.*nowhere.*'",
                  f"/config_groups/{group}/targets/1 'model.nothing')",
                  "(2 patterns matched nothing: "):
        assert words in run.stdout, run.stdout
    assert f"/config_groups/{group}/targets/0 'Linear' (class)" in run.stdout, run.stdout


def fused_parts_of_different_schemes_are_named(tmp):
    path = copy("w8a8", tmp)
    with open(os.path.join(path, "config.json"), encoding="utf-8") as file:
        config = json.load(file)
    config["quantization_config"]["ignore"].append("re:.*k_proj")
    os.chmod(os.path.join(path, "config.json"), 0o644)
    write_config(path, **config)
    run = dlquant("inspect", path, "--explain")
    assert run.returncode == 4, run.stderr
    assert re.search(r"qkv_proj: fused parts differ: \S+q_proj is \S+ by .*'Linear' \(class\); "
                     r"\S+k_proj is not quantized by /ignore/", run.stdout), run.stdout


def a_hundred_thousand_tensors_are_inspected_in_a_second(tmp):
    count = llama(4546, tmp)
    assert count >= 100000
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run = dlquant("inspect", tmp)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    took = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    expect(run, 0)
    slow = float(os.environ.get("DLQ_TEST_TIME_FACTOR", "1"))
    assert took < 1.0 * slow, f"{took:.2f} s of the processor"


def plan_gives_one_verdict_a_number(_):
    run = dlquant("plan", os.path.join(JARGON, "awq"), "--tp", "1,2,5")
    assert run.returncode == 4
    assert re.findall(r"^tp (\d): (works|cannot)", run.stdout, re.MULTILINE) == [
        ("1", "works"), ("2", "works"), ("5", "cannot")], run.stdout
    expect_all = dlquant("plan", os.path.join(JARGON, "awq"), "--tp", "1,2", "--json")
    assert expect_all.returncode == 0
    verdicts = [row for row in lines(expect_all) if "works" in row]
    assert [row["tp"] for row in verdicts] == [1, 2] and all(row["works"] for row in verdicts)
    assert verdicts[1]["bytes_a_rank"] * 2 >= verdicts[0]["bytes_a_rank"]


def plan_spreads_units_over_ranks_that_do_not_divide(_):
    run = dlquant("plan", os.path.join(JARGON, "awq"), "--tp", "3", "--json")
    expect(run, 0)
    rows = {row["layer"]: row for row in lines(run)[:-1]}
    qkv = rows["model.layers.0.self_attn.qkv_proj"]
    o = rows["model.layers.0.self_attn.o_proj"]
    # Four query heads of 64 over two KV heads: the first KV head is on two ranks.
    assert qkv["uneven"] and qkv["n_ranks"] == [192, 192, 256], qkv
    assert o["k_ranks"] == [64, 64, 128] and o["group"] == 64, o
    down = rows["model.layers.0.mlp.down_proj"]
    assert not down["uneven"] and down["k_ranks"] == [256, 256, 256], down
    head = rows["lm_head"]
    assert head["n_ranks"] == [96, 96, 64], head
    verdict = lines(run)[-1]
    assert verdict["works"] and verdict["uneven"], verdict
    most = max(sum(row["bytes_ranks"][r] * row["count"] for row in rows.values()) for r in range(3))
    assert verdict["bytes_a_rank"] == most, (verdict, most)
    table = dlquant("plan", os.path.join(JARGON, "awq"), "--tp", "3").stdout
    assert "tp 3: works with unequal shares, " in table and " 192-256 x 256 " in table, table


def any_number_of_layers_may_stand_before_one(tmp):
    tensors = {f"model.layers.0.a{i}_proj.weight": ("F16", [72, 64]) for i in range(20)}
    tensors["model.layers.0.down_proj.weight"] = ("F16", [64, 72])
    write_safetensors(os.path.join(tmp, "model.safetensors"), tensors)
    write_config(tmp, torch_dtype="float16")
    run = dlquant("plan", tmp, "--tp", "5", "--json")
    expect(run, 0)
    rows = lines(run)
    assert sum(row["count"] for row in rows[:-1]) == 21 and rows[-1]["works"], rows


def ranks_of_unequal_shares_are_within_the_bound(_):
    for name, ranks in (("awq", "3"), ("w8a8", "3"), ("fp16", "3")):
        path = os.path.join(JARGON, name)
        expect(dlquant("run", path, "--golden", os.path.join(path, "golden"), "--tp", ranks), 0)


def plan_asks_for_a_device_that_is_not_here(_):
    run = dlquant("plan", os.path.join(JARGON, "awq"), "--device", "sm61", "--json")
    assert run.returncode == 4
    assert "61" in lines(run)[-1]["why"], run.stdout


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


# Figures.


def bench(*args):
    return dlquant("bench", "--threads", "1", "--shapes", "256x64", "--m", "1,3", *args)


def bench_measures_what_it_has_judged(tmp):
    ops = ("w4a16_zp_g64", "w4a16_bf16_g32", "w4a16_channel", "w8a16_g128", "w4a8_g64", "w8a8_int8",
           "w8a8_fp8", "w8a16_fp8", "dense", "dense_bf16", "dense_fp32")
    csv, svg = os.path.join(tmp, "a.csv"), os.path.join(tmp, "a.svg")
    run = bench("--op", ",".join(ops), "--csv", csv, "--svg", svg, "--json")
    expect(run, 0)
    rows = lines(run)
    assert [row["m"] for row in rows] == [1, 3] * len(ops), rows
    for row in rows:
        assert row["us"] >= row["best_us"] > 0 and row["floor_us"] > 0 and row["isa"], row
        assert row["threads"] == 1 and (row["k"], row["n"]) == (256, 64), row
        assert 0 < row["err"] < 4e-3 and 0 < row["worst"] <= 1, row
    assert rows[0]["op"] == "w4a16_fp16_zp_g64" and rows[2]["op"] == "w4a16_bf16_g32", rows
    assert rows[10]["op"] == "w8a8_int8_rowcol" and rows[-1]["op"] == "dense_fp32", rows
    with open(csv, encoding="utf-8") as file:
        table = [line.rstrip("\n").split(",") for line in file]
    assert len(table) == 1 + len(rows) and {len(row) for row in table} == {len(table[0])}, table
    assert table[0][:3] == ["machine", "load", "op"], table
    with open(svg, encoding="utf-8") as file:
        text = file.read()
    assert text.count("<circle") == len(rows) and text.endswith("</svg>\n"), text


def bench_shows_the_fastest_peer(tmp):
    peers = os.path.join(tmp, "peers.csv")
    with open(peers, "w", encoding="utf-8") as file:
        file.write("machine,op,K,N,M,threads,peer,us\n"
                   "old,w4_g128,256,64,1,1,slow,80000\nold,w4_g128,256,64,1,1,fast,70000\n"
                   "old,w4_g128,256,64,1,2,threads,1\nnew,w4_g128,256,64,1,1,machine,1\n"
                   "old,w8a8,256,64,1,1,other,1\n")
    run = bench("--op", "w4a16_g128", "--compare", peers + ":old", "--json")
    expect(run, 0)
    assert lines(run)[0]["bar_us"] == 70000 and lines(run)[0]["peer"] == "fast", run.stdout
    assert "bar_us" not in lines(run)[1], run.stdout
    assert "70000.0" in bench("--op", "w4a16_g128", "--compare", peers + ":old").stdout


def bench_refuses_files_of_figures_that_have_none(tmp):
    path = os.path.join(tmp, "peers.csv")
    for text, word in (("", "no figures"), ("a,b\n1,2\n", "line 2"),
                       ("op,m,k,n,us\nx,0,8,8,1\n", "line 2"),
                       ("op,m,k,n,us\nx,1,8,8\n", "line 2"), ("op,m,k,n,us\n", "no figures")):
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        expect(bench("--compare", path), 3, "peers.csv", word)
    expect(bench("--compare", path + ".none"), 3, "No such file")


def bench_refuses_shapes_that_do_not_suit(_):
    run = dlquant("bench", "--threads", "1", "--shapes", "100x64", "--op", "w4a16_g64")
    expect(run, 2, "w4a16_fp16_g64: 100x64")


def bench_needs_the_plugin(tmp):
    run = dlquant("bench", "--threads", "1", "--shapes", "64x64", "--op", "w8a8_int8", plugins=tmp)
    expect(run, 4, "compressed-tensors")


TESTS = [value for value in list(globals().values())
         if callable(value) and getattr(value, "__code__", None)
         and value.__code__.co_varnames[:1] in (("_",), ("tmp",)) and value.__code__.co_argcount == 1]


if __name__ == "__main__":
    sys.exit(tap.run(TESTS))
