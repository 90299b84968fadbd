// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_CORE_SAFETENSORS_H
#define DLQ_CORE_SAFETENSORS_H

#include "file.h"

#include <dlquant/checkpoint.h>

#include <stddef.h>
#include <stdint.h>

/// The safetensors format:
///
///     8 bytes              L bytes                        the rest
///     +------------------+------------------------------+--------------------------------+
///     | L, little-endian | {"name":{"dtype":"F16",      | tensors side by side, without  |
///     | u64              |   "shape":[2,3],             | gaps, in any order; offsets    |
///     |                  |   "data_offsets":[0,12]},... | count from the first byte here |
///     +------------------+------------------------------+--------------------------------+
///
/// Files are untrusted. Checks and the names of their errors follow the format's own library, in
/// its order; a message reads "<file>: <error name>: <tensor, expected, found>". Stricter than that
/// library: a name that occurs twice is refused, and so are more dimensions than DLQ_MAX_DIMS.

/// Longest header.
#define DLQ_SAFETENSORS_MAX_HEADER 100000000u

/// Largest size along a dimension, from the format's JSON schema.
#define DLQ_SAFETENSORS_MAX_DIM ((UINT64_C(1) << 48) - 1)

/// The tensors of one file in the order of their names. `data` is NULL, `file` the name that was
/// given, `file_offset` counts from the start of the file.
struct dlq_safetensors {
    struct dlq_checkpoint_tensor *tensors;
    size_t n;
    size_t capacity;
    char *header; ///< Holds the names
};

/// Read and check the header of an open file. `name` goes into messages and must live as long as
/// `out`. Bounded by the header: time by n log n, memory by a small multiple of its length.
int32_t
dlq_safetensors_read(const struct dlq_allocator *a, const struct dlq_file *file, const char *name,
                     struct dlq_safetensors *out, struct dlq_error *err);

/// dlq_safetensors_read() of a header that is in memory already: `len` bytes, which are changed, of
/// a file of `file_size` bytes. `out->header` stays NULL, and names point into `header`.
int32_t
dlq_safetensors_parse(const struct dlq_allocator *a, char *header, size_t len, uint64_t file_size,
                      const char *name, struct dlq_safetensors *out, struct dlq_error *err);

/// Order of two struct dlq_checkpoint_tensor by name, for qsort().
int
dlq_tensor_compare_names(const void *a, const void *b);

/// Free what the record owns.
void
dlq_safetensors_free(const struct dlq_allocator *a, struct dlq_safetensors *st);

/// The format's word for an element type ("BF16"), or "?".
const char *
dlq_safetensors_dtype_name(uint32_t dtype);

#endif // DLQ_CORE_SAFETENSORS_H
