// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "catalog.h"

#include "alloc.h"
#include "config.h"
#include "elf_note.h"
#include "error.h"

#include <dlquant/plugin.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// The file of some plugin name: inside the grammar, without the '-' that names map to '_'. Modules
// of the library have a '-' for this reason.
static bool
is_plugin_file(const char *file)
{
    char stem[DLQ_NAME_MAX + 1];
    const size_t len = strlen(file);
    if (len < 4 || len - 3 > DLQ_NAME_MAX || strcmp(file + len - 3, ".so") != 0) {
        return false;
    }
    memcpy(stem, file, len - 3);
    stem[len - 3] = '\0';
    return dlq_name_valid(stem) && !strchr(stem, '-');
}

static int32_t
out_of_memory(struct dlq_error *err)
{
    return dlq_fail(err, DLQ_ENOMEM, "no memory for the list of installed plugins");
}

static int32_t
set_problem(struct dlq_installed *item, const struct dlq_allocator *alloc, const char *text,
            struct dlq_error *err)
{
    item->problem = dlq_strdup(alloc, text);
    return item->problem ? DLQ_OK : out_of_memory(err);
}

static bool
names_file(const char *name, const char *file)
{
    char mapped[DLQ_FILE_NAME_SIZE];
    if (!dlq_name_valid(name)) {
        return false;
    }
    dlq_name_to_file(name, mapped);
    return !strcmp(mapped, file);
}

// Whether the name or an alias of the note leads to the file that holds it.
static bool
note_fits_file(const struct dlq_installed *item)
{
    if (names_file(item->name, item->file)) {
        return true;
    }
    const struct dlq_json *const aliases = dlq_json_member(item->json, "aliases");
    for (size_t i = 0; i < dlq_json_size(aliases); i++) {
        const char *alias = NULL;
        if (dlq_json_str(dlq_json_at(aliases, i), &alias, NULL) == DLQ_OK &&
            names_file(alias, item->file)) {
            return true;
        }
    }
    return false;
}

static int32_t
read_abi(const struct dlq_json *note, size_t index)
{
    int64_t value = -1;
    const struct dlq_json *const node = dlq_json_at(dlq_json_member(note, "abi"), index);
    return dlq_json_i64(node, &value) == DLQ_OK && value >= 0 && value <= UINT16_MAX
               ? (int32_t)value
               : -1;
}

static int32_t
parse_note(struct dlq_installed *item, const struct dlq_allocator *alloc, struct dlq_error *err)
{
    struct dlq_error inner = DLQ_ERROR_INIT;
    char problem[2 * DLQ_NAME_MAX + 128];
    int32_t rc = dlq_json_parse(alloc, "note", item->text, strlen(item->text), &item->json, &inner);
    if (rc == DLQ_ENOMEM) {
        return out_of_memory(err);
    }
    if (rc != DLQ_OK) {
        return set_problem(item, alloc, inner.msg, err);
    }
    const char *name = NULL;
    dlq_json_str(dlq_json_member(item->json, "version"), &item->version, NULL);
    item->abi_major = read_abi(item->json, 0);
    item->abi_minor = read_abi(item->json, 1);
    if (dlq_json_str(dlq_json_member(item->json, "name"), &name, NULL) != DLQ_OK ||
        !dlq_name_valid(name)) {
        return set_problem(item, alloc, "note: name is missing or outside the grammar", err);
    }
    item->name = name;
    if (item->abi_major >= 0 && item->abi_major != DLQ_ABI_MAJOR) {
        snprintf(problem, sizeof(problem), "note: abi major: expected %d, found %d", DLQ_ABI_MAJOR,
                 (int)item->abi_major);
        return set_problem(item, alloc, problem, err);
    }
    if (!note_fits_file(item)) {
        snprintf(problem, sizeof(problem), "note: no name of plugin '%s' leads to the file %s",
                 item->name, item->file);
        return set_problem(item, alloc, problem, err);
    }
    return DLQ_OK;
}

static int32_t
inspect(struct dlq_installed *item, const char *dir, const struct dlq_allocator *alloc,
        struct dlq_error *err)
{
    struct dlq_error inner = DLQ_ERROR_INIT;
    struct dlq_trusted_file file;
    int32_t rc = dlq_trusted_file_open(&file, alloc, dir, item->file, &inner);
    if (rc == DLQ_OK) {
        item->dev = file.dev;
        item->ino = file.ino;
        rc = dlq_elf_note_read(file.fd, (uint64_t)file.size, alloc, &item->text, &inner);
        dlq_trusted_file_close(&file, alloc);
    }
    if (rc == DLQ_ENOMEM) {
        return out_of_memory(err);
    }
    if (rc != DLQ_OK) {
        return set_problem(item, alloc, inner.msg, err);
    }
    return item->text ? parse_note(item, alloc, err) : DLQ_OK;
}

static void
finish_item(struct dlq_installed *item, const struct dlq_allocator *alloc)
{
    dlq_json_free(alloc, item->json);
    dlq_free(alloc, item->text);
    dlq_free(alloc, item->problem);
    dlq_free(alloc, item->origin);
}

// A file of the same name in an earlier directory decides, whether it can be used or not.
static int32_t
check_hidden(const struct dlq_catalog *catalog, struct dlq_installed *item, struct dlq_error *err)
{
    for (size_t i = 0; !item->problem && i < catalog->n; i++) {
        const struct dlq_installed *const first = &catalog->items[i];
        if (first->dir < item->dir && !strcmp(first->file, item->file)) {
            char problem[DLQ_ERROR_MSG_SIZE];
            snprintf(problem, sizeof(problem), "hidden by %s, which comes first", first->origin);
            item->hidden = true;
            return set_problem(item, catalog->alloc, problem, err);
        }
    }
    return DLQ_OK;
}

static int32_t
add(struct dlq_catalog *catalog, const char *dir, size_t dir_index, const char *file,
    struct dlq_error *err)
{
    struct dlq_installed item = {.dir = dir_index, .version = "", .abi_major = -1, .abi_minor = -1};
    memcpy(item.file, file, strlen(file) + 1);
    struct dlq_installed *const items = dlq_grow(catalog->alloc, catalog->items, catalog->n,
                                                 &catalog->capacity, catalog->n + 1, sizeof(item));
    if (!items) {
        return out_of_memory(err);
    }
    catalog->items = items;
    item.origin = dlq_path_join(catalog->alloc, dir, file);
    int32_t rc = item.origin ? inspect(&item, dir, catalog->alloc, err) : out_of_memory(err);
    if (rc == DLQ_OK) {
        rc = check_hidden(catalog, &item, err);
    }
    if (rc != DLQ_OK) {
        finish_item(&item, catalog->alloc);
        return rc;
    }
    items[catalog->n++] = item;
    return DLQ_OK;
}

static int
compare(const void *a, const void *b)
{
    const struct dlq_installed *const x = a;
    const struct dlq_installed *const y = b;
    return x->dir != y->dir ? (x->dir < y->dir ? -1 : 1) : strcmp(x->file, y->file);
}

int32_t
dlq_catalog_scan(struct dlq_catalog *out, const struct dlq_search *search,
                 const struct dlq_allocator *alloc, struct dlq_error *err)
{
    int32_t rc = DLQ_OK;
    *out = (struct dlq_catalog){.alloc = alloc};
    for (size_t i = 0; rc == DLQ_OK && i < search->n; i++) {
        const char *const path = search->dirs[i].path;
        DIR *const dir = path[0] == '/' ? opendir(path) : NULL;
        const struct dirent *entry = NULL;
        while (rc == DLQ_OK && dir && (entry = readdir(dir))) {
            if (is_plugin_file(entry->d_name)) {
                rc = add(out, path, i, entry->d_name, err);
            }
        }
        if (dir) {
            closedir(dir);
        }
    }
    if (rc == DLQ_OK && out->n > 1) {
        qsort(out->items, out->n, sizeof(*out->items), compare);
    }
    if (rc != DLQ_OK) {
        dlq_catalog_finish(out);
    }
    return rc;
}

void
dlq_catalog_finish(struct dlq_catalog *catalog)
{
    for (size_t i = 0; i < catalog->n; i++) {
        finish_item(&catalog->items[i], catalog->alloc);
    }
    if (catalog->alloc) {
        dlq_free(catalog->alloc, catalog->items);
    }
    *catalog = (struct dlq_catalog){0};
}

bool
dlq_installed_lists(const struct dlq_installed *item, const char *member, const char *name)
{
    const struct dlq_json *const list = dlq_json_member(item->json, member);
    for (size_t i = 0; i < dlq_json_size(list); i++) {
        const char *text = NULL;
        if (dlq_json_str(dlq_json_at(list, i), &text, NULL) == DLQ_OK && !strcmp(text, name)) {
            return true;
        }
    }
    return false;
}
