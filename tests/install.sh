#!/usr/bin/env bash
# SPDX-FileCopyrightText: 2026 The dlquant authors
# SPDX-License-Identifier: Apache-2.0
#
# install.sh BUILD
#
# Installs a build into an empty folder and uses it as a stranger would: an engine and a plugin are
# compiled with pkg-config alone, and the moved installation finds its plugins by itself.
# Ends with "N passed, N failed, N skipped".
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here")
build=${1:?usage: install.sh BUILD}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
passed=0 failed=0 skipped=0
unset DLQ_PLUGIN_PATH

check() { # label, command...
  local label=$1
  shift
  if "$@" >"$tmp/log" 2>&1; then
    passed=$((passed + 1))
    printf 'ok %s\n' "$label"
  else
    failed=$((failed + 1))
    printf 'FAILED %s\n' "$label"
    sed 's/^/    /' "$tmp/log"
  fi
}

check "meson install" env DESTDIR="$tmp/dest" meson install -C "$build" --no-rebuild --quiet
prefix=$(find "$tmp/dest" -name dlquant.pc -printf '%h\n' | head -n 1)
libdir=$(dirname "$prefix")
bindir=$(dirname "$(find "$tmp/dest" -name dlquant -type f -perm -u+x | head -n 1)")
export PKG_CONFIG_PATH=$prefix PKG_CONFIG_SYSROOT_DIR=$tmp/dest LD_LIBRARY_PATH=$libdir
cc=${CC:-cc}

compile_embed() {
  # shellcheck disable=SC2046,SC2086 # lists of words
  $cc -std=c11 -Wall -Wextra -Werror "$root/examples/embed/embed.c" \
    $(pkg-config --cflags --libs dlquant) -lm -o "$tmp/embed"
}

compile_plugin() {
  # shellcheck disable=SC2046,SC2086 # lists of words
  $cc -std=c11 -Wall -Wextra -Werror -shared -fPIC -fvisibility=hidden \
    "$root/plugins/template/template.c" $(pkg-config --cflags dlquant-plugin) -lm \
    -Wl,-z,defs -o "$tmp/template.so"
}

check_embed() { # checkpoint
  python3 "$here/examples/check_embed.py" "$tmp/embed" "$root/tests/data/jargon-llama/$1"
}

headers_alone() {
  local header
  while read -r header; do
    # shellcheck disable=SC2046,SC2086
    echo "#include <$header>" | $cc -std=c99 -Wall -Wextra -Werror -fsyntax-only -x c - \
      $(pkg-config --cflags dlquant-plugin) || return 1
  done < <(cd "$tmp/dest" && find . -path '*include/dlquant/*.h' -printf '%P\n' |
    sed 's|.*include/||')
}

one_symbol_each() { # folder of plugins
  local file
  for file in "$1"/*.so; do
    nm -D --defined-only "$file" | tee "$tmp/symbols"
    [ "$(grep -c ' [A-Z] ' "$tmp/symbols")" = 1 ] || return 1
  done
}

installed_plugins() {
  "$bindir/dlquant" plugins | tee "$tmp/plugins"
  grep -q '^awq_marlin ' "$tmp/plugins" && grep -q '^unquantized ' "$tmp/plugins"
}

run_installed() {
  "$bindir/dlquant" run "$root/tests/data/jargon-llama/awq" \
    --golden "$root/tests/data/jargon-llama/awq/golden"
}

list_plugin() {
  "$bindir/dlquant" plugins --plugin-dir "$tmp" | grep '^template '
}

check "pkg-config knows dlquant" pkg-config --exists dlquant
check "pkg-config knows dlquant-plugin" pkg-config --exists dlquant-plugin
plugindir=$(pkg-config --variable=plugindir dlquant)
check "dlquant.pc names the plugin folder" \
  test -f "$tmp/dest${plugindir#"$tmp/dest"}/awq_marlin.so" # pkgconf adds the sysroot itself
check "dlquant-plugin.pc links nothing" test -z "$(pkg-config --libs dlquant-plugin)"
check "installed modules export one symbol each" one_symbol_each "$tmp/dest${plugindir#"$tmp/dest"}"
check "every installed header compiles alone" headers_alone
check "an engine compiles with pkg-config" compile_embed
check "the engine computes the fp16 checkpoint" check_embed fp16
check "the engine computes the AWQ checkpoint" check_embed awq
check "a moved installation finds its plugins" installed_plugins
check "the installed command runs a checkpoint" run_installed
check "a plugin compiles with pkg-config" compile_plugin
check "the plugin exports one symbol" test "$(nm -D --defined-only "$tmp/template.so" | grep -c ' T ')" = 1
check "the installed command lists the plugin" list_plugin
check "dlquant-plugin-check accepts the plugin" "$bindir/dlquant-plugin-check" "$tmp/template.so"
check "bash completion loads" bash -n "$(find "$tmp/dest" -path '*completions/dlquant')"
if command -v scdoc >/dev/null; then
  check "the manual page is installed" test -n "$(find "$tmp/dest" -name dlquant.1)"
else
  skipped=$((skipped + 1))
  echo "skipped the manual page: no scdoc"
fi
printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
[ "$failed" -eq 0 ]
