// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "alloc.h"
#include "fuzz.h"
#include "safetensors.h"

#include <stdlib.h>
#include <string.h>

// What the parser accepts lies inside the file, covers it, and fits its shapes.

#define SEED(text)                                                                                 \
    {                                                                                              \
        text, sizeof(text) - 1                                                                     \
    }
#define T(name, dtype, shape, range)                                                               \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" range "}"

// A header; the byte in front of it says how many bytes of data follow it in the file.
const struct fuzz_seed fuzz_seeds[] = {
    SEED("\x10{" T("test", "I32", "[2,2]", "[0,16]") "}"),
    SEED("\x08{" T("b", "U8", "[4]", "[4,8]") "," T("a", "BF16", "[1,2]", "[0,4]") "}  "),
    SEED("\x04{" T("s", "F32", "[]", "[0,4]") "," T("e", "F64", "[3,0]", "[4,4]") "}"),
    SEED("\x01{" T("f", "F4", "[1,2]", "[0,1]") ",\"__metadata__\":{\"format\":\"pt\"}}"),
    SEED("\x06{" T("x.y", "F6_E2M3", "[8]", "[0,6]") "}\n"),
    SEED("{}"),
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
    "0",
    "1",
    "4",
    "8",
    "16",
    "-1",
    "1.5",
    "\\u0061",
    "\\u0000",
    "18446744073709551615",
    "18446744073709551616",
    "9223372036854775807",
    "281474976710656",
    "\"dtype\":",
    "\"shape\":",
    "\"data_offsets\":",
    "\"__metadata__\":",
    "\"F16\"",
    "\"BOOL\"",
    "\"F8_E4M3\"",
    "\"a\"",
    "\"\"",
    "[0,0]",
    "[0,4]",
    "[4,8]",
    "null",
    "\xC3\xA9",
    "\xFF",
    T("a", "U8", "[1]", "[0,1]"),
    ",1,1,1,1,1,1,1",
};
const size_t fuzz_n_words = sizeof(fuzz_words) / sizeof(*fuzz_words);

static void
check(const struct dlq_safetensors *st, uint64_t header, uint64_t file_size)
{
    uint64_t covered = 0;
    for (size_t i = 0; i < st->n; i++) {
        const struct dlq_checkpoint_tensor *const t = &st->tensors[i];
        uint64_t bits = DLQ_DTYPE_BITS(t->dtype);
        FUZZ_CHECK(bits > 0);
        FUZZ_CHECK(t->ndim >= 0 && t->ndim <= DLQ_MAX_DIMS);
        for (int32_t d = 0; d < t->ndim; d++) {
            FUZZ_CHECK(t->shape[d] >= 0);
            bits *= (uint64_t)t->shape[d];
        }
        FUZZ_CHECK(bits == 8 * t->nbytes);
        FUZZ_CHECK(t->file_offset >= header && t->file_offset <= file_size);
        FUZZ_CHECK(t->nbytes <= file_size - t->file_offset);
        FUZZ_CHECK(i == 0 || strcmp(st->tensors[i - 1].name, t->name) < 0);
        covered += t->nbytes;
    }
    FUZZ_CHECK(covered == file_size - header);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    const size_t len = size - 1;
    const uint64_t header = 8 + (uint64_t)len;
    const uint64_t file_size = header + data[0];
    char *const text = malloc(len ? len : 1);
    FUZZ_CHECK(text != NULL);
    memcpy(text, data + 1, len);
    struct dlq_safetensors st;
    struct dlq_error err = DLQ_ERROR_INIT;
    const int32_t rc =
        dlq_safetensors_parse(&dlq_system_allocator, text, len, file_size, "f", &st, &err);
    if (rc == DLQ_OK) {
        check(&st, header, file_size);
    } else {
        FUZZ_CHECK((rc == DLQ_EFORMAT || rc == DLQ_EUNSUPPORTED) && err.code == rc);
        FUZZ_CHECK(!st.tensors && strncmp(err.msg, "f: ", 3) == 0 && !strchr(err.msg, '\n'));
    }
    dlq_safetensors_free(&dlq_system_allocator, &st);
    free(text);
    return 0;
}
