// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "golden_compare.h"
#include "golden_layer.h"
#include "numerics.h"

#include <pthread.h>
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

/// One rank of one layer, on its own thread.
struct rank {
    struct golden *g;
    const struct golden_plan *plan;
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
    r->status = golden_layer_make(r->g, r->plan, r->dtype, r->collective, &r->layer, &r->err);
    pthread_mutex_unlock(&setup);
    for (int32_t i = 0; r->status == DLQ_OK && i < r->plan->n_parts; i++) {
        const size_t row = (size_t)dlq_linear_y_size(r->layer) * rig_size(r->dtype);
        r->y[i] = malloc((size_t)r->m * row);
        r->status =
            r->y[i] ? golden_multiply(r->layer, r->x[i], r->m, r->y[i], &r->err) : DLQ_ENOMEM;
    }
    if (r->status != DLQ_OK) {
        dlq_collective_threads_abort(r->group, r->collective->rank, "the rank failed");
    }
    return NULL;
}

// Runs one layer on `size` ranks and compares. `y` has the outputs of one rank, for each recorded
// x: with size 1 they are stored (free() them), else compared with.
static void
run_ranks(struct golden *g, const struct golden_plan *plan, uint32_t dtype, int32_t size, void **y)
{
    dlq_collective_threads *threads = NULL;
    struct dlq_error err = DLQ_ERROR_INIT;
    test_assert_ok(dlq_collective_threads_create(g->rt, size, 20000, &threads, &err), &err);
    void *x[3] = {NULL};
    for (int32_t p = 0; p < plan->n_parts; p++) {
        x[p] = golden_x(golden_find(g, plan->parts[p]), dtype);
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
            golden_compare_part(g, info, p, dtype, size, ranks[i].y[of], size > 1 ? y[of] : NULL);
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
checkpoint_meets_its_recording(void **state)
{
    const struct folder *const folder = *state;
    static struct golden g;
    if (access(test_data(folder->path), R_OK) != 0) {
        skip(); // only the full set of recordings has it; DLQ_TEST_DATA names that
    }
    golden_open(&g, folder->path, folder->params_dtype);
    golden_learn(&g);
    size_t ran = 0;
    for (int fused = 0; fused < 2; fused++) {
        struct golden_plan plans[GOLDEN_PLANS];
        const size_t n = golden_plans(&g, fused != 0, plans);
        for (size_t i = 0; i < n * GOLDEN_DTYPES; i++) {
            const struct golden_plan *const plan = &plans[i % n];
            const uint32_t dtype = golden_dtypes[i / n];
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
    assert_true(ran >= 4 * GOLDEN_DTYPES);
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
    struct golden_plan plans[GOLDEN_PLANS];
    const size_t n = golden_plans(&a, false, plans);
    for (size_t i = 0; i < n * GOLDEN_DTYPES; i++) {
        const struct golden_plan *const plan = &plans[i % n];
        struct golden_layer *const r = golden_find(&a, plan->parts[0]);
        const size_t bytes = (size_t)(r->m * r->n) * rig_size(golden_dtypes[i / n]);
        void *const x = golden_x(r, golden_dtypes[i / n]);
        uint8_t *const y = malloc(2 * bytes);
        float *w[2] = {NULL};
        assert_non_null(y);
        for (int j = 0; j < 2; j++) {
            struct dlq_error err = DLQ_ERROR_INIT;
            struct check_result result = {0};
            dlq_linear *layer = NULL;
            struct golden *const g = j == 0 ? &a : &b;
            test_assert_ok(golden_layer_make(g, plan, golden_dtypes[i / n], NULL, &layer, &err),
                           &err);
            assert_true(numerics_weights(layer, dlq_runtime_host(g->rt), &w[j], &result));
            test_assert_ok(golden_multiply(layer, x, r->m, y + (size_t)j * bytes, &err), &err);
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
