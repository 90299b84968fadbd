#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The dlquant authors
# SPDX-License-Identifier: Apache-2.0
"""dlquant run on real checkpoints: verdicts that must pass and verdicts that must fail.

usage: test_run.py DLQUANT PLUGIN_DIR SOURCE_ROOT. Prints TAP.
"""

import os
import pty
import struct
import subprocess
import sys

import tap
from command import DLQUANT, JARGON, PLUGINS, copy, dlquant, expect, lines, offsets, patch


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


def verdicts_need_no_times(_):
    path = os.path.join(JARGON, "fp16")
    golden = ["--golden", os.path.join(path, "golden")]
    for judge in (golden, ["--check", "--m", "3"]):
        timed = lines(dlquant("run", path, "--json", *judge))
        run = dlquant("run", path, "--json", "--no-times", *judge)
        expect(run, 0)
        rows = lines(run)
        assert rows[-1]["us"] == 0 and rows[-1]["compared"] == rows[-1]["layers"], rows[-1]
        for before, row in zip(timed[:-1], rows[:-1]):
            assert not {"us", "host_us", "gbps"} & set(row), row
            assert all(before[key] == row[key] for key in row), row
    run = dlquant("run", path, "--no-times", *golden)
    expect(run, 0)
    assert {line.split().count("-") for line in run.stdout.splitlines()[1:-2]} == {2}, run


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


def a_tensor_that_does_not_fit_is_bad_input(tmp):
    path = copy("awq", tmp)
    model = os.path.join(path, "model.safetensors")
    scales = "model.layers.0.mlp.down_proj.scales"
    patch(model, offsets(model)[scales] + 6, b"\x00\x7e")
    run = dlquant("run", path)
    expect(run, 3, scales, "element [0, 3] is not finite as F16", "hint: fetch the file again")
    path = copy("w8a8", tmp)
    model = os.path.join(path, "model.safetensors")
    scales = "model.layers.0.mlp.down_proj.weight_scale"
    with open(model, "rb") as file:
        header = file.read(1 << 16)
    patch(model, header.index(b"[256,1]", header.index(scales.encode())), b"[1,256]")
    run = dlquant("run", path)
    expect(run, 3, scales, "[256, 1], found", "hint: fetch the file again")


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


def ranks_of_unequal_shares_are_within_the_bound(_):
    for name, ranks in (("awq", "3"), ("w8a8", "3"), ("fp16", "3")):
        path = os.path.join(JARGON, name)
        expect(dlquant("run", path, "--golden", os.path.join(path, "golden"), "--tp", ranks), 0)


if __name__ == "__main__":
    sys.exit(tap.run_all(globals()))
