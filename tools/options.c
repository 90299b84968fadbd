// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "tool.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    OPT_JSON = 256,
    OPT_CHECK,
    OPT_NO_FUSE,
    OPT_NO_TIMES,
    OPT_EXPLAIN,
    OPT_GOLDEN,
    OPT_INTEGERS,
    OPT_PLUGIN_DIR,
    OPT_THREADS,
    OPT_TIMEOUT,
    OPT_DTYPE,
    OPT_DEVICE,
    OPT_TP,
    OPT_M,
    OPT_OP,
    OPT_SHAPES,
    OPT_COMPARE,
    OPT_CSV,
    OPT_SVG
};

static const struct option long_options[] = {
    {"check", no_argument, NULL, OPT_CHECK},
    {"compare", required_argument, NULL, OPT_COMPARE},
    {"csv", required_argument, NULL, OPT_CSV},
    {"device", required_argument, NULL, OPT_DEVICE},
    {"dtype", required_argument, NULL, OPT_DTYPE},
    {"explain", no_argument, NULL, OPT_EXPLAIN},
    {"golden", required_argument, NULL, OPT_GOLDEN},
    {"help", no_argument, NULL, 'h'},
    {"integers", no_argument, NULL, OPT_INTEGERS},
    {"json", no_argument, NULL, OPT_JSON},
    {"m", required_argument, NULL, OPT_M},
    {"no-fuse", no_argument, NULL, OPT_NO_FUSE},
    {"no-times", no_argument, NULL, OPT_NO_TIMES},
    {"op", required_argument, NULL, OPT_OP},
    {"plugin-dir", required_argument, NULL, OPT_PLUGIN_DIR},
    {"shapes", required_argument, NULL, OPT_SHAPES},
    {"svg", required_argument, NULL, OPT_SVG},
    {"threads", required_argument, NULL, OPT_THREADS},
    {"timeout", required_argument, NULL, OPT_TIMEOUT},
    {"tp", required_argument, NULL, OPT_TP},
    {"verbose", no_argument, NULL, 'v'},
    {NULL, 0, NULL, 0},
};

static int
complain(const struct tool_command *cmd, const char *what, const char *value)
{
    fprintf(stderr, "dlquant %s: %s%s%s\n", cmd->name, what, value ? ": " : "", value ? value : "");
    fprintf(stderr, "hint: dlquant %s %s\n", cmd->name, cmd->usage);
    return TOOL_USAGE;
}

/// A decimal number of `min` to `max`; `*end` is the first byte after it.
static bool
number(const char *text, int64_t min, int64_t max, int64_t *out, char **end)
{
    errno = 0;
    if (text[0] < '0' || text[0] > '9') {
        return false;
    }
    const long long v = strtoll(text, end, 10);
    *out = v;
    return errno == 0 && v >= min && v <= max;
}

/// "1,2,4" or "1-16" or both.
static bool
number_list(const char *text, int64_t max, int64_t *out, int *count)
{
    *count = 0;
    for (const char *at = text;;) {
        int64_t first = 0;
        char *end = NULL;
        if (!number(at, 1, max, &first, &end)) {
            return false;
        }
        int64_t last = first;
        if (*end == '-' && (!number(end + 1, first, max, &last, &end))) {
            return false;
        }
        for (int64_t v = first; v <= last; ++v) {
            if (*count == TOOL_MAX_LIST) {
                return false;
            }
            out[(*count)++] = v;
        }
        if (*end == '\0') {
            return true;
        }
        if (*end != ',') {
            return false;
        }
        at = end + 1;
    }
}

/// "4096x14336" and more of them behind commas.
static bool
shape_list(const char *text, int64_t out[][2], int *count)
{
    *count = 0;
    for (const char *at = text; *count < TOOL_MAX_LIST;) {
        char *end = NULL;
        if (!number(at, 1, 1 << 24, &out[*count][0], &end) || *end != 'x' ||
            !number(end + 1, 1, 1 << 24, &out[*count][1], &end)) {
            return false;
        }
        ++*count;
        if (*end == '\0') {
            return true;
        }
        if (*end != ',') {
            return false;
        }
        at = end + 1;
    }
    return false;
}

static bool
parse_device(const char *text, bool plan, struct tool_options *opt)
{
    int64_t value = 0;
    char *end = NULL;
    if (strcmp(text, "cpu") == 0) {
        opt->device = (struct dlq_device){DLQ_DEVICE_CPU, 0};
        return true;
    }
    opt->device = (struct dlq_device){DLQ_DEVICE_CUDA, 0};
    if (strcmp(text, "cuda") == 0) {
        return true;
    }
    if (strncmp(text, "cuda:", 5) == 0 && number(text + 5, 0, 1023, &value, &end) && *end == '\0') {
        opt->device.index = (int32_t)value;
        return true;
    }
    if (plan && strncmp(text, "sm", 2) == 0 && number(text + 2, 50, 999, &value, &end) &&
        *end == '\0') {
        opt->sm = (int32_t)value;
        return true;
    }
    return false;
}

static uint32_t
parse_dtype(const char *text)
{
    static const struct {
        const char *name;
        uint32_t dtype;
    } names[] = {{"fp16", DLQ_F16}, {"f16", DLQ_F16}, {"float16", DLQ_F16}, {"bf16", DLQ_BF16},
                 {"fp32", DLQ_F32}, {"f32", DLQ_F32}, {"float32", DLQ_F32}, {"bfloat16", DLQ_BF16}};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); ++i) {
        if (strcmp(text, names[i].name) == 0) {
            return names[i].dtype;
        }
    }
    return DLQ_DTYPE_NONE;
}

/// Whether the subcommand takes the option; help is for all.
static bool
takes(const struct tool_command *cmd, int code)
{
    for (const struct option *o = long_options; o->name; ++o) {
        if (o->val == code) {
            char word[32];
            snprintf(word, sizeof(word), "%s ", o->name);
            return code == 'h' || code == 'v' || strstr(cmd->options, word) != NULL;
        }
    }
    return false;
}

static int
take(const struct tool_command *cmd, int code, const char *value, struct tool_options *opt)
{
    int64_t list[TOOL_MAX_LIST];
    char *end = NULL;
    switch (code) {
    case 'h':
        opt->help = true;
        return TOOL_OK;
    case 'v':
        ++opt->verbose;
        return TOOL_OK;
    case OPT_JSON:
        opt->json = true;
        return TOOL_OK;
    case OPT_CHECK:
        opt->check = true;
        return TOOL_OK;
    case OPT_NO_FUSE:
        opt->no_fuse = true;
        return TOOL_OK;
    case OPT_NO_TIMES:
        opt->no_times = true;
        return TOOL_OK;
    case OPT_EXPLAIN:
        opt->explain = true;
        return TOOL_OK;
    case OPT_GOLDEN:
        opt->golden = value;
        return TOOL_OK;
    case OPT_INTEGERS:
        opt->integers = true;
        return TOOL_OK;
    case OPT_PLUGIN_DIR: {
        const int max = (int)(sizeof(opt->plugin_dirs) / sizeof(opt->plugin_dirs[0])) - 1;
        if (value[0] != '/' || opt->n_plugin_dirs == max) {
            return complain(cmd, "--plugin-dir needs an absolute folder, at most 7 times", value);
        }
        opt->plugin_dirs[opt->n_plugin_dirs++] = value;
        return TOOL_OK;
    }
    case OPT_THREADS:
        if (!number(value, 1, 4096, &list[0], &end) || *end != '\0') {
            return complain(cmd, "--threads needs a number of 1 to 4096", value);
        }
        opt->n_threads = (int32_t)list[0];
        return TOOL_OK;
    case OPT_TIMEOUT:
        if (!number(value, 1, 86400, &list[0], &end) || *end != '\0') {
            return complain(cmd, "--timeout needs seconds, 1 to 86400", value);
        }
        opt->timeout_ms = (int32_t)list[0] * 1000;
        return TOOL_OK;
    case OPT_DTYPE:
        opt->dtype = parse_dtype(value);
        return opt->dtype ? TOOL_OK : complain(cmd, "--dtype is one of fp16, bf16, fp32", value);
    case OPT_DEVICE:
        if (!parse_device(value, cmd == &tool_cmd_plan || cmd == &tool_cmd_inspect, opt)) {
            return complain(cmd, "unknown device", value);
        }
        return TOOL_OK;
    case OPT_TP: {
        opt->mpi = cmd == &tool_cmd_run && strcmp(value, "mpi") == 0;
        if (opt->mpi) {
            opt->n_tp = 1;
            return TOOL_OK;
        }
        if (!number_list(value, 1024, list, &opt->n_tp)) {
            return complain(cmd, "--tp needs numbers of ranks, 32 at most, as 4, 1,2,4 or 1-16",
                            value);
        }
        for (int i = 0; i < opt->n_tp; ++i) {
            opt->tp[i] = (int32_t)list[i];
        }
        return TOOL_OK;
    }
    case OPT_M:
        if (!number_list(value, 1 << 20, opt->m, &opt->n_m)) {
            return complain(cmd, "--m needs numbers of rows, 32 at most, as 1 or 1,16", value);
        }
        return TOOL_OK;
    case OPT_OP:
        opt->ops = value;
        return TOOL_OK;
    case OPT_SHAPES:
        return shape_list(value, opt->shapes, &opt->n_shapes)
                   ? TOOL_OK
                   : complain(cmd, "--shapes needs inputs x outputs as 4096x4096,4096x14336",
                              value);
    case OPT_COMPARE: {
        const int max = (int)(sizeof(opt->compare) / sizeof(opt->compare[0]));
        if (opt->n_compare == max) {
            return complain(cmd, "--compare at most 4 times", value);
        }
        opt->compare[opt->n_compare++] = value;
        return TOOL_OK;
    }
    case OPT_CSV:
        opt->csv = value;
        return TOOL_OK;
    case OPT_SVG:
        opt->svg = value;
        return TOOL_OK;
    default:
        return TOOL_USAGE;
    }
}

int
tool_parse(const struct tool_command *cmd, int argc, char **argv, struct tool_options *opt)
{
    *opt = (struct tool_options){0};
    opt->device = (struct dlq_device){DLQ_DEVICE_CPU, 0};
    opt->tp[0] = 1;
    opt->n_tp = 1;
    opt->timeout_ms = 60000;
    opterr = 0;
    for (;;) {
        const int code = getopt_long(argc, argv, ":hv", long_options, NULL);
        if (code == -1) {
            break;
        }
        if (code == ':') {
            return complain(cmd, "option needs a value", argv[optind - 1]);
        }
        if (code == '?' || !takes(cmd, code)) {
            return complain(cmd, "unknown option", argv[optind - 1]);
        }
        const int rc = take(cmd, code, optarg, opt);
        if (rc != TOOL_OK) {
            return rc;
        }
    }
    if (opt->help) {
        return TOOL_OK;
    }
    const bool wants_path = strncmp(cmd->usage, "CKPT", 4) == 0;
    if (wants_path && optind < argc) {
        opt->path = argv[optind++];
    }
    if (wants_path && !opt->path) {
        return complain(cmd, "a checkpoint folder is missing", NULL);
    }
    if (optind < argc) {
        return complain(cmd, "unexpected argument", argv[optind]);
    }
    return TOOL_OK;
}
