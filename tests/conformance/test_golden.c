// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "golden.h"
#include "numerics.h"

#include <dlquant/ext/inspect.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/// Real checkpoints against their recordings: the weights that a plugin reports give the recorded
/// y, and apply() stays within the bounds, in every dtype, fused and not, on 1, 2 and 4 ranks.

/// One checkpoint.
struct folder {
    const char *path;
    uint32_t params_dtype;
};

static const struct folder folders[] = {
    {"jargon-llama/fp16", DLQ_F16},
    {"jargon-llama/awq", DLQ_F16},
    {"golden/awq-g64-sharded", DLQ_F16},
    {"golden/stories-fp32", DLQ_F32},
    {"jargon-llama/w4a16", DLQ_F16},
    {"jargon-llama/w8a8", DLQ_F16},
    {"jargon-llama/fp8-dynamic", DLQ_F16},
    {"jargon-llama/nvfp4a16", DLQ_F16},
    {"golden/awq-as-compressed-tensors", DLQ_F16},
    {"golden/bf16-fp8-dynamic", DLQ_BF16},
    {"golden/bf16-w8a8", DLQ_BF16},
    {"golden/fp8", DLQ_F16},
    {"golden/fp8-block", DLQ_F16},
    {"golden/fp8-kv", DLQ_F16},
    {"golden/fp8-static-channel", DLQ_F16},
    {"golden/mixed", DLQ_F16},
    {"golden/mxfp4", DLQ_F16},
    {"golden/mxfp4a16", DLQ_F16},
    {"golden/mxfp8", DLQ_F16},
    {"golden/mxfp8a16", DLQ_F16},
    {"golden/nvfp4", DLQ_F16},
    {"golden/nvfp4a16", DLQ_F16},
    {"golden/phi3-fp8-block", DLQ_F16},
    {"golden/phi3-w4a16-asym-g64", DLQ_F16},
    {"golden/qwen2-w4a16-g32", DLQ_F16},
    {"golden/qwen2-w8a8", DLQ_F16},
    {"golden/stories-fp8-block", DLQ_F32},
    {"golden/stories-w3a16-asym-channel", DLQ_F32},
    {"golden/stories-w4a16-channel", DLQ_F32},
    {"golden/stories-w4a16-odd-groups", DLQ_F32},
    {"golden/stories-w6a16-channel", DLQ_F32},
    {"golden/stories-w8a16", DLQ_F32},
    {"golden/stories-w8a8", DLQ_F32},
    {"golden/w2a16", DLQ_F16},
    {"golden/w3a16", DLQ_F16},
    {"golden/w3a16-naive", DLQ_F16},
    {"golden/w3a16-padded", DLQ_F16},
    {"golden/w4a16", DLQ_F16},
    {"golden/w4a16-actorder-group", DLQ_F16},
    {"golden/w4a16-actorder-static", DLQ_F16},
    {"golden/w4a16-asym", DLQ_F16},
    {"golden/w4a16-channel", DLQ_F16},
    {"golden/w4a16-g32", DLQ_F16},
    {"golden/w4a16-ignore", DLQ_F16},
    {"golden/w4a16-lmhead", DLQ_F16},
    {"golden/w4a16-tensor", DLQ_F16},
    {"golden/w4a8", DLQ_F16},
    {"golden/w4afp8", DLQ_F16},
    {"golden/w5a16", DLQ_F16},
    {"golden/w7a16", DLQ_F16},
    {"golden/w8a16", DLQ_F16},
    {"golden/w8a16-asym-g128", DLQ_F16},
    {"golden/w8a16-fp8", DLQ_F16},
    {"golden/w8a8-asym-w", DLQ_F16},
    {"golden/w8a8-dynamic-azp", DLQ_F16},
    {"golden/w8a8-old", DLQ_F16},
    {"golden/w8a8-static", DLQ_F16},
    {"golden/w8a8-static-azp", DLQ_F16},
};

static const uint32_t dtypes[] = {DLQ_F16, DLQ_BF16, DLQ_F32};

/// A layer as an engine makes it.
struct plan {
    char prefix[128];
    int32_t kind;
    int32_t n_parts;    ///< Recorded layers that it consists of
    char parts[3][128]; ///< Their paths
    int32_t n_split;    ///< Merged on disk: logical parts of the one recorded layer, else 0
};

static int32_t
make_layer(struct golden *g, const struct plan *plan, uint32_t act_dtype,
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

// The rows that a layer multiplies; in the recording's own dtype they must be the recorded ones,
// but for codes that lie one step apart because their value was a tie.
static float *
effective_rows(const struct golden_layer *r, const dlq_linear *layer, const struct dlq_host *host,
               uint32_t dtype)
{
    struct check_result result = {0};
    void *const x = convert_x(r, dtype);
    float *const out = numerics_rows(layer, host, x, r->m, &result);
    if (!out) {
        fail_msg("%s: %s", r->name, result.text);
    }
    int64_t ties = 0;
    for (int64_t i = 0; r->coded && dtype != DLQ_BF16 && i < r->m * r->k; i++) {
        const float value = rig_get(x, dtype, i);
        const float error = fabsf(out[i] - r->coded[i]);
        ties += error > 0x1p-20F * fabsf(value);
        // Both are nearest codes of the same value.
        if (error > 2.001F * fabsf(value - r->coded[i]) + 0x1p-20F * fabsf(value)) {
            fail_msg("%s: x[%lld] %g is multiplied as %g, %g is recorded", r->name, (long long)i,
                     (double)value, (double)out[i], (double)r->coded[i]);
        }
    }
    assert_in_range(ties, 0, r->m * r->k / 200);
    free(x);
    return out;
}

// Recorded codes: equal but for ties, and their exact sums.
static void
compare_codes(const struct golden_layer *r, const dlq_linear *layer, const struct dlq_host *host)
{
    void *method = NULL;
    struct dlq_error err = DLQ_ERROR_INIT;
    const struct dlq_ext_inspect *const inspect =
        dlq_linear_extension(layer, DLQ_EXT_INSPECT, &method);
    const struct dlq_layer_info *const info = dlq_linear_info(layer);
    int8_t *const codes = malloc((size_t)(r->m * r->k));
    int32_t *const acc = malloc((size_t)(r->m * r->n) * sizeof(*acc));
    void *const x = convert_x(r, info->act_dtype);
    float scales[8];
    int32_t zeros[8];
    assert_non_null(codes);
    assert_non_null(acc);
    test_assert_ok(inspect->quantize(method, host, info, x, r->m, codes, scales, zeros, &err),
                   &err);
    int64_t ties = 0;
    for (int64_t i = 0; i < r->m * r->k; i++) {
        const int difference = codes[i] - r->codes[i];
        const double v = (double)rig_get(x, info->act_dtype, i) / (double)scales[i / r->k];
        const bool tie = fabs(v - floor(v) - 0.5) < 1e-4;
        if (difference != 0 && !(abs(difference) == 1 && tie)) {
            fail_msg("%s: code %lld is %d, %d is recorded", r->name, (long long)i, codes[i],
                     r->codes[i]);
        }
        ties += difference != 0;
    }
    assert_in_range(ties, 0, r->m * r->k / 500);
    for (int64_t i = 0; i < r->m; i++) {
        assert_int_equal(zeros[i], r->zeros ? r->zeros[i] : 0);
        assert_true(fabsf(scales[i] - r->scales[i]) <= 0x1p-22F * r->scales[i]);
    }
    test_assert_ok(inspect->accumulate(method, host, info, r->codes, r->zeros, r->m, acc, &err),
                   &err);
    assert_memory_equal(acc, r->acc, (size_t)(r->m * r->n) * sizeof(*acc));
    free(codes);
    free(acc);
    free(x);
}

// With the weights that the plugin reports the recorded y must come out.
static void
compare_recording(const struct golden_layer *r)
{
    for (int64_t j = 0; j < r->m * r->n; j++) {
        double y = r->bias ? (double)r->bias[j % r->n] : 0.0;
        double sum = fabs(y);
        for (int64_t k = 0; k < r->k; k++) {
            const int64_t at = j / r->n * r->k + k;
            const double x = r->coded ? (double)r->coded[at] : (double)rig_get(r->x, DLQ_F16, at);
            const double p = x * (double)r->weight[j % r->n * r->k + k];
            y += p;
            sum += fabs(p);
        }
        // Each reported weight is one rounding to float away from the truth.
        if (!(fabs(y - r->y[j]) <= 0x1p-22 * sum)) {
            fail_msg("%s: y[%lld] is %.12g with the reported weights, %.12g is recorded", r->name,
                     (long long)j, y, r->y[j]);
        }
    }
}

// Ask the plugin for the weights and the effective rows of every recorded layer.
static void
learn_layers(struct golden *g)
{
    const struct dlq_host *const host = dlq_runtime_host(g->rt);
    for (size_t i = 0; i < g->n_layers; i++) {
        struct golden_layer *const r = &g->layers[i];
        struct plan plan = {.kind = DLQ_REPLICATED, .n_parts = 1};
        snprintf(plan.prefix, sizeof(plan.prefix), "%s", r->name);
        snprintf(plan.parts[0], sizeof(plan.parts[0]), "%s", r->name);
        for (size_t d = 0; d < TEST_COUNT(dtypes); d++) {
            struct dlq_error err = DLQ_ERROR_INIT;
            struct check_result result = {0};
            dlq_linear *layer = NULL;
            test_assert_ok(make_layer(g, &plan, dtypes[d], NULL, &layer, &err), &err);
            if (!r->weight && !numerics_weights(layer, host, &r->weight, &result)) {
                fail_msg("%s: %s", r->name, result.text);
            }
            if (r->acc && dtypes[d] != DLQ_BF16) {
                compare_codes(r, layer, host);
            }
            r->rows[d] = effective_rows(r, layer, host, dtypes[d]);
            dlq_linear_destroy(layer);
        }
        compare_recording(r);
    }
}

static size_t
dtype_index(uint32_t dtype)
{
    return dtype == DLQ_F16 ? 0 : dtype == DLQ_BF16 ? 1 : 2;
}

// One element of a recorded layer's output against the float64 product of its effective rows.
static void
compare_element(const struct golden_layer *r, uint32_t dtype, int64_t row, int64_t column,
                int32_t cut, double found)
{
    const float *const w = r->weight + column * r->k;
    const float *const x = r->rows[dtype_index(dtype)] + row * r->k;
    double y = r->bias ? (double)r->bias[column] : 0.0;
    double sum = fabs(y);
    for (int64_t k = 0; k < r->k; k++) {
        y += (double)x[k] * (double)w[k];
        sum += fabs((double)x[k] * (double)w[k]);
    }
    double bound = numerics_bound(x, w, r->k, dtype, y);
    if (cut > 1) {
        bound += (cut + 1) * numerics_ulp(dtype, sum);
    }
    if (!(fabs(found - y) <= bound)) {
        fail_msg("%s, %s, K cut in %d: y[%lld, %lld] is %.9g, %.9g +- %.3g is expected", r->name,
                 rig_dtype_name(dtype), (int)cut, (long long)row, (long long)column, found, y,
                 bound);
    }
    // Without rounding of x and without a cut the recording itself must be met; by int8 layers to
    // the last place, up to codes that were ties.
    const double recorded = r->y[row * r->n + column];
    const double limit = r->codes ? fmax(numerics_ulp(dtype, recorded), bound) : bound;
    if (dtype != DLQ_BF16 && cut == 1 && !(fabs(found - recorded) <= limit)) {
        fail_msg("%s, %s: y[%lld, %lld] is %.9g, %.9g +- %.3g is recorded", r->name,
                 rig_dtype_name(dtype), (long long)row, (long long)column, found, recorded, limit);
    }
}

// Compare part `p` of one rank's y with its recording and, where given, with the whole layer's
// bits. The recording is that of the part, or of the layer when the checkpoint holds it fused.
static void
compare_part(struct golden *g, const struct dlq_layer_info *info, int32_t p, uint32_t dtype,
             int32_t ranks, const void *y, const void *whole)
{
    const struct dlq_part *const part = info->parts[p];
    const struct golden_layer *r = golden_find(g, part->prefix);
    const int64_t base = r ? 0 : part->full_offset;
    r = r ? r : golden_find(g, info->prefix);
    assert_non_null(r);
    for (int64_t row = 0; row < r->m; row++) {
        for (int64_t i = 0; i < part->local_size; i++) {
            const int64_t column = part->source_offset + i;
            const int64_t at = row * info->output_size_per_partition + part->local_offset + i;
            const float found = rig_get(y, dtype, at);
            compare_element(r, dtype, row, base + column, info->kind == DLQ_ROW ? ranks : 1,
                            (double)found);
            // A cut of N changes no sum, a cut of K none of integers: the same bits as the whole
            // layer's.
            if (whole && (info->kind != DLQ_ROW || r->acc)) {
                const int64_t same = row * info->ckpt_output_size + part->full_offset + column;
                const float other = rig_get(whole, dtype, same);
                assert_memory_equal(&found, &other, sizeof(found));
            }
        }
    }
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
    // [setup] functions take one thread at a time for one runtime, and the ranks share one.
    static pthread_mutex_t setup = PTHREAD_MUTEX_INITIALIZER;
    struct rank *const r = arg;
    r->err = (struct dlq_error)DLQ_ERROR_INIT;
    pthread_mutex_lock(&setup);
    r->status = make_layer(r->g, r->plan, r->dtype, r->collective, &r->layer, &r->err);
    pthread_mutex_unlock(&setup);
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

// Runs one layer on `size` ranks and compares. `y` has the outputs of one rank, for each recorded
// x: with size 1 they are stored (free() them), else compared with.
static void
run_ranks(struct golden *g, const struct plan *plan, uint32_t dtype, int32_t size, void **y)
{
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
            .m = golden_find(g, plan->parts[0])->m,
        };
        assert_int_equal(pthread_create(&ids[i], NULL, run_rank, &ranks[i]), 0);
    }
    for (int32_t i = 0; i < size; i++) {
        pthread_join(ids[i], NULL);
    }
    for (int32_t i = 0; i < size; i++) {
        test_assert_ok(ranks[i].status, &ranks[i].err);
        const struct dlq_layer_info *const info = dlq_linear_info(ranks[i].layer);
        for (int32_t p = 0; p < info->n_parts; p++) {
            const int32_t of = p < plan->n_parts ? p : 0;
            compare_part(g, info, p, dtype, size, ranks[i].y[of], size > 1 ? y[of] : NULL);
        }
        for (int32_t p = 0; p < plan->n_parts; p++) {
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
    plan.n_split = kind == DLQ_MERGED_COLUMN && plan.n_parts == 1 ? 2 : 0;
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

static void
checkpoint_meets_its_recording(void **state)
{
    const struct folder *const folder = *state;
    static struct golden g;
    if (access(test_data(folder->path), R_OK) != 0) {
        skip(); // only the full set of recordings has it; DLQ_TEST_DATA names that
    }
    golden_open(&g, folder->path, folder->params_dtype);
    learn_layers(&g);
    size_t ran = 0;
    for (int fused = 0; fused < 2; fused++) {
        struct plan plans[8];
        const size_t n = make_plans(&g, fused != 0, plans);
        for (size_t i = 0; i < n * TEST_COUNT(dtypes); i++) {
            const struct plan *const plan = &plans[i % n];
            const uint32_t dtype = dtypes[i / n];
            void *y[3] = {NULL};
            for (int32_t size = 1; size <= 4; size *= 2) {
                run_ranks(&g, plan, dtype, size, y);
            }
            for (size_t p = 0; p < TEST_COUNT(y); p++) {
                free(y[p]);
            }
            ran++;
        }
    }
    assert_true(ran >= 4 * TEST_COUNT(dtypes));
    golden_close(&g);
}

// The same quantized model, converted without loss by the other format's own library.
static void
both_formats_of_a_model_give_the_same_bits(void **state)
{
    (void)state;
    static struct golden a;
    static struct golden b;
    if (access(test_data("golden/awq-as-compressed-tensors"), R_OK) != 0) {
        skip();
    }
    golden_open(&a, "jargon-llama/awq", DLQ_F16);
    golden_open(&b, "golden/awq-as-compressed-tensors", DLQ_F16);
    struct plan plans[8];
    const size_t n = make_plans(&a, false, plans);
    for (size_t i = 0; i < n * TEST_COUNT(dtypes); i++) {
        const struct plan *const plan = &plans[i % n];
        struct golden_layer *const r = golden_find(&a, plan->parts[0]);
        const size_t bytes = (size_t)(r->m * r->n) * rig_size(dtypes[i / n]);
        void *const x = convert_x(r, dtypes[i / n]);
        uint8_t *const y = malloc(2 * bytes);
        float *w[2] = {NULL};
        assert_non_null(y);
        for (int j = 0; j < 2; j++) {
            struct dlq_error err = DLQ_ERROR_INIT;
            struct check_result result = {0};
            dlq_linear *layer = NULL;
            struct golden *const g = j == 0 ? &a : &b;
            test_assert_ok(make_layer(g, plan, dtypes[i / n], NULL, &layer, &err), &err);
            assert_true(numerics_weights(layer, dlq_runtime_host(g->rt), &w[j], &result));
            test_assert_ok(multiply(layer, x, r->m, y + (size_t)j * bytes, &err), &err);
            dlq_linear_destroy(layer);
        }
        assert_memory_equal(w[0], w[1], (size_t)(r->n * r->k) * sizeof(float));
        assert_memory_equal(y, y + bytes, bytes);
        free(w[0]);
        free(w[1]);
        free(y);
        free(x);
    }
    golden_close(&a);
    golden_close(&b);
}

int
main(void)
{
    struct CMUnitTest tests[TEST_COUNT(folders) + 1];
    for (size_t i = 0; i < TEST_COUNT(folders); i++) {
        tests[i] = (struct CMUnitTest){
            .name = folders[i].path,
            .test_func = checkpoint_meets_its_recording,
            .initial_state = (void *)&folders[i],
        };
    }
    tests[TEST_COUNT(folders)] =
        (struct CMUnitTest)cmocka_unit_test(both_formats_of_a_model_give_the_same_bits);
    return _cmocka_run_group_tests("golden", tests, TEST_COUNT(tests), NULL, NULL);
}
