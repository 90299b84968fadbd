// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_PLUGINS_COMMON_FIELD_H
#define DLQ_PLUGINS_COMMON_FIELD_H

#include <dlquant/plugin.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// Fields of an untrusted configuration: read with a type, a default and an error that names the
/// field, the value found and what is accepted.

/// One JSON object of a configuration and how messages call it.
struct dlq_fields {
    const struct dlq_host *host;
    const struct dlq_json *node; ///< The object; NULL reads every field as absent
    const char *method;          ///< The plugin's name, for log lines
    const char *where;           ///< Path of the object with a '/' behind it: "/", "/weights/"
    struct dlq_error *err;
};

/// Bytes that dlq_text_clip() needs.
#define DLQ_CLIP_SIZE 80

/// `text` fit for a message: control characters become '?', the end of a long text "...".
/// Returns `buf`.
const char *
dlq_text_clip(const char *text, char buf[DLQ_CLIP_SIZE]);

/// "an integer", "a string", ... for enum dlq_json_type.
const char *
dlq_field_type_name(int32_t type);

/// Log one formatted line.
void
dlq_host_log(const struct dlq_host *host, int32_t level, const char *fmt, ...) DLQ_PRINTF(3, 4);

/// The member `key`, or NULL when it is absent or null. `key` is taken literally.
const struct dlq_json *
dlq_field_get(const struct dlq_fields *fields, const char *key);

/// Integer, truth value or text of member `key`. `*out` keeps its value, the default, when the
/// field is absent or null. DLQ_ECONFIG for another type. A text holds no zero byte.
int32_t
dlq_field_i64(const struct dlq_fields *fields, const char *key, int64_t *out);
int32_t
dlq_field_bool(const struct dlq_fields *fields, const char *key, bool *out);
int32_t
dlq_field_str(const struct dlq_fields *fields, const char *key, const char **out);

/// The array of texts in member `key` and its length; NULL and 0 when the field is absent or null.
/// DLQ_ECONFIG for another type.
int32_t
dlq_field_texts(const struct dlq_fields *fields, const char *key, const struct dlq_json **array,
                size_t *n);

/// Text of element `index` of the array `array`, which messages call `key`.
int32_t
dlq_field_element(const struct dlq_fields *fields, const char *key, const struct dlq_json *array,
                  size_t index, const char **out);

/// A warning for each member that `known`, ended by NULL, does not list.
void
dlq_field_warn_unknown(const struct dlq_fields *fields, const char *const *known);

/// DLQ_ECONFIG "<where><key>: <message>".
int32_t
dlq_field_fail(const struct dlq_fields *fields, const char *key, const char *fmt, ...)
    DLQ_PRINTF(3, 4);

#endif // DLQ_PLUGINS_COMMON_FIELD_H
