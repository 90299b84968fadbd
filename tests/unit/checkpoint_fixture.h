// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_TESTS_CHECKPOINT_FIXTURE_H
#define DLQ_TESTS_CHECKPOINT_FIXTURE_H

#include "support.h"

#include <dlquant/checkpoint.h>

#include <stdbool.h>

/// Checkpoints in a folder of the running test, opened by one runtime of the program.

#define CKPT_INDEX "model.safetensors.index.json"

extern dlq_runtime *ckpt_rt;

/// The running test's folder.
extern char *ckpt_dir;

/// The last warning in the log since the test began.
extern char ckpt_warning[1024];

/// Where memory of the runtime comes from.
extern const struct dlq_allocator *ckpt_memory;

int
ckpt_make_runtime(void **state);

int
ckpt_destroy_runtime(void **state);

int
ckpt_make_dir(void **state);

int
ckpt_remove_dir(void **state);

/// A test with a folder of its own.
#define CKPT_TEST(f) cmocka_unit_test_setup_teardown(f, ckpt_make_dir, ckpt_remove_dir)

/// Open a checkpoint, which must succeed.
dlq_checkpoint *
ckpt_opened(const char *path, uint32_t flags);

/// Opening must fail with this code and a message that contains `message`.
void
ckpt_refuse_path(const char *path, uint32_t flags, int32_t code, const char *message);

/// ckpt_refuse_path() of the test's folder without a config.json.
void
ckpt_refuse(int32_t code, const char *message);

/// Whether a line of the trace contains `text`.
bool
ckpt_trace_has(const dlq_checkpoint *ckpt, const char *text);

/// Write a file of U8 tensors [4] with these names, ended by NULL, into the test's folder.
void
ckpt_write(const char *file, const char *const *names);

#define CKPT_WRITE(file, ...)                                                                      \
    do {                                                                                           \
        const char *const names_[] = {__VA_ARGS__, NULL};                                          \
        ckpt_write(file, names_);                                                                  \
    } while (0)

#endif // DLQ_TESTS_CHECKPOINT_FIXTURE_H
