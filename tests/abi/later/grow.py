# SPDX-FileCopyrightText: 2026 The dlquant authors
# SPDX-License-Identifier: Apache-2.0
"""Write the public headers as a later minor would have them: structs have grown at their ends.

grow.py HEADERS STAMP

The headers go beside STAMP."""

import pathlib
import re
import sys

# Frozen, passed by value, members of other structs, elements of arrays, or with an initialiser: these
# never grow.
FIXED = {'dlq_abi_header', 'dlq_abi_host', 'dlq_device', 'dlq_device_info', 'dlq_device_support',
         'dlq_error', 'dlq_part_id'}
STRUCT = re.compile(r'^(struct (dlq_\w+) \{.*?)^\};', re.M | re.S)


def grow(found):
    appended = '' if found.group(2) in FIXED else '    void *appended[4];\n'
    return f'{found.group(1)}{appended}}};'


def main():
    headers = pathlib.Path(sys.argv[1])
    stamp = pathlib.Path(sys.argv[2])
    for path in headers.glob('dlquant/**/*.h'):
        out = stamp.parent / path.relative_to(headers)
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(STRUCT.sub(grow, path.read_text(encoding='utf-8')), encoding='utf-8')
    stamp.write_text('', encoding='utf-8')


main()
