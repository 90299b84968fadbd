# SPDX-FileCopyrightText: 2026 The dlquant authors
# SPDX-License-Identifier: Apache-2.0
"""Every source file begins with the two SPDX lines, behind a '#!' line if it has one."""

import source

COMMENT = {'.c': '//', '.h': '//', '.cu': '//', '.cuh': '//', '.py': '#', '.sh': '#', '.map': '#',
           'meson.build': '#', 'meson_options.txt': '#', '.clang-format': '#',
           '.editorconfig': '#', 'quickstart': '#', '.ci/run': '#'}
LINES = ('SPDX-FileCopyrightText: 2026 The dlquant authors', 'SPDX-License-Identifier: Apache-2.0')


def main():
    problems = []
    paths = source.files(*COMMENT)
    for path in paths:
        mark = next(m for suffix, m in COMMENT.items() if path.endswith(suffix))
        lines = source.read(path).split('\n')
        if lines[0].startswith('#!'):
            lines = lines[1:]
        for n, text in enumerate(LINES):
            want = f'{mark} {text}'
            found = lines[n] if n < len(lines) else ''
            # A linker's version script knows only C comments.
            if found not in (want, f'/* {text} */'):
                problems.append(f'{path}: expected "{want}", found "{found}"')
                break
    source.finish(problems, len(paths))


main()
