// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_CORE_CONFIG_H
#define DLQ_CORE_CONFIG_H

#include <dlquant/host.h>
#include <dlquant/runtime.h>

#include <stddef.h>
#include <stdint.h>

/// Configuration text: untrusted JSON, parsed with limits into nodes that keep the order of the
/// file. The functions are those of struct dlq_host, see there for what each promises.

/// Largest text in bytes.
#define DLQ_JSON_MAX_BYTES ((size_t)16 << 20)

/// Most values (of any type) in one text; bounds the memory that a hostile text can ask for.
#define DLQ_JSON_MAX_VALUES ((size_t)1 << 20)

/// Parse `len` bytes. Refused: more than the limits allow, a zero byte or an invalid character in
/// the text, anything that is not JSON, the same member twice in one object, and text behind the
/// value. NaN and Infinity, which Python's writer leaves in published configurations, and integers
/// beyond int64_t are DLQ_JSON_REAL. `origin` (a file's name; NULL: "JSON text") begins messages,
/// which give line and column. On success the caller owns `*out` until dlq_json_free().
int32_t
dlq_json_parse(const struct dlq_allocator *a, const char *origin, const char *text, size_t len,
               struct dlq_json **out, struct dlq_error *err);

/// Free a root and every node under it, with the allocator that parsed it. NULL is a no-op.
void
dlq_json_free(const struct dlq_allocator *a, struct dlq_json *root);

const struct dlq_json *
dlq_json_get(const struct dlq_json *node, const char *pointer);

/// The member of exactly this name, or NULL.
const struct dlq_json *
dlq_json_member(const struct dlq_json *node, const char *name);

int32_t
dlq_json_type(const struct dlq_json *node);

/// Name of a type with its article, for messages: "an object".
const char *
dlq_json_type_name(int32_t type);

size_t
dlq_json_size(const struct dlq_json *node);

const struct dlq_json *
dlq_json_at(const struct dlq_json *node, size_t index);

const char *
dlq_json_key(const struct dlq_json *node, size_t index);

int32_t
dlq_json_i64(const struct dlq_json *node, int64_t *out);

int32_t
dlq_json_f64(const struct dlq_json *node, double *out);

int32_t
dlq_json_bool(const struct dlq_json *node, int32_t *out);

int32_t
dlq_json_str(const struct dlq_json *node, const char **out, size_t *len);

#endif // DLQ_CORE_CONFIG_H
