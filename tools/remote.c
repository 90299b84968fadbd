// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "remote.h"

#include "convert.h"
#include "tool.h"

#include <stdlib.h>
#include <string.h>

/// What goes with a rank's outputs.
struct facts {
    struct tool_times times;
    double load_s;
    uint64_t bytes;
    int32_t replay;
};

int32_t
tool_remote_plan(struct tool_ranks *r, const struct dlq_linear_desc *desc, struct dlq_error *err)
{
    int32_t status = DLQ_OK;
    for (int32_t i = 0; i < r->size && status == DLQ_OK; ++i) {
        struct tool_rank *rank = &r->rank[i];
        if (i == r->self) {
            continue;
        }
        struct dlq_linear_desc other = *desc;
        other.flags |= DLQ_LINEAR_PLAN;
        other.tp_rank = i;
        other.tp_size = r->size;
        other.config = r->seats[0].config;
        status = tool_layer_create(r->rt, r->layer, &other, &rank->layer, err);
        rank->info = status == DLQ_OK ? dlq_linear_info(rank->layer) : NULL;
    }
    return status;
}

static size_t
output_size(const struct tool_ranks *r, int32_t rank)
{
    return (size_t)(r->m * dlq_linear_y_size(r->rank[rank].layer)) * tool_act_size(r->dtype);
}

static void
take(struct tool_ranks *r, int32_t index, const char *from)
{
    struct tool_rank *rank = &r->rank[index];
    struct facts facts;
    memcpy(&facts, from, sizeof(facts));
    rank->times = facts.times;
    rank->load_s = facts.load_s;
    rank->bytes = facts.bytes;
    rank->replay = (enum tool_replay_verdict)facts.replay;
    tool_buffers_free(&rank->act);
    rank->act.host_y = tool_alloc(output_size(r, index), 1);
    memcpy(rank->act.host_y, from + sizeof(facts), output_size(r, index));
}

int32_t
tool_remote_gather(struct tool_ranks *r, struct dlq_error *err)
{
    const struct dlq_collective *c = tool_group_host(r->group, r->self);
    const struct tool_rank *own = &r->rank[r->self];
    const struct facts facts = {own->times, own->load_s, own->bytes, (int32_t)own->replay};
    int64_t *counts = tool_alloc((size_t)r->size, sizeof(*counts));
    size_t total = 0;
    for (int32_t i = 0; i < r->size; ++i) {
        counts[i] = (int64_t)(sizeof(facts) + output_size(r, i));
        total += (size_t)counts[i];
    }
    char *send = tool_alloc((size_t)counts[r->self], 1);
    char *all = tool_alloc(total, 1);
    memcpy(send, &facts, sizeof(facts));
    memcpy(send + sizeof(facts), own->act.host_y, output_size(r, r->self));
    const int32_t status = c->all_gather(c->ctx, send, all, counts, DLQ_U8, NULL, err);
    const char *from = all;
    for (int32_t i = 0; i < r->size && status == DLQ_OK; ++i) {
        if (i != r->self) {
            take(r, i, from);
        }
        from += counts[i];
    }
    free(all);
    free(send);
    free(counts);
    return status;
}
