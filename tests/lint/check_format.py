# SPDX-FileCopyrightText: 2026 The dlquant authors
# SPDX-License-Identifier: Apache-2.0
"""clang-format changes nothing. Its path is the argument; only major version 14 is asked, as others
break lines elsewhere."""

import re
import subprocess
import sys

import source

VERSION = '14'


def main():
    tool = sys.argv[1]
    said = subprocess.run([tool, '--version'], capture_output=True, check=True).stdout.decode()
    major = re.search(r'version (\d+)', said).group(1)
    if major != VERSION:
        print(f'clang-format {major}: the sources are formatted by {VERSION}')
        sys.exit(77)
    paths = source.files(*source.CODE)
    check = [tool, '--dry-run', '--Werror', '--style=file'] + paths
    done = subprocess.run(check, cwd=source.root(), capture_output=True, check=False)
    sys.stdout.write(done.stderr.decode())
    print(f'{len(paths)} files')
    sys.exit(done.returncode)


main()
