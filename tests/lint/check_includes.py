# SPDX-FileCopyrightText: 2026 The dlquant authors
# SPDX-License-Identifier: Apache-2.0
"""Who may include whom.

include/    <stdint.h>, <stddef.h>, <stdbool.h> and each other
kernels/    own headers, <dlquant/types.h>, <dlquant/abi.h>
plugins/X   <dlquant/plugin.h> and below, <dlquant/ext/*.h>, plugins/X, plugins/common, kernels/
core/       never plugins/ or kernels/; linear*.c neither the loader nor a device
examples/   installed headers
"""

import os
import re

import source

PLUGIN_SIDE = {'abi.h', 'status.h', 'types.h', 'host.h', 'plugin.h'}
INCLUDE = re.compile(r'^\s*#\s*include\s+(<[^>]+>|"[^"]+")')
# Headers of libraries, and the only files that may include them.
OWNERS = (
    ('dlfcn.h', re.compile(r'core/loader\.c|kernels/cuda/cublaslt\.cu|tools/.*|tests/.*')),
    ('jansson.h', re.compile(r'core/config\.c|tests/.*')),
    ('cuda_runtime.h', re.compile(r'core/cuda/.*|kernels/cuda/.*|tests/.*')),
    ('cuda_runtime_api.h', re.compile(r'core/(cuda|nccl)/.*|kernels/cuda/.*|tests/.*')),
    ('nccl.h', re.compile(r'core/nccl/.*|tests/.*')),
    ('mpi.h', re.compile(r'core/mpi/.*|tests/.*')),
)


def target(path, name, headers):
    """Where a quoted include leads: beside the file, or in a folder of the include path."""
    beside = os.path.normpath(os.path.join(os.path.dirname(path), name))
    for path in (beside, os.path.normpath(name)):
        if path in headers:
            return path
    ends = [h for h in headers if h.endswith('/' + os.path.normpath(name))]
    top = path.split('/')[0] + '/'
    same = [h for h in ends if h.startswith(top)]
    return (same or ends or [None])[0]


def library_rule(path, name):
    for header, owner in OWNERS:
        if name == header and not owner.fullmatch(path):
            return f'{header} belongs to others ({owner.pattern})'
    if name.startswith('dlquant/'):
        below = name[len('dlquant/'):]
        if path.startswith('plugins/') and below not in PLUGIN_SIDE and \
                not below.startswith('ext/'):
            return 'a plugin includes <dlquant/plugin.h> and below'
        if path.startswith('kernels/') and below not in ('types.h', 'abi.h'):
            return 'kernels know <dlquant/types.h> and <dlquant/abi.h> only'
    elif path.startswith('include/') and name not in ('stdint.h', 'stddef.h', 'stdbool.h'):
        return 'a public header includes <stdint.h>, <stddef.h>, <stdbool.h> and its own'
    return None


def own_rule(path, to):
    top = path.split('/')[0]
    folder = os.path.dirname(to)
    if top == 'include':
        return 'a public header includes by <dlquant/...>'
    if top == 'examples':
        return None if to.startswith('examples/') else 'an engine has only the installed headers'
    if top == 'kernels' and not to.startswith('kernels/'):
        return 'kernels include only their own headers'
    if top == 'plugins':
        own = '/'.join(path.split('/')[:2])
        if not (to.startswith((own + '/', 'plugins/common/', 'kernels/')) or
                folder == 'plugins'):
            return 'a plugin includes its own folder, plugins/common and kernels/'
    if top == 'core':
        if not to.startswith('core/'):
            return 'the core includes nothing of plugins/ and kernels/'
        if re.match(r'core/linear', path) and \
                re.fullmatch(r'core/(loader|catalog|elf_note|device\w*)\.h', to):
            return 'layers know neither the loader nor a device'
    return None


def main():
    problems = []
    paths = source.files(*source.CODE)
    headers = set(source.files('.h', '.cuh', '.inc'))
    for path in paths:
        for n, line in enumerate(source.read(path).split('\n'), 1):
            match = INCLUDE.match(line)
            if not match:
                continue
            name = match.group(1)[1:-1]
            if match.group(1)[0] == '<':
                problem = library_rule(path, name)
            else:
                to = target(path, name, headers)
                problem = own_rule(path, to) if to else 'leads to no file'
            if problem:
                problems.append(f'{path}:{n}: {match.group(1)}: {problem}')
    source.finish(problems, len(paths))


main()
