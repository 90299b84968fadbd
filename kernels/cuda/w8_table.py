#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The dlquant authors
# SPDX-License-Identifier: Apache-2.0
"""Make w8_table.inc from the configurations that `gpu_w8 tune` measured.

    kernels/cuda/w8_table.py docs/data/h200_w8_plans.csv docs/data/h100_w8_plans.csv > kernels/cuda/w8_table.inc

The first file is of an H200, the second of an H100, which takes the H200's choice where it has no line. For every operand type,
weight shape and number of tokens the fastest configuration, once without and once with early launch; where the fastest early one is
slower than the other, the other and no early launch. A later line of the same configuration replaces an earlier one.
"""
import csv
import sys

FIELDS = ("kernel", "rows", "tokens", "split", "share", "per_sm", "pingpong", "group")
FAST_MEMORY, SLOW_MEMORY = 1, 2


def read(path):
    """The times of every configuration of a cell, without and with early launch."""
    measured = {}
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            cell = (row["type"] == "fp8", int(row["n"]), int(row["k"]), int(row["m"]))
            config = tuple(int(row[field]) for field in FIELDS)
            measured.setdefault(cell, ({}, {}))[int(row["pdl"])][config] = float(row["us"])
    return measured


def choose(plain, early):
    """(early launch, configuration, late) and its time, for both kinds of launch."""
    config, us = min(plain.items(), key=lambda item: item[1])
    if early and min(early.values()) <= us:
        best, best_us = min(early.items(), key=lambda item: item[1])
        return (((0, config, 0), us), ((1, best, 0), best_us))
    return (((0, config, 0), us), ((1, config, 1), us))


def main():
    h200, h100 = (read(path) for path in sys.argv[1:])
    print("// Made by w8_table.py from measurements; do not edit.")
    print("// {devices, fp8, early launch, n, k, most tokens, {%s, late}}, us" % ", ".join(FIELDS))
    for cell in sorted(h200):
        here, other = choose(*h200[cell]), choose(*h100.get(cell, h200[cell]))
        f8, n, k, m = cell
        for (choice, us), (slow, slow_us) in zip(here, other):
            both = choice == slow
            lines = [(FAST_MEMORY | (SLOW_MEMORY if both else 0), choice, us)] + ([] if both else [(SLOW_MEMORY, slow, slow_us)])
            for devices, (early, config, late), time in lines:
                print("{%d, %d, %d, %d, %d, %d, {%s, %d}}, // %.2f" % (devices, f8, early, n, k, m, ", ".join(map(str, config)), late, time))


main()
