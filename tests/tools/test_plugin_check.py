#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The dlquant authors
# SPDX-License-Identifier: Apache-2.0
"""dlquant-plugin-check on a good plugin, one that crashes, one of another ABI, one that hangs, and none.

usage: test_plugin_check.py CHECKER GOOD.so CRASH.so FOREIGN.so HANG.so. Prints TAP.
"""

import json
import os
import re
import struct
import subprocess
import sys

import tap

CHECKER, GOOD, CRASH, FOREIGN, HANG = sys.argv[1:6]


def check(*args):
    return subprocess.run([CHECKER, *args], capture_output=True, text=True, timeout=200, check=False)


def good_config(tmp):
    path = os.path.join(tmp, "config.json")
    with open(path, "w", encoding="utf-8") as file:
        file.write('{"quant_method": "template", "bits": 8}')
    return path


def a_good_plugin_passes_every_group(tmp):
    run = check("--config", good_config(tmp), "--k", "96", "--n", "40", GOOD)
    assert run.returncode == 0, run.stdout + run.stderr
    assert re.search(r"^1\.\.\d+$", run.stdout, re.MULTILINE)
    assert "not ok" not in run.stdout and run.stdout.count("\nok ") > 15, run.stdout


def json_has_a_line_a_check_and_the_sums(tmp):
    run = check("--json", "--group", "numerics", "--config", good_config(tmp), GOOD)
    rows = [json.loads(line) for line in run.stdout.splitlines()]
    assert run.returncode == 0 and len(rows) > 1, run.stdout
    assert all(row["verdict"] == "pass" and row["group"] == "numerics" for row in rows[:-1]), rows
    assert rows[-1] == {"passed": len(rows) - 1, "failed": 0, "skipped": 0}


def without_a_configuration_layers_are_skipped(_):
    run = check("--group", "numerics", CRASH)
    assert run.returncode == 0 and "# SKIP" in run.stdout, run.stdout
    assert "--config" in run.stdout and "not ok" not in run.stdout, run.stdout


def a_crash_is_a_failed_check(tmp):
    run = check("--json", "--group", "numerics", "--config", good_config(tmp), CRASH)
    assert run.returncode == 1, run.stdout
    assert re.search(r"signal \d+|ended the process with status", run.stdout), run.stdout


def a_hang_is_a_failed_check(tmp):
    run = check("--json", "--group", "numerics", "--config", good_config(tmp), "--time-limit", "1",
                HANG)
    assert run.returncode == 1, run.stdout
    assert "ran longer than 1 s" in run.stdout, run.stdout


def a_plugin_that_no_host_accepts_is_asked_no_more(tmp):
    run = check("--config", good_config(tmp), FOREIGN)
    assert run.returncode == 1, run.stdout
    assert re.search(r"not ok 1 - a_host_accepts_the_plugin\n# .*abi_major", run.stdout), run.stdout
    assert "not ok 6 - header_negotiates" in run.stdout, run.stdout
    assert "crashed" not in run.stdout and "# SKIP no host accepts" in run.stdout, run.stdout
    assert check("--group", "numerics", FOREIGN).returncode == 1


def a_table_out_of_line_is_refused(tmp):
    with open(GOOD, "rb") as file:
        plugin = bytearray(file.read())
    at, = struct.unpack_from("<Q", plugin, 40)
    size, count = struct.unpack_from("<HH", plugin, 58)
    table = plugin[at:at + size * count]
    odd = len(plugin) | 1
    plugin += b"\0" * (odd - len(plugin)) + table
    struct.pack_into("<Q", plugin, 40, odd)
    path = os.path.join(tmp, os.path.basename(GOOD))
    with open(path, "wb") as file:
        file.write(plugin)
    run = check("--config", good_config(tmp), "--group", "static", path)
    assert run.returncode == 1, run.stdout + run.stderr
    assert f"{path} has no section table" in run.stdout, run.stdout


def no_plugin_fails_to_load(tmp):
    path = os.path.join(tmp, "none.so")
    run = check(path)
    assert run.returncode == 1 and "not ok 1 - the_file_loads" in run.stdout, run.stdout
    run = check(CHECKER)
    assert run.returncode == 1 and "not ok 1 - the_file_loads" in run.stdout, run.stdout
    rows = [json.loads(line) for line in check("--json", path).stdout.splitlines()]
    assert rows[-1] == {"passed": 0, "failed": 1, "skipped": 0}, rows


def wrong_arguments_are_usage_errors(_):
    for args in ([], ["a", "b"], ["--k", "0", GOOD], ["--nonsense", GOOD],
                 ["--config", "/nonexistent", GOOD], ["--group", "nonsense", GOOD]):
        run = check(*args)
        assert run.returncode == 2 and run.stderr and not run.stdout, (args, run)


def help_and_version_go_to_standard_output(_):
    for args, words in ((["--help"], "--group GROUP"), (["--version"], "plugin ABI 1.")):
        run = check(*args)
        assert run.returncode == 0 and words in run.stdout and not run.stderr, run


TESTS = [a_good_plugin_passes_every_group, json_has_a_line_a_check_and_the_sums,
         without_a_configuration_layers_are_skipped, a_crash_is_a_failed_check,
         a_hang_is_a_failed_check, a_plugin_that_no_host_accepts_is_asked_no_more, a_table_out_of_line_is_refused,
         no_plugin_fails_to_load, wrong_arguments_are_usage_errors,
         help_and_version_go_to_standard_output]

if __name__ == "__main__":
    sys.exit(tap.run(TESTS))
