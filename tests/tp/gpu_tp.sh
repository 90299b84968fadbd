#!/usr/bin/env bash
# SPDX-FileCopyrightText: 2026 The dlquant authors
# SPDX-License-Identifier: Apache-2.0
#
# gpu_tp.sh BUILD DATA [RANKS...]
#
# On a machine with several GPUs: every checkpoint folder under DATA on one GPU and on RANKS of them
# (default: all powers of two that are there), judged against its golden folder, then the time of
# row layers of decode size. Ends with "N passed, N failed, N skipped".
set -uo pipefail
build=${1:?usage: gpu_tp.sh BUILD DATA [RANKS...]}
data=${2:?usage: gpu_tp.sh BUILD DATA [RANKS...]}
shift 2
passed=0 failed=0 skipped=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# Multicast needs privileges that a container may not have.
export NCCL_NVLS_ENABLE=0

gpus=$(nvidia-smi -L 2>/dev/null | wc -l)
nvidia-smi -L 2>/dev/null
counts=("$@")
if [ "${#counts[@]}" -eq 0 ]; then
  for ((n = 2; n <= gpus; n *= 2)); do counts+=("$n"); done
fi

check() { # folder, ranks
  local dir=$1 ranks=$2 golden=()
  [ -d "$dir/golden" ] && golden=(--golden "$dir/golden")
  timeout 120 "$build/tools/dlquant" run "$dir" "${golden[@]}" --device cuda --tp "$ranks" \
    --timeout 20 --m 1,16 >"$log" 2>&1
  local status=$?
  case $status in
    0)
      passed=$((passed + 1))
      printf 'ok      %-44s tp %d: %s\n' "${dir#"$data"/}" "$ranks" "$(grep ' layers: ' "$log")"
      ;;
    4)
      skipped=$((skipped + 1))
      printf 'skipped %-44s tp %d: %s\n' "${dir#"$data"/}" "$ranks" \
        "$(grep -m1 '^dlquant: ' "$log" | cut -c10-200)"
      ;;
    *)
      failed=$((failed + 1))
      printf 'FAILED  %-44s tp %d, exit status %d\n' "${dir#"$data"/}" "$ranks" "$status"
      grep -vE '^ok' "$log" | tail -8 | cut -c1-300 | sed 's/^/        /'
      ;;
  esac
}

while read -r config; do
  for ranks in 1 "${counts[@]}"; do
    if [ "$ranks" -le "$gpus" ]; then
      check "${config%/config.json}" "$ranks"
    else
      skipped=$((skipped + 1))
      printf 'skipped %s tp %d: %d GPUs\n' "${config%/config.json}" "$ranks" "$gpus"
    fi
  done
done < <(find -L "$data" -mindepth 2 -name config.json -not -path '*/configs/*' | sort)

for ranks in 1 "${counts[@]}"; do
  if [ "$ranks" -le "$gpus" ] && [ -x "$build/tests/tp/bench_ranks" ]; then
    if timeout 200 "$build/tests/tp/bench_ranks" "$ranks" 14336 4096 28672 8192; then
      passed=$((passed + 1))
    else
      failed=$((failed + 1))
      printf 'FAILED  bench_ranks %d\n' "$ranks"
    fi
  fi
done
printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
[ "$failed" -eq 0 ]
