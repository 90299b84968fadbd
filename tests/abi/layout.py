# SPDX-FileCopyrightText: 2026 The dlquant authors
# SPDX-License-Identifier: Apache-2.0
"""Write a C program that prints the layout of every public struct.

layout.py HEADERS OUT.c

Every struct and every member is taken from the text of the headers, so that none can be forgotten.
The program prints lines of `struct member offset size`, and `struct - 0 size` for each whole one.
Enumerators follow as `enum name value 0`: their values are part of the ABI as well."""

import pathlib
import re
import sys

COMMENT = re.compile(r'//[^\n]*')
STRUCT = re.compile(r'^struct (dlq_\w+) \{(.*?)^\};', re.M | re.S)
ENUM = re.compile(r'^enum (dlq_\w+) \{(.*?)\};', re.M | re.S)
MEMBER = re.compile(r'(?:\(\*(\w+)\)\s*\(.*\)|(\w+)(?:\s*\[\w+\])?)(?:\s+DLQ_PRINTF\(.*\))?$', re.S)


def members(body):
    for text in body.split(';'):
        text = ' '.join(text.split())
        if text:
            found = MEMBER.search(text)
            yield found.group(1) or found.group(2)


def enumerators(body):
    for text in body.split(','):
        found = re.match(r'\s*(DLQ_\w+)', text)
        if found:
            yield found.group(1)


def main():
    headers = pathlib.Path(sys.argv[1])
    paths = sorted(headers.glob('dlquant/**/*.h'))
    out = ['#include <stddef.h>', '#include <stdio.h>', '']
    out += [f'#include <{path.relative_to(headers)}>' for path in paths]
    out += ['', 'int', 'main(void)', '{']
    for path in paths:
        text = COMMENT.sub('', path.read_text(encoding='utf-8'))
        for name, body in STRUCT.findall(text):
            out.append(f'    printf("{name} - 0 %zu\\n", sizeof(struct {name}));')
            for member in members(body):
                out.append(f'    printf("{name} {member} %zu %zu\\n", '
                           f'offsetof(struct {name}, {member}), '
                           f'sizeof(((struct {name} *)0)->{member}));')
        for name, body in ENUM.findall(text):
            body = re.sub(r'DLQ_DTYPE\((\w+), (\w+)\)', '', body)
            for item in enumerators(body):
                out.append(f'    printf("{name} {item} %lld 0\\n", (long long){item});')
    out += ['    return 0;', '}', '']
    pathlib.Path(sys.argv[2]).write_text('\n'.join(out), encoding='utf-8')


main()
