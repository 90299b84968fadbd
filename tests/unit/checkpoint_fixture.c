// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "checkpoint_fixture.h"

#include "alloc.h"

#include <stdio.h>
#include <string.h>

dlq_runtime *ckpt_rt;
char *ckpt_dir;
char ckpt_warning[1024];
const struct dlq_allocator *ckpt_memory = &dlq_system_allocator;

static void *
forward_alloc(void *ctx, size_t size, size_t align)
{
    (void)ctx;
    return ckpt_memory->alloc(ckpt_memory->ctx, size, align);
}

static void
forward_free(void *ctx, void *ptr)
{
    (void)ctx;
    ckpt_memory->free(ckpt_memory->ctx, ptr);
}

static void
keep_warning(void *ctx, int32_t level, const char *line)
{
    (void)ctx;
    if (level == DLQ_LOG_WARN) {
        snprintf(ckpt_warning, sizeof(ckpt_warning), "%s", line);
    }
}

int
ckpt_make_runtime(void **state)
{
    (void)state;
    static const struct dlq_allocator forward = {
        .struct_size = sizeof(forward), .alloc = forward_alloc, .free = forward_free};
    const struct dlq_runtime_options options = {
        .struct_size = sizeof(options),
        .allocator = &forward,
        .n_threads = 1,
        .log_level = DLQ_LOG_DEBUG,
        .log = keep_warning,
    };
    struct dlq_error err = DLQ_ERROR_INIT;
    test_assert_ok(dlq_runtime_create(&options, &ckpt_rt, &err), &err);
    return 0;
}

int
ckpt_destroy_runtime(void **state)
{
    (void)state;
    dlq_runtime_destroy(ckpt_rt);
    return 0;
}

int
ckpt_make_dir(void **state)
{
    (void)state;
    ckpt_dir = test_tmpdir();
    ckpt_warning[0] = '\0';
    return 0;
}

int
ckpt_remove_dir(void **state)
{
    (void)state;
    test_tmpdir_remove(ckpt_dir);
    return 0;
}

dlq_checkpoint *
ckpt_opened(const char *path, uint32_t flags)
{
    dlq_checkpoint *ckpt = NULL;
    struct dlq_error err = DLQ_ERROR_INIT;
    err.code = 77;
    test_assert_ok(dlq_checkpoint_open(ckpt_rt, path, flags, &ckpt, &err), &err);
    // A call that succeeds leaves the record alone.
    assert_int_equal(err.code, 77);
    assert_int_equal(err.msg[0], 0);
    return ckpt;
}

void
ckpt_refuse_path(const char *path, uint32_t flags, int32_t code, const char *message)
{
    dlq_checkpoint *ckpt = NULL;
    struct dlq_error err = DLQ_ERROR_INIT;
    const int32_t rc = dlq_checkpoint_open(ckpt_rt, path, flags, &ckpt, &err);
    test_assert_error(rc, &err, code, message);
    assert_null(ckpt);
}

void
ckpt_refuse(int32_t code, const char *message)
{
    ckpt_refuse_path(ckpt_dir, DLQ_CHECKPOINT_NO_CONFIG, code, message);
}

bool
ckpt_trace_has(const dlq_checkpoint *ckpt, const char *text)
{
    const char *line;
    for (size_t i = 0; (line = dlq_checkpoint_trace(ckpt, i)); i++) {
        if (strstr(line, text)) {
            return true;
        }
    }
    return false;
}

void
ckpt_write(const char *file, const char *const *names)
{
    struct test_tensor tensors[8];
    size_t n = 0;
    for (; names[n]; n++) {
        tensors[n] = (struct test_tensor){
            .name = names[n], .dtype = "U8", .ndim = 1, .shape = {4}, .nbytes = 4};
    }
    test_safetensors(ckpt_dir, file, tensors, n);
}
