# SPDX-FileCopyrightText: 2026 The dlquant authors
# SPDX-License-Identifier: Apache-2.0
"""The core names no plugin: the names of the folders in plugins/ occur nowhere in core/.

"unquantized" is also an English word and the name in the public macro DLQ_METHOD_UNQUANTIZED; only
the quoted name counts there.
"""

import os
import re

import source

NO_METHODS = ('common', 'template')


def main():
    plugins = sorted({p.split('/')[1] for p in source.files('meson.build')
                      if p.startswith('plugins/') and p.count('/') == 2})
    plugins = [p for p in plugins if p not in NO_METHODS]
    problems = [] if plugins else ['plugins/: no folder of a method found']
    paths = [p for p in source.files() if p.startswith('core/')]
    for path in paths:
        for n, line in enumerate(source.read(path).split('\n'), 1):
            for plugin in plugins:
                word = f'"{plugin}"' if plugin.isalpha() else plugin
                if re.search(re.escape(word), line):
                    problems.append(f'{path}:{n}: names the plugin {plugin}')
        if os.path.basename(path) in plugins:
            problems.append(f'{path}: has the name of a plugin')
    source.finish(problems, len(paths))


main()
