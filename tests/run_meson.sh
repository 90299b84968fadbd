#!/usr/bin/env bash
# SPDX-FileCopyrightText: 2026 The dlquant authors
# SPDX-License-Identifier: Apache-2.0
#
# run_meson.sh BUILD [arguments of meson test]
#
# Runs the tests of a build and ends with "N passed, N failed, N skipped", counted in single test
# functions. Exits non-zero when one failed or none ran.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
build=${1:?usage: run_meson.sh BUILD [arguments of meson test]}
shift
unset DLQ_PLUGIN_PATH # tests name their folders themselves
rm -f "$build/meson-logs/testlog.json"
# cmocka prints one line a test function in this format.
CMOCKA_MESSAGE_OUTPUT=TAP meson test -C "$build" --no-rebuild "$@"
meson_status=$?
python3 "$here/count.py" "$build/meson-logs/testlog.json"
count_status=$?
# Meson's own opinion counts too: it knows of tests that could not start.
if [ "$count_status" -eq 0 ] && [ "$meson_status" -ne 0 ]; then
  echo "meson test ended with $meson_status though every counted test passed" >&2
  echo "0 passed, 1 failed, 0 skipped"
  exit 1
fi
exit "$count_status"
