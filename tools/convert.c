// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "convert.h"

#include "float16.h"

#include <string.h>

bool
tool_element(const void *data, uint32_t dtype, int64_t i, double *out)
{
    const char *at = (const char *)data + (size_t)i * (DLQ_DTYPE_BITS(dtype) / 8);
    uint16_t half = 0;
    float single = 0.0f;
    int32_t word = 0;
    int64_t wide = 0;
    switch (dtype) {
    case DLQ_F16:
        memcpy(&half, at, sizeof(half));
        *out = dlq_k_f16_to_f32(half);
        return true;
    case DLQ_BF16:
        memcpy(&half, at, sizeof(half));
        *out = dlq_k_bf16_to_f32(half);
        return true;
    case DLQ_F32:
        memcpy(&single, at, sizeof(single));
        *out = single;
        return true;
    case DLQ_F64:
        memcpy(out, at, sizeof(*out));
        return true;
    case DLQ_F8_E4M3:
        *out = dlq_k_e4m3_to_f32(*(const uint8_t *)at);
        return true;
    case DLQ_I8:
        *out = *(const int8_t *)at;
        return true;
    case DLQ_U8:
        *out = *(const uint8_t *)at;
        return true;
    case DLQ_I32:
        memcpy(&word, at, sizeof(word));
        *out = word;
        return true;
    case DLQ_I64:
        memcpy(&wide, at, sizeof(wide));
        *out = (double)wide;
        return true;
    default:
        return false;
    }
}

size_t
tool_act_size(uint32_t dtype)
{
    return dlq_k_act_size(dtype);
}

void
tool_to_act(void *out, uint32_t dtype, const float *in, int64_t n)
{
    for (int64_t i = 0; i < n; ++i) {
        dlq_k_store_f32(out, dtype, i, in[i]);
    }
}

void
tool_from_act(float *out, uint32_t dtype, const void *in, int64_t n)
{
    for (int64_t i = 0; i < n; ++i) {
        out[i] = dlq_k_load_f32(in, dtype, i);
    }
}

/// splitmix64: a counter with a good finaliser, so that any element can be made by itself.
static uint64_t
mix(uint64_t z)
{
    z += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static uint64_t
hash_text(const char *text)
{
    uint64_t state = 0xcbf29ce484222325u;
    for (const char *c = text; *c; ++c) {
        state = (state ^ (uint8_t)*c) * 0x100000001b3u;
    }
    return state;
}

void
tool_fill_inputs(float *x, int64_t m, int64_t k, const char *seed)
{
    const uint64_t state = hash_text(seed);
    for (int64_t i = 0; i < m * k; ++i) {
        const uint64_t r = mix(state + (uint64_t)i);
        // The sum of four 16-bit uniform numbers has a variance of 4/12.
        const double sum = (double)(r & 0xffff) + (double)(r >> 16 & 0xffff) +
                           (double)(r >> 32 & 0xffff) + (double)(r >> 48);
        double v = (sum / 65536.0 - 2.0) * 1.7320508;
        if (m > 1 && i / k == m - 1 && mix(state ^ (uint64_t)(i % k)) % 100 == 0) {
            v *= 20.0;
        }
        x[i] = (float)v;
    }
}

void
tool_fill_integers(float *x, int64_t count, const char *seed)
{
    const uint64_t state = hash_text(seed);
    for (int64_t i = 0; i < count; ++i) {
        x[i] = (float)(mix(state + (uint64_t)i) % 3) - 1.0f;
    }
}
