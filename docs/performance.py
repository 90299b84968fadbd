#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The dlquant authors
# SPDX-License-Identifier: Apache-2.0
"""Make docs/performance.md from the figures of docs/data.

usage: performance.py > performance.md

h200.csv has our figures on an H200 and h200_peers.csv the fastest peer of each cell; h100.csv and
h100_peers.csv, cpu.csv and cpu_peers.csv the same for an H100 and for CPUs. What `dlquant bench --csv`
writes is read too, as h200_NAME.csv or cpu_NAME.csv: of a cell that stands in several files, the last
one by name counts."""

import csv
import glob
import os
import statistics

DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data")

# Machines of our figures and of the peers' that are of one kind.
SAME_CPU = {"emerald-rapids-amx-16vcpu": "emr-amx"}

# Names of operations in files of peers.
PEER_OPS = {"w4a16": "w4_g128", "w4a16_int8": "w4_g128", "w4a16_fp16_g128": "w4_g128",
            "w4a16_fp16_zp_g128": "w4_g128", "w8a8_int8_rowcol": "w8a8"}

HEAD = """<!-- SPDX-FileCopyrightText: 2026 The dlquant authors -->
<!-- SPDX-License-Identifier: Apache-2.0 -->
<!-- docs/performance.py makes this file from docs/data; change those. -->

# Performance

Every figure is a median with cold weights, taken after the result was compared with float64. `dlquant
bench` repeats them on any machine: it measures the machine's ceilings in the same run, judges every
result before it is timed, and shows peers beside (`--compare docs/data/h200_peers.csv`, or h100_peers.csv).
What was tried, how kernels work and where they stop:

- [W4A16 on one H200](performance/h200_w4.md): 4-bit weights, 1 to 8192 tokens
- [W4A16 on one H100](performance/h100_w4.md): the same beside peers in one process, and where the time goes
- [W8A8 on one H200](performance/h200_w8.md): int8 and FP8 products, 1 to 8192 tokens
- [W8A8 on one H100](performance/h100_w8.md): the same beside vLLM and cuBLASLt in one process
- [The Marlin layout on one H100 and one H200](performance/marlin.md): 4 and 8 bits with the instructions of sm_80
- [Whole layers on one H100](performance/h100_layers.md): unquantized beside cuBLASLt; int8, fp8, fp4
- [Layers on an H200](performance/h200_layers.md): what calls cost the host, cuBLASLt beside, sanitizers
- [Ranks on two and four H200](performance/h200_ranks.md): sums, gathers and row layers, over NCCL and over peers
- [Ranks on H100](performance/h100_ranks.md): the same on other cards, and windows and registered memory of NCCL
- [Loading onto one H100](performance/h100_load.md): a 35 GB checkpoint from the page cache, and what limits it
- [CPU kernels](performance/cpu.md): what they compute, from AVX2 to AMX, and how fast
"""

H200 = """## NVIDIA H200

How many times faster than the best peer of each cell: median over the shapes, and the worst shape in
brackets. Launched one after the other, as the peers are; the last columns with launches that begin early
(PDL), which no peer has.
"""

H100 = """## NVIDIA H100

The same beside the peers' kernels on cards of this kind ([which, and how](performance/h100_w4.md#peers-on-the-same-card)).
The peer of `marlin_w4a16_fp16_zp_g128` is vLLM's Marlin alone.
"""


def rows(name):
    path = os.path.join(DATA, name)
    if not os.path.exists(path):
        return []
    with open(path, newline="", encoding="utf-8") as file:
        return [{key.lower(): value for key, value in row.items()} for row in csv.DictReader(file)]


def figures(kind):
    """Our rows: of all files of a kind that are neither peers nor something else."""
    paths = [f"{kind}.csv"] + sorted(os.path.basename(path)
                                     for path in glob.glob(os.path.join(DATA, f"{kind}_*.csv")))
    return [row for path in paths if not path.endswith("_peers.csv") for row in rows(path)
            if "op" in row]


def table(head, body):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(cells) + " |" for cells in body]
    return "\n".join(lines) + "\n"


def number(us):
    return f"{us:.0f}" if us >= 100 else f"{us:.1f}"


def gpu(kind, intro):
    """A table of the ratios to peers on one kind of card."""
    peers = {(r["op"], r["m"], r["k"], r["n"]): float(r["best_peer_us"])
             for r in rows(f"{kind}_peers.csv")}
    ours = {(r["op"], r["m"], r["k"], r["n"]): r for r in figures(kind)}
    plain, early = {}, {}
    for cell, r in ours.items():
        if cell in peers:
            key = (r["op"], int(r["m"]))
            plain.setdefault(key, []).append(peers[cell] / float(r["us"]))
            if r["us_pdl"]:
                early.setdefault(key, []).append(peers[cell] / float(r["us_pdl"]))
    ops = list(dict.fromkeys(op for op, _ in plain))

    def cell(found):
        return f"{statistics.median(found):.2f} ({min(found):.2f})" if found else "-"

    body = [[str(m)] + [cell(plain.get((op, m))) for op in ops] + [cell(early.get((op, m))) for op in ops]
            for m in sorted({m for _, m in plain})]
    head = ["M"] + [f"`{op}`" for op in ops] + [f"`{op}`, early" for op in ops]
    return intro + "\n" + table(head, body) if body else ""


def fastest_peers():
    best = {}
    for r in rows("cpu_peers.csv"):
        cell = (r["machine"], r["op"], r["m"], r["k"], r["n"], r["threads"])
        if cell not in best or float(r["us"]) < float(best[cell]["us"]):
            best[cell] = r
    return best


def cpu_machine(machine, found, peers):
    theirs = SAME_CPU.get(machine, machine)
    ours = {}
    for r in found:
        key = (r["op"], int(r["k"]), int(r["n"]), int(r["threads"]), int(r["m"]))
        if key not in ours or float(r["us"]) < float(ours[key]["us"]):
            ours[key] = r
    body = []
    for (op, k, n, threads, m), r in sorted(ours.items()):
        peer = peers.get((theirs, PEER_OPS.get(op, op), str(m), str(k), str(n), str(threads)))
        us = float(r["us"])
        body.append([f"`{op}`", f"{k} x {n}", str(threads), str(m), r["isa"], number(us),
                     f"{number(float(peer['us']))} {peer['peer']}" if peer else "-",
                     f"{float(peer['us']) / us:.2f}" if peer else "-", r["err"]])
    head = ["op", "K x N", "threads", "M", "instructions", "us", "best peer, any accuracy", "x peer",
            "error"]
    return f"### {machine}\n\n" + table(head, body)


def cpus():
    peers = fastest_peers()
    machines = {}
    for r in figures("cpu"):
        machines.setdefault(r["machine"], []).append(r)
    parts = [cpu_machine(name, found, peers) for name, found in machines.items()]
    intro = ("## CPUs\n\nThe fastest instructions of each cell, activations in fp16, quantizing them "
             "included. Peers of all accuracies:\nmost quantize activations to 8 bits, which costs "
             "5e-3 and more where channels have outliers.\n")
    return intro + "\n" + "\n".join(parts) if parts else ""


print("\n".join(part for part in (HEAD, gpu("h200", H200), gpu("h100", H100), cpus()) if part), end="")
