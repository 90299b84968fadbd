// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQUANT_HOST_H
#define DLQUANT_HOST_H

#include <dlquant/abi.h>
#include <dlquant/status.h>
#include <dlquant/types.h>

#include <stddef.h>
#include <stdint.h>

/// What a host gives to a plugin: log, memory, JSON, parameters, threads.
///
/// A plugin links nothing of the host; this table is all it has. The table is valid for the call
/// that passes it and for the life of every object created in that call. open() must not keep it.
///
/// Thread tags, last line of each comment:
///   [setup]      one thread at a time for one runtime
///   [any-thread] any thread, any number at once
///   [per-layer]  never two calls on one layer at once
///   [stream]     only enqueues or computes: no allocation, lock, log, synchronisation, device
///                switch or environment read; capturable in a CUDA graph

DLQ_BEGIN_DECLS

struct dlq_layer; // One linear layer, as its method sees it; owned by the host
struct dlq_json;  // One node of a parsed JSON text; owned by its root

/// Levels of a log line.
enum dlq_log_level {
    DLQ_LOG_ERROR = 0, ///< Something failed that the engine did not ask for
    DLQ_LOG_WARN = 1,  ///< A result may surprise
    DLQ_LOG_INFO = 2,  ///< One line a plugin, a checkpoint
    DLQ_LOG_DEBUG = 3  ///< Details
};

/// Types of a JSON node.
enum dlq_json_type {
    DLQ_JSON_NULL = 0,   ///< null
    DLQ_JSON_BOOL = 1,   ///< true, false
    DLQ_JSON_INT = 2,    ///< A number without fraction and exponent that fits int64_t
    DLQ_JSON_REAL = 3,   ///< Any other number
    DLQ_JSON_STRING = 4, ///< UTF-8, may hold zero bytes
    DLQ_JSON_ARRAY = 5,  ///< Elements by index
    DLQ_JSON_OBJECT = 6  ///< Members by name, or by index in the order of the file
};

/// Flags of struct dlq_param_desc.
enum dlq_param_flags {
    DLQ_PARAM_REPLICATED = 1 << 0,    ///< Every rank and every part holds the whole tensor
    DLQ_PARAM_OPTIONAL = 1 << 1,      ///< May stay unfilled
    DLQ_PARAM_SENTINEL = 1 << 2,      ///< Filled with `fill` until loaded
    DLQ_PARAM_ACCEPT_0D = 1 << 3,     ///< A 0-d checkpoint tensor stands for shape [1]
    DLQ_PARAM_CAST = 1 << 4,          ///< Numeric cast from another dtype is allowed on load
    DLQ_PARAM_LAST_WRITE_OK = 1 << 5, ///< May be written more than once; the last one stays
    DLQ_PARAM_FINITE = 1 << 6,        ///< A NaN or an infinity is an error that names its index
    DLQ_PARAM_ACCEPT_1D = 1 << 7,     ///< A checkpoint tensor [n] stands for [n, 1]
    DLQ_PARAM_LSB_FIRST = 1 << 8      ///< A cut inside a word of packed_dim is repacked; see below
};

/// A parameter as a method declares it, and how the layer shards it.
///
/// Sizes are those of this rank. Along each dimension a stored element stands for `block` logical
/// elements (the group size for group scales, 128 for block scales, 1 for weights), and along
/// `packed_dim` a stored word holds `pack_num / pack_den` of those. The host does all slicing;
/// a cut that falls inside a word or a block is an error, never a floor.
///
/// With DLQ_PARAM_LSB_FIRST elements of `pack_bits` bits lie along `packed_dim` in plain order from
/// the least significant bit of 32-bit words up: one bit string where pack_num * pack_bits is 32 *
/// pack_den (4 bits: 8/1; 3 bits: 32/3, some straddling two words), else floor(32 / pack_bits) a
/// word and the top of each word zero (3 bits: 10/1). A cut inside a word is then repacked: the
/// dimension has as many words as this rank's elements begin, its parts follow each other without
/// a gap, in the checkpoint too where they are fused, and the bits behind the last are zero. Any
/// other order in a word, AWQ's for one, must not have the flag, nor may DLQ_PARAM_CAST,
/// DLQ_PARAM_SENTINEL or a tile go with it.
struct dlq_param_desc {
    uint32_t struct_size;        ///< Size of this struct as the plugin knows it
    uint32_t flags;              ///< Mask of enum dlq_param_flags
    const char *name;            ///< Name in the checkpoint, after the layer's path; copied
    uint32_t dtype;              ///< Storage dtype, enum dlq_dtype
    int32_t ndim;                ///< 0 to DLQ_MAX_DIMS
    int64_t shape[DLQ_MAX_DIMS]; ///< Storage shape of this rank
    int32_t output_dim;          ///< Dimension that follows the outputs N, or -1
    int32_t input_dim;           ///< Dimension that follows the inputs K, or -1
    int32_t packed_dim;          ///< Dimension whose units are words, or -1
    int32_t pack_num;            ///< Elements of a word: numerator; 1 without packing
    int32_t pack_den;            ///< Elements of a word: denominator; 3-bit words have 32/3
    int32_t slot_count;          ///< 0, or the number of parts: a part fills one element of dim 0
    int64_t block[DLQ_MAX_DIMS]; ///< Logical elements per stored element; 0 counts as 1
    int64_t ckpt_block[DLQ_MAX_DIMS]; ///< The checkpoint's block where `block` refines it; 0: equal
    int32_t tile;      ///< Storage units per logical unit after packing; 0 counts as 1
    int32_t pack_bits; ///< DLQ_PARAM_LSB_FIRST: bits; 0: floor(32 * pack_den / pack_num). Else zero
    double fill;       ///< Value for DLQ_PARAM_SENTINEL
};

/// What is known of one device. It is a member of struct dlq_layer_info, so that nothing is ever
/// appended to it: what is learnt later of a device goes into an extension.
struct dlq_device_info {
    uint32_t struct_size;     ///< Size of this struct as the caller knows it
    uint32_t cpu_flags;       ///< CPU: mask of enum dlq_cpu_flags; else 0
    struct dlq_device device; ///< The device
    int32_t capability;       ///< CUDA: major * 10 + minor; CPU: 0
    int32_t multiprocessors;  ///< CUDA: streaming multiprocessors; CPU: cores of this process
    uint64_t memory_bytes;    ///< Total memory of the device
    char name[64];            ///< For people
};

/// The services of a host. Members are never NULL in a host of ABI 1.0 unless said so.
struct dlq_host {
    uint32_t struct_size; ///< Size of this struct as the host knows it
    uint16_t abi_major;   ///< DLQ_ABI_MAJOR of the host
    uint16_t abi_minor;   ///< DLQ_ABI_MINOR of the host
    void *ctx;            ///< First argument of the functions that take `ctx`

    /// Hand over one finished line, without a newline. Copied. [any-thread]
    void (*log)(void *ctx, int32_t level, const char *line);

    /// Write `code` and a formatted message to `err`, which may be NULL, and return `code`.
    /// [any-thread]
    int32_t (*fail)(struct dlq_error *err, int32_t code, const char *fmt, ...) DLQ_PRINTF(3, 4);

    /// `size` bytes of memory of `device`, aligned to `align` (a power of two), or NULL.
    /// The caller owns them until free(). A size of 0 gives a pointer that must be freed too.
    /// [any-thread], never in a [stream] function
    void *(*alloc)(void *ctx, struct dlq_device device, size_t size, size_t align);

    /// Give back what alloc() gave for the same device; NULL is a no-op. [any-thread]
    void (*free)(void *ctx, struct dlq_device device, void *ptr);

    /// Facts of a device. DLQ_EDEVICE when there is none. [any-thread]
    int32_t (*device_info)(void *ctx, struct dlq_device device, struct dlq_device_info *out);

    /// Parse `len` bytes of UTF-8 JSON; duplicate names and excessive depth are errors that give
    /// line and column. On success the caller owns `*out` until json_free(). [any-thread]
    int32_t (*json_parse)(void *ctx, const char *text, size_t len, struct dlq_json **out,
                          struct dlq_error *err);

    /// Free a root from json_parse(); every node under it goes with it. NULL is a no-op.
    /// [any-thread]
    void (*json_free)(void *ctx, struct dlq_json *root);

    /// The node at a JSON pointer (RFC 6901) below `node`, "" for itself; NULL when it does not
    /// exist or `node` is NULL. [any-thread]
    const struct dlq_json *(*json_get)(const struct dlq_json *node, const char *pointer);

    /// enum dlq_json_type of a node; DLQ_JSON_NULL for NULL. [any-thread]
    int32_t (*json_type)(const struct dlq_json *node);

    /// Elements of an array, members of an object, 0 for the rest. [any-thread]
    size_t (*json_size)(const struct dlq_json *node);

    /// Element, or value of the member, at `index` in the order of the file; NULL past the end.
    /// [any-thread]
    const struct dlq_json *(*json_at)(const struct dlq_json *node, size_t index);

    /// Name of the member at `index` in the order of the file; NULL past the end. [any-thread]
    const char *(*json_key)(const struct dlq_json *node, size_t index);

    /// Integer value. DLQ_EDTYPE when the node is no DLQ_JSON_INT; `*out` is then untouched.
    /// [any-thread]
    int32_t (*json_i64)(const struct dlq_json *node, int64_t *out);

    /// Numeric value. DLQ_EDTYPE when the node is no number; `*out` is then untouched. [any-thread]
    int32_t (*json_f64)(const struct dlq_json *node, double *out);

    /// Truth value, 0 or 1. DLQ_EDTYPE when the node is no DLQ_JSON_BOOL. [any-thread]
    int32_t (*json_bool)(const struct dlq_json *node, int32_t *out);

    /// Zero-terminated text that lives as long as the root. DLQ_EDTYPE when the node is no string.
    /// `len` may be NULL. [any-thread]
    int32_t (*json_str)(const struct dlq_json *node, const char **out, size_t *len);

    /// Declare a parameter of the layer and allocate its storage on the layer's device. Only inside
    /// create_weights(). The descriptor is copied and never changes again. [setup]
    int32_t (*param_declare)(struct dlq_layer *layer, const struct dlq_param_desc *desc,
                             struct dlq_error *err);

    /// A view of a parameter's present storage. DLQ_ENOTFOUND for an unknown name and for a
    /// parameter that was dropped or, being optional, was never loaded. [setup]
    int32_t (*param_get)(struct dlq_layer *layer, const char *name, struct dlq_tensor *out,
                         struct dlq_error *err);

    /// Put `tensor`, whose data came from alloc() on the layer's device, in the place of a
    /// parameter's storage; the host frees the old storage and owns the new. `tensor` NULL drops
    /// the storage. The descriptor stays. Only inside process_weights(). [setup]
    int32_t (*param_replace)(struct dlq_layer *layer, const char *name,
                             const struct dlq_tensor *tensor, struct dlq_error *err);

    /// Run `fn(arg, 0)` to `fn(arg, n_tasks - 1)`, on up to n_threads() threads, and return when
    /// all are done. Which thread runs which task, and in which order, is not defined. [stream]
    void (*parallel_for)(void *ctx, int32_t n_tasks, void (*fn)(void *arg, int32_t task),
                         void *arg);

    /// Threads that parallel_for() uses at most, 1 or more. [any-thread]
    int32_t (*n_threads)(void *ctx);

    /// An optional service by its id ("dlq.<name>/<rev>"), or NULL when unknown. [any-thread]
    const void *(*get_extension)(void *ctx, const char *id);
};

DLQ_END_DECLS

#endif // DLQUANT_HOST_H
