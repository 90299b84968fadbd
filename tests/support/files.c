// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#define _GNU_SOURCE
#include "support.h"

#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *
join(const char *dir, const char *name)
{
    static char paths[4][PATH_MAX];
    static unsigned turn;
    char *const path = paths[turn++ % 4];
    const int n = snprintf(path, PATH_MAX, "%s/%s", dir, name);
    assert_in_range(n, 1, PATH_MAX - 1);
    return path;
}

const char *
test_data(const char *name)
{
    const char *const dir = getenv("DLQ_TEST_DATA");
    return join(dir ? dir : DLQ_TEST_DATA_DIR, name);
}

const char *
test_path(const char *dir, const char *name)
{
    return join(dir, name);
}

char *
test_tmpdir(void)
{
    const char *const base = getenv("TMPDIR");
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/dlquant-test-XXXXXX", base ? base : "/tmp");
    assert_non_null(mkdtemp(path));
    char *const dir = strdup(path);
    assert_non_null(dir);
    return dir;
}

static int
remove_entry(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st;
    (void)kind;
    (void)ftw;
    return remove(path);
}

void
test_tmpdir_remove(char *dir)
{
    assert_int_equal(nftw(dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
    free(dir);
}

static void
make_folders(const char *path)
{
    char part[PATH_MAX];
    for (const char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        snprintf(part, sizeof(part), "%.*s", (int)(slash - path), path);
        if (mkdir(part, 0700) != 0) {
            assert_int_equal(errno, EEXIST);
        }
    }
}

void
test_write(const char *dir, const char *name, const void *data, size_t len)
{
    const char *const path = join(dir, name);
    make_folders(path);
    FILE *const f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(len ? fwrite(data, 1, len, f) : 0, len);
    assert_int_equal(fclose(f), 0);
}

void
test_write_text(const char *dir, const char *name, const char *text)
{
    test_write(dir, name, text, strlen(text));
}

char *
test_read(const char *path, size_t *len)
{
    FILE *const f = fopen(path, "rb");
    if (!f) {
        fail_msg("%s: %s", path, strerror(errno));
    }
    assert_int_equal(fseek(f, 0, SEEK_END), 0);
    const long size = ftell(f);
    assert_true(size >= 0);
    rewind(f);
    char *const text = malloc((size_t)size + 1);
    assert_non_null(text);
    assert_int_equal(fread(text, 1, (size_t)size, f), size);
    text[size] = '\0';
    fclose(f);
    if (len) {
        *len = (size_t)size;
    }
    return text;
}

void
test_copy(const char *data, const char *dir, const char *name)
{
    size_t len = 0;
    char *const bytes = test_read(test_data(data), &len);
    test_write(dir, name, bytes, len);
    free(bytes);
}
