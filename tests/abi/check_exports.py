# SPDX-FileCopyrightText: 2026 The dlquant authors
# SPDX-License-Identifier: Apache-2.0
"""The library exports the functions of the checked-in list and nothing else.

check_exports.py NM LIBRARY LIST"""

import subprocess
import sys


def main():
    nm, library, path = sys.argv[1:]
    said = subprocess.run([nm, '-D', '--defined-only', library], capture_output=True, check=True)
    exported = {line.split()[2].split('@')[0] for line in said.stdout.decode().splitlines()}
    with open(path, encoding='utf-8') as file:
        listed = {line.strip() for line in file if line.strip() and not line.startswith('#')}
    for name in sorted(listed - exported):
        print(f'{name}: in the list, not exported; programs that use it would not start')
    for name in sorted(exported - listed):
        print(f'{name}: exported, not in the list; hide it, or promise it for good')
    print(f'{len(exported)} symbols')
    sys.exit(0 if exported == listed else 1)


main()
