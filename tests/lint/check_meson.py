# SPDX-FileCopyrightText: 2026 The dlquant authors
# SPDX-License-Identifier: Apache-2.0
"""Every .c and .cu file is named in a meson.build: what is not built is not tested."""

import os
import re

import source


def named(build, text):
    """Files that a meson.build names: quoted paths, and stems that a loop adds '.c' to."""
    folder = os.path.dirname(build)
    words = re.findall(r"'([^'\n]+)'", text)
    names = {os.path.normpath(os.path.join(folder, w)) for w in words}
    for before, after in re.findall(r"'([\w/]*)'\s*\+\s*\w+\s*\+\s*'([\w/]*\.cu?)'", text):
        names |= {os.path.normpath(os.path.join(folder, before + w + after)) for w in words}
    for pattern in re.findall(r"'([\w/.@-]*@0@[\w/.@-]*\.cu?)'\.format", text):
        names |= {os.path.normpath(os.path.join(folder, pattern.replace('@0@', w))) for w in words}
    for suffix in re.findall(r"\w+\s*\+\s*'(\.cu?)'", text):
        names |= {os.path.normpath(os.path.join(folder, w + suffix)) for w in words}
    return names


def main():
    known = set()
    for build in source.files('meson.build'):
        known |= named(build, source.read(build))
    paths = source.files('.c', '.cu')
    problems = [f'{p}: in no meson.build' for p in paths if p not in known]
    source.finish(problems, len(paths))


main()
