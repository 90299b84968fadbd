// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

// For secure_getenv().
#define _GNU_SOURCE

#include "path.h"

#include "alloc.h"
#include "error.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool
is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool
dlq_name_valid(const char *name)
{
    if (!name || !is_alnum(name[0])) {
        return false;
    }
    size_t n = 1;
    for (; name[n] != '\0'; n++) {
        const char c = name[n];
        if (n == DLQ_NAME_MAX || !(is_alnum(c) || c == '_' || c == '.' || c == '-') ||
            (c == '.' && name[n - 1] == '.')) {
            return false;
        }
    }
    return true;
}

void
dlq_name_to_file(const char *name, char out[DLQ_FILE_NAME_SIZE])
{
    size_t n = 0;
    for (; n < DLQ_NAME_MAX && name[n] != '\0'; n++) {
        out[n] = name[n];
        if (out[n] == '-') {
            out[n] = '_';
        }
    }
    memcpy(out + n, ".so", 4);
}

const char *
dlq_name_printable(const char *text, char out[DLQ_NAME_MAX + 4])
{
    size_t n = 0;
    for (; n < DLQ_NAME_MAX && text[n] != '\0'; n++) {
        out[n] = text[n] >= ' ' && text[n] <= '~' ? text[n] : '?';
    }
    memcpy(out + n, "...", 4);
    if (text[n] == '\0') {
        out[n] = '\0';
    }
    return out;
}

char *
dlq_path_join(const struct dlq_allocator *alloc, const char *dir, const char *file)
{
    const size_t dir_len = strlen(dir);
    const size_t file_len = strlen(file);
    char *const path = dlq_alloc(alloc, dir_len + file_len + 2);
    if (path) {
        memcpy(path, dir, dir_len);
        path[dir_len] = '/';
        memcpy(path + dir_len + 1, file, file_len + 1);
    }
    return path;
}

const char *
dlq_search_environment(void)
{
    return secure_getenv("DLQ_PLUGIN_PATH");
}

static int32_t
search_add(struct dlq_search *search, const struct dlq_allocator *alloc, const char *path,
           size_t len, const char *source, struct dlq_error *err)
{
    while (len > 1 && path[len - 1] == '/') {
        len--;
    }
    if (len == 0) {
        return DLQ_OK;
    }
    for (size_t i = 0; i < search->n; i++) {
        if (strlen(search->dirs[i].path) == len && !memcmp(search->dirs[i].path, path, len)) {
            return DLQ_OK;
        }
    }
    struct dlq_search_dir *const dirs =
        dlq_grow(alloc, search->dirs, search->n, &search->capacity, search->n + 1, sizeof(*dirs));
    if (!dirs) {
        return dlq_fail(err, DLQ_ENOMEM, "no memory for the plugin directories");
    }
    search->dirs = dirs;
    char *const copy = dlq_strndup(alloc, path, len);
    if (!copy) {
        return dlq_fail(err, DLQ_ENOMEM, "no memory for the plugin directories");
    }
    dirs[search->n++] = (struct dlq_search_dir){.path = copy, .source = source};
    return DLQ_OK;
}

int32_t
dlq_search_init(struct dlq_search *search, const struct dlq_allocator *alloc,
                const char *const *api, const char *env, const char *own_dir, const char *compiled,
                struct dlq_error *err)
{
    int32_t rc = DLQ_OK;
    *search = (struct dlq_search){0};
    for (; rc == DLQ_OK && api && *api; api++) {
        rc = (*api)[0] == '/'
                 ? search_add(search, alloc, *api, strlen(*api), "plugin_dirs", err)
                 : dlq_fail(err, DLQ_EINVAL, "plugin_dirs: expected an absolute path, found '%s'",
                            *api);
    }
    while (rc == DLQ_OK && env && *env) {
        const size_t len = strcspn(env, ":");
        rc = search_add(search, alloc, env, len, "DLQ_PLUGIN_PATH", err);
        env += len + (env[len] == ':');
    }
    if (rc == DLQ_OK && own_dir) {
        char *const own = dlq_path_join(alloc, own_dir, "dlquant/plugins-1");
        rc = own ? search_add(search, alloc, own, strlen(own), "beside libdlquant", err)
                 : dlq_fail(err, DLQ_ENOMEM, "no memory for the plugin directories");
        dlq_free(alloc, own);
    }
    if (rc == DLQ_OK && compiled) {
        rc = search_add(search, alloc, compiled, strlen(compiled), "compiled in", err);
    }
    if (rc != DLQ_OK) {
        dlq_search_finish(search, alloc);
    }
    return rc;
}

void
dlq_search_finish(struct dlq_search *search, const struct dlq_allocator *alloc)
{
    for (size_t i = 0; i < search->n; i++) {
        dlq_free(alloc, search->dirs[i].path);
    }
    dlq_free(alloc, search->dirs);
    *search = (struct dlq_search){0};
}

static int32_t
fail_errno(struct dlq_error *err, int code, const char *what)
{
    const int32_t status = code == ENOENT || code == ENOTDIR ? DLQ_ENOTFOUND : DLQ_EIO;
    return dlq_fail_native(err, status, DLQ_DOMAIN_LOADER, code, "%s: %s", what, strerror(code));
}

static int32_t
fail_resolve(struct dlq_error *err, int code, const char *dir, const char *file)
{
    if (code != ENOENT) {
        return fail_errno(err, code, file);
    }
    return access(dir, F_OK) == 0
               ? dlq_fail_native(err, DLQ_ENOTFOUND, DLQ_DOMAIN_LOADER, code, "no %s", file)
               : dlq_fail_native(err, DLQ_ENOTFOUND, DLQ_DOMAIN_LOADER, code, "no such directory");
}

static bool
owner_trusted(const struct stat *st)
{
    return st->st_uid == 0 || st->st_uid == geteuid();
}

// The way to a file, from the root down; `path` has no symbolic links. In the directory that holds
// the file nobody else may create names at all. Above it a sticky directory such as /tmp is fine as
// long as the entry in it is ours, for only its owner can rename it.
static int32_t
check_directories(const char *path, struct dlq_error *err)
{
    char dir[PATH_MAX] = "/";
    bool shared = false;
    for (const char *p = path;;) {
        const char *const slash = strchr(p + 1, '/');
        struct stat st;
        if (stat(dir, &st) != 0) {
            return fail_errno(err, errno, dir);
        }
        const bool last = slash == NULL;
        if ((last || shared) && !owner_trusted(&st)) {
            return dlq_fail_native(err, DLQ_EPERM, DLQ_DOMAIN_LOADER, 0,
                                   "refused: directory %s belongs to user %u, expected root or %u",
                                   dir, (unsigned)st.st_uid, (unsigned)geteuid());
        }
        const mode_t open_bits = last ? S_IWGRP | S_IWOTH : S_IWOTH;
        const bool sticky = !last && (st.st_mode & S_ISVTX);
        if ((st.st_mode & open_bits) && !sticky) {
            return dlq_fail_native(err, DLQ_EPERM, DLQ_DOMAIN_LOADER, 0,
                                   "refused: directory %s has mode %04o, others may write it", dir,
                                   (unsigned)st.st_mode & 07777u);
        }
        if (last) {
            return DLQ_OK;
        }
        shared = (st.st_mode & S_IWOTH) != 0;
        memcpy(dir, path, (size_t)(slash - path));
        dir[slash - path] = '\0';
        p = slash;
    }
}

static int32_t
check_file(const struct stat *st, struct dlq_error *err)
{
    if (!S_ISREG(st->st_mode)) {
        return dlq_fail_native(err, DLQ_EPERM, DLQ_DOMAIN_LOADER, 0,
                               "refused: expected a regular file, found type %06o",
                               (unsigned)st->st_mode & (unsigned)S_IFMT);
    }
    if (!owner_trusted(st)) {
        return dlq_fail_native(err, DLQ_EPERM, DLQ_DOMAIN_LOADER, 0,
                               "refused: file belongs to user %u, expected root or %u",
                               (unsigned)st->st_uid, (unsigned)geteuid());
    }
    if (st->st_mode & (S_IWGRP | S_IWOTH)) {
        return dlq_fail_native(err, DLQ_EPERM, DLQ_DOMAIN_LOADER, 0,
                               "refused: file has mode %04o, others may write it",
                               (unsigned)st->st_mode & 07777u);
    }
    return DLQ_OK;
}

int32_t
dlq_trusted_file_open(struct dlq_trusted_file *out, const struct dlq_allocator *alloc,
                      const char *dir, const char *file, struct dlq_error *err)
{
    *out = (struct dlq_trusted_file){.fd = -1};
    if (dir[0] != '/') {
        return dlq_fail_native(err, DLQ_ENOTFOUND, DLQ_DOMAIN_LOADER, 0,
                               "not used: the directory is no absolute path");
    }
    char *const joined = dlq_path_join(alloc, dir, file);
    if (!joined) {
        return dlq_fail(err, DLQ_ENOMEM, "no memory for a path");
    }
    // The path that is checked is the path that is opened and, later, loaded: once no part of it is
    // a symbolic link and no directory on it is open to others, nobody else can make it lead
    // elsewhere.
    char real[PATH_MAX];
    int32_t rc = DLQ_OK;
    if (!realpath(joined, real)) {
        rc = fail_resolve(err, errno, dir, file);
    }
    dlq_free(alloc, joined);
    if (rc == DLQ_OK) {
        rc = check_directories(real, err);
    }
    if (rc == DLQ_OK) {
        out->fd = open(real, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
        struct stat st;
        rc = out->fd < 0 || fstat(out->fd, &st) != 0 ? fail_errno(err, errno, "cannot open")
                                                     : check_file(&st, err);
        if (rc == DLQ_OK) {
            out->dev = st.st_dev;
            out->ino = st.st_ino;
            out->size = st.st_size;
            out->path = dlq_strdup(alloc, real);
            rc = out->path ? DLQ_OK : dlq_fail(err, DLQ_ENOMEM, "no memory for a path");
        }
    }
    if (rc != DLQ_OK) {
        dlq_trusted_file_close(out, alloc);
    }
    return rc;
}

bool
dlq_trusted_file_unchanged(const struct dlq_trusted_file *file)
{
    struct stat now;
    return lstat(file->path, &now) == 0 && now.st_dev == file->dev && now.st_ino == file->ino &&
           now.st_size == file->size;
}

void
dlq_trusted_file_close(struct dlq_trusted_file *file, const struct dlq_allocator *alloc)
{
    if (file->fd >= 0) {
        close(file->fd);
    }
    dlq_free(alloc, file->path);
    *file = (struct dlq_trusted_file){.fd = -1};
}
