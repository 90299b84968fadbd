// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_CORE_PARAMS_H
#define DLQ_CORE_PARAMS_H

#include <dlquant/host.h>
#include <dlquant/plugin.h>
#include <dlquant/runtime.h>
#include <dlquant/status.h>
#include <dlquant/types.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// The parameters of one layer: descriptors, storage, and which parts have been written.

/// Alignment of every parameter's storage.
#define DLQ_PARAM_ALIGN 256

/// Where parameters live. upload() is dlq_runtime_device_upload() without its first arguments.
struct dlq_param_store {
    void *ctx;
    void *(*alloc)(void *ctx, size_t size, size_t align);
    void (*free)(void *ctx, void *ptr);
    int32_t (*upload)(void *ctx, void *dst, size_t dst_pitch, const void *src, size_t src_pitch,
                      size_t width, size_t rows, struct dlq_error *err);
    /// dlq_runtime_device_post() likewise; NULL: upload().
    int32_t (*post)(void *ctx, void *dst, size_t dst_pitch, const void *src, size_t src_pitch,
                    size_t width, size_t rows, struct dlq_error *err);
    /// parallel_for() of struct dlq_host; NULL: in turn.
    void (*parallel)(void *ctx, int32_t n_tasks, void (*fn)(void *arg, int32_t task), void *arg);
};

/// One parameter.
struct dlq_param {
    struct dlq_param_desc desc;          ///< Normalised: no zero that stands for 1; owns its name
    struct dlq_tensor view;              ///< Present storage; data NULL: none
    const struct dlq_part *const *parts; ///< How the outputs are laid out in this parameter
    uint64_t digest;                     ///< Of a replicated parameter's value
    uint64_t nbytes;                     ///< Bytes of the present storage
    uint8_t *written;                    ///< A flag a part
    uint32_t *shared;                    ///< Words that parts share; see params_bits.h
};

/// The parameters of one layer.
struct dlq_params {
    const struct dlq_layer_info *info; ///< Sizes of the layer; outlives this
    const struct dlq_allocator *alloc; ///< For everything but storage
    struct dlq_param_store store;      ///< Unused when `plan`
    struct dlq_param **items;          ///< In the order of declaration
    size_t count;
    size_t capacity;
    bool plan; ///< Record descriptors, allocate no storage
};

/// Begin an empty set for a layer. Cannot fail; `store` NULL means plan.
void
dlq_params_init(struct dlq_params *params, const struct dlq_layer_info *info,
                const struct dlq_allocator *alloc, const struct dlq_param_store *store);

/// Free everything. The set is empty then.
void
dlq_params_clear(struct dlq_params *params);

/// Check a descriptor against the layer's sizes, copy it and allocate its storage; an optional
/// parameter without a sentinel gets storage when it is first written. `parts` NULL: the layer's.
int32_t
dlq_params_declare(struct dlq_params *params, const struct dlq_param_desc *desc,
                   const struct dlq_part *const *parts, struct dlq_error *err);

/// The parameter of that name, or NULL.
struct dlq_param *
dlq_params_find(const struct dlq_params *params, const char *name);

/// param_get() of struct dlq_host.
int32_t
dlq_params_get(const struct dlq_params *params, const char *name, struct dlq_tensor *out,
               struct dlq_error *err);

/// param_replace() of struct dlq_host. On failure the caller keeps the tensor's data.
int32_t
dlq_params_replace(struct dlq_params *params, const char *name, const struct dlq_tensor *tensor,
                   struct dlq_error *err);

/// DLQ_OK when every part of every parameter was written, an optional one perhaps not at all;
/// DLQ_EINCOMPLETE lists what is missing.
int32_t
dlq_params_check(const struct dlq_params *params, struct dlq_error *err);

/// Bytes of storage.
uint64_t
dlq_params_bytes(const struct dlq_params *params);

/// A checkpoint tensor on its way into a parameter.
struct dlq_param_source {
    const struct dlq_tensor *tensor; ///< Host memory, row-major, perhaps unaligned
    const char *name;                ///< Full name in the checkpoint, or the parameter's
    const char *file;                ///< File it is from, or NULL
    int32_t first;                   ///< First part that it holds
    int32_t last;                    ///< Last part that it holds, the first included
    bool stays;                      ///< The data stays until the caller flushes the store
};

/// Cut this rank's share out of an unsharded tensor and put it in its place. On failure the parts
/// count as unwritten.
int32_t
dlq_params_load(struct dlq_params *params, struct dlq_param *param,
                const struct dlq_param_source *source, struct dlq_error *err);

/// Members of struct dlq_host: param_declare, param_get and param_replace.
int32_t
dlq_layer_param_declare(struct dlq_layer *layer, const struct dlq_param_desc *desc,
                        struct dlq_error *err);

int32_t
dlq_layer_param_get(struct dlq_layer *layer, const char *name, struct dlq_tensor *out,
                    struct dlq_error *err);

int32_t
dlq_layer_param_replace(struct dlq_layer *layer, const char *name, const struct dlq_tensor *tensor,
                        struct dlq_error *err);

#endif // DLQ_CORE_PARAMS_H
