// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_CORE_KNOWN_H
#define DLQ_CORE_KNOWN_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/// Copy of a struct that begins with its size and comes from who was built with other headers:
/// what both sides know, zeroes where `src` ends before, and a struct_size that says so.
static inline void
dlq_copy_known(void *dst, size_t size, const void *src)
{
    uint32_t known;
    memcpy(&known, src, sizeof(known));
    known = known < size ? known : (uint32_t)size;
    memset(dst, 0, size);
    memcpy(dst, src, known);
    memcpy(dst, &known, sizeof(known));
}

#endif // DLQ_CORE_KNOWN_H
