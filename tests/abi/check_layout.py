# SPDX-FileCopyrightText: 2026 The dlquant authors
# SPDX-License-Identifier: Apache-2.0
"""Compare what a layout program prints with a golden table.

check_layout.py PROGRAM TABLE exact     nothing may differ: the table describes these headers
check_layout.py PROGRAM TABLE appended  the table is of an older minor: what it has stays where it
                                        is, structs may have grown"""

import subprocess
import sys


def parse(text):
    table = {}
    for line in text.splitlines():
        if line and not line.startswith('#'):
            owner, member, offset, size = line.split()
            table[owner, member] = (int(offset), int(size))
    return table


def main():
    program, path, rule = sys.argv[1:]
    printed = subprocess.run([program], capture_output=True, check=True).stdout.decode()
    now = parse(printed)
    with open(path, encoding='utf-8') as file:
        golden = parse(file.read())
    wrong = []
    for key, value in golden.items():
        found = now.get(key)
        grown = rule == 'appended' and key[1] == '-' and found and found[1] >= value[1]
        if found != value and not grown:
            wrong.append(f'{" ".join(key)}: expected offset and size {value}, found {found}')
    if rule == 'exact':
        wrong += [f'{" ".join(key)}: not in the table' for key in now if key not in golden]
    print(f'{len(golden)} lines of {path}')
    for line in wrong:
        print(line)
    sys.exit(1 if wrong else 0)


main()
