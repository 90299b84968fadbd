// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_TOOLS_RANKS_H
#define DLQ_TOOLS_RANKS_H

#include <dlquant/dlquant.h>
#include <dlquant/ext/inspect.h>

#include "buffers.h"
#include "group.h"
#include "model.h"
#include "replay.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// A layer on one or several ranks, each a thread of this process.

/// What a rank has besides layers: setup functions take one thread at a time for one runtime, so
/// each rank has its own.
struct tool_seat {
    dlq_runtime *rt;
    dlq_quant_config *config; ///< NULL: unquantized
};

/// One rank's end of a layer.
struct tool_rank {
    dlq_linear *layer;
    const struct dlq_layer_info *info;
    struct tool_buffers act;         ///< This rank's activations
    float *weight;                   ///< Dequantized [N of this rank, K of this rank], or NULL
    struct tool_times times;         ///< Of apply
    enum tool_replay_verdict replay; ///< Of the last apply
    enum tool_replay_verdict beside; ///< Of two at the same time, where the rank is alone
    double load_s;                   ///< Seconds to create, load and process
    uint64_t bytes;                  ///< Of parameters after processing
    int32_t status;                  ///< Of the last step
    struct dlq_error err;            ///< Why, when it is no success
};

/// All ranks of one layer. Where ranks are processes, `rank` has a layer of this one; of the others
/// it has what can be known without their weights, and their outputs after apply.
struct tool_ranks {
    dlq_runtime *rt; ///< Of rank 0
    const struct tool_seat *seats;
    const struct tool_layer *layer;
    int32_t size;
    uint32_t dtype;           ///< Of x and y
    struct dlq_device device; ///< Of the first rank that is here
    struct tool_rank *rank;
    struct tool_group *group; ///< NULL for one rank
    int32_t self;             ///< tool_group_self()
    int64_t m;                ///< Rows of the present activations

    /// Where ranks are processes, the first has all of them on its own device as well, whose
    /// weights the results are judged by; NULL: this, or nobody judges here.
    struct tool_ranks *judge;
    struct tool_group *judge_group;
    bool together; ///< Of a judge: all ranks are on one device, and never apply on a GPU
};

/// Create, load and process the layer on `size` ranks, one a seat, that talk through `group`, which
/// outlives this. A rank that is a process has the first seat. `judged`: results will be. On
/// failure `err` names the rank. Destroy in any case.
int32_t
tool_ranks_create(const struct tool_seat *seats, struct tool_group *group,
                  const struct tool_layer *layer, const struct dlq_linear_desc *desc, bool judged,
                  struct tool_ranks *out, struct dlq_error *err);

/// The ranks whose weights judge the results; NULL in a process other than the first.
struct tool_ranks *
tool_ranks_judge(struct tool_ranks *r);

void
tool_ranks_destroy(struct tool_ranks *r);

/// Run y = x W^T + b on [m, K] floats, rounded to the layer's dtype first, and collect the [m, N]
/// result in the order of the checkpoint, in every process. Where ranks are processes on the CPU
/// and judged, threads have to give the same bits: DLQ_EINTERNAL when they do not. Where the device
/// has graphs, the call is captured and replayed too. `timed`: repeat and take the times.
int32_t
tool_ranks_apply(struct tool_ranks *r, const float *x, int64_t m, int timed, float *y,
                 struct dlq_error *err);

/// Times of one call: the slowest rank's.
struct tool_times
tool_ranks_times(const struct tool_ranks *r);

/// Of the last call: whether a rank's replay differs, and whether there was one.
enum tool_replay_verdict
tool_ranks_replay(const struct tool_ranks *r);

/// The same of two calls at the same time.
enum tool_replay_verdict
tool_ranks_beside(const struct tool_ranks *r);

/// Dequantize every rank's weights. DLQ_ENOTFOUND when the plugin has no dlq.inspect/1.
int32_t
tool_ranks_dequantize(struct tool_ranks *r, struct dlq_error *err);

/// The extension and the method object of one rank, NULL when there is none.
const struct dlq_ext_inspect *
tool_rank_inspect(const struct tool_rank *rank, void **method);

/// Column of y, counted in the checkpoint, of column `local` of a rank; -1 outside.
int64_t
tool_rank_column(const struct tool_rank *rank, int64_t local);

#endif // DLQ_TOOLS_RANKS_H
