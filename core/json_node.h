// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_CORE_JSON_NODE_H
#define DLQ_CORE_JSON_NODE_H

#include <dlquant/host.h>

#include <stddef.h>
#include <stdint.h>

/// The node behind config.h. All nodes of a text are one block: the root comes first, children lie
/// side by side, strings follow the last node.
struct dlq_json {
    int32_t type;    ///< enum dlq_json_type
    size_t size;     ///< Children, or bytes of a string
    const char *key; ///< Name in the object around it, or NULL
    union {
        int64_t i; ///< Also the truth value
        double f;
        const char *s;
        const struct dlq_json *children;
    } u;
};

#endif // DLQ_CORE_JSON_NODE_H
