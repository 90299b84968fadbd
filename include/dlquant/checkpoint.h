// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQUANT_CHECKPOINT_H
#define DLQUANT_CHECKPOINT_H

#include <dlquant/abi.h>
#include <dlquant/runtime.h>
#include <dlquant/status.h>
#include <dlquant/types.h>

#include <stddef.h>
#include <stdint.h>

/// A Hugging Face checkpoint folder as it is: configuration, index, safetensors mapped read-only.
/// Everything in it is untrusted and checked before it is used. Symbolic links are followed, as a
/// Hugging Face cache is made of them; names in an index may not leave the folder. Files must not
/// be changed in place while a checkpoint is open; replacing them by rename is safe.

DLQ_BEGIN_DECLS

typedef struct dlq_checkpoint dlq_checkpoint;

/// Flags of dlq_checkpoint_open().
enum dlq_checkpoint_flags {
    DLQ_CHECKPOINT_HEADERS_ONLY = 1 << 0, ///< Read headers, map no data; tensors have data = NULL
    DLQ_CHECKPOINT_NO_CONFIG = 1 << 1     ///< A folder without config.json is fine, as golden/ is
};

/// One tensor of a checkpoint. The strings and the data live as long as the checkpoint.
struct dlq_checkpoint_tensor {
    uint32_t struct_size; ///< Size of this struct as the library knows it
    uint32_t dtype;       ///< enum dlq_dtype
    const char *name;     ///< Full dotted name
    const char *file;     ///< File name inside the folder
    const void *data;     ///< Little-endian, row-major, perhaps unaligned; NULL: headers only
    uint64_t nbytes;      ///< Bytes of data
    uint64_t file_offset; ///< Of the first byte, from the start of the file
    int32_t ndim;         ///< 0 to DLQ_MAX_DIMS
    int32_t reserved;     ///< Zero
    int64_t shape[DLQ_MAX_DIMS]; ///< Elements along each dimension
};

/// Open a checkpoint: a folder, or one .safetensors file. Reads config.json, an index when there is
/// one, and every header; checks all of them. On success the caller owns `*out` until
/// dlq_checkpoint_close(). Its files stay mapped until then: one that was cut short or has grown is
/// found before a tensor of it is loaded, but who cuts it during a load ends the process, as with
/// any mapped file. Errors name file, tensor, expected and found. [any-thread] @since 1.0
DLQ_API int32_t
dlq_checkpoint_open(dlq_runtime *rt, const char *path, uint32_t flags, dlq_checkpoint **out,
                    struct dlq_error *err);

/// Unmap and free. NULL is a no-op. [setup] @since 1.0
DLQ_API void
dlq_checkpoint_close(dlq_checkpoint *ckpt);

/// Number of tensors. [any-thread] @since 1.0
DLQ_API size_t
dlq_checkpoint_n_tensors(const dlq_checkpoint *ckpt);

/// Tensor `index` in the order of names; NULL past the end. [any-thread] @since 1.0
DLQ_API const struct dlq_checkpoint_tensor *
dlq_checkpoint_tensor_at(const dlq_checkpoint *ckpt, size_t index);

/// The tensor of that full name, or NULL. [any-thread] @since 1.0
DLQ_API const struct dlq_checkpoint_tensor *
dlq_checkpoint_find(const dlq_checkpoint *ckpt, const char *name);

/// Index of the first tensor whose name is not before `prefix`: with tensor_at(), a walk over all
/// names that begin with it. [any-thread] @since 1.0
DLQ_API size_t
dlq_checkpoint_lower_bound(const dlq_checkpoint *ckpt, const char *prefix);

/// The text of config.json, or NULL. `len` may be NULL. [any-thread] @since 1.0
DLQ_API const char *
dlq_checkpoint_config(const dlq_checkpoint *ckpt, size_t *len);

/// The quantization section and where it came from.
struct dlq_quant_source {
    uint32_t struct_size;     ///< Size of this struct as the caller knows it
    int32_t inferred;         ///< 1 when `quant_method` was inferred from keys
    const char *quant_method; ///< Method's name, or "" for an unquantized checkpoint
    const char *text;         ///< JSON of the section, or NULL
    size_t len;               ///< Bytes of `text`
    const char *file;         ///< File it was found in, or NULL
    const char *pointer;      ///< JSON pointer inside the file, "" for the whole
};

/// Fill `out`; its strings live as long as the checkpoint. [any-thread] @since 1.0
DLQ_API int32_t
dlq_checkpoint_quant_source(const dlq_checkpoint *ckpt, struct dlq_quant_source *out,
                            struct dlq_error *err);

/// Line `index` of the trace: what was looked at, what hit, what was ignored and why; NULL past the
/// end. [any-thread] @since 1.0
DLQ_API const char *
dlq_checkpoint_trace(const dlq_checkpoint *ckpt, size_t index);

/// Tell the kernel that the data of one tensor will not be read again, so that loading a checkpoint
/// larger than memory keeps little of it resident. [any-thread] @since 1.0
DLQ_API void
dlq_checkpoint_release(const dlq_checkpoint *ckpt, const struct dlq_checkpoint_tensor *tensor);

DLQ_END_DECLS

#endif // DLQUANT_CHECKPOINT_H
