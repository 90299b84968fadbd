// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#define _GNU_SOURCE
#include "file.h"

#include "alloc.h"
#include "error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int32_t
dlq_file_fail(struct dlq_error *err, const char *path, const char *what)
{
    const int e = errno;
    char text[128];
    struct stat st;
    const char *why = strerror_r(e, text, sizeof(text));
    int32_t code = e == ENOMEM ? DLQ_ENOMEM : DLQ_EIO;
    if (e == ENOENT) {
        // A link without its file is damage, not absence.
        const bool dangling = lstat(path, &st) == 0;
        code = dangling ? DLQ_EIO : DLQ_ENOTFOUND;
        why = dangling ? "the symbolic link leads to a file that is missing" : why;
    }
    return dlq_fail_native(err, code, DLQ_DOMAIN_CHECKPOINT, e, "%s: %s: %s", path, what, why);
}

int32_t
dlq_file_open(struct dlq_file *file, const char *path, struct dlq_error *err)
{
    // O_NONBLOCK: a named pipe must not hang the caller.
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return dlq_file_fail(err, path, "cannot open");
    }
    struct stat st;
    if (fstat(fd, &st) != 0) {
        const int32_t rc = dlq_file_fail(err, path, "cannot ask for its size");
        close(fd);
        return rc;
    }
    if (!S_ISREG(st.st_mode)) {
        close(fd);
        return dlq_fail_native(err, DLQ_EIO, DLQ_DOMAIN_CHECKPOINT, 0, "%s: not a regular file",
                               path);
    }
    *file = (struct dlq_file){fd, (uint64_t)st.st_size, NULL, st.st_dev, st.st_ino};
    return DLQ_OK;
}

void
dlq_file_close(struct dlq_file *file)
{
    if (file->map) {
        munmap(file->map, (size_t)file->size);
    }
    if (file->fd >= 0) {
        close(file->fd);
    }
    *file = (struct dlq_file)DLQ_FILE_INIT;
}

int32_t
dlq_file_read(const struct dlq_file *file, const char *path, uint64_t offset, void *dst, size_t len,
              struct dlq_error *err)
{
    for (size_t done = 0; done < len;) {
        const ssize_t n = pread(file->fd, (char *)dst + done, len - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return dlq_file_fail(err, path, "cannot read");
        }
        if (n == 0) {
            return dlq_fail_native(err, DLQ_EIO, DLQ_DOMAIN_CHECKPOINT, 0,
                                   "%s: the file shrank while it was read: expected %llu bytes, "
                                   "found %llu",
                                   path, (unsigned long long)file->size,
                                   (unsigned long long)(offset + done));
        }
        done += (size_t)n;
    }
    return DLQ_OK;
}

int32_t
dlq_file_check(const struct dlq_file *file, const char *path, struct dlq_error *err)
{
    struct stat st;
    if (file->fd < 0) {
        if (stat(path, &st) != 0 || st.st_dev != file->dev || st.st_ino != file->ino) {
            return DLQ_OK;
        }
    } else if (fstat(file->fd, &st) != 0) {
        return dlq_file_fail(err, path, "cannot ask for its size");
    }
    if ((uint64_t)st.st_size == file->size) {
        return DLQ_OK;
    }
    return dlq_fail_native(err, DLQ_EIO, DLQ_DOMAIN_CHECKPOINT, 0,
                           "%s: the file changed while it was open: expected %llu bytes, found "
                           "%llu",
                           path, (unsigned long long)file->size, (unsigned long long)st.st_size);
}

int32_t
dlq_file_map(struct dlq_file *file, const char *path, struct dlq_error *err)
{
    if (file->size == 0) {
        return DLQ_OK;
    }
    if (file->size > SIZE_MAX) {
        return dlq_fail_native(err, DLQ_EOVERFLOW, DLQ_DOMAIN_CHECKPOINT, 0,
                               "%s: %llu bytes do not fit this machine's addresses", path,
                               (unsigned long long)file->size);
    }
    void *const map = mmap(NULL, (size_t)file->size, PROT_READ, MAP_SHARED, file->fd, 0);
    if (map == MAP_FAILED) {
        return dlq_file_fail(err, path, "cannot map");
    }
    file->map = map;
    const int32_t rc = dlq_file_check(file, path, err);
    if (rc == DLQ_OK) {
        close(file->fd);
        file->fd = -1;
    }
    return rc;
}

void
dlq_file_release(const struct dlq_file *file, uint64_t offset, uint64_t len)
{
    const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    if (!file->map || offset > file->size || len > file->size - offset) {
        return;
    }
    // The first and last page may belong to neighbours too; the last of the file does not.
    const uint64_t begin = (offset + page - 1) / page * page;
    const uint64_t end = offset + len == file->size ? file->size : (offset + len) / page * page;
    if (begin < end) {
        madvise((char *)file->map + begin, (size_t)(end - begin), MADV_DONTNEED);
    }
}

int32_t
dlq_file_read_all(const struct dlq_allocator *a, const char *path, size_t max, char **text,
                  size_t *len, struct dlq_error *err)
{
    struct dlq_file file = DLQ_FILE_INIT;
    char *bytes = NULL;
    int32_t rc = dlq_file_open(&file, path, err);
    if (rc != DLQ_OK) {
        return rc;
    }
    if (file.size > max) {
        rc = dlq_fail_native(err, DLQ_EFORMAT, DLQ_DOMAIN_CHECKPOINT, 0,
                             "%s: %llu bytes, at most %zu are read", path,
                             (unsigned long long)file.size, max);
        goto done;
    }
    bytes = dlq_alloc(a, (size_t)file.size + 1);
    if (!bytes) {
        rc = dlq_fail_native(err, DLQ_ENOMEM, DLQ_DOMAIN_CHECKPOINT, 0,
                             "%s: out of memory for %llu bytes", path,
                             (unsigned long long)file.size);
        goto done;
    }
    rc = dlq_file_read(&file, path, 0, bytes, (size_t)file.size, err);
    if (rc == DLQ_OK) {
        bytes[file.size] = '\0';
        *text = bytes;
        *len = (size_t)file.size;
        bytes = NULL;
    }
done:
    dlq_free(a, bytes);
    dlq_file_close(&file);
    return rc;
}

int32_t
dlq_file_read_optional(const struct dlq_allocator *a, const char *path, size_t max, char **text,
                       size_t *len, struct dlq_error *err)
{
    // A caller's record is only written by a call that fails.
    struct dlq_error local = DLQ_ERROR_INIT;
    *text = NULL;
    *len = 0;
    const int32_t rc = dlq_file_read_all(a, path, max, text, len, &local);
    if (rc == DLQ_OK || rc == DLQ_ENOTFOUND) {
        return DLQ_OK;
    }
    return dlq_fail_native(err, rc, local.domain, local.native, "%s", local.msg);
}
