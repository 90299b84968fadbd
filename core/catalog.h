// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_CORE_CATALOG_H
#define DLQ_CORE_CATALOG_H

#include "path.h"

#include <dlquant/host.h>
#include <dlquant/runtime.h>

#include <stdbool.h>
#include <stddef.h>

/// The plugins that are installed, known from their ELF notes alone. Made anew for each question,
/// for a kept one would go stale.

/// One plugin file.
struct dlq_installed {
    char *origin;                  ///< Directory and file name
    char *text;                    ///< JSON of the note, or NULL
    struct dlq_json *json;         ///< The note, or NULL
    const char *name;              ///< Canonical name by the note; NULL when the note does not say
    const char *version;           ///< By the note, or ""
    char *problem;                 ///< Why it cannot be used, or NULL
    bool hidden;                   ///< The problem is a file of that name in an earlier directory
    size_t dir;                    ///< Index of its directory in the search order
    dev_t dev;                     ///< With `ino`: which file it is; 0 when it was refused
    ino_t ino;                     ///< See `dev`
    int32_t abi_major;             ///< -1 when unknown
    int32_t abi_minor;             ///< -1 when unknown
    char file[DLQ_FILE_NAME_SIZE]; ///< File name
};

struct dlq_catalog {
    const struct dlq_allocator *alloc;
    struct dlq_installed *items; ///< In search order: by directory, then file name
    size_t n;
    size_t capacity;
};

/// Read the notes of every plugin file of the search order. A file that cannot be used has a
/// `problem`; only a shortage of memory fails the scan. On success the caller owns `*out` until
/// dlq_catalog_finish().
int32_t
dlq_catalog_scan(struct dlq_catalog *out, const struct dlq_search *search,
                 const struct dlq_allocator *alloc, struct dlq_error *err);

void
dlq_catalog_finish(struct dlq_catalog *catalog);

/// Whether the list `member` ("aliases", "claims") of the note has `name`.
bool
dlq_installed_lists(const struct dlq_installed *item, const char *member, const char *name);

#endif // DLQ_CORE_CATALOG_H
