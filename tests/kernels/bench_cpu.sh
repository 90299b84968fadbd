#!/bin/sh
# SPDX-FileCopyrightText: 2026 The dlquant authors
# SPDX-License-Identifier: Apache-2.0

# Builds check_kernels alone and measures every CPU operation on this machine in under four minutes.
#
#   tests/kernels/bench_cpu.sh [BUILD] > cpu.jsonl
#
# BUILD is a scratch folder (default /tmp/dlquant-bench-cpu). Needs a C compiler and nothing else. Lines: the machine, the ceilings of each thread count, then
# one figure each. Leave the machine alone meanwhile; the canary at the end repeats the first figure.
set -e
root=$(cd "$(dirname "$0")/../.." && pwd)
build=${1:-/tmp/dlquant-bench-cpu}
"$root/tests/kernels/build_check.sh" "$build"

cores=$(getconf _NPROCESSORS_ONLN)
threads=1
[ "$cores" -ge 2 ] && threads=$threads,2
[ "$cores" -ge 8 ] && threads=1,8
[ "$cores" -ge 16 ] && threads=$threads,16
# Copies must outlast the last-level cache; a shared server's may be far larger than a fair share of it.
set_mib=${SET_MIB:-768}
model=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1)
printf '{"machine": "%s", "cores": %s, "date": "%s", "load": "%s"}\n' "$model" "$cores" "$(date -u +%F)" \
    "$(cut -d' ' -f1 /proc/loadavg)"
bench() {
    "$build/check_kernels" --bench --threads $threads --set "$set_mib" --seconds "${SECONDS_EACH:-0.25}" "$@"
}
bench --op wna16 --shape 4096x4096 --shape 4096x14336 --m 1,4,8,16,64,512
bench --op w8a8 --shape 4096x4096 --m 1,4,16,64,512
bench --op dense --shape 4096x4096 --m 1,16,64,512
bench --op fp --shape 4096x4096 --m 1,16,64
if grep -qw amx_int8 /proc/cpuinfo; then
    bench --op wna16 --shape 4096x4096 --m 1,4,16,64,512 --level avx512_vnni --threads 1
fi
bench --op wna16 --shape 4096x4096 --m 1,4,16,64 --level avx2 --threads 1
bench --op wna16 --shape 4096x4096 --m 1 --threads 1
printf '{"load_after": "%s"}\n' "$(cut -d' ' -f1 /proc/loadavg)"
