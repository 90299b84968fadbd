// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_CORE_PATH_H
#define DLQ_CORE_PATH_H

#include <dlquant/runtime.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/// Names of plugins, the directories where their files may lie, and who may have written those.
///
/// A name is untrusted text: it comes from a downloaded checkpoint. It becomes a file name only
/// when it is inside the grammar, which has no slash and no "..". A file is trusted only when
/// nobody but root and the user of this process could have put it where it lies.

/// Longest name, the zero not counted.
#define DLQ_NAME_MAX 63

/// Bytes of a file name made from a name, the zero counted.
#define DLQ_FILE_NAME_SIZE (DLQ_NAME_MAX + 4)

/// Whether `name` is `[a-z0-9][a-z0-9_.-]{0,62}` without "..". NULL is not. Reads at most
/// DLQ_NAME_MAX + 1 bytes.
bool
dlq_name_valid(const char *name);

/// The file of a valid name: '-' becomes '_', ".so" follows.
void
dlq_name_to_file(const char *name, char out[DLQ_FILE_NAME_SIZE]);

/// `text` for an error message: at most DLQ_NAME_MAX bytes and "...", control and non-ASCII bytes
/// as
/// '?'.
const char *
dlq_name_printable(const char *text, char out[DLQ_NAME_MAX + 4]);

/// One directory of the search order.
struct dlq_search_dir {
    char *path;         ///< As it was given
    const char *source; ///< Who named it, for messages: "DLQ_PLUGIN_PATH"; static
};

/// The directories of a runtime, in order.
struct dlq_search {
    struct dlq_search_dir *dirs;
    size_t n;
    size_t capacity;
};

/// DLQ_PLUGIN_PATH, or NULL when it is not set or the process runs with raised privileges.
const char *
dlq_search_environment(void);

/// Build the search order: the API's list (`api`, ended by NULL; may be NULL), the colon-separated
/// `env`, `<own_dir>/dlquant/plugins-1`, and `compiled`. Each may be NULL. A directory that is in
/// the list already is not added again. A relative directory in `api` is DLQ_EINVAL; elsewhere it
/// stays, so that messages can say why it was not used.
int32_t
dlq_search_init(struct dlq_search *search, const struct dlq_allocator *alloc,
                const char *const *api, const char *env, const char *own_dir, const char *compiled,
                struct dlq_error *err);

void
dlq_search_finish(struct dlq_search *search, const struct dlq_allocator *alloc);

/// An open file that only root and this user could have written.
struct dlq_trusted_file {
    int fd;     ///< Read-only; the holder closes it
    dev_t dev;  ///< With `ino`: which file it is
    ino_t ino;  ///< See `dev`
    off_t size; ///< Bytes
    char *path; ///< Path without symbolic links; the holder frees it
};

/// Open `file` in `dir` and check it, its directory and the way there. DLQ_ENOTFOUND: there is no
/// such file or directory, or `dir` is relative; DLQ_EPERM: somebody else may write it; DLQ_EIO:
/// the rest. The message is a reason without the path of the file.
int32_t
dlq_trusted_file_open(struct dlq_trusted_file *out, const struct dlq_allocator *alloc,
                      const char *dir, const char *file, struct dlq_error *err);

/// Whether the path still leads to the file that was checked.
bool
dlq_trusted_file_unchanged(const struct dlq_trusted_file *file);

void
dlq_trusted_file_close(struct dlq_trusted_file *file, const struct dlq_allocator *alloc);

/// `dir` + "/" + `file`; NULL when memory is short.
char *
dlq_path_join(const struct dlq_allocator *alloc, const char *dir, const char *file);

#endif // DLQ_CORE_PATH_H
