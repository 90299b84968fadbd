#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The dlquant authors
# SPDX-License-Identifier: Apache-2.0
"""dlquant run --device cuda on emulated GPUs, whose memory the command cannot touch.

usage: test_device.py DLQUANT EMULATED_DIR PLUGIN_DIR SOURCE_ROOT. Prints TAP.
"""

import json
import os
import subprocess
import sys

import tap

DLQUANT, EMULATED, PLUGINS, ROOT = (os.path.abspath(arg) for arg in sys.argv[1:5])
FP16 = os.path.join(ROOT, "tests", "data", "jargon-llama", "fp16")


def dlquant(*args, plugins=EMULATED, **extra):
    env = dict(os.environ, DLQ_PLUGIN_PATH=plugins, **extra)
    return subprocess.run([DLQUANT, *args], capture_output=True, text=True, env=env, timeout=240,
                          check=False)


def lines(run):
    return [json.loads(line) for line in run.stdout.splitlines()]


def recordings_are_met_and_graphs_replay_the_same_bits(_):
    for extra in ([], ["--dtype", "bf16"], ["--dtype", "fp32"], ["--no-fuse"], ["--m", "3"],
                  ["--no-times"]):
        run = dlquant("run", FP16, "--golden", os.path.join(FP16, "golden"), "--device", "cuda",
                      "--json", *extra)
        assert run.returncode == 0, run
        rows = lines(run)
        last = rows.pop()
        assert last["failed"] == 0 and last["compared"] == last["layers"], last
        assert last["replays"] == len(rows), last
        for row in rows:
            assert row["kernel"] == "emulated on 0 of capability 90", row
            assert row["graph"] == "equal", row
            if "--no-times" not in extra:
                assert row["us"] > 0 and row["host_us"] > 0, row


def bench_times_graphs_with_and_without_early_launches(tmp):
    floors = os.path.join(tmp, "floors.csv")
    with open(floors, "w", encoding="utf-8") as file:
        file.write("k,n,w4_bytes_us,w8_bytes_us,w16_bytes_us\n64,64,1,2,0.25\n")
    run = dlquant("bench", "--device", "cuda:1", "--op", "dense,dense_bf16", "--shapes", "64x64", "--m",
                  "1,5", "--compare", floors, "--json")
    assert run.returncode == 0, run
    rows = lines(run)
    assert [(row["op"], row["m"]) for row in rows] == [
        ("dense_fp16", 1), ("dense_fp16", 5), ("dense_bf16", 1), ("dense_bf16", 5)], rows
    for row in rows:
        assert row["isa"] == "emulated on 1 of capability 90" and row["floor_us"] == 0.25, row
        assert row["us"] > 0 and row["early_us"] > 0 and row["err"] < 3e-3, row


def another_device_is_taken_by_its_index(_):
    run = dlquant("run", FP16, "--check", "--m", "1", "--device", "cuda:1", "--json")
    assert run.returncode == 0, run
    assert lines(run)[0]["kernel"] == "emulated on 1 of capability 90"


def the_table_has_graphs_and_times_of_the_host(_):
    run = dlquant("run", FP16, "--m", "1", "--device", "cuda")
    assert run.returncode == 0, run
    head = run.stdout.splitlines()[0]
    assert "host us" in head and "graph" in head, head
    assert "17 graph replays equal to their calls" in run.stdout, run.stdout
    plain = dlquant("run", FP16, "--m", "1", plugins=PLUGINS).stdout
    assert "graph" not in plain and "host us" not in plain, plain


def a_graph_that_gives_other_bits_is_a_failure(_):
    for how in (["--check"], ["--golden", os.path.join(FP16, "golden")], []):
        run = dlquant("run", FP16, "--m", "1", "--device", "cuda", *how, DLQ_TEST_LOSE_GRAPHS="1")
        assert run.returncode == 1, run
        assert "DIFFERS" in run.stdout and "17 layers: 0 ok, 17 failed" in run.stdout, run.stdout
        assert "gives other bits than the call" in run.stdout
    run = dlquant("run", FP16, "--m", "1", "--device", "cuda", "--json", DLQ_TEST_LOSE_GRAPHS="1")
    assert lines(run)[0]["graph"] == "differs" and lines(run)[-1]["replays"] == 0


def calls_that_disturb_each_other_are_a_failure(_):
    run = dlquant("run", FP16, "--check", "--m", "1", "--device", "cuda", DLQ_TEST_ONE_STREAM="1")
    assert run.returncode == 1, run
    assert "17 layers: 0 ok, 17 failed" in run.stdout, run.stdout
    assert run.stdout.count("two calls on two streams at the same time give other bits") == 17


def a_device_that_is_not_there_is_an_environment_error(_):
    run = dlquant("run", FP16, "--device", "cuda:5")
    assert run.returncode == 5 and "no such CUDA device" in run.stderr, run
    assert "hint: dlquant plan CKPT --device sm90" in run.stderr, run


def without_the_module_the_error_names_it(tmp):
    run = dlquant("run", FP16, "--device", "cuda", plugins=tmp)
    assert run.returncode == 5 and "dlquant-cuda.so not found in " + tmp in run.stderr, run


def ranks_on_gpus_need_collectives(_):
    run = dlquant("run", FP16, "--device", "cuda", "--tp", "2")
    assert run.returncode == 5 and "no collectives over NCCL: module" in run.stderr, run


def headers_are_planned_for_a_gpu_that_is_not_here(tmp):
    for command in ("inspect", "plan"):
        run = dlquant(command, FP16, "--device", "sm80", "--json")
        assert run.returncode == 0, run
        assert lines(run)[0]["kernel"] == "emulated on 0 of capability 80", run.stdout
        run = dlquant(command, FP16, "--device", "sm75")
        assert run.returncode == 4 and "capability 75" in run.stderr + run.stdout, run
        run = dlquant(command, FP16, "--device", "cuda", plugins=tmp)
        assert run.returncode == 5 and "no CUDA device" in run.stderr, run


if __name__ == "__main__":
    sys.exit(tap.run_all(globals()))
