#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The dlquant authors
# SPDX-License-Identifier: Apache-2.0
"""Make w8_table.inc from the configurations that `gpu_w8 tune` measured.

    kernels/cuda/w8_table.py docs/data/h200_w8_plans.csv docs/data/h100_w8_plans.csv > kernels/cuda/w8_table.inc

For every operand type, weight shape and number of tokens the fastest configuration, once without and once with early launch; where
the fastest early one is slower than the other, the other and no early launch. A later line of the same configuration replaces an
earlier one, a later file all that an earlier one says of a cell.
"""
import csv
import sys

FIELDS = ("kernel", "rows", "tokens", "split", "share", "per_sm", "pingpong", "group")


def main():
    measured = {}
    for path in sys.argv[1:]:
        here = {}
        with open(path, newline="") as file:
            for row in csv.DictReader(file):
                cell = (row["type"] == "fp8", int(row["n"]), int(row["k"]), int(row["m"]))
                config = tuple(int(row[field]) for field in FIELDS)
                here.setdefault(cell, ({}, {}))[int(row["pdl"])][config] = float(row["us"])
        measured.update(here)
    print("// Made by w8_table.py from measurements; do not edit.")
    print("// {fp8, early launch, n, k, most tokens, {%s, late}}, us" % ", ".join(FIELDS))
    for cell in sorted(measured):
        plain, early = measured[cell]
        config, us = min(plain.items(), key=lambda item: item[1])
        best, best_us, late = config, us, 1
        if early and min(early.values()) <= us:
            best, best_us = min(early.items(), key=lambda item: item[1])
            late = 0
        f8, n, k, m = cell
        for pdl, c, last, t in ((0, config, 0, us), (1, best, late, best_us)):
            print("{%d, %d, %d, %d, %d, {%s, %d}}, // %.2f" % (f8, pdl, n, k, m, ", ".join(map(str, c)), last, t))


main()
