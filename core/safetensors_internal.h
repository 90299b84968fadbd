// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_CORE_SAFETENSORS_INTERNAL_H
#define DLQ_CORE_SAFETENSORS_INTERNAL_H

#include "error.h"
#include "json_reader.h"
#include "safetensors.h"

/// What reading a header's JSON and checking its tensors share.

struct dlq_st_parse {
    const struct dlq_allocator *a;
    const char *file; ///< For messages
    struct dlq_error *err;
    char *header; ///< Names are made in place
    struct dlq_json_reader r;
    struct dlq_safetensors *out;
};

/// Malformed file.
#define DLQ_ST_FAIL(p, ...)                                                                        \
    dlq_fail_native((p)->err, DLQ_EFORMAT, DLQ_DOMAIN_CHECKPOINT, 0, __VA_ARGS__)

int32_t
dlq_st_fail_memory(struct dlq_st_parse *p);

/// Read the whole JSON text. Until offsets are checked, `file_offset` and `nbytes` of a tensor are
/// its two data_offsets.
int32_t
dlq_st_parse_json(struct dlq_st_parse *p);

#endif // DLQ_CORE_SAFETENSORS_INTERNAL_H
