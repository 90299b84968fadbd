#!/bin/sh
# SPDX-FileCopyrightText: 2026 The dlquant authors
# SPDX-License-Identifier: Apache-2.0

# check_spills.sh LIBRARY: the accumulators of a tile must stay in registers. GCC 12 has moved them to the
# stack when the same loop was written with intrinsics, which halves its speed and no result shows.
set -e
objdump -d --no-show-raw-insn "$1" | awk '
    />:$/ { name = $2; tile = name ~ /^<(pair|tile)_[0-9]/; if (tile) tiles++ }
    tile && /[yz]mm/ && /\((%rsp|%rbp)[,)]/ { spills[name]++ }
    END {
        for (name in spills) { print name, spills[name], "vector accesses to the stack"; bad = 1 }
        print tiles + 0, "tiles read"
        exit bad || tiles == 0
    }'
