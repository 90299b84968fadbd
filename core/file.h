// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_CORE_FILE_H
#define DLQ_CORE_FILE_H

#include <dlquant/runtime.h>
#include <dlquant/status.h>

#include <stddef.h>
#include <stdint.h>

/// Regular files, read or mapped read-only. Symbolic links are followed: a Hugging Face cache is a
/// folder of links to its blobs. Messages begin with the path and carry errno.
///
/// A mapping is only as long as the file: when another process shortens the file, touching the lost
/// pages raises SIGBUS, which no check beforehand can exclude. What is done about it: headers are
/// read, never mapped; the size is compared again once the mapping exists; and dlq_file_check() is
/// cheap enough to be called before each tensor is read. Files must not be changed in place while a
/// checkpoint is open; replacing them by rename is safe.

struct dlq_file {
    int fd;        ///< -1 when closed
    uint64_t size; ///< Bytes when it was opened
    void *map;     ///< The whole file, or NULL
    uint64_t dev;  ///< With `ino`: which file it is
    uint64_t ino;  ///< See `dev`
};

/// A file that is not open, for dlq_file_close().
#define DLQ_FILE_INIT                                                                              \
    {                                                                                              \
        -1, 0, NULL, 0, 0                                                                          \
    }

/// Fail with errno's reason: DLQ_ENOTFOUND, DLQ_ENOMEM or DLQ_EIO. `what` is what could not be
/// done.
int32_t
dlq_file_fail(struct dlq_error *err, const char *path, const char *what);

/// Open a regular file. DLQ_ENOTFOUND when there is none, DLQ_EIO for every other refusal.
int32_t
dlq_file_open(struct dlq_file *file, const char *path, struct dlq_error *err);

/// Unmap and close; a file that is not open is a no-op.
void
dlq_file_close(struct dlq_file *file);

/// Read `len` bytes at `offset`. DLQ_EIO also when the file ends before.
int32_t
dlq_file_read(const struct dlq_file *file, const char *path, uint64_t offset, void *dst, size_t len,
              struct dlq_error *err);

/// Map the whole file and close its descriptor: eight ranks of one process with 160 files each must
/// not meet the limit of open files.
int32_t
dlq_file_map(struct dlq_file *file, const char *path, struct dlq_error *err);

/// Check that the file still has the size that it was opened with. Of a mapped file that is no
/// longer found at `path` there is nothing to say: it was replaced or removed, and the mapping
/// keeps what it was.
int32_t
dlq_file_check(const struct dlq_file *file, const char *path, struct dlq_error *err);

/// Give back the memory behind the whole pages of a range of the mapping. They are read again from
/// the file when touched.
void
dlq_file_release(const struct dlq_file *file, uint64_t offset, uint64_t len);

/// Read a whole file of at most `max` bytes, with a zero behind it. The caller frees `*text`.
int32_t
dlq_file_read_all(const struct dlq_allocator *a, const char *path, size_t max, char **text,
                  size_t *len, struct dlq_error *err);

/// dlq_file_read_all() of a file that need not exist: success with `*text` NULL when it does not.
int32_t
dlq_file_read_optional(const struct dlq_allocator *a, const char *path, size_t max, char **text,
                       size_t *len, struct dlq_error *err);

#endif // DLQ_CORE_FILE_H
