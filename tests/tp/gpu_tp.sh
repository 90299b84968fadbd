#!/usr/bin/env bash
# SPDX-FileCopyrightText: 2026 The dlquant authors
# SPDX-License-Identifier: Apache-2.0
#
# gpu_tp.sh BUILD DATA [RANKS...]
#
# On a machine with several GPUs: every checkpoint folder under DATA on one GPU and on RANKS of them
# (default: all powers of two that are there), judged against its golden folder; the same bits from
# one GPU, from sums over memory of peers and from NCCL on small integers; ranks as processes, also
# as if each were on a host of its own, and killed, where there is mpirun; the calls of groups; then
# the time of sums and of row layers of decode size. Ends with "N passed, N failed, N skipped".
set -uo pipefail
build=${1:?usage: gpu_tp.sh BUILD DATA [RANKS...]}
data=${2:?usage: gpu_tp.sh BUILD DATA [RANKS...]}
shift 2
passed=0 failed=0 skipped=0
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tmp=$(mktemp -d)
log=$tmp/log
trap 'rm -rf "$tmp"' EXIT
export DLQ_PLUGIN_PATH=${DLQ_PLUGIN_PATH:-$build/plugins:$build/core/cuda:$build/core/nccl:$build/core/mpi}

# Multicast needs privileges that a container may not have.
export NCCL_NVLS_ENABLE=0

gpus=$(nvidia-smi -L 2>/dev/null | wc -l)
nvidia-smi -L 2>/dev/null
counts=("$@")
if [ "${#counts[@]}" -eq 0 ]; then
  for ((n = 2; n <= gpus; n *= 2)); do counts+=("$n"); done
fi

ok() {
  passed=$((passed + 1))
  printf 'ok      %s\n' "$1"
}

bad() { # label, exit status
  failed=$((failed + 1))
  printf 'FAILED  %s, exit status %s\n' "$1" "$2"
  grep -vE '^ok' "$log" | tail -8 | cut -c1-300 | sed 's/^/        /'
}

skip() {
  skipped=$((skipped + 1))
  printf 'skipped %s\n' "$1"
}

# What dlquant run made of a checkpoint; the log has it.
judge() { # label, exit status
  case $2 in
    0) ok "$1: $(grep ' layers: ' "$log")" ;;
    4) skip "$1: $(grep -m1 '^dlquant: ' "$log" | cut -c10-200)" ;;
    *) bad "$1" "$2" ;;
  esac
}

run() { # folder, arguments after those of the folder; LAUNCH has a launcher
  local dir=$1 golden=(--check)
  shift
  [ -d "$dir/golden" ] && golden=(--golden "$dir/golden")
  timeout 120 "${launch[@]}" "$build/tools/dlquant" run "$dir" "${golden[@]}" --timeout 20 --m 1,16 \
    "$@" >"$log" 2>&1
}
launch=()

check() { # folder, ranks
  run "$1" --device cuda --tp "$2"
  judge "${1#"$data"/} tp $2" $?
}

digests() { # folder, ranks
  timeout 120 "$build/tools/dlquant" run "$1" --check --integers --json --m 3 --device cuda --tp "$2" \
    --timeout 20 2>"$log" | grep -o '"layer":"[^"]*"\|"digest":"[^"]*"'
}

# Sums of integers are exact in any order.
bits() { # folder, ranks
  local one peers nccl
  if ! "$here/integers.py" "$1" "$tmp/integers" >"$log" 2>&1; then
    skip "bits of ${1#"$data"/}: $(tail -n 1 "$log")"
    return
  fi
  one=$(digests "$tmp/integers" 1)
  peers=$(digests "$tmp/integers" "$2")
  nccl=$(DLQ_PEER_SUMS=0 digests "$tmp/integers" "$2")
  rm -r "$tmp/integers"
  if [ -n "$one" ] && [ "$one" = "$peers" ] && [ "$one" = "$nccl" ]; then
    ok "bits of ${1#"$data"/} tp $2: those of one GPU, $(grep -c digest <<<"$one") layers"
  else
    { diff <(echo "$one") <(echo "$peers"); diff <(echo "$one") <(echo "$nccl"); } >>"$log"
    bad "bits of ${1#"$data"/} tp $2" 1
  fi
}

# Environment that keeps NCCL from all that only ranks of one host have; the shell of a rank expands it.
# shellcheck disable=SC2016
as_host='export NCCL_HOSTID=host${OMPI_COMM_WORLD_RANK:-$PMI_RANK} NCCL_P2P_DISABLE=1 NCCL_SHM_DISABLE=1
NCCL_SOCKET_IFNAME=lo NCCL_IB_DISABLE=1; exec "$@"'

processes() { # folder, ranks
  launch=("${mpirun[@]}" -n "$2")
  run "$1" --device cuda --tp mpi
  judge "${1#"$data"/} $2 processes" $?
  launch+=(sh -c "${as_host//$'\n'/ }" host)
  run "$1" --device cuda --tp mpi
  judge "${1#"$data"/} $2 hosts" $?
  launch=()
}
mpirun=(mpirun --allow-run-as-root --oversubscribe --bind-to none)

# A program whose last line says how it went.
program() { # label, command...
  local label=$1 status
  shift
  timeout 300 "$@" >"$log" 2>&1
  status=$?
  if [ "$status" -eq 0 ]; then
    ok "$label: $(tail -n 1 "$log")"
  else
    bad "$label" "$status"
  fi
}

while read -r config; do
  for ranks in 1 "${counts[@]}"; do
    if [ "$ranks" -le "$gpus" ]; then
      check "${config%/config.json}" "$ranks"
    else
      skip "${config%/config.json} tp $ranks: $gpus GPUs"
    fi
  done
done < <(find -L "$data" -mindepth 2 -name config.json -not -path '*/configs/*' | sort)

for ranks in "${counts[@]}"; do
  [ "$ranks" -le "$gpus" ] || continue
  for name in w4a16 awq w8a8 fp16; do
    bits "$data/jargon-llama/$name" "$ranks"
  done
  if command -v mpirun >/dev/null; then
    processes "$data/jargon-llama/w4a16" "$ranks"
    program "killed ranks of $ranks" "$here/faults.py" "$build/tools/dlquant" \
      "$data/jargon-llama/w4a16" 5 "$ranks" 5 --device cuda
  else
    skip "$ranks processes: no mpirun"
  fi
  program "sums over peers, $ranks ranks" "$build/tests/tp/gpu_peers" check "$ranks"
  program "groups of $ranks" "$build/tests/tp/gpu_group" "$ranks"
  "$build/tests/tp/gpu_peers" time "$ranks"
done

for ranks in 1 "${counts[@]}"; do
  if [ "$ranks" -le "$gpus" ] && [ -x "$build/tests/tp/bench_ranks" ]; then
    for peers in 1 0; do
      [ "$ranks" -gt 1 ] || [ "$peers" -eq 1 ] || continue
      printf 'DLQ_PEER_SUMS=%d\n' "$peers"
      if DLQ_PEER_SUMS=$peers timeout 200 "$build/tests/tp/bench_ranks" "$ranks" 14336 4096 28672 8192; then
        passed=$((passed + 1))
      else
        failed=$((failed + 1))
        printf 'FAILED  bench_ranks %d\n' "$ranks"
      fi
    done
  fi
done
printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
[ "$failed" -eq 0 ]
