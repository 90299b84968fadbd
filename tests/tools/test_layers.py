#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The dlquant authors
# SPDX-License-Identifier: Apache-2.0
"""Layers that dlquant inspect and plan find, explain and cut over ranks.

usage: test_layers.py DLQUANT PLUGIN_DIR SOURCE_ROOT. Prints TAP.
"""

import json
import os
import re
import resource
import struct
import sys

import tap
from command import (AWQ, JARGON, awq_linear, copy, dlquant, expect, lines, llama, write_config,
                     write_safetensors)


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


def sizes_beyond_reason_are_not_believed(tmp):
    most = 2 ** 31 - 1
    write_safetensors(os.path.join(tmp, "model.safetensors"), {
        "a.qkv_proj.weight": ("F16", [128, 64]),
        "a.down_proj.weight_packed": ("I32", [64, 8]),
        "a.down_proj.weight_scale": ("F16", [64, 1]),
        "a.down_proj.weight_shape": ("I64", [2], struct.pack("<2q", 64, 2 ** 63 - 1))})
    group = {"targets": ["Linear"], "weights": {"num_bits": 4, "strategy": "channel"}}
    write_config(tmp, num_attention_heads=most, num_key_value_heads=most, head_dim=most,
                 quantization_config={"quant_method": "compressed-tensors",
                                      "format": "pack-quantized", "ignore": ["a.qkv_proj"],
                                      "config_groups": {"g": group}})
    run = dlquant("inspect", tmp, "--json")
    expect(run, 3, f"layer 'a.down_proj': K {2 ** 63 - 1} and N 64: expected at most 2^48 weights")
    assert [row["parts"] for row in lines(run)[:-1]] == [[64], [128]], run.stdout


def names_send_nothing_to_the_terminal(tmp):
    evil = "a\x1b[2J\nb\x9b1m"
    write_safetensors(os.path.join(tmp, "model.safetensors"), {
        f"m.{evil}.weight": ("F16", [8, 8]), f"{evil}_norm.weight": ("F16", [8]),
        "n.fc1.weight": ("I8", [8, 8]), f"n.fc1.{evil}": ("F16", [8])})
    write_config(tmp, quantization_config={"quant_method": evil})
    for run in (dlquant("inspect", tmp, "--explain", "-vv"), dlquant("run", tmp, "-vv"),
                dlquant("plan", tmp, "--tp", "1,3")):
        for stream in (run.stdout, run.stderr):
            assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]|\nb", stream), repr(stream)
    write_config(tmp)
    for run in (dlquant("inspect", tmp, "--explain", "-vv"), dlquant("run", tmp, "--check", "-vv"),
                dlquant("plan", tmp, "--tp", "1,3")):
        for stream in (run.stdout, run.stderr):
            assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]|\nb", stream), repr(stream)


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


def quantized_weights_of_unknown_size_are_refused(tmp):
    for tensors, why in (({"weight_packed": ("I32", [64, 8]), "weight_scale": ("F16", [64, 2])},
                          "the width of weight_packed is unknown without weight_shape"),
                         ({"qweight": ("I32", [64, 8])},
                          "the size of qweight is unknown without a matrix of scales")):
        write_safetensors(os.path.join(tmp, "model.safetensors"), dict(
            {f"a.up_proj.{name}": entry for name, entry in tensors.items()},
            **{"a.down_proj.weight": ("F16", [64, 64])}))
        write_config(tmp, quantization_config=AWQ)
        for command in ("inspect", "run"):
            expect(dlquant(command, tmp), 4, f"layer 'a.up_proj': {why}")
        plan = dlquant("plan", tmp)
        assert plan.returncode == 4 and f"layer 'a.up_proj': {why}" in plan.stdout, plan
        rows = lines(dlquant("inspect", tmp, "--json"))
        assert rows[-1]["layers"] == 2 and rows[-1]["unsupported"] == 1, rows


def a_build_without_gpu_kernels_says_what_it_runs_on(_):
    rows = lines(dlquant("plugins", "--json"))
    if any('"cuda' in row.get("note", "") for row in rows):
        return
    expect(dlquant("inspect", os.path.join(JARGON, "awq"), "--device", "sm90"), 4,
           "runs on CPU, found CUDA of capability 90 (sm90)")


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


def plan_asks_for_a_device_that_is_not_here(_):
    run = dlquant("plan", os.path.join(JARGON, "awq"), "--device", "sm61", "--json")
    assert run.returncode == 4
    assert "61" in lines(run)[-1]["why"], run.stdout


if __name__ == "__main__":
    sys.exit(tap.run_all(globals()))
