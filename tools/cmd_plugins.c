// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "output.h"
#include "tool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/// dlquant plugins: what is installed where, without running any of it.

struct listing {
    const struct dlq_host *host;
    struct tool_table *table; ///< NULL for JSON
    size_t count, broken;
};

/// The strings of an array of the note, joined by commas.
static void
join_note(const struct listing *l, const char *note, const char *pointer, char *out, size_t size)
{
    struct dlq_json *root = NULL;
    out[0] = '\0';
    if (note[0] == '\0' ||
        l->host->json_parse(l->host->ctx, note, strlen(note), &root, NULL) != DLQ_OK) {
        snprintf(out, size, "-");
        return;
    }
    const struct dlq_json *list = l->host->json_get(root, pointer);
    for (size_t i = 0, at = 0; i < l->host->json_size(list) && at < size; ++i) {
        const char *word = NULL;
        if (l->host->json_str(l->host->json_at(list, i), &word, NULL) == DLQ_OK) {
            const int len = snprintf(out + at, size - at, "%s%s", at ? "," : "", word);
            at += len > 0 ? (size_t)len : 0;
        }
    }
    l->host->json_free(l->host->ctx, root);
    if (out[0] == '\0') {
        snprintf(out, size, "-");
    }
}

static void
visit(void *ctx, const struct dlq_plugin_info *info)
{
    struct listing *l = ctx;
    char aliases[256], devices[128], dtypes[128];
    join_note(l, info->note, "/aliases", aliases, sizeof(aliases));
    join_note(l, info->note, "/devices", devices, sizeof(devices));
    join_note(l, info->note, "/dtypes", dtypes, sizeof(dtypes));
    ++l->count;
    l->broken += info->problem != NULL;
    if (!l->table) {
        tool_json_begin();
        tool_json_str("name", info->name);
        tool_json_str("version", info->version);
        tool_json_open("abi", '[');
        tool_json_int(NULL, info->abi_major);
        tool_json_int(NULL, info->abi_minor);
        tool_json_close(']');
        tool_json_str("origin", info->origin);
        tool_json_bool("loaded", info->loaded != 0);
        tool_json_str("note", info->note);
        tool_json_str("problem", info->problem);
        tool_json_end();
        return;
    }
    tool_table_cell(l->table, "%s", info->name);
    tool_table_cell(l->table, "%s", info->version[0] ? info->version : "-");
    if (info->abi_major >= 0) {
        tool_table_cell(l->table, "%d.%d", info->abi_major, info->abi_minor);
    } else {
        tool_table_cell(l->table, "-");
    }
    tool_table_cell(l->table, "%s", aliases);
    tool_table_cell(l->table, "%s", devices);
    tool_table_cell(l->table, "%s", dtypes);
    tool_table_cell(l->table, "%s%s%s", info->origin, info->problem ? ": " : "",
                    info->problem ? info->problem : "");
}

static int
cmd_plugins(const struct tool_options *opt)
{
    static const char *const columns[] = {"plugin",  "version", "ABI",    "also",
                                          "devices", "dtypes",  "origin", NULL};
    struct dlq_error err = DLQ_ERROR_INIT;
    dlq_runtime *rt = NULL;
    int rc = TOOL_OK;
    if (tool_runtime(opt, &rt, &err) != DLQ_OK) {
        return tool_report(&err, TOOL_STAGE_METHOD);
    }
    struct listing l = {.host = dlq_runtime_host(rt)};
    l.table = opt->json ? NULL : tool_table_new(columns);
    if (dlq_runtime_list(rt, visit, &l, &err) != DLQ_OK) {
        rc = tool_report(&err, TOOL_STAGE_METHOD);
    }
    if (l.table) {
        tool_table_print(l.table);
        printf("%zu plugins, %zu unusable; host ABI %d.%d, dlquant %s\n", l.count, l.broken,
               DLQ_ABI_MAJOR, DLQ_ABI_MINOR, dlq_version());
    } else {
        tool_json_begin();
        tool_json_int("plugins", (int64_t)l.count);
        tool_json_int("unusable", (int64_t)l.broken);
        tool_json_str("version", dlq_version());
        tool_json_end();
    }
    dlq_runtime_destroy(rt);
    return rc;
}

const struct tool_command tool_cmd_plugins = {
    .name = "plugins",
    .usage = "[--plugin-dir DIR] [--json]",
    .summary = "List the installed methods, their devices and where they come from",
    .options = "json plugin-dir ",
    .run = cmd_plugins,
};
