// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "gpu.h"

#include "model.h"
#include "tool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Seconds of the steps of all layers.
struct times {
    double create, load, process;
};

struct peaks {
    size_t device, device_before; ///< Bytes of device memory in use
    size_t anonymous;             ///< Bytes of host memory that are no pages of files
};

// A line of /proc/self/status in bytes.
static size_t
status_bytes(const char *name)
{
    FILE *const f = fopen("/proc/self/status", "re");
    char line[256];
    size_t bytes = 0;
    while (f && fgets(line, sizeof(line), f)) {
        if (strncmp(line, name, strlen(name)) == 0) {
            bytes = (size_t)strtoull(line + strlen(name), NULL, 10) << 10;
        }
    }
    if (f) {
        fclose(f);
    }
    return bytes;
}

static void
look(struct peaks *p)
{
    const size_t device = gpu_memory_used();
    const size_t anonymous = status_bytes("RssAnon:") + status_bytes("RssShmem:");
    p->device = device > p->device ? device : p->device;
    p->anonymous = anonymous > p->anonymous ? anonymous : p->anonymous;
}

static int32_t
load_layer(const struct tool_session *s, const struct tool_layer *layer,
           const struct tool_options *opt, struct times *times, dlq_linear **out,
           struct dlq_error *err)
{
    const struct dlq_linear_desc desc =
        tool_layer_desc(layer, s->model->dtype, opt->device, s->config, s->ckpt);
    const double begin = gpu_seconds();
    int32_t rc = tool_layer_create(s->rt, layer, &desc, out, err);
    const double created = gpu_seconds();
    if (rc == DLQ_OK) {
        rc = dlq_linear_load_checkpoint(*out, s->ckpt, err);
    }
    const double loaded = gpu_seconds();
    if (rc == DLQ_OK) {
        rc = dlq_linear_process(*out, err);
    }
    times->create += created - begin;
    times->load += loaded - created;
    times->process += gpu_seconds() - loaded;
    return rc;
}

static int
report(const struct tool_session *s, const struct peaks *p, const struct times *times, double first,
       double last, uint64_t bytes, uint64_t kept)
{
    const double seconds = times->create + times->load + times->process;
    const double rate = (double)bytes / seconds;
    const double pinned = first < last ? first : last;
    printf("{\"layers\": %zu, \"bytes\": %llu, \"seconds\": %.4f, "
           "\"create\": %.4f, \"load\": %.4f, \"process\": %.4f, \"gbps\": %.2f, "
           "\"pinned_gbps\": [%.2f, %.2f], \"share\": %.3f, \"host_peak\": %zu, \"vm_hwm\": %zu, "
           "\"device_peak\": %zu, \"weights\": %llu}\n",
           s->model->n_layers, (unsigned long long)bytes, seconds, times->create, times->load,
           times->process, rate * 1e-9, first * 1e-9, last * 1e-9, rate / pinned, p->anonymous,
           status_bytes("VmHWM:"), p->device - p->device_before, (unsigned long long)kept);
    return 0;
}

// Load every layer of a checkpoint and keep them all.
static int
load_all(const char *path, int32_t n_threads)
{
    const struct tool_options opt = {.path = path, .device = gpu_first, .n_threads = n_threads};
    struct dlq_error err = DLQ_ERROR_INIT;
    struct tool_session s;
    struct peaks p = {0};
    const double first = gpu_pinned_rate();
    int rc = tool_session_open(&s, &opt);
    if (rc == TOOL_OK && tool_session_configure(&s, &opt, &err) != DLQ_OK) {
        rc = tool_report(&err, TOOL_STAGE_METHOD);
    }
    if (rc != TOOL_OK) {
        tool_session_close(&s);
        return rc;
    }
    dlq_linear **const layers = tool_alloc(s.model->n_layers, sizeof(*layers));
    uint64_t bytes = 0;
    uint64_t kept = 0;
    p.device_before = gpu_memory_used();
    struct times times = {0};
    for (size_t i = 0; i < s.model->n_layers && rc == TOOL_OK; i++) {
        if (load_layer(&s, &s.model->layers[i], &opt, &times, &layers[i], &err) != DLQ_OK) {
            rc = tool_report(&err, TOOL_STAGE_METHOD);
            break;
        }
        bytes += s.model->layers[i].bytes;
        kept += dlq_linear_param_bytes(layers[i]);
        look(&p);
    }
    if (rc == TOOL_OK) {
        rc = report(&s, &p, &times, first, gpu_pinned_rate(), bytes, kept);
    }
    for (size_t i = 0; i < s.model->n_layers; i++) {
        dlq_linear_destroy(layers[i]);
    }
    free(layers);
    tool_session_close(&s);
    return rc;
}

int
main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: gpu_load CKPT [THREADS]\n"
                        "Loads every layer and prints rates and peaks as one line of JSON.\n");
        return 2;
    }
    return gpu_is_there() ? load_all(argv[1], argc > 2 ? atoi(argv[2]) : 0) : 77;
}
