#!/usr/bin/env bash
# SPDX-FileCopyrightText: 2026 The dlquant authors
# SPDX-License-Identifier: Apache-2.0
#
# gpu.sh [BUILD [PATTERN]]
#
# Runs everything that needs an NVIDIA GPU, on the first one, and ends with
# "N passed, N failed, N skipped": the programs that check GPU kernels, the module of CUDA, and every
# checkpoint of tests/data against its recording, in fp16 and bf16, with a replay of each call from a
# graph. BUILD (default build) may have been made elsewhere and carried here with this repository. Each
# line is printed when its part is done. PATTERN, an extended regular expression, picks parts by what
# their lines begin with, so that a run can be had in pieces, several at a time:
#
#   gpu.sh build 'gpu_marlin|module'          gpu.sh build 'memcheck golden/'
#
#   DLQ_TEST_DATA=DIR   also every checkpoint under DIR, as sweep.sh does ("sweep fp16", "sweep bf16")
#   DLQ_GPU_SANITIZE=1  also under compute-sanitizer, "memcheck ..." and "racecheck ..."
#   DLQ_GPU_LOAD=GB     also make an AWQ checkpoint of that size in DLQ_GPU_TMP (default /tmp), load it
#                       from the page cache, and print rates and peaks
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
build=$(cd "${1:-build}" && pwd) || exit 2
pattern=${2:-}
data=$here/data
tmp=$(mktemp -d "${DLQ_GPU_TMP:-/tmp}/dlquant-gpu-XXXXXX")
trap 'rm -rf "$tmp"' EXIT
passed=0 failed=0 skipped=0

# Plugin files that others may write are refused, and so are their folders; a carried build may have
# any modes.
umask 022
mkdir "$tmp/plugins"
install -m 755 "$build"/plugins/*.so "$build"/core/cuda/dlquant-cuda.so "$tmp/plugins"
export DLQ_PLUGIN_PATH=$tmp/plugins
export LD_LIBRARY_PATH=$build/core${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
dlquant=$build/tools/dlquant

ok() {
  passed=$((passed + 1))
  printf 'ok      %s\n' "$1"
}

bad() { # label, log
  failed=$((failed + 1))
  printf 'FAILED  %s\n' "$1"
  tail -n 15 "$2" | sed 's/^/        /'
}

skip() {
  skipped=$((skipped + 1))
  printf 'skipped %s\n' "$1"
}

finish() {
  printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
  [ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
  exit
}

chosen() { # label
  [[ $1 =~ ^($pattern) ]]
}

# A program that is right when it ends with 0. One that prints TAP counts once a line, and each
# "skipped: ..." of it by itself.
program() { # label, command...
  local label=$1 status n_ok n_bad line
  shift
  chosen "$label" || return 0
  "$@" >"$tmp/log" 2>&1
  status=$?
  n_ok=$(grep -c '^ok ' "$tmp/log")
  n_bad=$(grep -c '^not ok ' "$tmp/log")
  if [ "$status" -eq 77 ]; then
    skip "$label"
  elif [ "$status" -eq 0 ] && [ "$n_bad" -eq 0 ]; then
    passed=$((passed + (n_ok > 0 ? n_ok - 1 : 0)))
    ok "$label: $(grep -v '^skipped: ' "$tmp/log" | tail -n 1)"
    while read -r line; do
      skip "$label: ${line#skipped: }"
    done < <(grep '^skipped: ' "$tmp/log")
  else
    passed=$((passed + n_ok))
    failed=$((failed + (n_bad > 0 ? n_bad - 1 : 0)))
    bad "$label: exit status $status" "$tmp/log"
  fi
}

# A checkpoint with a recording beside it.
checkpoint() { # folder, "" or VARIABLE=value, arguments of dlquant run
  local dir=$1 label status
  local -a set=(env ${2:+"$2"})
  label="${dir#"$data"/} ${*:3}${2:+, $2}"
  shift 2
  chosen "$label" || return 0
  timeout 120 "${set[@]}" "$dlquant" run "$dir" --golden "$dir/golden" --device cuda "$@" >"$tmp/log" 2>&1
  status=$?
  if [ "$status" -eq 0 ] && grep -q 'graph replays equal to their calls' "$tmp/log"; then
    ok "$label: $(grep ' layers: ' "$tmp/log")"
  else
    bad "$label: exit status $status" "$tmp/log"
  fi
}

if ! command -v nvidia-smi >/dev/null || ! nvidia-smi -L; then
  skip "all: no GPU"
  finish
fi

for test in "$build"/tests/kernels/gpu_*; do
  if [ -f "$test" ] && [ -x "$test" ]; then
    program "$(basename "$test")" timeout 600 "$test" check
  fi
done
program "module" timeout 120 "$build/tests/gpu/gpu_core" check
if [ -x "$build/tests/tp/gpu_peers" ]; then
  program "sums over memory of peers" timeout 120 "$build/tests/tp/gpu_peers" check 2 3 4 8
fi
program "host cost of apply" timeout 60 "$build/tests/gpu/gpu_core" apply 3
if [ -x "$build/tests/kernels/gpu_ops" ]; then
  program "host cost of layers" timeout 60 "$build/tests/kernels/gpu_ops" host 3
fi

mapfile -t folders < <(find -L "$data" -type d -name golden -path '*/*/golden' -printf '%h\n' | sort)
for dtype in fp16 bf16; do
  for dir in "${folders[@]}"; do
    [ -f "$dir/config.json" ] && checkpoint "$dir" "" --dtype "$dtype"
  done
done

checkpoint "$data/golden/stories-fp32" "" --dtype fp32
checkpoint "$data/golden/stories-fp32" DLQ_TF32=1 --dtype fp32
checkpoint "$data/golden/nvfp4" DLQ_EARLY_LAUNCH=0 --dtype bf16

if [ -n "${DLQ_TEST_DATA:-}" ]; then
  for dtype in fp16 bf16; do
    chosen "sweep $dtype" || continue
    "$here/sweep.sh" "$dlquant" "$DLQ_TEST_DATA" --device cuda --dtype "$dtype" 2>&1 | tee "$tmp/sweep"
    if [[ $(tail -n 1 "$tmp/sweep") =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed,\ ([0-9]+)\ skipped$ ]]; then
      passed=$((passed + BASH_REMATCH[1]))
      failed=$((failed + BASH_REMATCH[2]))
      skipped=$((skipped + BASH_REMATCH[3]))
    else
      bad "sweep $dtype of $DLQ_TEST_DATA" "$tmp/sweep"
    fi
  done
fi

# Under one tool: the module, every checkpoint, and of each program every Nth case. Sums over memory
# of peers are left out: their kernels wait for each other, and the tools run one at a time.
sanitize() { # tool, dtypes, rows, "program N [argument], ...", arguments of the tool...
  local tool=$1 rows=$3 dir dtype name every more
  local -a dtypes programs run
  read -ra dtypes <<<"$2"
  mapfile -t programs < <(tr ',' '\n' <<<"$4")
  shift 4
  run=(timeout 300 "$sanitizer" --tool "$tool" --error-exitcode 9 "$@")
  program "$tool module" "${run[@]}" "$build/tests/gpu/gpu_core" check
  for dtype in "${dtypes[@]}"; do
    for dir in "${folders[@]}"; do
      [ -f "$dir/config.json" ] || continue
      program "$tool ${dir#"$data"/} $dtype" "${run[@]}" "$dlquant" run "$dir" \
        --golden "$dir/golden" --device cuda --dtype "$dtype" --m "$rows" --no-times
    done
  done
  for name in "${programs[@]}"; do
    read -r name every more <<<"$name"
    if [ -x "$build/tests/kernels/$name" ]; then
      program "$tool $name${more:+ $more}, each $every" env DLQ_CHECK_EVERY="$every" "${run[@]}" \
        "$build/tests/kernels/$name" check ${more:+"$more"}
    fi
  done
}

if [ -n "${DLQ_GPU_SANITIZE:-}" ]; then
  sanitizer=$(command -v compute-sanitizer || echo /usr/local/cuda/bin/compute-sanitizer)
  # The module's test makes calls of the runtime fail on purpose.
  sanitize memcheck "fp16 bf16" 1,17,130 "gpu_ops 3, gpu_marlin 11, gpu_w4 5, gpu_w8 5" \
    --report-api-errors no
  # Tens of milliseconds a launch. Without two parts of gpu_ops: in dense layers the tool reports
  # races in kernels of cuBLASLt, and w8a8 takes it minutes, whose products gpu_w8 has.
  sanitize racecheck bf16 17 "gpu_ops 61 fp, gpu_ops 61 grouped, gpu_ops 61 wna16, gpu_marlin 23, \
    gpu_w4 23, gpu_w8 101 quick"
fi

if [ -n "${DLQ_GPU_LOAD:-}" ] && chosen load; then
  "$build/tests/gpu/gpu_core" rates
  if "$here/gpu/make_awq.py" "$tmp/awq" "$DLQ_GPU_LOAD" >"$tmp/log" 2>&1; then
    for loaders in 1 2; do
      program "load on $loaders threads" "$build/tests/gpu/gpu_load" "$tmp/awq" "$loaders"
    done
  else
    bad "load: no checkpoint" "$tmp/log"
  fi
fi
finish
