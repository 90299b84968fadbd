# SPDX-FileCopyrightText: 2026 The dlquant authors
# SPDX-License-Identifier: Apache-2.0
"""Run test functions and print TAP."""

import tempfile
import traceback


def run(tests):
    """Each test gets an empty folder; it raises to fail and returns a reason to be skipped."""
    failed = 0
    print(f"1..{len(tests)}")
    for number, test in enumerate(tests, 1):
        skip = None
        verdict = "ok"
        try:
            with tempfile.TemporaryDirectory() as tmp:
                skip = test(tmp)
        except Exception:  # a failed test, whatever it raised
            verdict = "not ok"
            failed += 1
            for line in traceback.format_exc().splitlines()[-6:]:
                print(f"# {line[:2000]}")
        print(f"{verdict} {number} - {test.__name__}{f' # SKIP {skip}' if skip else ''}",
              flush=True)
    return 1 if failed else 0


def run_all(names):
    """run() of the functions among globals() whose only argument is the folder, tmp or _."""
    codes = [(value, getattr(value, "__code__", None)) for value in list(names.values())]
    return run([value for value, code in codes
                if code and code.co_argcount == 1 and code.co_varnames[0] in ("_", "tmp")])
