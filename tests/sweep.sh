#!/usr/bin/env bash
# SPDX-FileCopyrightText: 2026 The dlquant authors
# SPDX-License-Identifier: Apache-2.0
#
# sweep.sh DLQUANT DATA [arguments of dlquant run]
#
# Runs every checkpoint folder under DATA against its golden folder and compares the outcome with
# sweep.tsv: "ok", or "refused" with words that the error must have. Ends with
# "N passed, N failed, N skipped". A folder of the table that DATA does not have is skipped by name;
# a folder that the table does not have is a failure, so that none goes unnoticed.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
dlquant=${1:?usage: sweep.sh DLQUANT DATA [arguments of dlquant run]}
data=${2:?usage: sweep.sh DLQUANT DATA [arguments of dlquant run]}
shift 2
passed=0 failed=0 skipped=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT

check() { # folder, verdict, words
  local dir=$data/$1 golden=() status
  [ -d "$dir/golden" ] && golden=(--golden "$dir/golden")
  timeout 300 "$dlquant" run "$dir" "${golden[@]}" "${extra[@]}" >"$log" 2>&1
  status=$?
  case $2 in
    ok)
      if [ "$status" -eq 0 ]; then
        passed=$((passed + 1))
        printf 'ok      %-34s %s\n' "$1" "$(grep ' layers: ' "$log")"
        return
      fi
      ;;
    refused)
      if [ "$status" -eq 4 ] && grep -qiE -- "$3" "$log"; then
        passed=$((passed + 1))
        printf 'refused %-34s %s\n' "$1" "$(grep -m1 '^dlquant: ' "$log" | cut -c10-160)"
        return
      fi
      ;;
  esac
  failed=$((failed + 1))
  printf 'FAILED  %-34s expected %s %s, exit status %d\n' "$1" "$2" "$3" "$status"
  grep -E '^(FAILED|dlquant:|hint:)|ERROR|runtime error' "$log" | head -5 | sed 's/^/        /'
}

extra=("$@")
declare -A known=()
while IFS=$'\t' read -r folder verdict words; do
  case $folder in '' | '#'*) continue ;; esac
  known[$folder]=1
  if [ -f "$data/$folder/config.json" ]; then
    check "$folder" "$verdict" "$words"
  else
    skipped=$((skipped + 1))
    printf 'skipped %s: not in %s\n' "$folder" "$data"
  fi
done <"$here/sweep.tsv"
while read -r config; do
  folder=${config#"$data"/}
  folder=${folder%/config.json}
  if [ -z "${known[$folder]:-}" ]; then
    failed=$((failed + 1))
    printf 'FAILED  %s: not in sweep.tsv\n' "$folder"
  fi
done < <(find -L "$data" -mindepth 2 -name config.json | sort)
printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
[ "$failed" -eq 0 ]
