// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "alloc.h"
#include "config.h"
#include "fuzz.h"
#include "json_reader.h"
#include "text.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

// Two parsers that know nothing of each other must agree on what is JSON and what it says.

#define SEED(text)                                                                                 \
    {                                                                                              \
        text, sizeof(text) - 1                                                                     \
    }

const struct fuzz_seed fuzz_seeds[] = {
    SEED("{\"quantization_config\":{\"bits\":4,\"group_size\":128,\"zero_point\":true}}"),
    SEED("[1,-2.5e-3,0,-0,1e5,9223372036854775807,\"\\u00e9\\ud83d\\ude00\\n\",null,false]"),
    SEED("{\"a\":[[],{},[{}]],\"b\":\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\"}"),
    SEED(" { \"x\" : [ 1 , 2 ] , \"y\" : \"\\\"\\\\\\/\" } \n"),
    SEED("{\"modules_to_not_convert\":[\"lm_head\",\"vpm\"],\"version\":\"GEMM\"}"),
    SEED("12.5"),
};
const size_t fuzz_n_seeds = sizeof(fuzz_seeds) / sizeof(*fuzz_seeds);

const char *const fuzz_words[] = {
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"",
    "\\",
    "\\u0000",
    "\\ud800",
    "\\udc00",
    "\\u00e9",
    "null",
    "true",
    "false",
    "NaN",
    "1",
    "-",
    "0",
    "01",
    "1.5",
    "e+9",
    "1e999",
    ".",
    " ",
    "\t",
    "\xC3\xA9",
    "\xED\xA0\x80",
    "\"a\":1",
    "\"a\"",
    "99999999999999999999",
    "Infinity",
    "-Infinity",
    "[[[[[[[[",
};
const size_t fuzz_n_words = sizeof(fuzz_words) / sizeof(*fuzz_words);

static void
compare_trees(const struct dlq_json *node, json_t *other)
{
    const char *text = NULL;
    size_t len = 0;
    int64_t i = 0;
    double f = 0;
    int32_t b = 0;
    switch (json_typeof(other)) {
    case JSON_OBJECT:
        FUZZ_CHECK(dlq_json_type(node) == DLQ_JSON_OBJECT);
        FUZZ_CHECK(dlq_json_size(node) == json_object_size(other));
        for (size_t k = 0; k < dlq_json_size(node); k++) {
            json_t *const value = json_object_get(other, dlq_json_key(node, k));
            FUZZ_CHECK(value != NULL);
            FUZZ_CHECK(dlq_json_member(node, dlq_json_key(node, k)) == dlq_json_at(node, k));
            compare_trees(dlq_json_at(node, k), value);
        }
        break;
    case JSON_ARRAY:
        FUZZ_CHECK(dlq_json_type(node) == DLQ_JSON_ARRAY);
        FUZZ_CHECK(dlq_json_size(node) == json_array_size(other));
        for (size_t k = 0; k < dlq_json_size(node); k++) {
            compare_trees(dlq_json_at(node, k), json_array_get(other, k));
        }
        break;
    case JSON_STRING:
        FUZZ_CHECK(dlq_json_str(node, &text, &len) == DLQ_OK);
        FUZZ_CHECK(len == json_string_length(other));
        FUZZ_CHECK(memcmp(text, json_string_value(other), len + 1) == 0);
        break;
    case JSON_INTEGER:
        FUZZ_CHECK(dlq_json_i64(node, &i) == DLQ_OK && i == json_integer_value(other));
        break;
    case JSON_REAL:
        FUZZ_CHECK(dlq_json_i64(node, &i) == DLQ_EDTYPE);
        FUZZ_CHECK(dlq_json_f64(node, &f) == DLQ_OK && f == json_real_value(other));
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        FUZZ_CHECK(dlq_json_bool(node, &b) == DLQ_OK && b == json_is_true(other));
        break;
    case JSON_NULL:
        FUZZ_CHECK(dlq_json_type(node) == DLQ_JSON_NULL);
        break;
    }
}

static bool
reads_as_json(const char *text, size_t size, bool lenient)
{
    struct dlq_json_reader r;
    dlq_json_reader_init(&r, text, size);
    r.lenient = lenient;
    const bool ok = dlq_json_reader_skip(&r) && dlq_json_reader_end(&r);
    FUZZ_CHECK(ok == !r.problem);
    FUZZ_CHECK(r.at >= text && r.at <= text + size);
    FUZZ_CHECK(!ok || r.depth == 0);
    return ok && !dlq_utf8_invalid(text, size);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *const text = (const char *)data;
    struct dlq_json *root = NULL;
    struct dlq_error err = DLQ_ERROR_INIT;
    json_error_t error;
    json_t *const other =
        json_loadb(text, size, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_ANY, &error);
    const int32_t rc = dlq_json_parse(&dlq_system_allocator, "fuzz", text, size, &root, &err);
    const bool strict = reads_as_json(text, size, false);
    const bool lenient = reads_as_json(text, size, true);
    FUZZ_CHECK(!strict || lenient);
    if (memchr(text, 0, size)) {
        // jansson drops a zero byte behind a number.
        FUZZ_CHECK(rc != DLQ_OK && !lenient);
    } else if (other) {
        // Ours has a limit of depth besides.
        FUZZ_CHECK(rc == DLQ_OK || strstr(err.msg, "nested deeper"));
        FUZZ_CHECK(strict || strstr(err.msg, "nested deeper"));
        if (rc == DLQ_OK) {
            compare_trees(root, other);
        }
    } else if (strict) {
        const int code = (int)json_error_code(&error);
        FUZZ_CHECK(code == json_error_duplicate_key || code == json_error_null_byte_in_key ||
                   code == json_error_numeric_overflow);
    }
    FUZZ_CHECK(rc == DLQ_OK ? lenient : rc == DLQ_EFORMAT && err.code == rc);
    FUZZ_CHECK(rc != DLQ_OK || root);
    FUZZ_CHECK(!strchr(err.msg, '\n'));
    json_decref(other);
    dlq_json_free(&dlq_system_allocator, root);
    return 0;
}
