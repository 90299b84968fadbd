// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "tool.h"

#include "model.h"
#include "output.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

void *
tool_alloc(size_t count, size_t size)
{
    void *p = calloc(count ? count : 1, size);
    if (!p) {
        fprintf(stderr, "dlquant: out of memory for %zu elements of %zu bytes\n", count, size);
        fprintf(stderr, "hint: fewer rows (--m) or fewer ranks need less memory\n");
        exit(TOOL_ENVIRONMENT);
    }
    return p;
}

char *
tool_format(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    va_list again;
    va_copy(again, ap);
    const int len = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    char *text = tool_alloc((size_t)(len < 0 ? 0 : len) + 1, 1);
    if (len > 0) {
        vsnprintf(text, (size_t)len + 1, fmt, again);
    }
    va_end(again);
    return text;
}

double
tool_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

const char *
tool_dtype_name(uint32_t dtype)
{
    switch (dtype) {
    case DLQ_F16:
        return "fp16";
    case DLQ_BF16:
        return "bf16";
    case DLQ_F32:
        return "fp32";
    case DLQ_F64:
        return "F64";
    case DLQ_I8:
        return "I8";
    case DLQ_I16:
        return "I16";
    case DLQ_I32:
        return "I32";
    case DLQ_I64:
        return "I64";
    case DLQ_U8:
        return "U8";
    case DLQ_F8_E4M3:
        return "F8_E4M3";
    case DLQ_F8_E5M2:
        return "F8_E5M2";
    case DLQ_F8_E8M0:
        return "F8_E8M0";
    default:
        return "other";
    }
}

int
tool_exit_code(const struct dlq_error *err, enum tool_stage stage)
{
    switch (err->code) {
    case DLQ_OK:
        return TOOL_OK;
    case DLQ_ENOTFOUND:
        return stage == TOOL_STAGE_INPUT ? TOOL_INPUT : TOOL_UNSUPPORTED;
    case DLQ_EIO:
    case DLQ_EFORMAT:
        return err->domain == DLQ_DOMAIN_LOADER ? TOOL_ENVIRONMENT : TOOL_INPUT;
    case DLQ_EEXIST:
        return stage == TOOL_STAGE_INPUT ? TOOL_INPUT : TOOL_ENVIRONMENT;
    case DLQ_ECONFIG:
    case DLQ_EINCOMPLETE:
    case DLQ_EOVERFLOW:
        return TOOL_INPUT;
    case DLQ_ESHAPE:
    case DLQ_EDTYPE:
        return stage == TOOL_STAGE_INPUT ? TOOL_INPUT : TOOL_UNSUPPORTED;
    case DLQ_EINVAL: // DLQ_CPU_FLAGS, or our mistake
        return stage == TOOL_STAGE_INPUT ? TOOL_USAGE : TOOL_DEFECT;
    case DLQ_EUNSUPPORTED:
        return TOOL_UNSUPPORTED;
    case DLQ_ENOMEM:
    case DLQ_EABI:
    case DLQ_EPERM:
    case DLQ_EDEVICE:
    case DLQ_ECOMM:
    case DLQ_ETIMEOUT:
    case DLQ_EPLUGIN:
        return TOOL_ENVIRONMENT;
    default:
        return TOOL_DEFECT;
    }
}

int
tool_report(const struct dlq_error *err, enum tool_stage stage)
{
    static const char *const hints[] = {
        [TOOL_FAILED] = "dlquant run --json shows every layer with its error and bound",
        [TOOL_USAGE] = "man dlquant explains options and variables of the environment",
        [TOOL_INPUT] = "fetch the file again, or run dlquant inspect --explain on the folder",
        [TOOL_UNSUPPORTED] = "dlquant plugins lists what is installed; DLQ_PLUGIN_PATH or "
                             "--plugin-dir add folders",
        [TOOL_ENVIRONMENT] = "dlquant plugins and -v show what was looked for and what failed",
        [TOOL_DEFECT] = "this looks like a defect of dlquant; please report it with this line",
    };
    const int code = tool_exit_code(err, stage);
    const bool sizes = code == TOOL_UNSUPPORTED && err->code == DLQ_ESHAPE;
    const char *const hint = sizes ? "dlquant plan CKPT --tp 1-8 shows which numbers of ranks work"
                             : err->code == DLQ_EDEVICE
                                 ? "dlquant plan CKPT --device sm90 plans for a GPU without one"
                                 : hints[code];
    const char *what = err->msg[0] ? err->msg : dlq_status_string(err->code);
    tool_print_line(stderr, "dlquant: %s", what);
    if (code > 0 && hint) {
        fprintf(stderr, "hint: %s\n", hint);
    }
    return code;
}

static void
print_log(void *ctx, int32_t level, const char *line)
{
    static const char *const names[] = {"error", "warning", "info", "debug"};
    (void)ctx;
    fprintf(stderr, "dlquant: %s: %s\n", names[level >= 0 && level <= 3 ? level : 3], line);
}

/// Multiprocessors of a usual GPU of a capability, which plans of kernels depend on.
static int32_t
usual_multiprocessors(int32_t sm)
{
    return sm >= 100 ? 148 : sm >= 90 ? 132 : sm >= 89 ? 128 : sm >= 86 ? 84 : sm >= 80 ? 108 : 64;
}

int32_t
tool_runtime(const struct tool_options *opt, dlq_runtime **out, struct dlq_error *err)
{
    struct dlq_device_info planned = {.struct_size = sizeof(planned),
                                      .device = opt->device,
                                      .capability = opt->sm,
                                      .multiprocessors = usual_multiprocessors(opt->sm)};
    snprintf(planned.name, sizeof(planned.name), "sm%d", (int)opt->sm);
    const struct dlq_runtime_options options = {
        .struct_size = sizeof(options),
        .plugin_dirs = opt->n_plugin_dirs ? opt->plugin_dirs : NULL,
        .n_threads = opt->n_threads,
        .log_level = DLQ_LOG_WARN + opt->verbose,
        .log = print_log,
        .planned_device = opt->sm > 0 ? &planned : NULL,
    };
    return dlq_runtime_create(&options, out, err);
}

int
tool_session_open(struct tool_session *s, const struct tool_options *opt)
{
    struct dlq_error err = DLQ_ERROR_INIT;
    *s = (struct tool_session){0};
    s->source.struct_size = sizeof(s->source);
    struct dlq_device_info info = {.struct_size = sizeof(info)};
    if (tool_runtime(opt, &s->rt, &err) != DLQ_OK ||
        dlq_runtime_device_info(s->rt, opt->device, &info, &err) != DLQ_OK ||
        dlq_checkpoint_open(s->rt, opt->path, 0, &s->ckpt, &err) != DLQ_OK ||
        dlq_checkpoint_quant_source(s->ckpt, &s->source, &err) != DLQ_OK ||
        tool_model_find(s->rt, s->ckpt, !opt->no_fuse, &s->model, &err) != DLQ_OK) {
        return tool_report(&err, TOOL_STAGE_INPUT);
    }
    return TOOL_OK;
}

int32_t
tool_session_configure(struct tool_session *s, const struct tool_options *opt,
                       struct dlq_error *err)
{
    if (s->source.quant_method[0] == '\0') {
        return DLQ_OK;
    }
    const int32_t status = dlq_quant_config_choose(s->rt, s->source.quant_method, s->source.text,
                                                   s->source.len, opt->device, &s->config, err);
    // The name is the checkpoint's text: what breaks the grammar is bad input, not our mistake.
    err->code = status == DLQ_EINVAL ? DLQ_ECONFIG : status;
    return err->code;
}

void
tool_session_close(struct tool_session *s)
{
    tool_model_free(s->model);
    dlq_quant_config_destroy(s->config);
    dlq_checkpoint_close(s->ckpt);
    dlq_runtime_destroy(s->rt);
    *s = (struct tool_session){0};
}
