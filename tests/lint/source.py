# SPDX-FileCopyrightText: 2026 The dlquant authors
# SPDX-License-Identifier: Apache-2.0
"""The files that lint looks at, and how it reports."""

import os
import subprocess
import sys

CODE = ('.c', '.h', '.cu', '.cuh')


def root():
    return os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def _tracked(top):
    """Files of a git checkout, new ones included; of an unpacked archive, all but build folders."""
    git = ['git', '-C', top, 'ls-files', '-co', '--exclude-standard', '-z']
    try:
        listed = subprocess.run(git, capture_output=True, check=True).stdout.decode().split('\0')
        files = [f for f in listed if f and os.path.isfile(os.path.join(top, f))]
        if files:
            return files
    except (OSError, subprocess.CalledProcessError):
        pass
    files = []
    for folder, dirs, names in os.walk(top):
        dirs[:] = [d for d in dirs if d != '.git' and
                   not os.path.exists(os.path.join(folder, d, 'meson-private'))]
        files += [os.path.relpath(os.path.join(folder, n), top) for n in names]
    return files


def files(*suffixes):
    """Paths below the root that end so; the stored inputs of tests are none of our texts."""
    return sorted(f for f in _tracked(root())
                  if f.endswith(suffixes or '') and not f.startswith('tests/data/'))


def read(path):
    with open(os.path.join(root(), path), encoding='utf-8', errors='strict', newline='') as f:
        return f.read()


def finish(problems, checked):
    """Print what is wrong and leave with a test's exit status."""
    for problem in problems:
        print(problem)
    print(f'{checked} files, {len(problems)} problems')
    if checked == 0:
        print('nothing was checked')
    sys.exit(1 if problems or checked == 0 else 0)
