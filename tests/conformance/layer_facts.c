// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "layer_facts.h"

#include <stdio.h>
#include <string.h>

void
facts_init(struct facts *f, const char *prefix, int64_t k, int64_t n)
{
    memset(f, 0, sizeof(*f));
    f->info = (struct dlq_layer_info){
        .struct_size = sizeof(f->info),
        .kind = DLQ_REPLICATED,
        .prefix = prefix,
        .class_name = "ReplicatedLinear",
        .input_size = k,
        .input_size_per_partition = k,
        .input_bounds = f->bounds,
        .parts = f->part_list,
        .evidence = f->evidence_list,
        .tp_size = 1,
        .params_dtype = DLQ_F16,
        .act_dtype = DLQ_F16,
        .device = {.struct_size = sizeof(f->info.device), .device = {DLQ_DEVICE_CPU, 0}},
    };
    f->bounds[1] = k;
    facts_part(f, prefix, n);
}

void
facts_part(struct facts *f, const char *prefix, int64_t n)
{
    struct dlq_layer_info *const info = &f->info;
    if (info->n_parts == 1 && f->parts[0].prefix == info->prefix) {
        info->n_parts = 0;
        info->output_size = 0;
    }
    assert_in_range(info->n_parts, 0, 3);
    const int64_t offset = info->output_size;
    f->parts[info->n_parts] = (struct dlq_part){
        .struct_size = sizeof(f->parts[0]),
        .replicas = 1,
        .tag = "0",
        .prefix = prefix,
        .full_offset = offset,
        .full_size = n,
        .local_offset = offset,
        .local_size = n,
    };
    f->part_list[info->n_parts] = &f->parts[info->n_parts];
    info->n_parts++;
    info->output_size = offset + n;
    info->ckpt_output_size = offset + n;
    info->output_size_per_partition = offset + n;
}

void
facts_tensor(struct facts *f, int32_t part, const char *name, uint32_t dtype, int64_t rows,
             int64_t cols)
{
    const int32_t i = f->info.n_evidence++;
    assert_in_range(i, 0, FACTS_MAX - 1);
    f->evidence[i] = (struct dlq_evidence){
        .struct_size = sizeof(f->evidence[0]),
        .part = part,
        .name = name,
        .dtype = dtype,
        .ndim = cols > 0 ? 2 : 1,
        .shape = {rows, cols},
    };
    f->evidence_list[i] = &f->evidence[i];
}

void
facts_row(struct facts *f, int32_t rank, int32_t size)
{
    const int64_t k = f->info.input_size / size;
    f->info.kind = DLQ_ROW;
    f->info.class_name = "RowParallelLinear";
    f->info.tp_rank = rank;
    f->info.tp_size = size;
    f->info.input_size_per_partition = k;
    f->info.input_offset = rank * k;
    for (int32_t i = 0; i <= size; i++) {
        f->bounds[i] = i * k;
    }
}

static void
keep_line(void *ctx, int32_t level, const char *line)
{
    struct bench *const b = ctx;
    (void)level;
    const size_t used = strlen(b->log);
    snprintf(b->log + used, sizeof(b->log) - used, "%s\n", line);
}

void
bench_open(struct bench *b, const char *name, const char *config)
{
    memset(b, 0, sizeof(*b));
    const struct dlq_runtime_options options = {
        .struct_size = sizeof(options),
        .n_threads = 1,
        .log_level = DLQ_LOG_INFO,
        .log_ctx = b,
        .log = keep_line,
    };
    struct dlq_error err = DLQ_ERROR_INIT;
    test_assert_ok(dlq_runtime_create(&options, &b->rt, &err), &err);
    test_assert_ok(dlq_runtime_find(b->rt, name, &b->plugin, &err), &err);
    b->host = dlq_runtime_host(b->rt);
    b->log[0] = '\0';
    if (config) {
        test_assert_ok(
            b->plugin->config->create(NULL, b->host, config, strlen(config), &b->config, &err),
            &err);
    }
}

void
bench_close(struct bench *b)
{
    if (b->config) {
        b->plugin->config->destroy(b->config, b->host);
    }
    dlq_runtime_destroy(b->rt);
}

int32_t
bench_try(struct bench *b, const char *config, struct dlq_error *err)
{
    void *made = NULL;
    const int32_t status =
        b->plugin->config->create(NULL, b->host, config, strlen(config), &made, err);
    if (status == DLQ_OK) {
        b->plugin->config->destroy(made, b->host);
    }
    return status;
}

void
bench_refused(const char *name, const struct bench_refusal *cases, size_t n)
{
    struct bench b;
    bench_open(&b, name, NULL);
    for (size_t i = 0; i < n; i++) {
        struct dlq_error err = DLQ_ERROR_INIT;
        test_assert_error(bench_try(&b, cases[i].text, &err), &err, cases[i].code, cases[i].says);
    }
    bench_close(&b);
}

int32_t
bench_decide(struct bench *b, const struct facts *f, struct dlq_decision *out,
             struct dlq_error *err)
{
    *out = (struct dlq_decision){.struct_size = sizeof(*out)};
    const int32_t status =
        b->plugin->config->get_quant_method(b->config, b->host, &f->info, out, err);
    if (status == DLQ_OK && out->answer == DLQ_METHOD) {
        out->ops->destroy(out->method, b->host);
        out->method = NULL;
    }
    return status;
}

int32_t
bench_can(struct bench *b, const struct facts *f, struct dlq_error *err)
{
    struct dlq_decision d = {.struct_size = sizeof(d)};
    int32_t status = b->plugin->config->get_quant_method(b->config, b->host, &f->info, &d, err);
    if (status == DLQ_OK && d.answer == DLQ_UNSUPPORTED) {
        return DLQ_EUNSUPPORTED;
    }
    test_assert_ok(status, err);
    assert_int_equal(d.answer, DLQ_METHOD);
    status = d.ops->can_implement(d.method, b->host, &f->info, err);
    d.ops->destroy(d.method, b->host);
    return status;
}
