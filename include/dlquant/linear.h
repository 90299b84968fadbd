// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQUANT_LINEAR_H
#define DLQUANT_LINEAR_H

#include <dlquant/abi.h>
#include <dlquant/checkpoint.h>
#include <dlquant/collective.h>
#include <dlquant/plugin.h>
#include <dlquant/runtime.h>
#include <dlquant/status.h>
#include <dlquant/types.h>

#include <stddef.h>
#include <stdint.h>

/// Tensor-parallel linear layers: y[m, n] = sum over k of x[m, k] W[n, k], plus b[n].
///
/// create -> load every tensor -> process -> apply. A layer never knows which method it runs.

DLQ_BEGIN_DECLS

typedef struct dlq_layer dlq_linear;

/// Flags of struct dlq_linear_desc.
enum dlq_linear_flags {
    DLQ_LINEAR_BIAS = 1 << 0,          ///< The layer has a bias
    DLQ_LINEAR_SKIP_BIAS_ADD = 1 << 1, ///< The bias is returned, not added
    DLQ_LINEAR_GATHER_OUTPUT = 1 << 2, ///< Column: y is gathered, in part order, on every rank
    DLQ_LINEAR_INPUT_IS_FULL = 1 << 3, ///< Row: x has all K and is cut here; else x is this rank's
    DLQ_LINEAR_NO_REDUCE = 1 << 4,     ///< Row: y stays this rank's partial sum
    DLQ_LINEAR_REDUCE_FP32 = 1 << 5,   ///< Row: partial sums are added in fp32
    DLQ_LINEAR_DISABLE_TP = 1 << 6,    ///< As rank 0 of 1, whatever the group is
    DLQ_LINEAR_PLAN = 1 << 7           ///< Ask and declare only: no memory, nothing can be loaded
};

/// Where ranks are cut, for sizes that need not divide by their number. The size of a layer that is
/// split, outputs of each part or inputs, is `bounds[ranks]` equal units, of which rank r has
/// [bounds[r], bounds[r + 1]), one at least. A column layer and the row layer behind it share one
/// partition: gate, up and down cut the same intermediate size, and what q, k and v give, o takes.
///
/// The unit is what must not be cut: a head, a word, a group of scales. Where it cuts a group or a
/// word all the same, these are refined and repacked as in even cuts. In a QKV layer it is one or
/// more KV heads with their query heads; or, to have more ranks than KV heads, one or more query
/// heads of one KV head, which is then on all their ranks.
struct dlq_partition {
    uint32_t struct_size;  ///< Size of this struct
    int32_t ranks;         ///< As in the layer
    const int64_t *bounds; ///< ranks + 1 values from 0 upwards
};

/// Fill the ranks + 1 `bounds` so that the numbers of units differ by one at most, the larger ones
/// first. DLQ_ESHAPE when a rank would have none. [any-thread] @since 1.0
DLQ_API int32_t
dlq_partition_spread(int64_t units, int32_t ranks, int64_t *bounds, struct dlq_error *err);

/// The same for the heads of attention, for the QKV layer and the row layer behind it. Up to
/// `kv_heads` ranks the unit is a KV head with its query heads. Beyond, it is a query head: the
/// ranks are spread over the KV heads, and the query heads of each over its ranks. DLQ_ESHAPE
/// names the heads that a rank would be without. [any-thread] @since 1.0
DLQ_API int32_t
dlq_partition_spread_heads(int32_t heads, int32_t kv_heads, int32_t ranks, int64_t *bounds,
                           struct dlq_error *err);

/// How to make a layer, of at most 2^48 weights. Zeroes are the defaults of the field: no bias, x
/// of a row layer already split, y of a row layer summed, y of a column layer not gathered. All of
/// it is read while the layer is made; only `config` and what `collective` calls have to outlive
/// the layer.
struct dlq_linear_desc {
    uint32_t struct_size;          ///< Size of this struct
    uint32_t flags;                ///< Mask of enum dlq_linear_flags
    const char *prefix;            ///< Dotted path in the checkpoint; may be "" for none
    int64_t input_size;            ///< K, unsharded
    int64_t output_size;           ///< N, unsharded; 0 where output_sizes or heads give it
    const int64_t *output_sizes;   ///< Merged, and column with several parts: N of each part
    int32_t n_output_sizes;        ///< Number of output_sizes
    int32_t head_size;             ///< QKV: width of a query and key head
    int32_t v_head_size;           ///< QKV: width of a value head; 0: head_size
    int32_t total_num_heads;       ///< QKV: query heads
    int32_t total_num_kv_heads;    ///< QKV: key/value heads; 0: as many as query heads
    uint32_t params_dtype;         ///< Dtype of unquantized weights; 0: act_dtype
    uint32_t act_dtype;            ///< Dtype of x and y
    struct dlq_device device;      ///< kind 0: the CPU
    int32_t tp_rank;               ///< With tp_size above 0: instead of the collective's
    int32_t tp_size;               ///< 0: the collective's
    int64_t max_m;                 ///< Largest M planned for; 0: unknown
    const char *const *part_names; ///< Last path component of each part, ended by NULL; NULL: by
                                   ///< the default mapping (qkv_proj, gate_up_proj)
    dlq_quant_config *config;      ///< NULL: unquantized
    const struct dlq_collective *collective; ///< NULL: dlq_collective_self()
    const dlq_checkpoint *evidence;          ///< Headers for the method's decision; NULL: none
    const struct dlq_partition *partition;   ///< NULL: equal shares
};

/// Make a layer that is whole on every rank. With output_sizes it has several parts.
/// On success the caller owns `*out` until dlq_linear_destroy(). Fails, naming layer, part and
/// sizes, when anything cannot work; nothing is left behind. [setup] @since 1.0
DLQ_API int32_t
dlq_linear_replicated_create(dlq_runtime *rt, const struct dlq_linear_desc *desc, dlq_linear **out,
                             struct dlq_error *err);

/// Make a layer whose outputs are split. With output_sizes each part is split by itself. As above.
/// [setup] @since 1.0
DLQ_API int32_t
dlq_linear_column_create(dlq_runtime *rt, const struct dlq_linear_desc *desc, dlq_linear **out,
                         struct dlq_error *err);

/// Make a layer whose inputs are split; the bias is added on rank 0, before the sum. As above.
/// [setup] @since 1.0
DLQ_API int32_t
dlq_linear_row_create(dlq_runtime *rt, const struct dlq_linear_desc *desc, dlq_linear **out,
                      struct dlq_error *err);

/// Make several column-parallel layers side by side: gate_up_proj and friends. As above. [setup]
/// @since 1.0
DLQ_API int32_t
dlq_linear_merged_create(dlq_runtime *rt, const struct dlq_linear_desc *desc, dlq_linear **out,
                         struct dlq_error *err);

/// Make query, key and value projections side by side, KV heads replicated when there are more
/// ranks than KV heads. As above. [setup] @since 1.0
DLQ_API int32_t
dlq_linear_qkv_create(dlq_runtime *rt, const struct dlq_linear_desc *desc, dlq_linear **out,
                      struct dlq_error *err);

/// Free a layer and its parameters. NULL is a no-op. [setup] @since 1.0
DLQ_API void
dlq_linear_destroy(dlq_linear *layer);

/// Which part of a merged layer a checkpoint tensor is.
struct dlq_part_id {
    const char *tag; ///< "q", "k", "v" or a decimal index; NULL: by first and last
    int32_t first;   ///< Index of the first part, or -1 for all parts, fused on disk
    int32_t last;    ///< Index of the last part, the first included
};

/// All parts, fused on disk; also the id for a layer of one part.
static inline struct dlq_part_id
dlq_part_fused(void)
{
    struct dlq_part_id id = {0, -1, -1};
    return id;
}

/// Part `index`.
static inline struct dlq_part_id
dlq_part_index(int32_t index)
{
    struct dlq_part_id id = {0, 0, 0};
    id.first = index;
    id.last = index;
    return id;
}

/// Parts `first` to `last`, fused on disk.
static inline struct dlq_part_id
dlq_part_range(int32_t first, int32_t last)
{
    struct dlq_part_id id = {0, 0, 0};
    id.first = first;
    id.last = last;
    return id;
}

/// The part of that tag.
static inline struct dlq_part_id
dlq_part_tag(const char *tag)
{
    struct dlq_part_id id = {0, 0, 0};
    id.tag = tag;
    return id;
}

/// Load one unsharded checkpoint tensor (host memory, row-major) into parameter `name`: this rank's
/// share is cut out and put in its place. The memory may be reused on return. A failure leaves the
/// parameter's slot unfilled. DLQ_ENOTFOUND: no such parameter. [setup] @since 1.0
DLQ_API int32_t
dlq_linear_load_tensor(dlq_linear *layer, const char *name, struct dlq_part_id part,
                       const struct dlq_tensor *tensor, struct dlq_error *err);

/// Load everything that the checkpoint holds at the layer's path and its parts' paths. Tensors that
/// no parameter wants are a warning. The layer needs the checkpoint no longer. [setup] @since 1.0
DLQ_API int32_t
dlq_linear_load_checkpoint(dlq_linear *layer, const dlq_checkpoint *ckpt, struct dlq_error *err);

/// Whether every slot of every parameter was written exactly once; DLQ_EINCOMPLETE lists the
/// missing parameters and parts. [setup] @since 1.0
DLQ_API int32_t
dlq_linear_check_loaded(const dlq_linear *layer, struct dlq_error *err);

/// Check that everything is loaded, then let the method repack. Once; a second call is DLQ_ESTATE.
/// [setup] @since 1.0
DLQ_API int32_t
dlq_linear_process(dlq_linear *layer, struct dlq_error *err);

/// Bytes of workspace that dlq_linear_apply() needs for up to `max_m` rows. [any-thread] @since 1.0
DLQ_API size_t
dlq_linear_workspace_size(const dlq_linear *layer, int64_t max_m);

/// One multiplication.
struct dlq_linear_io {
    uint32_t struct_size;  ///< Size of this struct
    uint32_t flags;        ///< DLQ_LINEAR_NO_REDUCE: leave out the sum of this call
    int64_t m;             ///< Rows; 0 returns at once, on every rank
    const void *x;         ///< [m, K] or [m, K of this rank], act_dtype
    int64_t x_stride;      ///< Elements from row to row; 0: contiguous
    void *y;               ///< [m, N of this rank] or, gathered, [m, N]; act_dtype
    int64_t y_stride;      ///< Elements from row to row; 0: contiguous
    void *stream;          ///< CUDA: cudaStream_t; CPU: NULL
    void *workspace;       ///< 256-byte aligned scratch; may be NULL when the size is 0
    size_t workspace_size; ///< At least dlq_linear_workspace_size(layer, m)
};

/// y = x W^T + b, with the layer's communication. No allocation. [stream] @since 1.0
DLQ_API int32_t
dlq_linear_apply(dlq_linear *layer, const struct dlq_linear_io *io, struct dlq_error *err);

/// The bias that the caller has to add, DLQ_F32, as wide as y; DLQ_ENOTFOUND when there is none.
/// [any-thread] @since 1.0
DLQ_API int32_t
dlq_linear_get_skipped_bias(const dlq_linear *layer, struct dlq_tensor *out, struct dlq_error *err);

/// Facts of a layer. Lives as long as the layer. [any-thread] @since 1.0
DLQ_API const struct dlq_layer_info *
dlq_linear_info(const dlq_linear *layer);

/// Columns of y as dlq_linear_apply() writes it: N gathered or not split, else N of this rank.
/// [any-thread] @since 1.0
DLQ_API int64_t
dlq_linear_y_size(const dlq_linear *layer);

/// Columns of x as dlq_linear_apply() reads it. [any-thread] @since 1.0
DLQ_API int64_t
dlq_linear_x_size(const dlq_linear *layer);

/// Canonical name of the method that runs the layer. [any-thread] @since 1.0
DLQ_API const char *
dlq_linear_method_name(const dlq_linear *layer);

/// The decision behind the layer's method: answer, scheme and rule. [any-thread] @since 1.0
DLQ_API const struct dlq_decision *
dlq_linear_decision(const dlq_linear *layer);

/// How the method runs the layer. [any-thread] @since 1.0
DLQ_API int32_t
dlq_linear_explain(const dlq_linear *layer, struct dlq_explanation *out, struct dlq_error *err);

/// Parameter `index`: its descriptor and a view of its storage (data NULL when it has none).
/// DLQ_ENOTFOUND past the end. [setup] @since 1.0
DLQ_API int32_t
dlq_linear_param_at(const dlq_linear *layer, size_t index, const struct dlq_param_desc **desc,
                    struct dlq_tensor *view, struct dlq_error *err);

/// Bytes of memory that the layer's parameters hold now. [setup] @since 1.0
DLQ_API uint64_t
dlq_linear_param_bytes(const dlq_linear *layer);

/// A line for people; returns as snprintf does. [any-thread] @since 1.0
DLQ_API int32_t
dlq_linear_describe(const dlq_linear *layer, char *buf, size_t size);

/// An extension of the layer's plugin and the layer's method object to call it with; NULL when the
/// plugin has no such extension. [any-thread] @since 1.0
DLQ_API const void *
dlq_linear_extension(const dlq_linear *layer, const char *id, void **method);

DLQ_END_DECLS

#endif // DLQUANT_LINEAR_H
