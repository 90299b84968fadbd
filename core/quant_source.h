// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_CORE_QUANT_SOURCE_H
#define DLQ_CORE_QUANT_SOURCE_H

#include "trace.h"

#include <dlquant/host.h>

#include <stddef.h>
#include <stdint.h>

/// Which text says how a checkpoint is quantized. The first hit of:
///
///     1. config.json      /quantization_config
///     2. config.json      /text_config/quantization_config
///     3. config.json      /compression_config
///     4. quantize_config.json, quant_config.json, hf_quant_config.json,
///        quantization_config.json, each as a whole
///
/// A null section counts as absent. Later hits are compared with the first one and reported when
/// they differ. A hit without `quant_method` is inferred from its keys or refused, never taken for
/// unquantized.

/// The configuration of a checkpoint, as far as it was read already.
struct dlq_quant_place {
    const char *dir;             ///< Folder of the files of step 4; NULL: none
    const char *config;          ///< Text of config.json; NULL: none
    size_t len;                  ///< Bytes of `config`
    const struct dlq_json *root; ///< `config`, parsed
};

struct dlq_quant_found {
    char *method;        ///< "" when nothing was found
    char *text;          ///< JSON of the hit; NULL when nothing was found
    size_t len;          ///< Bytes of `text`
    const char *file;    ///< Static; NULL when nothing was found
    const char *pointer; ///< Static; inside `file`, "" for the whole
    int32_t inferred;    ///< 1 when the method came from other keys
};

/// Look for the section, with a line in `trace` for each place. On success the caller frees `out`.
int32_t
dlq_quant_discover(const struct dlq_allocator *a, const struct dlq_quant_place *place,
                   struct dlq_trace *trace, struct dlq_quant_found *out, struct dlq_error *err);

void
dlq_quant_found_free(const struct dlq_allocator *a, struct dlq_quant_found *found);

#endif // DLQ_CORE_QUANT_SOURCE_H
