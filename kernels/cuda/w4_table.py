#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The dlquant authors
# SPDX-License-Identifier: Apache-2.0
"""Make w4_table.inc from the plans that `gpu_w4 tune` measured.

    kernels/cuda/w4_table.py docs/data/h100_w4_plans.csv docs/data/h200_w4_plans.csv > kernels/cuda/w4_table.inc

For every weight shape and number of tokens the fastest plan, once without and once with programmatic dependent launch. A later line
of the same plan replaces an earlier one, a later file all that an earlier one says of a shape and number of tokens.
"""
import csv
import sys


def main():
    measured = {}
    for path in sys.argv[1:]:
        here = {}
        with open(path, newline="") as file:
            for row in csv.DictReader(file):
                cell = tuple(int(row[key]) for key in ("k", "n", "m"))
                plan = tuple(int(row[key]) for key in ("kernel", "tile", "split", "ctas"))
                here.setdefault(cell, {})[plan] = (float(row["us"]), float(row["us_pdl"]))
        measured.update(here)
    print("// Made by w4_table.py from measurements; do not edit. {k, n, m, pdl, {kernel, tile, split, ctas}}, us")
    for cell in sorted(measured):
        for pdl in (0, 1):
            plan, times = min(measured[cell].items(), key=lambda item: item[1][pdl])
            print("{%d, %d, %d, %d, {%d, %d, %d, %d}}, // %.2f" % (*cell, pdl, *plan, times[pdl]))


main()
