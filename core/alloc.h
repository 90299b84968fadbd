// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_CORE_ALLOC_H
#define DLQ_CORE_ALLOC_H

#include <dlquant/runtime.h>

#include <stddef.h>

/// Host memory of a runtime. Everything the core keeps goes through these, so that an engine's
/// allocator sees it and tests can make any allocation fail.

/// The system's allocator, static.
extern const struct dlq_allocator dlq_system_allocator;

/// `size` bytes for any object type, contents undefined; NULL when memory is short.
void *
dlq_alloc(const struct dlq_allocator *a, size_t size);

/// As dlq_alloc(), `count * size` zeroed bytes; NULL also when the product overflows.
void *
dlq_calloc(const struct dlq_allocator *a, size_t count, size_t size);

/// A copy of `len` bytes of text with a zero behind them; NULL when memory is short.
char *
dlq_strndup(const struct dlq_allocator *a, const char *text, size_t len);

/// A copy of a zero-terminated text; NULL when memory is short.
char *
dlq_strdup(const struct dlq_allocator *a, const char *text);

/// Grow an array of `*capacity` elements of `size` bytes so that it holds at least `need`, keeping
/// the first `used`. The old array is freed. Returns the new array, or NULL with everything
/// unchanged.
void *
dlq_grow(const struct dlq_allocator *a, void *array, size_t used, size_t *capacity, size_t need,
         size_t size);

/// Free what one of the above gave; NULL is a no-op.
void
dlq_free(const struct dlq_allocator *a, void *ptr);

#endif // DLQ_CORE_ALLOC_H
