// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "golden_layer.h"

#include "rig.h"

#include <stdio.h>
#include <stdlib.h>

const uint32_t golden_dtypes[GOLDEN_DTYPES] = {DLQ_F16, DLQ_BF16, DLQ_F32};

int32_t
golden_layer_make(struct golden *g, const struct golden_plan *plan, uint32_t act_dtype,
                  const struct dlq_collective *collective, dlq_linear **out, struct dlq_error *err)
{
    const struct golden_layer *const first = golden_find(g, plan->parts[0]);
    assert_non_null(first);
    const int32_t n_sizes = plan->n_split > 0 ? plan->n_split : plan->n_parts;
    int64_t sizes[3] = {0};
    int64_t total = 0;
    for (int32_t i = 0; i < n_sizes; i++) {
        sizes[i] = plan->n_split > 0 ? first->n / plan->n_split : golden_find(g, plan->parts[i])->n;
        total += sizes[i];
    }
    const struct dlq_linear_desc desc = {
        .struct_size = sizeof(desc),
        .flags = (plan->kind == DLQ_ROW ? DLQ_LINEAR_INPUT_IS_FULL : 0U) |
                 (first->bias ? DLQ_LINEAR_BIAS : 0U),
        .prefix = plan->prefix,
        .input_size = first->k,
        .output_size = plan->kind == DLQ_QKV || plan->kind == DLQ_MERGED_COLUMN ? 0 : total,
        .output_sizes = plan->kind == DLQ_MERGED_COLUMN ? sizes : NULL,
        .n_output_sizes = plan->kind == DLQ_MERGED_COLUMN ? n_sizes : 0,
        .head_size = plan->kind == DLQ_QKV ? g->head_size : 0,
        .total_num_heads = plan->kind == DLQ_QKV ? g->heads : 0,
        .total_num_kv_heads = plan->kind == DLQ_QKV ? g->kv_heads : 0,
        .params_dtype = g->params_dtype,
        .act_dtype = act_dtype,
        .config = g->config,
        .collective = collective,
        .evidence = g->ckpt,
    };
    int32_t status = DLQ_EINVAL;
    switch (plan->kind) {
    case DLQ_COLUMN:
        status = dlq_linear_column_create(g->rt, &desc, out, err);
        break;
    case DLQ_ROW:
        status = dlq_linear_row_create(g->rt, &desc, out, err);
        break;
    case DLQ_MERGED_COLUMN:
        status = dlq_linear_merged_create(g->rt, &desc, out, err);
        break;
    case DLQ_QKV:
        status = dlq_linear_qkv_create(g->rt, &desc, out, err);
        break;
    default:
        status = dlq_linear_replicated_create(g->rt, &desc, out, err);
    }
    if (status != DLQ_OK) {
        return status;
    }
    status = dlq_linear_load_checkpoint(*out, g->ckpt, err);
    status = status == DLQ_OK ? dlq_linear_process(*out, err) : status;
    if (status != DLQ_OK) {
        dlq_linear_destroy(*out);
        *out = NULL;
    }
    return status;
}

void *
golden_x(const struct golden_layer *layer, uint32_t dtype)
{
    void *const x = malloc((size_t)(layer->m * layer->k) * rig_size(dtype));
    assert_non_null(x);
    for (int64_t i = 0; i < layer->m * layer->k; i++) {
        rig_set(x, dtype, i, rig_get(layer->x, DLQ_F16, i));
    }
    return x;
}

int32_t
golden_multiply(dlq_linear *layer, const void *x, int64_t m, void *y, struct dlq_error *err)
{
    const size_t size = dlq_linear_workspace_size(layer, m);
    void *const workspace = aligned_alloc(256, (size + 256) / 256 * 256);
    const struct dlq_linear_io io = {
        .struct_size = sizeof(io),
        .m = m,
        .x = x,
        .y = y,
        .workspace = workspace,
        .workspace_size = size,
    };
    const int32_t status = workspace ? dlq_linear_apply(layer, &io, err) : DLQ_ENOMEM;
    free(workspace);
    return status;
}

static void
add_plan(struct golden *g, struct golden_plan *plans, size_t *n, int32_t kind, const char *block,
         const char *name, const char *const *parts)
{
    struct golden_plan plan = {.kind = kind};
    snprintf(plan.prefix, sizeof(plan.prefix), "%s%s", block, name);
    for (; *parts; parts++) {
        snprintf(plan.parts[plan.n_parts], sizeof(plan.parts[0]), "%s%s", block, *parts);
        if (!golden_find(g, plan.parts[plan.n_parts])) {
            return;
        }
        plan.n_parts++;
    }
    plan.n_split = kind == DLQ_MERGED_COLUMN && plan.n_parts == 1 ? 2 : 0;
    plans[(*n)++] = plan;
}

#define PARTS(...) ((const char *const[]){__VA_ARGS__, NULL})

size_t
golden_plans(struct golden *g, bool fused, struct golden_plan plans[GOLDEN_PLANS])
{
    static const char block[] = "model.layers.0.";
    size_t n = 0;
    if (fused) {
        add_plan(g, plans, &n, DLQ_QKV, block, "self_attn.qkv_proj",
                 PARTS("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"));
        add_plan(g, plans, &n, DLQ_MERGED_COLUMN, block, "mlp.gate_up_proj",
                 PARTS("mlp.gate_proj", "mlp.up_proj"));
        // Fused on disk.
        add_plan(g, plans, &n, DLQ_QKV, block, "self_attn.qkv_proj", PARTS("self_attn.qkv_proj"));
        add_plan(g, plans, &n, DLQ_MERGED_COLUMN, block, "mlp.gate_up_proj",
                 PARTS("mlp.gate_up_proj"));
        return n;
    }
    static const char *const columns[] = {"self_attn.q_proj", "self_attn.k_proj", "mlp.gate_proj",
                                          "mlp.up_proj"};
    for (size_t i = 0; i < TEST_COUNT(columns); i++) {
        add_plan(g, plans, &n, DLQ_COLUMN, block, columns[i], PARTS(columns[i]));
    }
    add_plan(g, plans, &n, DLQ_COLUMN, "", "lm_head", PARTS("lm_head"));
    add_plan(g, plans, &n, DLQ_ROW, block, "self_attn.o_proj", PARTS("self_attn.o_proj"));
    add_plan(g, plans, &n, DLQ_ROW, block, "mlp.down_proj", PARTS("mlp.down_proj"));
    return n;
}
