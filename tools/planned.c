// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "planned.h"

#include <stdio.h>

const char *
tool_kind_name(int32_t kind)
{
    switch (kind) {
    case DLQ_REPLICATED:
        return "replicated";
    case DLQ_COLUMN:
        return "column";
    case DLQ_ROW:
        return "row";
    case DLQ_MERGED_COLUMN:
        return "merged";
    case DLQ_QKV:
        return "qkv";
    default:
        return "unknown";
    }
}

void
tool_plan_layer(const struct tool_session *s, const struct tool_options *opt,
                const struct tool_layer *layer, int32_t rank, int32_t size,
                const struct dlq_partition *partition, struct tool_planned *out)
{
    *out = (struct tool_planned){.err = DLQ_ERROR_INIT};
    out->e.struct_size = sizeof(out->e);
    struct dlq_linear_desc desc = tool_layer_desc(layer, opt->dtype ? opt->dtype : s->model->dtype,
                                                  opt->device, s->config, s->ckpt);
    desc.flags |= DLQ_LINEAR_PLAN;
    desc.tp_rank = rank;
    desc.tp_size = size;
    desc.partition = partition;
    dlq_linear *made = NULL;
    out->status = tool_layer_create(s->rt, layer, &desc, &made, &out->err);
    if (out->status == DLQ_OK) {
        const struct dlq_layer_info *info = dlq_linear_info(made);
        const struct dlq_decision *decision = dlq_linear_decision(made);
        out->k = info->input_size_per_partition;
        out->n = info->output_size_per_partition;
        snprintf(out->method, sizeof(out->method), "%s", dlq_linear_method_name(made));
        snprintf(out->rule, sizeof(out->rule), "%s", decision ? decision->rule : "");
        out->status = dlq_linear_explain(made, &out->e, &out->err);
    }
    dlq_linear_destroy(made);
}
