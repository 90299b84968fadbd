#!/bin/sh
# SPDX-FileCopyrightText: 2026 The dlquant authors
# SPDX-License-Identifier: Apache-2.0

# Builds BUILD/check_kernels with a C compiler and nothing else.
#
#   tests/kernels/build_check.sh BUILD
#
# CC (gcc) decides for which machine, x86-64 or aarch64; LDFLAGS is for linking. CUDA is left out.
# EMULATE_AMX=1 has AMX tiles in memory, to check their kernels with AVX-512 alone.
set -e
root=$(cd "$(dirname "$0")/../.." && pwd)
build=${1:?usage: build_check.sh BUILD}
cc=${CC:-gcc}
amx=
[ -z "$EMULATE_AMX" ] || amx="-include $root/tests/kernels/amx_emulated.h"
mkdir -p "$build"
rm -f "$build"/*.o
common="-O3 -DNDEBUG -std=gnu11 -fPIC -ffp-contract=off -I$root/include -I$root/kernels -I$root/core -I$root/tools"

# compile FLAGS FILE [NAME]
compile() {
    # shellcheck disable=SC2086
    $cc $common $1 -c "$root/$2" -o "$build/${3:-$(basename "$2" .c)}.o"
}

# all FLAGS FILE...: in kernels/cpu, side by side
all() {
    flags=$1
    shift
    for f in "$@"; do
        compile "$flags" "kernels/cpu/$f.c" &
    done
    wait
}

all "" dense dense_ref fp fp_quantize fp_ref ranges w8a8 w8a8_ref
all "" wna16 wna16_fast wna16_pack wna16_ref
case $($cc -dumpmachine) in
x86_64*)
    avx2="-mavx2 -mfma -mf16c"
    avx512="$avx2 -mavx512f -mavx512bw -mavx512dq -mavx512vl"
    all "" float_layers
    all "$avx2" dense_bf16 float_avx2 float_fast fp_quantize_avx2 rows_avx2 w8a8_avx2 w8a8_fast w8a8_rows_avx2 \
        wna16_avx2 wna16_quantize wna16_quantize_avx2
    compile "$avx2 -DDLQ_AVX_VNNI" kernels/cpu/wna16_avx2.c wna16_avx_vnni
    all "$avx512" float_avx512
    all "$avx512 -mavx512vnni" w8a8_avx512 w8a8_rows_avx512 wna16_avx512 wna16_avx512_pairs \
        wna16_quantize_avx512
    all "$avx512 -mavx512vnni $amx" w8a8_amx wna16_amx dense_amx_bf16
    all "$avx512 -mavx512bf16" dense_avx512_bf16
    ;;
aarch64*)
    neon="-march=armv8.2-a+dotprod"
    all "$neon" rows_neon w8a8_fast w8a8_neon wna16_neon wna16_quantize wna16_quantize_neon
    compile "$neon+i8mm -DDLQ_NEON_I8MM" kernels/cpu/wna16_neon.c wna16_neon_i8mm
    ;;
esac
for f in kernels/cuda/w4_plan kernels/pack/awq kernels/pack/bits kernels/pack/marlin \
    kernels/pack/w4_fragment core/device_cpu core/error core/text; do
    compile "" $f.c &
done
compile "" tools/ceilings.c tool_ceilings &
for f in bench bench_layers ceilings check check_dense check_float16 check_fp check_fp_edges check_fp_layer \
    check_grid check_layer check_pack check_w4 check_w8a8 check_wna16 check_wna16_edges check_wna16_layer main threads; do
    compile "${amx:+-DCHECK_EMULATE_AMX}" tests/kernels/$f.c "test_$f" &
done
wait
# shellcheck disable=SC2086
$cc -o "$build/check_kernels" "$build"/*.o -lpthread -lm $LDFLAGS
