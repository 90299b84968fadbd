// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

// For memfd_create().
#define _GNU_SOURCE

#include "emulator.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { MAX_BLOCKS = 4096, UNDEFINED = 0xCD, FREED = 0xDD };

struct block {
    size_t at, size;
};

// An upload on its way. What is posted is not read before it is flushed.
struct pending {
    struct pending *next;
    char *dst;
    size_t pitch, width, rows;
    const char *src;
    size_t src_pitch;
    char bytes[];
};

struct graph {
    size_t size;
    char *before, *after;
};

struct emulator_log emulator;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char *memory;
static struct block blocks[MAX_BLOCKS]; // In order of `at`
static int n_blocks;
static struct pending *first_pending, **last_pending = &first_pending;
static char *captured; // Memory when the capture began

static int32_t
fail(struct dlq_error *err, int32_t code, const char *text)
{
    if (err) {
        err->code = code;
        err->domain = DLQ_DOMAIN_DEVICE;
        snprintf(err->msg, sizeof(err->msg), "%s", text);
    }
    return code;
}

// [lock held]
static bool
begin(void)
{
    const int fd = memory ? -1 : memfd_create("device", 0);
    if (fd >= 0 && ftruncate(fd, EMULATOR_OFFSET) == 0) {
        void *const both = mmap(NULL, 2 * (size_t)EMULATOR_OFFSET, PROT_NONE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (both != MAP_FAILED &&
            mmap(both, EMULATOR_OFFSET, PROT_NONE, MAP_SHARED | MAP_FIXED, fd, 0) == both &&
            mmap((char *)both + EMULATOR_OFFSET, EMULATOR_OFFSET, PROT_READ | PROT_WRITE,
                 MAP_SHARED | MAP_FIXED, fd, 0) != MAP_FAILED) {
            memory = both;
        }
    }
    if (fd >= 0) {
        close(fd);
    }
    return memory != NULL;
}

static void *
emulate_alloc(int32_t index, size_t size, size_t align)
{
    void *ptr = NULL;
    pthread_mutex_lock(&lock);
    int i = 0;
    size_t at = 0;
    for (; i < n_blocks && blocks[i].at < at + size; i++) {
        at = (blocks[i].at + blocks[i].size + align - 1) & ~(align - 1);
    }
    const bool room = !emulator.room || emulator.bytes + size <= emulator.room;
    if (begin() && index >= 0 && index < EMULATOR_DEVICES && n_blocks < MAX_BLOCKS && room &&
        at + size <= (size_t)EMULATOR_OFFSET) {
        memmove(blocks + i + 1, blocks + i, (size_t)(n_blocks - i) * sizeof(*blocks));
        blocks[i] = (struct block){at, size};
        n_blocks++;
        ptr = memory + at;
        memset(emulator_touch(ptr), UNDEFINED, size);
        emulator.live++;
        emulator.bytes += size;
        emulator.peak = emulator.bytes > emulator.peak ? emulator.bytes : emulator.peak;
    }
    pthread_mutex_unlock(&lock);
    return ptr;
}

static void
emulate_free(int32_t index, void *ptr)
{
    (void)index;
    pthread_mutex_lock(&lock);
    int i = 0;
    while (i < n_blocks && memory + blocks[i].at != ptr) {
        i++;
    }
    if (i == n_blocks) {
        abort();
    }
    memset(emulator_touch(ptr), FREED, blocks[i].size);
    emulator.live--;
    emulator.bytes -= blocks[i].size;
    n_blocks--;
    memmove(blocks + i, blocks + i + 1, (size_t)(n_blocks - i) * sizeof(*blocks));
    pthread_mutex_unlock(&lock);
}

static int32_t
emulate_count(int32_t *out, struct dlq_error *err)
{
    (void)err;
    *out = EMULATOR_DEVICES;
    return DLQ_OK;
}

static int32_t
emulate_info(int32_t index, struct dlq_device_info *out, struct dlq_error *err)
{
    if (index < 0 || index >= EMULATOR_DEVICES) {
        return fail(err, DLQ_EDEVICE, "no such CUDA device");
    }
    out->capability = 90;
    out->multiprocessors = 4;
    out->memory_bytes = (uint64_t)EMULATOR_OFFSET;
    snprintf(out->name, sizeof(out->name), "Emulated GPU");
    return DLQ_OK;
}

static int32_t
emulate_use(int32_t index, struct dlq_error *err)
{
    struct dlq_device_info info;
    emulator.current = index;
    return emulate_info(index, &info, err);
}

static void
copy_rows(char *dst, size_t dst_pitch, const char *src, size_t src_pitch, size_t width, size_t rows)
{
    for (size_t i = 0; i < rows; i++) {
        memcpy(dst + i * dst_pitch, src + i * src_pitch, width);
    }
}

static void
append(struct pending *p, long *calls)
{
    pthread_mutex_lock(&lock);
    ++*calls;
    *last_pending = p;
    last_pending = &p->next;
    pthread_mutex_unlock(&lock);
}

static int32_t
emulate_upload(int32_t index, const struct dlq_threads *threads, void *dst, size_t dst_pitch,
               const void *src, size_t src_pitch, size_t width, size_t rows, struct dlq_error *err)
{
    (void)index;
    struct pending *const p = malloc(sizeof(*p) + width * rows);
    if (!p || !threads || threads->n_threads < 1) {
        free(p);
        return fail(err, DLQ_EDEVICE, "no memory or no threads for an upload");
    }
    *p = (struct pending){NULL, emulator_touch(dst), dst_pitch, width, rows, p->bytes, width};
    copy_rows(p->bytes, width, src, src_pitch, width, rows);
    append(p, &emulator.uploads);
    return DLQ_OK;
}

static int32_t
emulate_post(int32_t index, const struct dlq_threads *threads, void *dst, size_t dst_pitch,
             const void *src, size_t src_pitch, size_t width, size_t rows, struct dlq_error *err)
{
    (void)index;
    (void)threads;
    struct pending *const p = malloc(sizeof(*p));
    if (!p) {
        return fail(err, DLQ_EDEVICE, "no memory for an upload");
    }
    *p = (struct pending){NULL, emulator_touch(dst), dst_pitch, width, rows, src, src_pitch};
    append(p, &emulator.posts);
    return DLQ_OK;
}

static int32_t
emulate_flush(int32_t index, const struct dlq_threads *threads, struct dlq_error *err)
{
    (void)index;
    (void)threads;
    pthread_mutex_lock(&lock);
    emulator.flushes++;
    while (first_pending) {
        struct pending *const p = first_pending;
        first_pending = p->next;
        copy_rows(p->dst, p->pitch, p->src, p->src_pitch, p->width, p->rows);
        free(p);
    }
    last_pending = &first_pending;
    pthread_mutex_unlock(&lock);
    return emulator.fail_flush ? fail(err, DLQ_EDEVICE, "an upload failed") : DLQ_OK;
}

static int32_t
emulate_copy(int32_t index, void *dst, size_t dst_pitch, const void *src, size_t src_pitch,
             size_t width, size_t rows, void *stream, struct dlq_error *err)
{
    (void)index;
    (void)err;
    emulator.copies++;
    emulator.last_stream = stream;
    copy_rows(emulator_touch(dst), dst_pitch, emulator_touch(src), src_pitch, width, rows);
    return DLQ_OK;
}

static int32_t
make_object(int32_t index, void **out, struct dlq_error *err)
{
    (void)index;
    *out = malloc(sizeof(double));
    pthread_mutex_lock(&lock);
    emulator.objects += *out != NULL;
    pthread_mutex_unlock(&lock);
    return *out ? DLQ_OK : fail(err, DLQ_ENOMEM, "no memory");
}

static void
destroy_object(int32_t index, void *object)
{
    (void)index;
    pthread_mutex_lock(&lock);
    emulator.objects--;
    pthread_mutex_unlock(&lock);
    free(object);
}

static int32_t
emulate_synchronize(int32_t index, void *stream, struct dlq_error *err)
{
    (void)index;
    (void)stream;
    (void)err;
    return DLQ_OK;
}

static bool
is_device(const void *p)
{
    return memory && (const char *)p >= memory && (const char *)p < memory + EMULATOR_OFFSET;
}

static int32_t
emulate_transfer(int32_t index, void *dst, const void *src, size_t size, void *stream,
                 struct dlq_error *err)
{
    (void)index;
    (void)stream;
    if (is_device(dst) == is_device(src)) {
        return fail(err, DLQ_EDEVICE, "a transfer inside one side");
    }
    memcpy(is_device(dst) ? emulator_touch(dst) : dst, is_device(src) ? emulator_touch(src) : src,
           size);
    return DLQ_OK;
}

static size_t
extent(void)
{
    return n_blocks ? blocks[n_blocks - 1].at + blocks[n_blocks - 1].size : 0;
}

static int32_t
emulate_capture_begin(int32_t index, void *stream, struct dlq_error *err)
{
    (void)index;
    (void)stream;
    captured = malloc(extent() + 1);
    if (!captured) {
        return fail(err, DLQ_ENOMEM, "no memory");
    }
    memcpy(captured, emulator_touch(memory), extent());
    return DLQ_OK;
}

static int32_t
emulate_capture_end(int32_t index, void *stream, void **graph, struct dlq_error *err)
{
    (void)index;
    (void)stream;
    struct graph *const g = malloc(sizeof(*g));
    char *const after = malloc(extent() + 1);
    if (!g || !after) {
        free(g);
        free(after);
        free(captured);
        return fail(err, DLQ_ENOMEM, "no memory");
    }
    *g = (struct graph){extent(), captured, after};
    memcpy(after, emulator_touch(memory), g->size);
    memcpy(emulator_touch(memory), captured, g->size);
    emulator.objects++;
    *graph = g;
    return DLQ_OK;
}

static int32_t
emulate_launch(int32_t index, void *graph, void *stream, struct dlq_error *err)
{
    (void)index;
    (void)stream;
    (void)err;
    const struct graph *const g = graph;
    char *const now = emulator_touch(memory);
    const bool lose = emulator.lose_graphs || getenv("DLQ_TEST_LOSE_GRAPHS");
    for (size_t i = 0; i < g->size && !lose; i++) {
        if (g->before[i] != g->after[i]) {
            now[i] = g->after[i];
        }
    }
    return DLQ_OK;
}

static void
emulate_graph_destroy(int32_t index, void *graph)
{
    struct graph *const g = graph;
    free(g->before);
    free(g->after);
    destroy_object(index, g);
}

static int32_t
emulate_record(int32_t index, void *event, void *stream, struct dlq_error *err)
{
    struct timespec now;
    (void)index;
    (void)stream;
    (void)err;
    clock_gettime(CLOCK_MONOTONIC, &now);
    *(double *)event = (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6;
    return DLQ_OK;
}

static int32_t
emulate_elapsed(int32_t index, void *from, void *to, double *ms, struct dlq_error *err)
{
    (void)index;
    (void)err;
    *ms = *(const double *)to - *(const double *)from;
    return DLQ_OK;
}

const struct dlq_device_ops test_device_ops = {
    .struct_size = sizeof(test_device_ops),
    .kind = DLQ_DEVICE_CUDA,
    .version = DLQ_PROJECT_VERSION,
    .count = emulate_count,
    .info = emulate_info,
    .use = emulate_use,
    .alloc = emulate_alloc,
    .free = emulate_free,
    .upload = emulate_upload,
    .post = emulate_post,
    .flush = emulate_flush,
    .copy = emulate_copy,
    .stream_create = make_object,
    .stream_destroy = destroy_object,
    .stream_synchronize = emulate_synchronize,
    .transfer = emulate_transfer,
    .capture_begin = emulate_capture_begin,
    .capture_end = emulate_capture_end,
    .graph_launch = emulate_launch,
    .graph_destroy = emulate_graph_destroy,
    .event_create = make_object,
    .event_destroy = destroy_object,
    .event_record = emulate_record,
    .event_elapsed = emulate_elapsed,
};
