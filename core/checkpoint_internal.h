// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_CORE_CHECKPOINT_INTERNAL_H
#define DLQ_CORE_CHECKPOINT_INTERNAL_H

#include "error.h"
#include "file.h"
#include "quant_source.h"
#include "trace.h"

#include <dlquant/checkpoint.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// One safetensors file of a checkpoint.
struct dlq_shard {
    char *name;   ///< Inside the folder; `file` of its tensors points here
    char *path;   ///< For messages
    char *header; ///< Holds the names of its tensors
    struct dlq_file file;
};

struct dlq_checkpoint {
    dlq_runtime *rt;
    const struct dlq_allocator *a;
    char *path;
    bool folder;
    uint32_t flags;
    struct dlq_shard *shards;
    size_t n_shards;
    size_t shards_capacity;
    struct dlq_checkpoint_tensor *tensors; ///< By name
    size_t n_tensors;
    size_t tensors_capacity;
    char *config; ///< Text of config.json, or NULL
    size_t config_len;
    struct dlq_trace trace;
    struct dlq_quant_found quant;
    int32_t quant_rc;           ///< What dlq_checkpoint_quant_source() answers
    struct dlq_error quant_err; ///< Its message
};

/// Fail with the domain of this part.
#define DLQ_CKPT_FAIL(err, code, ...)                                                              \
    dlq_fail_native(err, code, DLQ_DOMAIN_CHECKPOINT, 0, __VA_ARGS__)

/// One line of an index: tensor and the file that holds it.
struct dlq_index_entry {
    const char *tensor;
    const char *file;
};

/// model.safetensors.index.json, sorted by file, then by tensor.
struct dlq_index {
    struct dlq_index_entry *entries;
    size_t n;
    size_t capacity;
    char *text; ///< Holds the strings
};

/// Longest index in bytes.
#define DLQ_INDEX_MAX_BYTES ((size_t)100000000)

/// Read and check an index. `out->text` is NULL when there is no such file. On success the caller
/// frees `out`.
int32_t
dlq_index_read(const struct dlq_allocator *a, const char *path, struct dlq_index *out,
               struct dlq_error *err);

void
dlq_index_free(const struct dlq_allocator *a, struct dlq_index *index);

/// Open the weights of a checkpoint: fills shards and tensors.
int32_t
dlq_checkpoint_open_files(dlq_checkpoint *ckpt, struct dlq_error *err);

/// Refuse files that run code when they are read, with a hint.
int32_t
dlq_checkpoint_refuse_pickle(const char *path, struct dlq_error *err);

/// Whether a file name is that of pickled weights.
bool
dlq_is_pickle_name(const char *name);

/// Check that a tensor's file still has its size; to be called before the data is read, so that a
/// truncated file is an error instead of a SIGBUS. See file.h for what remains.
int32_t
dlq_checkpoint_verify(const dlq_checkpoint *ckpt, const struct dlq_checkpoint_tensor *tensor,
                      struct dlq_error *err);

#endif // DLQ_CORE_CHECKPOINT_INTERNAL_H
