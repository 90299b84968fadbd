// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQUANT_PLUGIN_H
#define DLQUANT_PLUGIN_H

#include <dlquant/abi.h>
#include <dlquant/host.h>
#include <dlquant/status.h>
#include <dlquant/types.h>

#include <stddef.h>
#include <stdint.h>

/// What a plugin implements: one quantization method, as a shared object with one symbol.
///
/// The life of a layer, in order:
///   1. register          dlq_plugin_query() -> struct dlq_plugin, found by name
///   2. configure         config->create() from the checkpoint's JSON
///   3. choose            config->get_quant_method() for one layer: a method, none, or a reason
///   4. create weights    method->create_weights() declares parameters
///   5. load              the host slices each checkpoint tensor into its place
///   6. process           method->process_weights() repacks, once, after everything is loaded
///   7. apply             method->apply(): y = x W^T + b
///
/// Every struct begins with its size and is only ever appended to; ask for a member with DLQ_HAS.
/// The thread tags are explained in host.h.

DLQ_BEGIN_DECLS

/// How a layer is spread over ranks.
enum dlq_parallel_kind {
    DLQ_REPLICATED = 0,    ///< Whole on every rank
    DLQ_COLUMN = 1,        ///< Outputs are split
    DLQ_ROW = 2,           ///< Inputs are split
    DLQ_MERGED_COLUMN = 3, ///< Several layers side by side, outputs of each split
    DLQ_QKV = 4            ///< Query, key and value heads side by side, KV heads perhaps replicated
};

/// One logical part of a layer: a plain layer has one, a merged or QKV layer several.
struct dlq_part {
    uint32_t struct_size;  ///< Size of this struct as the host knows it
    int32_t replicas;      ///< Ranks that hold the same outputs of this part; 1 without replication
    const char *tag;       ///< "q", "k", "v", or the index in decimal
    const char *prefix;    ///< Dotted path of the part in the checkpoint, as q_proj of a qkv_proj
    int64_t full_offset;   ///< First output in a tensor that holds all parts, unsharded
    int64_t full_size;     ///< Outputs of the part, unsharded, replicas not counted
    int64_t local_offset;  ///< First output in this rank's parameters
    int64_t local_size;    ///< Outputs on this rank
    int64_t source_offset; ///< First output on this rank, counted inside the unsharded part
};

/// One tensor that the checkpoint holds for the layer, known from its header alone.
struct dlq_evidence {
    uint32_t struct_size; ///< Size of this struct as the host knows it
    int32_t part;         ///< Index of the part, or -1 when it stands at the layer's own path
    const char *name;     ///< Name after the path: "weight", "qweight", "weight_scale"
    uint32_t dtype;       ///< enum dlq_dtype
    int32_t ndim;         ///< 0 to DLQ_MAX_DIMS
    int64_t shape[DLQ_MAX_DIMS]; ///< Shape in the checkpoint, unsharded
};

/// Everything that a method may know of a layer. Never NULL, and valid as long as the layer.
struct dlq_layer_info {
    uint32_t struct_size;              ///< Size of this struct as the host knows it
    int32_t kind;                      ///< enum dlq_parallel_kind
    const char *prefix;                ///< Dotted path, as "model.layers.0.mlp.down_proj"
    const char *class_name;            ///< As "RowParallelLinear"; every layer is also a "Linear"
    int64_t input_size;                ///< K, unsharded
    int64_t output_size;               ///< N over all ranks, KV replicas counted
    int64_t ckpt_output_size;          ///< N in the checkpoint, replicas not counted
    int64_t input_size_per_partition;  ///< K of this rank
    int64_t output_size_per_partition; ///< N of this rank, the sum over the parts
    int64_t input_offset;              ///< First input of this rank
    /// tp_size + 1 values: rank r has [bounds[r], bounds[r + 1]). Where inputs are not split, 0 and
    /// then input_size throughout, so that no group is cut.
    const int64_t *input_bounds;
    const struct dlq_part *const *parts;        ///< n_parts pointers, in order of local_offset
    int32_t n_parts;                            ///< 1 or more
    int32_t n_evidence;                         ///< 0 when planning without a checkpoint
    const struct dlq_evidence *const *evidence; ///< n_evidence pointers
    int32_t tp_rank;                            ///< 0 to tp_size - 1
    int32_t tp_size;                            ///< 1 or more
    uint32_t params_dtype;                      ///< Dtype of unquantized weights
    uint32_t act_dtype;                         ///< Dtype of x and y: DLQ_F16, DLQ_BF16 or DLQ_F32
    struct dlq_device_info device;              ///< Where the layer runs
    int32_t has_bias;                           ///< 1 when the layer has a bias, fused or skipped
    int32_t reserved;                           ///< Zero
    int64_t max_m;                              ///< Largest M the engine plans for; 0 is unknown
};

/// One multiplication: y = x W^T + bias for m rows.
struct dlq_linear_call {
    uint32_t struct_size;  ///< Size of this struct as the host knows it
    uint32_t flags;        ///< Zero
    int64_t m;             ///< Rows of x and y, above 0; the host answers m = 0 itself
    const void *x;         ///< [m, K of this rank], act_dtype, on the layer's device
    int64_t x_stride;      ///< Elements from one row of x to the next
    void *y;               ///< [m, N of this rank], act_dtype; never overlaps x
    int64_t y_stride;      ///< Elements from one row of y to the next
    const float *bias;     ///< [N of this rank] to add in fp32 before the one rounding, or NULL
    void *stream;          ///< CUDA: cudaStream_t; CPU: NULL
    void *workspace;       ///< Scratch, 256-byte aligned, contents undefined
    size_t workspace_size; ///< At least workspace_size(m)
    const struct dlq_host *host; ///< For parallel_for(); nothing else of it in a [stream] function
};

/// How a method runs a layer, for people and planners.
struct dlq_explanation {
    uint32_t struct_size; ///< Size of this struct as the caller knows it
    uint32_t reserved;    ///< Zero
    char scheme[64];      ///< As "W4A16 asym g128"
    char kernel[96];      ///< As "wna16 avx512-vnni two-limb"
    char note[320];       ///< Padding, refinement, refused candidates; may be empty
    int64_t group;        ///< Elements of K that share a scale on this rank; 0 without groups
    int64_t padded_k;     ///< K the kernel computes
    int64_t padded_n;     ///< N the kernel computes
    int64_t weight_bytes; ///< Bytes of this rank's parameters after processing
};

/// A linear method: how the layers of one scheme are created, filled and applied.
/// `method` is the object that get_quant_method() made for one layer.
struct dlq_linear_method_ops {
    uint32_t struct_size; ///< Size of this struct as the plugin knows it
    uint32_t reserved;    ///< Zero

    /// Whether the layer can run: a pure function of shape, dtype and device facts. No weights, no
    /// GPU driver. DLQ_OK, or DLQ_EUNSUPPORTED, DLQ_ESHAPE or DLQ_EDTYPE with the reason.
    /// [any-thread]
    int32_t (*can_implement)(void *method, const struct dlq_host *host,
                             const struct dlq_layer_info *info, struct dlq_error *err);

    /// Declare every parameter with host->param_declare(). Called once, after can_implement().
    /// [setup]
    int32_t (*create_weights)(void *method, const struct dlq_host *host, struct dlq_layer *layer,
                              const struct dlq_layer_info *info, struct dlq_error *err);

    /// Repack, once, when every parameter is filled. NULL: nothing to do. On failure the layer can
    /// only be destroyed. [setup]
    int32_t (*process_weights)(void *method, const struct dlq_host *host, struct dlq_layer *layer,
                               const struct dlq_layer_info *info, struct dlq_error *err);

    /// Bytes of scratch that apply() needs for up to `max_m` rows. Grows with `max_m`. NULL: none.
    /// [any-thread]
    size_t (*workspace_size)(const void *method, int64_t max_m);

    /// y = x W^T + bias. DLQ_OK, or DLQ_EDEVICE with the launch error's number in `err->native`.
    /// Two calls on one layer may overlap when their streams and workspaces differ. [stream]
    int32_t (*apply)(const void *method, const struct dlq_linear_call *call, struct dlq_error *err);

    /// Write every member of `out` behind struct_size; nothing is there yet. Before
    /// process_weights() sizes are predictions. [any-thread]
    int32_t (*explain)(const void *method, const struct dlq_host *host,
                       const struct dlq_layer_info *info, struct dlq_explanation *out,
                       struct dlq_error *err);

    /// Free the method. Parameters belong to the host and are freed by it. [setup]
    void (*destroy)(void *method, const struct dlq_host *host);
};

/// The three answers of get_quant_method().
enum dlq_answer {
    DLQ_METHOD = 1,        ///< `ops` and `method` run the layer
    DLQ_NOT_QUANTIZED = 2, ///< The configuration leaves this layer alone
    DLQ_UNSUPPORTED = 3    ///< Quantized in a way that this plugin cannot run; the error says why
};

/// Which method a layer gets, and why.
struct dlq_decision {
    uint32_t struct_size;                    ///< Size of this struct as the host knows it
    int32_t answer;                          ///< enum dlq_answer
    const struct dlq_linear_method_ops *ops; ///< For DLQ_METHOD
    void *method;                            ///< For DLQ_METHOD; the host calls ops->destroy() once
    char scheme[64];                         ///< As "W8A8 int8 channel, dynamic token"
    char rule[448]; ///< The rule that decided, with its place in the config
};

/// A kind of device that a method runs on.
struct dlq_device_support {
    int32_t kind;           ///< enum dlq_device_kind
    int32_t min_capability; ///< Least struct dlq_device_info capability
};

/// A quantization configuration: from a checkpoint's JSON to a method per layer.
/// `ctx` is what open() returned; `config` is what create() returned.
struct dlq_quant_config_ops {
    uint32_t struct_size;                     ///< Size of this struct as the plugin knows it
    uint32_t act_dtypes;                      ///< Mask of enum dlq_act_dtypes
    const struct dlq_device_support *devices; ///< Devices, ended by a kind of 0
    const char *const *config_filenames;      ///< Files it may come from, ended by NULL

    /// Whether this plugin wants a checkpoint whose quant_method is another plugin's name, as
    /// awq_marlin takes "awq". `text` is the quantization section. 1 or 0; for 0 `err` has the
    /// reason. NULL: only its own names. [any-thread]
    int32_t (*claims)(void *ctx, const struct dlq_host *host, const char *quant_method,
                      const char *text, size_t len, const struct dlq_device_info *device,
                      struct dlq_error *err);

    /// Make a configuration from the UTF-8 JSON text of the quantization section; `len` 0 means
    /// that the checkpoint has none. Unknown names are a warning, wrong values an error. [setup]
    int32_t (*create)(void *ctx, const struct dlq_host *host, const char *text, size_t len,
                      void **config, struct dlq_error *err);

    /// The method for one layer. DLQ_OK with a filled `out` for all three answers; for
    /// DLQ_UNSUPPORTED `err` has the reason as well. Any other status is a failure. [setup]
    int32_t (*get_quant_method)(void *config, const struct dlq_host *host,
                                const struct dlq_layer_info *info, struct dlq_decision *out,
                                struct dlq_error *err);

    /// A line for people. Writes at most `size` bytes with the zero; returns what it would have
    /// written, as snprintf does. [any-thread]
    int32_t (*describe)(const void *config, char *buf, size_t size);

    /// Free the configuration; all methods made from it are gone by then. [setup]
    void (*destroy)(void *config, const struct dlq_host *host);
};

/// The descriptor of a plugin: static constant data behind dlq_plugin_query().
struct dlq_plugin {
    struct dlq_abi_header header; ///< Frozen; checked before anything else is read
    const char *name;             ///< [a-z0-9][a-z0-9_.-]{0,62}, no ".."
    const char *const *aliases;   ///< Other names it answers to, ended by NULL; may be NULL
    const char *version;          ///< Of the plugin, as "1.2.0"
    const char *note; ///< The JSON of the ELF note, made by DLQ_PLUGIN_NOTE; may be NULL

    /// Called once a process, before anything but dlq_plugin_query(), under a lock; after a failure
    /// again, when the plugin is next asked for. `*ctx` goes to the config functions; it lives
    /// until the process ends, there is no close(), and longer than `host`: nothing in it may come
    /// from host->alloc(). NULL: no context.
    int32_t (*open)(const struct dlq_host *host, void **ctx, struct dlq_error *err);

    const struct dlq_quant_config_ops *config; ///< Never NULL

    /// An optional feature by its id, or NULL when unknown. NULL: none at all. [any-thread]
    const void *(*get_extension)(void *ctx, const char *id);
};

/// The one symbol of a plugin: a pure function that returns static constant data.
typedef const struct dlq_plugin *(*dlq_plugin_query_fn)(void);

/// Name of the symbol, for dlsym().
#define DLQ_PLUGIN_SYMBOL "dlq_plugin_query"

/// Vendor name and type of the ELF note that lets a plugin be listed without running its code.
#define DLQ_NOTE_VENDOR "dlquant"
#define DLQ_NOTE_TYPE 1u

/// Define `symbol`, a string that holds `json`, and the ELF note with the same bytes. Use it once a
/// plugin, at file scope, and point struct dlq_plugin's `note` at the string:
///     DLQ_PLUGIN_NOTE(note, "{\"name\":\"mine\",\"abi\":[1,0]}");
/// Members: name, aliases, version, abi [major, minor], devices ("cpu", "cuda"), dtypes of
/// activations ("fp16", "bf16", "fp32"), archs of GPU code (as "sm_90a"), and in `claims` the
/// quant_methods besides the aliases that config->claims() wants to be asked about. Only name
/// is mandatory; dlquant-plugin-check compares all with the descriptor.
#define DLQ_PLUGIN_NOTE(symbol, json)                                                              \
    static const char symbol[] = json;                                                             \
    __attribute__((used, section(".note.dlquant"), aligned(4))) static const struct {              \
        uint32_t namesz, descsz, type;                                                             \
        char name[8];                                                                              \
        char desc[(sizeof(json) + 3) & ~(size_t)3];                                                \
    } dlq_note_##symbol = {8, sizeof(json), DLQ_NOTE_TYPE, DLQ_NOTE_VENDOR, json}

DLQ_END_DECLS

#endif // DLQUANT_PLUGIN_H
