// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "golden.h"
#include "numerics.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/// Real checkpoints against their recordings: the weights that a plugin reports give the recorded
/// y, and apply() stays within the bounds, in every dtype, fused and not, on 1, 2 and 4 ranks.

static const struct {
    const char *folder;
    uint32_t params_dtype;
    int64_t group; ///< Rows of K that no rank may cut; 0: any cut is fine
} folders[] = {
    {"jargon-llama/fp16", DLQ_F16, 0},
    {"jargon-llama/awq", DLQ_F16, 128},
    {"golden/awq-g64-sharded", DLQ_F16, 64},
    {"golden/stories-fp32", DLQ_F32, 0},
};

/// A layer as an engine makes it.
struct plan {
    char prefix[128];
    int32_t kind;
    int32_t n_parts;
    char parts[3][128]; ///< Paths of recorded layers
};

static int32_t
make_layer(struct golden *g, const struct plan *plan, uint32_t act_dtype,
           const struct dlq_collective *collective, dlq_linear **out, struct dlq_error *err)
{
    const struct golden_layer *const first = golden_find(g, plan->parts[0]);
    assert_non_null(first);
    int64_t sizes[3] = {0};
    int64_t total = 0;
    for (int32_t i = 0; i < plan->n_parts; i++) {
        sizes[i] = golden_find(g, plan->parts[i])->n;
        total += sizes[i];
    }
    const struct dlq_linear_desc desc = {
        .struct_size = sizeof(desc),
        .flags = plan->kind == DLQ_ROW ? DLQ_LINEAR_INPUT_IS_FULL : 0U,
        .prefix = plan->prefix,
        .input_size = first->k,
        .output_size = plan->kind == DLQ_QKV || plan->kind == DLQ_MERGED_COLUMN ? 0 : total,
        .output_sizes = plan->kind == DLQ_MERGED_COLUMN ? sizes : NULL,
        .n_output_sizes = plan->kind == DLQ_MERGED_COLUMN ? plan->n_parts : 0,
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

// The recorded x in another dtype, one rounding.
static void *
convert_x(const struct golden_layer *layer, uint32_t dtype)
{
    void *const x = malloc((size_t)(layer->m * layer->k) * rig_size(dtype));
    assert_non_null(x);
    for (int64_t i = 0; i < layer->m * layer->k; i++) {
        rig_set(x, dtype, i, rig_get(layer->x, DLQ_F16, i));
    }
    return x;
}

static int32_t
multiply(dlq_linear *layer, const void *x, int64_t m, void *y, struct dlq_error *err)
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

// Ask the plugin for the weights of every recorded layer; with them the recorded y must come out.
static void
learn_weights(struct golden *g)
{
    for (size_t i = 0; i < g->n_layers; i++) {
        struct golden_layer *const r = &g->layers[i];
        struct plan plan = {.kind = DLQ_REPLICATED, .n_parts = 1};
        snprintf(plan.prefix, sizeof(plan.prefix), "%s", r->name);
        snprintf(plan.parts[0], sizeof(plan.parts[0]), "%s", r->name);
        struct dlq_error err = DLQ_ERROR_INIT;
        struct check_result result = {0};
        dlq_linear *layer = NULL;
        test_assert_ok(make_layer(g, &plan, DLQ_F32, NULL, &layer, &err), &err);
        if (!numerics_weights(layer, dlq_runtime_host(g->rt), &r->weight, &result)) {
            fail_msg("%s: %s", r->name, result.text);
        }
        dlq_linear_destroy(layer);
        for (int64_t j = 0; j < r->m * r->n; j++) {
            double y = 0.0;
            double sum = 0.0;
            for (int64_t k = 0; k < r->k; k++) {
                const double p = (double)rig_get(r->x, DLQ_F16, j / r->n * r->k + k) *
                                 r->weight[j % r->n * r->k + k];
                y += p;
                sum += fabs(p);
            }
            // Each reported weight is one rounding to float away from the truth.
            if (!(fabs(y - r->y[j]) <= 0x1p-23 * sum)) {
                fail_msg("%s: y[%lld] is %.12g with the reported weights, %.12g is recorded",
                         r->name, (long long)j, y, r->y[j]);
            }
        }
    }
}

// Element of row `row` of one part's output against the float64 product of the rounded x.
static void
compare_element(const struct golden_layer *r, const float *x, uint32_t dtype, int64_t row,
                int64_t column, int32_t ranks, double found)
{
    const float *const w = r->weight + column * r->k;
    double y = 0.0;
    double sum = 0.0;
    for (int64_t k = 0; k < r->k; k++) {
        y += (double)x[k] * w[k];
        sum += fabs((double)x[k] * w[k]);
    }
    double bound = numerics_bound(x, w, r->k, dtype, y);
    bound += ranks > 1 ? (ranks + 1) * numerics_ulp(dtype, sum) : 0.0;
    if (!(fabs(found - y) <= bound)) {
        fail_msg("%s, %s, T %d: y[%lld, %lld] is %.9g, %.9g +- %.3g is expected", r->name,
                 rig_dtype_name(dtype), (int)ranks, (long long)row, (long long)column, found, y,
                 bound);
    }
    // Without rounding of x and without ranks the recording itself must be met.
    if (dtype != DLQ_BF16 && ranks == 1 && !(fabs(found - r->y[row * r->n + column]) <= bound)) {
        fail_msg("%s, %s: y[%lld, %lld] is %.9g, %.9g +- %.3g is recorded", r->name,
                 rig_dtype_name(dtype), (long long)row, (long long)column, found,
                 r->y[row * r->n + column], bound);
    }
}

// Compare part `p` of one rank's y with its recording and, where given, with the whole layer's
// bits.
static void
compare_part(struct golden *g, const struct dlq_layer_info *info, int32_t p, uint32_t dtype,
             int32_t ranks, const void *y, const void *whole)
{
    const int64_t n_pp = info->output_size_per_partition;
    const struct dlq_part *const part = info->parts[p];
    const struct golden_layer *const r = golden_find(g, part->prefix);
    assert_non_null(r);
    float *const x = malloc((size_t)r->k * sizeof(*x));
    assert_non_null(x);
    for (int64_t row = 0; row < r->m; row++) {
        for (int64_t k = 0; k < r->k; k++) {
            uint8_t rounded[4];
            rig_set(rounded, dtype, 0, rig_get(r->x, DLQ_F16, row * r->k + k));
            x[k] = rig_get(rounded, dtype, 0);
        }
        for (int64_t i = 0; i < part->local_size; i++) {
            const int64_t column = part->source_offset + i;
            const float found = rig_get(y, dtype, row * n_pp + part->local_offset + i);
            compare_element(r, x, dtype, row, column, ranks, found);
            // A cut of N changes no sum: the same bits as the whole layer's.
            if (whole && info->kind != DLQ_ROW) {
                const int64_t at = row * info->ckpt_output_size + part->full_offset + column;
                const float same = rig_get(whole, dtype, at);
                assert_memory_equal(&found, &same, sizeof(found));
            }
        }
    }
    free(x);
}

/// One rank of one layer, on its own thread.
struct rank {
    struct golden *g;
    const struct plan *plan;
    uint32_t dtype;
    const struct dlq_collective *collective;
    dlq_collective_threads *group;
    void *const *x; ///< Rows for each part: recordings of the parts differ in their outliers
    int64_t m;
    dlq_linear *layer;
    void *y[3]; ///< For each x
    int32_t status;
    struct dlq_error err;
};

static void *
run_rank(void *arg)
{
    struct rank *const r = arg;
    r->err = (struct dlq_error)DLQ_ERROR_INIT;
    r->status = make_layer(r->g, r->plan, r->dtype, r->collective, &r->layer, &r->err);
    for (int32_t i = 0; r->status == DLQ_OK && i < r->plan->n_parts; i++) {
        const size_t row = (size_t)dlq_linear_y_size(r->layer) * rig_size(r->dtype);
        r->y[i] = malloc((size_t)r->m * row);
        r->status = r->y[i] ? multiply(r->layer, r->x[i], r->m, r->y[i], &r->err) : DLQ_ENOMEM;
    }
    if (r->status != DLQ_OK) {
        dlq_collective_threads_abort(r->group, r->collective->rank, "the rank failed");
    }
    return NULL;
}

// Runs one layer on `size` ranks and compares. `y` has the outputs of one rank, for each part's x:
// with size 1 they are stored (free() them), else compared with.
static void
run_ranks(struct golden *g, const struct plan *plan, uint32_t dtype, int32_t size, int64_t group,
          void **y)
{
    const struct golden_layer *const first = golden_find(g, plan->parts[0]);
    const bool cuts = plan->kind == DLQ_ROW && group > 0 && first->k / size % group != 0;
    dlq_collective_threads *threads = NULL;
    struct dlq_error err = DLQ_ERROR_INIT;
    test_assert_ok(dlq_collective_threads_create(g->rt, size, 20000, &threads, &err), &err);
    void *x[3] = {NULL};
    for (int32_t p = 0; p < plan->n_parts; p++) {
        x[p] = convert_x(golden_find(g, plan->parts[p]), dtype);
    }
    struct rank ranks[4];
    pthread_t ids[4];
    for (int32_t i = 0; i < size; i++) {
        ranks[i] = (struct rank){
            .g = g,
            .plan = plan,
            .dtype = dtype,
            .collective = dlq_collective_threads_get(threads, i),
            .group = threads,
            .x = x,
            .m = first->m,
        };
        assert_int_equal(pthread_create(&ids[i], NULL, run_rank, &ranks[i]), 0);
    }
    for (int32_t i = 0; i < size; i++) {
        pthread_join(ids[i], NULL);
    }
    for (int32_t i = 0; i < size; i++) {
        if (cuts) {
            test_assert_error(ranks[i].status, &ranks[i].err, DLQ_ESHAPE, "cuts a group of g");
        } else {
            test_assert_ok(ranks[i].status, &ranks[i].err);
        }
        for (int32_t p = 0; p < plan->n_parts; p++) {
            if (!cuts) {
                compare_part(g, dlq_linear_info(ranks[i].layer), p, dtype, size, ranks[i].y[p],
                             size > 1 ? y[p] : NULL);
            }
            if (size == 1) {
                y[p] = ranks[i].y[p];
            } else {
                free(ranks[i].y[p]);
            }
        }
        dlq_linear_destroy(ranks[i].layer);
    }
    for (int32_t p = 0; p < plan->n_parts; p++) {
        free(x[p]);
    }
    dlq_collective_threads_destroy(threads);
}

static void
add_plan(struct golden *g, struct plan *plans, size_t *n, int32_t kind, const char *block,
         const char *name, const char *const *parts)
{
    struct plan plan = {.kind = kind};
    snprintf(plan.prefix, sizeof(plan.prefix), "%s%s", block, name);
    for (; *parts; parts++) {
        snprintf(plan.parts[plan.n_parts], sizeof(plan.parts[0]), "%s%s", block, *parts);
        if (!golden_find(g, plan.parts[plan.n_parts])) {
            return;
        }
        plan.n_parts++;
    }
    plans[(*n)++] = plan;
}

#define PARTS(...) ((const char *const[]){__VA_ARGS__, NULL})

// The layers of the first recorded block and the head, as an engine makes them.
static size_t
make_plans(struct golden *g, bool fused, struct plan *plans)
{
    static const char block[] = "model.layers.0.";
    size_t n = 0;
    if (fused) {
        add_plan(g, plans, &n, DLQ_QKV, block, "self_attn.qkv_proj",
                 PARTS("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"));
        add_plan(g, plans, &n, DLQ_MERGED_COLUMN, block, "mlp.gate_up_proj",
                 PARTS("mlp.gate_proj", "mlp.up_proj"));
    } else {
        static const char *const columns[] = {"self_attn.q_proj", "self_attn.k_proj",
                                              "mlp.gate_proj", "mlp.up_proj"};
        for (size_t i = 0; i < TEST_COUNT(columns); i++) {
            add_plan(g, plans, &n, DLQ_COLUMN, block, columns[i], PARTS(columns[i]));
        }
        add_plan(g, plans, &n, DLQ_COLUMN, "", "lm_head", PARTS("lm_head"));
    }
    add_plan(g, plans, &n, DLQ_ROW, block, "self_attn.o_proj", PARTS("self_attn.o_proj"));
    add_plan(g, plans, &n, DLQ_ROW, block, "mlp.down_proj", PARTS("mlp.down_proj"));
    return n;
}

static void
check_folder(size_t index)
{
    static const uint32_t dtypes[] = {DLQ_F16, DLQ_BF16, DLQ_F32};
    static struct golden g;
    golden_open(&g, folders[index].folder, folders[index].params_dtype);
    learn_weights(&g);
    size_t ran = 0;
    for (int fused = 0; fused < 2; fused++) {
        struct plan plans[8];
        const size_t n = make_plans(&g, fused != 0, plans);
        for (size_t i = 0; i < n * TEST_COUNT(dtypes); i++) {
            const struct plan *const plan = &plans[i % n];
            const uint32_t dtype = dtypes[i / n];
            void *y[3] = {NULL};
            run_ranks(&g, plan, dtype, 1, folders[index].group, y);
            run_ranks(&g, plan, dtype, 2, folders[index].group, y);
            run_ranks(&g, plan, dtype, 4, folders[index].group, y);
            for (size_t p = 0; p < TEST_COUNT(y); p++) {
                free(y[p]);
            }
            ran++;
        }
    }
    assert_true(ran >= 24);
    golden_close(&g);
}

static void
fp16_checkpoint_meets_its_recording(void **state)
{
    (void)state;
    check_folder(0);
}

static void
awq_checkpoint_meets_its_recording(void **state)
{
    (void)state;
    check_folder(1);
}

static void
awq_checkpoint_of_several_files_meets_its_recording(void **state)
{
    (void)state;
    check_folder(2);
}

static void
fp32_checkpoint_of_odd_sizes_meets_its_recording(void **state)
{
    (void)state;
    check_folder(3);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fp16_checkpoint_meets_its_recording),
        cmocka_unit_test(awq_checkpoint_meets_its_recording),
        cmocka_unit_test(awq_checkpoint_of_several_files_meets_its_recording),
        cmocka_unit_test(fp32_checkpoint_of_odd_sizes_meets_its_recording),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
