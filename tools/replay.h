// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_TOOLS_REPLAY_H
#define DLQ_TOOLS_REPLAY_H

#include "buffers.h"

#include <dlquant/dlquant.h>

#include <stdbool.h>
#include <stdint.h>

/// Calls of apply repeated: as they are, beside each other, and captured in a graph.

/// What came of it.
enum tool_replay_verdict {
    TOOL_REPLAY_NONE,   ///< The device cannot do it
    TOOL_REPLAY_EQUAL,  ///< It gives the bits of the call
    TOOL_REPLAY_DIFFERS ///< It does not
};

/// Times of one call in microseconds: medians.
struct tool_times {
    double us;      ///< Of the device; on the CPU of the call
    double host_us; ///< Until the call returns
};

/// Capture the call, replay it into a y filled with NaNs, and compare with `b->host_y`, which holds
/// what the call gave.
int32_t
tool_replay_check(dlq_linear *layer, struct tool_buffers *b, const struct dlq_linear_io *io,
                  enum tool_replay_verdict *out, struct dlq_error *err);

/// Make the call on two streams of the device at the same time, a few times over, with an x, y and
/// workspace each, and compare with `b->host_y`. Nothing on the CPU.
int32_t
tool_replay_overlap(dlq_linear *layer, struct tool_buffers *b, const struct dlq_linear_io *io,
                    enum tool_replay_verdict *out, struct dlq_error *err);

/// Repeat the call and take the times. `together`: other ranks do the same, so that the number of
/// calls may not depend on anything.
int32_t
tool_replay_time(dlq_linear *layer, struct tool_buffers *b, const struct dlq_linear_io *io,
                 bool together, struct tool_times *out, struct dlq_error *err);

#endif // DLQ_TOOLS_REPLAY_H
