// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#define _GNU_SOURCE
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void
test_safetensors_raw(const char *dir, const char *name, int64_t length, const char *header,
                     const void *data, size_t nbytes)
{
    const size_t len = strlen(header);
    const uint64_t said = length < 0 ? len : (uint64_t)length;
    unsigned char *const file = malloc(8 + len + nbytes);
    assert_non_null(file);
    for (int i = 0; i < 8; i++) {
        file[i] = (unsigned char)(said >> 8 * i);
    }
    memcpy(file + 8, header, len);
    if (nbytes > 0) {
        memcpy(file + 8 + len, data, nbytes);
    }
    test_write(dir, name, file, 8 + len + nbytes);
    free(file);
}

static void
put_header(FILE *f, const struct test_tensor *tensors, size_t n)
{
    size_t begin = 0;
    fputc('{', f);
    for (size_t i = 0; i < n; i++) {
        const struct test_tensor *const t = &tensors[i];
        fprintf(f, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[", i ? "," : "", t->name, t->dtype);
        for (int d = 0; d < t->ndim; d++) {
            fprintf(f, "%s%lld", d ? "," : "", (long long)t->shape[d]);
        }
        fprintf(f, "],\"data_offsets\":[%zu,%zu]}", begin, begin + t->nbytes);
        begin += t->nbytes;
    }
    fputc('}', f);
    while (ftell(f) % 8 != 0) {
        fputc(' ', f);
    }
}

void
test_safetensors(const char *dir, const char *name, const struct test_tensor *tensors, size_t n)
{
    char *header = NULL;
    size_t header_size = 0;
    FILE *const f = open_memstream(&header, &header_size);
    assert_non_null(f);
    put_header(f, tensors, n);
    fclose(f);

    size_t nbytes = 0;
    for (size_t i = 0; i < n; i++) {
        nbytes += tensors[i].nbytes;
    }
    unsigned char *const data = malloc(nbytes + 1);
    assert_non_null(data);
    unsigned char *p = data;
    for (size_t i = 0; i < n; i++) {
        const struct test_tensor *const t = &tensors[i];
        for (size_t b = 0; b < t->nbytes; b++) {
            p[b] = t->data ? ((const unsigned char *)t->data)[b] : (unsigned char)b;
        }
        p += t->nbytes;
    }
    test_safetensors_raw(dir, name, -1, header, data, nbytes);
    free(data);
    free(header);
}
