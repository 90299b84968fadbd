# SPDX-FileCopyrightText: 2026 The dlquant authors
# SPDX-License-Identifier: Apache-2.0
"""Plain text everywhere: UTF-8, no tabs, no space at a line's end, one newline at the end of a file.

Long files are named too, without failing: a .c file has about 100 to 400 lines, a .cu up to 800.
"""

import source

TEXT = source.CODE + ('.py', '.sh', '.md', '.scd', '.map', '.txt', '.tsv', 'meson.build',
                      'quickstart', '.ci/run', '.clang-format', '.editorconfig')
TABS_BELONG = ('.tsv', '.scd', 'LICENSE')
LIMITS = {'.c': 400, '.h': 400, '.cu': 800, '.cuh': 800}


def check(path, text):
    problems = []
    for n, line in enumerate(text.split('\n'), 1):
        if '\r' in line:
            problems.append(f'{path}:{n}: a carriage return')
        if '\t' in line and not path.endswith(TABS_BELONG):
            problems.append(f'{path}:{n}: a tab')
        if line != line.rstrip() and not path.endswith('.tsv'):
            problems.append(f'{path}:{n}: space at the end of the line')
    if not text.endswith('\n') or text.endswith('\n\n'):
        problems.append(f'{path}: expected one newline at the end of the file')
    return problems


def main():
    problems = []
    paths = source.files(*TEXT)
    for path in paths:
        try:
            text = source.read(path)
        except UnicodeDecodeError as e:
            problems.append(f'{path}: not UTF-8 at byte {e.start}')
            continue
        problems += check(path, text)
        lines = text.count('\n')
        for suffix, limit in LIMITS.items():
            if path.endswith(suffix) and lines > limit:
                print(f'warning: {path}: {lines} lines, about {limit} is the most one should read')
    source.finish(problems, len(paths))


main()
