#!/bin/sh
# SPDX-FileCopyrightText: 2026 The dlquant authors
# SPDX-License-Identifier: Apache-2.0

# Builds check_kernels alone and measures every CPU operation on this machine in under four minutes.
#
#   tests/kernels/bench_cpu.sh [BUILD] > cpu.jsonl
#
# BUILD is a scratch folder (default /tmp/dlquant-bench-cpu). Needs a C compiler and nothing else: where Meson
# is missing, the kernels are compiled directly. Lines: the machine, the ceilings of each thread count, then
# one figure each. Leave the machine alone meanwhile; the canary at the end repeats the first figure.
set -e
root=$(cd "$(dirname "$0")/../.." && pwd)
build=${1:-/tmp/dlquant-bench-cpu}
cc=${CC:-gcc}
mkdir -p "$build"
common="-O3 -DNDEBUG -std=gnu11 -fPIC -ffp-contract=off -I$root/include -I$root/kernels -I$root/core"
avx2="-mavx2 -mfma -mf16c"
avx512="$avx2 -mavx512f -mavx512bw -mavx512dq -mavx512vl"

# compile FLAGS FILE [NAME]
compile() {
    # shellcheck disable=SC2086
    $cc $common $1 -c "$root/$2" -o "$build/${3:-$(basename "$2" .c)}.o"
}

k=kernels/cpu
for f in dense dense_ref fp fp_quantize fp_ref ranges w8a8 w8a8_ref wna16 wna16_pack wna16_ref float_layers \
    wna16_fast; do
    compile "" $k/$f.c &
done
wait
for f in dense_bf16 float_avx2 float_fast fp_quantize_avx2 rows_avx2 w8a8_avx2 w8a8_fast wna16_avx2 wna16_quantize_avx2; do
    compile "$avx2" $k/$f.c &
done
compile "$avx2 -DDLQ_AVX_VNNI" $k/wna16_avx2.c wna16_avx_vnni &
wait
compile "$avx512" $k/float_avx512.c &
for f in w8a8_avx512 wna16_avx512 w8a8_amx wna16_amx dense_amx_bf16; do
    compile "$avx512 -mavx512vnni" $k/$f.c &
done
compile "$avx512 -mavx512bf16" $k/dense_avx512_bf16.c &
wait
for f in kernels/pack/awq kernels/pack/bits kernels/pack/marlin core/device_cpu core/error; do
    compile "" $f.c &
done
compile "" tools/ceilings.c tool_ceilings &
for f in bench bench_layers ceilings check check_dense check_float16 check_fp check_layer check_pack \
    check_w8a8 check_wna16 main threads; do
    compile "" tests/kernels/$f.c "test_$f" &
done
wait
$cc -o "$build/check_kernels" "$build"/*.o -lpthread -lm

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
