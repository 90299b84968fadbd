// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_CT_H
#define DLQ_CT_H

#include "regex.h"

#include "../../kernels/linear_fp.h"
#include "../../kernels/pack/bits.h"

#include <dlquant/ext/inspect.h>
#include <dlquant/ext/kv_cache.h>
#include <dlquant/ext/row_split.h>
#include <dlquant/plugin.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// Types of the plugin "compressed-tensors". One scheme a file; see README.md.

struct dlq_fields;

enum ct_type { CT_INT, CT_FLOAT };

enum ct_strategy {
    CT_TENSOR,
    CT_CHANNEL,
    CT_GROUP,
    CT_TENSOR_GROUP,
    CT_BLOCK,
    CT_TOKEN,
    CT_ATTN_HEAD
};

enum ct_dynamic { CT_STATIC, CT_DYNAMIC, CT_LOCAL };

enum ct_actorder { CT_ORDER_NONE, CT_ORDER_WEIGHT, CT_ORDER_GROUP };

enum ct_scale { CT_SCALE_FLOAT, CT_SCALE_U8, CT_SCALE_E4M3 };

/// How one tensor is quantized.
struct ct_args {
    bool present;
    int32_t bits;
    enum ct_type type;
    bool symmetric;
    enum ct_strategy strategy;
    int64_t group;    ///< CT_GROUP and CT_TENSOR_GROUP: positive; else 0
    int64_t block[2]; ///< CT_BLOCK: rows, columns
    enum ct_dynamic dynamic;
    enum ct_actorder actorder;
    enum ct_scale scale;
};

enum ct_format {
    CT_FORMAT_NONE, ///< Absent: by the tensors
    CT_FORMAT_DENSE,
    CT_FORMAT_INT,
    CT_FORMAT_FLOAT,
    CT_FORMAT_NAIVE,
    CT_FORMAT_PACK,
    CT_FORMAT_NVFP4,
    CT_FORMAT_MXFP4,
    CT_FORMAT_MXFP8,
    CT_FORMAT_MIXED ///< Every group has its own
};

/// One entry of `targets` or `ignore`.
struct ct_pattern {
    const char *text;       ///< Of the JSON root
    struct ct_regex *regex; ///< For "re:"; NULL: an exact path or a class
    bool hit;               ///< Some layer matched it
};

struct ct_patterns {
    struct ct_pattern *items;
    size_t n;
};

/// One config group.
struct ct_group {
    const char *name;
    bool preset; ///< `name` is a preset, its value the targets
    enum ct_format format;
    struct ct_args weights;
    struct ct_args input;
    struct ct_args output;
    struct ct_patterns targets;
    bool attention; ///< Every target is an attention class: no concern of linear layers
};

struct ct_config {
    struct dlq_json *root; ///< Owner of the texts
    enum ct_format format;
    struct ct_group *groups; ///< In the order of the file
    size_t n_groups;
    struct ct_patterns ignore;
    struct ct_args kv_cache; ///< Validated, not applied to linear layers
    bool vllm_order;         ///< "targets": "vllm": the order of the file beats the kind of match
    bool fused_any;          ///< "fused": "any": one part decides for all
    bool packing_padded;     ///< "packing": "padded"
    bool packing_dense;      ///< "packing": "dense"
    bool asked;              ///< Some layer was asked for
};

// args.c, presets.c, config.c

/// Read quantization arguments from the object `node`; NULL: absent. `where` ends with '/'.
int32_t
ct_args_parse(const struct dlq_fields *parent, const char *where, const struct dlq_json *node,
              struct ct_args *out);

/// "int4 group 128 asym", "float8 token dynamic"
const char *
ct_args_describe(const struct ct_args *args, char *buf, size_t size);

/// Fill a group from a preset's name; false when there is none of that name.
bool
ct_preset_find(const char *name, struct ct_group *group);

/// Name of a format as files have it.
const char *
ct_format_name(enum ct_format format);

/// Read a format's name. `*out` stays as it is when the field is absent.
int32_t
ct_format_parse(const struct dlq_fields *fields, const char *key, enum ct_format *out);

/// Read an array of patterns.
int32_t
ct_patterns_parse(const struct dlq_fields *fields, const char *key, struct ct_patterns *out);

/// Parse and check the text of a quantization section into `config`, all zero before. The caller
/// clears it whatever the result is.
int32_t
ct_config_parse(const struct dlq_host *host, const char *text, size_t len, struct ct_config *config,
                struct dlq_error *err);

void
ct_config_clear(const struct dlq_host *host, struct ct_config *config);

extern const struct dlq_quant_config_ops ct_config_ops;

// kv_cache.c

/// Read kv_cache_scheme. A scheme that no cache knows is a warning, what is no scheme an error.
int32_t
ct_kv_cache_parse(const struct dlq_fields *fields, struct ct_args *out);

extern const struct dlq_ext_kv_cache ct_kv_cache;

// match.c

/// Which group a layer belongs to.
struct ct_match {
    const struct ct_group *group; ///< NULL: not quantized
    char rule[448];               ///< What decided, with its place in the file
};

/// Match a layer. DLQ_OK, or DLQ_EUNSUPPORTED with all parts in `err` when fused parts disagree.
/// Marks the patterns that match.
int32_t
ct_match_layer(struct ct_config *config, const struct dlq_host *host,
               const struct dlq_layer_info *info, struct ct_match *out, struct dlq_error *err);

// scheme.c

/// How a scheme stores a layer's codes.
enum ct_storage { CT_PLAIN, CT_PACKED };

struct ct_layer;

/// What a scheme does with a share of the rows of x, on the CPU. `call` has the ranges of the whole
/// rows, or the maxima of whole groups; results are enum dlq_k_result.
struct ct_split_ops {
    /// describe() of the row-split extension. Statistics are ranges, 2 a row, or with `measure` one
    /// maximum a group of the whole row.
    void (*describe)(const struct ct_layer *l, struct dlq_row_split *out);
    /// Maxima of the groups that x touches, max[m, groups]; used where ct_layer.shared_groups.
    void (*measure)(const struct ct_layer *l, const struct dlq_k_linear_call *call, float *max);
    /// Exact sums, and y of them; NULL: none.
    int (*accumulate)(const struct ct_layer *l, const struct dlq_k_linear_call *call,
                      int32_t *sums);
    int (*finish)(const struct ct_layer *l, const struct dlq_k_linear_call *call,
                  const int32_t *sums);
    /// quantize() below of the rows of a call, which are contiguous.
    int32_t (*quantize)(const struct ct_layer *l, const struct dlq_host *host,
                        const struct dlq_k_linear_call *call, void *codes, float *scales,
                        int32_t *zero_points, struct dlq_error *err);
};

/// What a scheme does. The functions are those of struct dlq_linear_method_ops with the layer's
/// object.
struct ct_scheme_ops {
    const char *name;
    int32_t (*can_implement)(struct ct_layer *l, const struct dlq_host *host,
                             const struct dlq_layer_info *info, struct dlq_error *err);
    int32_t (*create_weights)(struct ct_layer *l, const struct dlq_host *host,
                              struct dlq_layer *layer, const struct dlq_layer_info *info,
                              struct dlq_error *err);
    int32_t (*process_weights)(struct ct_layer *l, const struct dlq_host *host,
                               struct dlq_layer *layer, const struct dlq_layer_info *info,
                               struct dlq_error *err);
    size_t (*workspace_size)(const struct ct_layer *l, int64_t max_m);
    int32_t (*apply)(const struct ct_layer *l, const struct dlq_linear_call *call,
                     struct dlq_error *err);
    /// The kernels' product behind apply(): enum dlq_k_result. On the CPU only.
    int (*multiply)(const struct ct_layer *l, const struct dlq_k_linear_call *call);
    int32_t (*explain)(const struct ct_layer *l, const struct dlq_host *host,
                       const struct dlq_layer_info *info, struct dlq_explanation *out,
                       struct dlq_error *err);
    int32_t (*dequantize)(const struct ct_layer *l, const struct dlq_host *host,
                          const struct dlq_layer_info *info, float *weight, struct dlq_error *err);
    int32_t (*code_kind)(const struct ct_layer *l, int64_t *scales_per_row);
    int32_t (*quantize)(const struct ct_layer *l, const struct dlq_host *host,
                        const struct dlq_layer_info *info, const void *x, int64_t m, void *codes,
                        float *scales, int32_t *zero_points, struct dlq_error *err);
    int32_t (*accumulate)(const struct ct_layer *l, const struct dlq_layer_info *info,
                          const void *codes, const int32_t *zero_points, int64_t m, int32_t *acc);
    const struct ct_split_ops *split; ///< NULL: a share of a row is a row
    size_t size;                      ///< Of the scheme's object, which begins with struct ct_layer
    const struct ct_scheme_ops *gpu;  ///< The same scheme on a GPU
};

/// What every scheme's object begins with.
struct ct_layer {
    const struct ct_scheme_ops *ops;
    const struct ct_config *config;
    const struct ct_group *group;
    enum ct_storage storage;
    bool processed; ///< process_weights() has succeeded
    uint32_t act_dtype;
    int32_t n_threads; ///< Threads that workspaces are made for
    uint32_t cpu_flags;
    int64_t k;       ///< Inputs of this rank
    int64_t whole_k; ///< Inputs of all ranks
    /// Groups of activations, over all of K, where a rank cuts one; else 0.
    int64_t shared_groups;
    int64_t first_group; ///< The first of them that this rank's inputs touch
    int64_t own_groups;  ///< How many they touch
};

extern const struct ct_scheme_ops ct_scheme_wna16;
extern const struct ct_scheme_ops ct_scheme_wna8;
extern const struct ct_scheme_ops ct_scheme_w8a8_int8;
extern const struct ct_scheme_ops ct_scheme_fp;

/// How the fp kernels would quantize activations; false when they cannot.
bool
ct_fp_activation(const struct ct_args *input, enum dlq_k_fp_activation *out);

/// The scheme for a group's layer, or NULL with the reason in `why`. `storage` is how its codes are
/// stored.
const struct ct_scheme_ops *
ct_scheme_choose(const struct ct_group *group, enum ct_storage storage, char *why, size_t size);

/// How the layer's codes are stored: by the headers, else by the format.
enum ct_storage
ct_storage_of(const struct ct_group *group, enum ct_format top, const struct dlq_layer_info *info);

/// "W4A16 asym g128", "W8A8 int8 channel, dynamic token"
const char *
ct_scheme_describe(const struct ct_group *group, char *buf, size_t size);

/// The dtype of part tensors of that name in the headers, which holds the values of every part; or
/// `otherwise`.
uint32_t
ct_evidence_dtype(const struct dlq_layer_info *info, const char *name, uint32_t otherwise);

/// DLQ_EUNSUPPORTED naming what is missing unless every part whose headers are known has each of
/// the tensors `names`, ended by NULL.
int32_t
ct_require_tensors(const struct dlq_host *host, const struct dlq_layer_info *info,
                   const char *const *names, struct dlq_error *err);

/// Whether codes are packed in words, and the name of their parameter.
bool
ct_is_packed(const struct ct_layer *l);
const char *
ct_codes_name(const struct ct_layer *l);

/// Dense or padded words, by the width of weight_packed in the headers; DLQ_BITS_EITHER where it
/// fits both and the configuration does not say which.
int32_t
ct_find_layout(const struct ct_layer *l, const struct dlq_host *host,
               const struct dlq_layer_info *info, enum dlq_bits_layout *out, struct dlq_error *err);

/// Let dimension `dim` of a descriptor count words of codes.
void
ct_pack_along(struct dlq_param_desc *desc, int32_t dim, int32_t bits, enum dlq_bits_layout layout);

/// Declare the codes: weight_packed int32 [N, words of K] or weight int8 [N, K].
int32_t
ct_declare_codes(const struct ct_layer *l, const struct dlq_host *host, struct dlq_layer *layer,
                 const struct dlq_layer_info *info, enum dlq_bits_layout layout,
                 struct dlq_error *err);

/// Declare a parameter with one value an output, [N, 1] or [N]; for strategy tensor one a part.
int32_t
ct_declare_per_output(const struct ct_layer *l, const struct dlq_host *host,
                      struct dlq_layer *layer, const struct dlq_layer_info *info, const char *name,
                      uint32_t dtype, uint32_t flags, struct dlq_error *err);

/// Declare one value for the whole layer; parts must agree, the host compares them.
int32_t
ct_declare_single(const struct dlq_host *host, struct dlq_layer *layer, const char *name,
                  uint32_t dtype, uint32_t flags, struct dlq_error *err);

/// A view of a loaded parameter.
int32_t
ct_param(const struct dlq_host *host, struct dlq_layer *layer, const char *name,
         struct dlq_tensor *out, struct dlq_error *err);

/// The same in host memory, for parameters that are small: where the layer is on a GPU, `*copy`
/// becomes what dlq_host_free() has to free, else NULL.
int32_t
ct_host_param(const struct dlq_host *host, struct dlq_layer *layer,
              const struct dlq_layer_info *info, const char *name, struct dlq_tensor *out,
              void **copy, struct dlq_error *err);

/// The value of a fp32 parameter of ct_declare_single(), which must be positive: a static scale of
/// 0 was never calibrated.
int32_t
ct_read_positive(const struct dlq_host *host, struct dlq_layer *layer,
                 const struct dlq_layer_info *info, const char *name, float *out,
                 struct dlq_error *err);

/// Declare weight_shape, which says nothing that is not known: read, never used.
int32_t
ct_declare_shape(const struct dlq_host *host, struct dlq_layer *layer, struct dlq_error *err);

// method.c

extern const struct dlq_linear_method_ops ct_method_ops;

/// apply() of every scheme on the CPU.
int32_t
ct_cpu_apply(const struct ct_layer *l, const struct dlq_linear_call *call, struct dlq_error *err);
extern const struct dlq_ext_inspect ct_inspect;

// row_split.c

extern const struct dlq_ext_row_split ct_row_split;

/// A call that reads m contiguous rows.
static inline struct dlq_k_linear_call
ct_rows_call(const struct ct_layer *l, const void *x, int64_t m)
{
    const struct dlq_k_linear_call call = {
        .m = m, .x = x, .x_stride = l->k, .x_dtype = l->act_dtype};
    return call;
}

/// quantize_split() of the inspect extension.
int32_t
ct_quantize_split(const void *method, const struct dlq_host *host,
                  const struct dlq_layer_info *info, const void *x, int64_t m, const float *stats,
                  int32_t ranks, void *codes, float *scales, int32_t *zero_points,
                  struct dlq_error *err);

#endif // DLQ_CT_H
