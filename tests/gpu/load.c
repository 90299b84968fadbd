// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "gpu.h"

#include "model.h"
#include "tool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

// Seconds of the steps of all layers, summed over threads.
struct times {
    double create, load, process;
};

struct peaks {
    size_t device, device_before; ///< Bytes of device memory in use
    size_t anonymous;             ///< Bytes of host memory that are no pages of files
};

enum { LOADERS = 8 };

// A thread that loads, with a runtime of its own.
struct loader {
    struct work *work;
    struct tool_session session;
    pthread_t thread;
    struct times times;
    struct dlq_error err;
    int rc; ///< enum tool_exit
};

// What they share.
struct work {
    const struct tool_options *opt;
    struct loader loaders[LOADERS];
    int n_loaders;
    dlq_linear **layers;
    atomic_size_t next; ///< Layer
    atomic_bool done;
    struct peaks peaks;
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

static void *
load_layers(void *arg)
{
    struct loader *const l = arg;
    struct work *const w = l->work;
    const struct tool_model *const model = l->session.model;
    size_t i = 0;
    while (l->rc == TOOL_OK && (i = w->next++) < model->n_layers) {
        if (load_layer(&l->session, &model->layers[i], w->opt, &l->times, &w->layers[i], &l->err) !=
            DLQ_OK) {
            l->rc = tool_report(&l->err, TOOL_STAGE_METHOD);
        }
    }
    return NULL;
}

// Look at the peaks every few milliseconds.
static void *
look_on(void *arg)
{
    struct work *const w = arg;
    const struct timespec pause = {.tv_nsec = 5000000};
    do {
        look(&w->peaks);
        nanosleep(&pause, NULL);
    } while (!w->done);
    look(&w->peaks);
    return NULL;
}

static int
open_sessions(struct work *w)
{
    int rc = TOOL_OK;
    for (int i = 0; i < w->n_loaders && rc == TOOL_OK; i++) {
        struct loader *const l = &w->loaders[i];
        *l = (struct loader){.work = w, .err = DLQ_ERROR_INIT};
        rc = tool_session_open(&l->session, w->opt);
        if (rc == TOOL_OK && tool_session_configure(&l->session, w->opt, &l->err) != DLQ_OK) {
            rc = tool_report(&l->err, TOOL_STAGE_METHOD);
        }
    }
    return rc;
}

// Load all layers; what it took in `*seconds`.
static int
run_loaders(struct work *w, double *seconds)
{
    pthread_t looker;
    int started = 0;
    int rc = TOOL_OK;
    w->layers = tool_alloc(w->loaders[0].session.model->n_layers, sizeof(*w->layers));
    w->peaks.device_before = gpu_memory_used();
    if (pthread_create(&looker, NULL, look_on, w) != 0) {
        return 1;
    }
    const double begin = gpu_seconds();
    while (started < w->n_loaders && pthread_create(&w->loaders[started].thread, NULL, load_layers,
                                                    &w->loaders[started]) == 0) {
        started++;
    }
    for (int i = 0; i < started; i++) {
        pthread_join(w->loaders[i].thread, NULL);
        rc = rc == TOOL_OK ? w->loaders[i].rc : rc;
    }
    *seconds = gpu_seconds() - begin;
    w->done = true;
    pthread_join(looker, NULL);
    return started == w->n_loaders ? rc : 1;
}

// Whether memory kept to its limits: on the device weights and for each loader one layer, as stored
// and as packed, besides code and what allocations round up to; on the host 2 GiB beside the file.
static bool
is_bounded(const struct peaks *p, uint64_t kept, uint64_t layers)
{
    const uint64_t device = p->device - p->device_before;
    const uint64_t most = kept + layers + kept / 100 + ((uint64_t)256 << 20);
    if (device > most) {
        fprintf(stderr, "device memory: %llu bytes, at most %llu wanted\n",
                (unsigned long long)device, (unsigned long long)most);
    }
    if (p->anonymous > (size_t)2 << 30) {
        fprintf(stderr, "host memory: %zu bytes beside the file\n", p->anonymous);
    }
    return device <= most && p->anonymous <= (size_t)2 << 30;
}

// Print rates and peaks; whether the peaks are bounded.
static bool
report(const struct work *w, double seconds, double first, double last)
{
    const struct tool_model *const model = w->loaders[0].session.model;
    uint64_t bytes = 0;
    uint64_t kept = 0;
    uint64_t largest = 0;
    struct times times = {0};
    for (size_t i = 0; i < model->n_layers; i++) {
        const uint64_t packed = dlq_linear_param_bytes(w->layers[i]);
        const uint64_t both = model->layers[i].bytes + packed;
        bytes += model->layers[i].bytes;
        kept += packed;
        largest = both > largest ? both : largest;
    }
    for (int i = 0; i < w->n_loaders; i++) {
        times.create += w->loaders[i].times.create;
        times.load += w->loaders[i].times.load;
        times.process += w->loaders[i].times.process;
    }
    const double rate = (double)bytes / seconds;
    const double pinned = first < last ? first : last;
    printf("{\"layers\": %zu, \"bytes\": %llu, \"loaders\": %d, \"seconds\": %.4f, "
           "\"create\": %.4f, \"load\": %.4f, \"process\": %.4f, \"gbps\": %.2f, "
           "\"pinned_gbps\": [%.2f, %.2f], \"share\": %.3f, \"host_peak\": %zu, \"vm_hwm\": %zu, "
           "\"device_peak\": %zu, \"weights\": %llu}\n",
           model->n_layers, (unsigned long long)bytes, w->n_loaders, seconds, times.create,
           times.load, times.process, rate * 1e-9, first * 1e-9, last * 1e-9, rate / pinned,
           w->peaks.anonymous, status_bytes("VmHWM:"), w->peaks.device - w->peaks.device_before,
           (unsigned long long)kept);
    return is_bounded(&w->peaks, kept, largest * (uint64_t)w->n_loaders);
}

// Load every layer of a checkpoint and keep them all.
static int
load_all(const char *path, int n_loaders, int32_t n_threads)
{
    const struct tool_options opt = {.path = path, .device = gpu_first, .n_threads = n_threads};
    struct work w = {.opt = &opt, .n_loaders = n_loaders < LOADERS ? n_loaders : LOADERS};
    const double first = gpu_pinned_rate();
    double seconds = 0.0;
    int rc = open_sessions(&w);
    if (rc == TOOL_OK) {
        rc = run_loaders(&w, &seconds);
    }
    if (rc == TOOL_OK) {
        rc = report(&w, seconds, first, gpu_pinned_rate()) ? TOOL_OK : TOOL_FAILED;
    }
    for (size_t i = 0; w.layers && i < w.loaders[0].session.model->n_layers; i++) {
        dlq_linear_destroy(w.layers[i]);
    }
    free(w.layers);
    for (int i = 0; i < w.n_loaders; i++) {
        tool_session_close(&w.loaders[i].session);
    }
    return rc;
}

int
main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: gpu_load CKPT [LOADERS [THREADS]]\n"
                        "Loads every layer on LOADERS threads (default 1), each with a runtime of\n"
                        "THREADS, prints rates and peaks as one line of JSON, and fails where\n"
                        "memory takes more than weights and a layer.\n");
        return 2;
    }
    return gpu_is_there()
               ? load_all(argv[1], argc > 2 ? atoi(argv[2]) : 1, argc > 3 ? atoi(argv[3]) : 0)
               : 77;
}
