#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The dlquant authors
# SPDX-License-Identifier: Apache-2.0
"""Count the test functions of a Meson test log.

A program that prints TAP counts once a line; any other program counts as one test. A program that
ends badly without having said which test failed counts as one more failure.
"""

import json
import re
import sys

LINE = re.compile(r"^(not ok|ok)\b\s*\d*\s*(?:-\s*)?(.*)$", re.MULTILINE)
SKIP = re.compile(r"#\s*skip\b", re.IGNORECASE)


def count(record):
    """Lists of the passed, failed and skipped test names of one program."""
    passed, failed, skipped = [], [], []
    program = record["name"]
    text = record.get("stdout") or ""
    lines = LINE.findall(text) or LINE.findall(record.get("stderr") or "")
    for verdict, rest in lines:
        name = f"{program}: {SKIP.sub('', rest).strip()}"
        if SKIP.search(rest):
            skipped.append(name)
        elif verdict == "ok":
            passed.append(name)
        else:
            failed.append(name)
    result = record["result"]
    if result == "SKIP" and not lines:
        skipped.append(program)
    elif result in ("OK", "EXPECTEDFAIL", "SKIP"):
        if not lines:
            passed.append(program)
    elif not failed:
        failed.append(f"{program} ({result}, status {record.get('returncode')})")
    return passed, failed, skipped


def main():
    passed, failed, skipped = [], [], []
    try:
        with open(sys.argv[1], encoding="utf-8") as log:
            records = [json.loads(line) for line in log if line.strip()]
    except OSError as error:
        print(f"count.py: {error}", file=sys.stderr)
        records = []
    for record in records:
        for total, part in zip((passed, failed, skipped), count(record)):
            total.extend(part)
    for name in failed:
        print(f"FAILED {name}")
    for name in skipped:
        print(f"skipped {name}")
    if not records:
        failed.append("no test ran")
    print(f"{len(passed)} passed, {len(failed)} failed, {len(skipped)} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
