#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The dlquant authors
# SPDX-License-Identifier: Apache-2.0
"""dlquant bench: what it measures, compares and refuses.

usage: test_bench_command.py DLQUANT PLUGIN_DIR SOURCE_ROOT. Prints TAP.
"""

import os
import sys

import tap
from command import dlquant, expect, lines


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


def a_file_that_cannot_be_written_is_named(tmp):
    path = os.path.join(tmp, "none", "figures.csv")
    expect(dlquant("bench", "--op", "dense", "--m", "1", "--shapes", "64x64", "--csv", path), 5, path)


if __name__ == "__main__":
    sys.exit(tap.run_all(globals()))
