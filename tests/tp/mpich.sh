#!/usr/bin/env bash
# SPDX-FileCopyrightText: 2026 The dlquant authors
# SPDX-License-Identifier: Apache-2.0
#
# mpich.sh FOLDER
#
# Builds the module of MPI and its tests for MPICH, unpacked in FOLDER beside whatever MPI the system
# has, and runs them. Ends with "N passed, N failed, N skipped".
set -uo pipefail
folder=${1:?usage: mpich.sh FOLDER}
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

skip() {
  printf 'skipped: MPICH: %s\n0 passed, 0 failed, 1 skipped\n' "$1"
  exit 0
}

command -v apt-get >/dev/null || skip "no apt-get to fetch it with"
if [ ! -x "$folder/bin/mpirun" ]; then
  (cd "$folder" && apt-get download mpich libmpich12 libmpich-dev libslurm38 libhwloc15 libucx0 \
    libgfortran5 >apt.log 2>&1) || skip "apt-get cannot download it"
  for deb in "$folder"/*.deb; do
    dpkg -x "$deb" "$folder/root" || skip "$deb cannot be unpacked"
  done
  mkdir -p "$folder/bin" "$folder/pc"
  ln -sf "$folder/root/usr/bin/mpiexec.hydra" "$folder/bin/mpirun"
  for tool in hydra_pmi_proxy hydra_nameserver; do
    ln -sf "$folder/root/usr/bin/$tool" "$folder/bin/$tool"
  done
fi

# Only what is listed here is found: the system's own MPI is not.
libs=$(dirname "$(find "$folder/root" -name 'libmpich.so.12*' | head -1)")
include=$(dirname "$(find "$folder/root" -name mpi.h | head -1)")
printf 'Name: mpich\nDescription: MPICH\nVersion: 4\nCflags: -isystem %s\nLibs: -L%s -lmpich\n' \
  "$include" "$libs" >"$folder/pc/mpich.pc"
for name in jansson cmocka; do
  ln -sf "$(pkg-config --variable pcfiledir "$name")/$name.pc" "$folder/pc/"
done
unset DLQ_PLUGIN_PATH
export PKG_CONFIG_LIBDIR=$folder/pc PATH=$folder/bin:$PATH
export LD_LIBRARY_PATH=$libs${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
log=$folder/build.log
if [ ! -f "$folder/build/build.ninja" ]; then
  meson setup "$folder/build" "$root" -Dcuda=disabled -Dmpi=enabled -Dexamples=false \
    -Dman=disabled >"$log" 2>&1 || {
    tail -20 "$log"
    printf '0 passed, 1 failed, 0 skipped\n'
    exit 1
  }
fi
ninja -C "$folder/build" tests/tp/test_mpi tests/tp/mpi_rank tests/tp/mpi_engine \
  core/mpi/dlquant-mpi.so >>"$log" 2>&1 || {
  grep -E 'error|FAILED' "$log" | head -20
  printf '0 passed, 1 failed, 0 skipped\n'
  exit 1
}
readelf -d "$folder/build/core/mpi/dlquant-mpi.so" | grep NEEDED
"$folder/build/tests/tp/test_mpi" 2>&1 | tee "$folder/test.log"
passed=$(grep -c '^\[       OK' "$folder/test.log")
failed=$(grep -cE '^\[  ERROR   \]' "$folder/test.log")
skipped=$(grep -E '^\[  SKIPPED \] [a-z]+_' "$folder/test.log" | sort -u | wc -l)
[ "$((passed + failed))" -gt 0 ] || failed=1
[ "$skipped" -eq 0 ] || printf "skipped a_rank_that_dies_is_named: MPICH ends the ranks that are left\n"
printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
[ "$failed" -eq 0 ]
