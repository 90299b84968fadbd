#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The dlquant authors
# SPDX-License-Identifier: Apache-2.0
"""Machine code that touches sums which the tensor cores still write.

wgmma_hazards.py [--cuobjdump PATH] FILE...

A wgmma returns before its sums are in their registers; only wgmma.wait_group says when they are. The
compiler does not know that a wait is for them: it may copy a sum to another register ahead of the wait, where a
loop ends for instance, and the result then depends on time. Reads what cuobjdump -sass lists of the files,
follows all branches of every function, and names instructions that use registers of sums between a wgmma and a
wait for all of them. Other wgmma may: they queue behind. Exit status 1 when there are any, 77 without cuobjdump."""

import os
import re
import shutil
import subprocess
import sys

FUNCTION = re.compile(r'\s*Function : (\S+)')
INSTRUCTION = re.compile(r'\s*/\*([0-9a-f]{4,})\*/\s+(@!?U?P\w+\s+)?(\S[^;]*?)\s*;')
PRODUCT = re.compile(r'[A-Z]GMMA\.64x(\d+)x\d+\.(\w+)\S*\s+R(\d+)')
WAIT = re.compile(r'WARPGROUP\.DEPBAR\.LE gsb0, 0x0\b')
REGISTER = re.compile(r'\bR(\d+)(\.64)?\b')
TARGET = re.compile(r'\b0x([0-9a-f]+)$')
ENDS = ('EXIT', 'RET', 'BRX', 'JMX', 'BREAK')


class Instruction:
    """One line of a listing."""

    def __init__(self, address, predicate, text):
        self.address = address
        self.always = not predicate
        self.text = text
        self.name = text.split()[0].split('.')[0]
        self.sums = frozenset()
        product = PRODUCT.match(text)
        if product:
            # 64 rows of n sums over 128 threads; sums in fp16 lie two in a register.
            count = int(product.group(1)) // (4 if product.group(2) == 'F16' else 2)
            first = int(product.group(3))
            self.sums = frozenset(range(first, first + count))

    def registers(self):
        used = set()
        for number, wide in REGISTER.findall(self.text):
            used.add(int(number))
            if wide:
                used.add(int(number) + 1)
        return used


def read_functions(listing):
    """Name and instructions of each function of a listing."""
    functions, body = [], None
    for line in listing.splitlines():
        function = FUNCTION.match(line)
        if function:
            body = []
            functions.append((function.group(1), body))
            continue
        found = INSTRUCTION.match(line)
        if found and body is not None:
            body.append(Instruction(int(found.group(1), 16), found.group(2), found.group(3)))
    return functions


def find_successors(body):
    """For every instruction the indices of those that may follow."""
    index = {instruction.address: i for i, instruction in enumerate(body)}
    meeting = {}  # where threads of a barrier of convergence go on
    successors = []
    for i, instruction in enumerate(body):
        target = TARGET.search(instruction.text)
        to = index.get(int(target.group(1), 16)) if target else None
        operand = instruction.text.split()[-1 if to is None else 1].rstrip(',')
        following = [i + 1] if i + 1 < len(body) else []
        if instruction.name == 'BSSY':
            meeting[operand] = to
        elif instruction.name == 'BSYNC' and meeting.get(operand) is not None:
            following = [meeting[operand]]
        elif instruction.name in ('BRA', 'CALL', 'JMP') and to is not None:
            certain = instruction.always and instruction.text.count(',') == 0 and instruction.name != 'CALL'
            following = [to] if certain else following + [to]
        elif instruction.name in ENDS and instruction.always:
            following = []
        successors.append(following)
    return successors


def find_hazards(body):
    """Instructions that use sums in flight, with the registers."""
    successors = find_successors(body)
    before = [None] * len(body)
    before[0] = frozenset()
    work, hazards = [0], {}
    while work:
        i = work.pop()
        instruction, flying = body[i], before[i]
        if instruction.sums:
            flying = flying | instruction.sums
        elif WAIT.match(instruction.text):
            flying = frozenset()
        elif flying:
            touched = flying & instruction.registers()
            if touched:
                hazards[i] = touched
        for to in successors[i]:
            known = before[to]
            if known is None or not flying <= known:
                before[to] = flying | (known or frozenset())
                work.append(to)
    return [(body[i], sorted(touched)) for i, touched in sorted(hazards.items())]


def check(listing, label):
    """Prints the hazards of a listing. How many functions multiply, how many have any."""
    multiply = wrong = 0
    for name, body in read_functions(listing):
        if not any(instruction.sums for instruction in body):
            continue
        multiply += 1
        hazards = find_hazards(body)
        wrong += bool(hazards)
        if hazards:
            print(f'{label}: {name}: {len(hazards)} instructions use sums before the wait')
        for instruction, touched in hazards[:4]:
            registers = ', '.join(f'R{r}' for r in touched)
            print(f'    {instruction.address:#06x} {instruction.text}    [{registers}]')
    return multiply, wrong


def main():
    arguments = sys.argv[1:]
    tool = shutil.which('cuobjdump') or '/usr/local/cuda/bin/cuobjdump'
    if arguments[:1] == ['--cuobjdump']:
        tool, arguments = arguments[1], arguments[2:]
    if not os.access(tool, os.X_OK):
        print('skipped: no cuobjdump')
        return 77
    multiply = wrong = 0
    for path in arguments:
        done = subprocess.run([tool, '-arch', 'sm_90a', '-sass', path], capture_output=True, check=False, text=True)
        if done.returncode != 0:
            print(f'{path}: cuobjdump: {done.stderr.strip()}')
            return 1
        found = check(done.stdout, os.path.basename(path))
        multiply, wrong = multiply + found[0], wrong + found[1]
    print(f'{multiply} functions with wgmma, {wrong} of them use sums before the wait')
    return 1 if wrong or not multiply else 0


if __name__ == '__main__':
    sys.exit(main())
