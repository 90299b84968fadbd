// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_TESTS_FAKE_PLUGIN_H
#define DLQ_TESTS_FAKE_PLUGIN_H

#include <dlquant/ext/row_split.h>
#include <dlquant/linear.h>
#include <dlquant/plugin.h>
#include <dlquant/runtime.h>

#include <stdatomic.h>
#include <stdbool.h>

/// Plugins that are tables of the test program: slow, exact on small integers, and as ill-behaved
/// as a test asks for.
///
/// "fake" runs what its configuration {"scheme": S, "group": g} says:
///   plain     weight [N, K]
///   packed_k  weight_packed I32 [N, K / 8], weight_scale [N, K / g], global_scale a part,
///             input_scale and weight_shape of all parts
///   act_order packed_k with weight_g_idx I32 [K] and scales that are not cut along K
///   packed_n  qweight I32 [K, N / 8], qzeros I32 [K / g, N / 8], scales [K / g, N]
/// Codes are 4 bits, lowest first; packed_k subtracts 8. Groups that a rank would cut are refined.
/// "unquantized" is the scheme plain.

/// What the plugins do wrong, and what they saw. All zero is good behaviour.
struct fake_knobs {
    int32_t answer;    ///< Instead of DLQ_METHOD
    int32_t get_fails; ///< Status of get_quant_method()
    int32_t can_fails; ///< Status of can_implement()
    int32_t create_fails;
    int32_t process_fails;
    int32_t apply_fails;
    int32_t explain_fails;
    bool silent;        ///< Fail without a message
    bool no_apply;      ///< A method table without apply()
    bool declares_bias; ///< create_weights() declares what belongs to the layer
    bool replaces_bias; ///< process_weights() drops what belongs to the layer
    bool plain_refuses; ///< "unquantized" has no method either
    bool repacks;       ///< process_weights() moves the weight to new memory
    /// Instead of the scheme's.
    int32_t (*apply)(const void *method, const struct dlq_linear_call *call, struct dlq_error *err);
    const struct dlq_ext_row_split *row_split; ///< The extension of that name
    size_t workspace;                          ///< Bytes for each row; apply() writes all of it
    const char *module_dir;  ///< Where the next runtime finds device modules; NULL: no files at all
    ptrdiff_t device_offset; ///< From an address of the device to where the method may touch it
    int32_t methods;         ///< Methods that exist
    int32_t configs;         ///< Configurations that exist
    atomic_int applied;      ///< Calls of apply()
};

extern struct fake_knobs fake;

extern const struct dlq_plugin fake_plugin;
extern const struct dlq_plugin fake_unquantized_plugin;

/// Take only fp16 on the CPU, or only CUDA: other plugins of the same method.
extern const struct dlq_plugin fake_fp16_plugin;
extern const struct dlq_plugin fake_cuda_plugin;

/// What a test of layers needs.
struct fake_world {
    dlq_runtime *rt;
    struct dlq_error err;
    char log[2048]; ///< Lines so far, each ended by a newline
};

/// Begin: good behaviour, a runtime that collects its warnings. Fails the test when it cannot.
void
fake_world_begin(struct fake_world *w);

/// End, and check that no method and no configuration is left.
void
fake_world_end(struct fake_world *w);

/// The defaults that tests of layers start from: x is fp32.
struct dlq_linear_desc
fake_desc(const char *prefix, int64_t k, int64_t n);

/// The same as rank `rank` of `size`.
struct dlq_linear_desc
fake_on_rank(struct dlq_linear_desc d, int32_t rank, int32_t size);

/// A QKV layer of 4 inputs.
struct dlq_linear_desc
fake_qkv_desc(int32_t heads, int32_t kv_heads, int32_t head_size);

typedef int32_t (*fake_create_fn)(dlq_runtime *rt, const struct dlq_linear_desc *desc,
                                  dlq_linear **out, struct dlq_error *err);

/// Create a layer, expecting success.
dlq_linear *
fake_made(struct fake_world *w, fake_create_fn create, const struct dlq_linear_desc *desc);

/// Create a layer, expecting that error and nothing left behind.
void
fake_refused(struct fake_world *w, fake_create_fn create, const struct dlq_linear_desc *desc,
             int32_t code, const char *text);

/// A plain merged layer of 4 + 2 outputs and 2 inputs.
dlq_linear *
fake_merged(struct fake_world *w, const char *prefix, uint32_t flags);

/// A row-major tensor of host memory; `cols` 0 means one dimension, `rows` 0 a scalar.
struct dlq_tensor
fake_tensor(uint32_t dtype, int64_t rows, int64_t cols, const void *data);

/// A runtime that knows these plugins and no files. `alloc` and `log` may be NULL.
int32_t
fake_runtime(const struct dlq_allocator *alloc,
             void (*log)(void *ctx, int32_t level, const char *line), void *log_ctx,
             dlq_runtime **out, struct dlq_error *err);

/// A configuration of "fake".
int32_t
fake_config(dlq_runtime *rt, const char *scheme, int64_t group, dlq_quant_config **out,
            struct dlq_error *err);

#endif // DLQ_TESTS_FAKE_PLUGIN_H
