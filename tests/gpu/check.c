// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "gpu.h"

#include "runtime_internal.h"

#include <cuda_runtime_api.h>

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// A test returns NULL, or what is wrong.
#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            return #condition;                                                                     \
        }                                                                                          \
    } while (0)

#define CALL(call) CHECK((call) == DLQ_OK)

enum { POISON = 0xEE };

static unsigned char
pattern(size_t i, unsigned seed)
{
    return (unsigned char)((i * 2654435761u + seed * 40503u) >> 13);
}

static const char *
facts_are_those_of_a_gpu(struct gpu_world *w)
{
    struct dlq_device_info info = {.struct_size = sizeof(info)};
    struct dlq_error err = DLQ_ERROR_INIT;
    int32_t n = 0;
    CALL(dlq_device_count(w->rt, DLQ_DEVICE_CUDA, &n, NULL));
    CALL(dlq_runtime_device_info(w->rt, w->device, &info, NULL));
    CHECK(info.capability >= 50 && info.multiprocessors > 0 && info.memory_bytes > 1u << 30);
    CHECK(info.name[0] != '\0');
    CHECK(dlq_runtime_device_info(w->rt, (struct dlq_device){DLQ_DEVICE_CUDA, n}, &info, &err) ==
          DLQ_EDEVICE);
    CHECK(strstr(err.msg, "no CUDA device") && strstr(err.msg, "expected 0 to"));
    return NULL;
}

static const char *
memory_is_aligned_and_comes_back(struct gpu_world *w)
{
    static const size_t sizes[] = {1, 255, 4097, (size_t)100 << 20};
    void *p[sizeof(sizes) / sizeof(*sizes)];
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        CALL(dlq_device_alloc(w->rt, w->device, sizes[i], &p[i], NULL));
        CHECK((uintptr_t)p[i] % 256 == 0);
    }
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        dlq_device_free(w->rt, w->device, p[i]);
    }
    CHECK(!dlq_runtime_device_alloc(w->rt, w->device, 1, 8192));
    const size_t before = gpu_memory_used();
    for (int i = 0; i < 20; i++) {
        CALL(dlq_device_alloc(w->rt, w->device, (size_t)1 << 30, &p[0], NULL));
        dlq_device_free(w->rt, w->device, p[0]);
    }
    CHECK(gpu_memory_used() < before + ((size_t)1 << 30));
    return NULL;
}

static const char *
unused_memory_is_kept_and_bounded(struct gpu_world *w)
{
    enum { BLOCKS = 12 };
    void *p[BLOCKS];
    void *again = NULL;
    const size_t before = gpu_memory_used();
    for (size_t i = 0; i < BLOCKS; i++) {
        CALL(dlq_device_alloc(w->rt, w->device, (90 + 10 * i) << 20, &p[i], NULL));
    }
    for (size_t i = 0; i < BLOCKS; i++) {
        dlq_device_free(w->rt, w->device, p[i]);
    }
    CHECK(gpu_memory_used() <= before + ((size_t)600 << 20));
    CALL(dlq_device_alloc(w->rt, w->device, (90 + 10 * (BLOCKS - 1)) << 20, &again, NULL));
    CHECK(again == p[BLOCKS - 1]);
    dlq_device_free(w->rt, w->device, again);
    return NULL;
}

static const char *
too_much_memory_is_refused_and_nothing_breaks(struct gpu_world *w)
{
    struct dlq_error err = DLQ_ERROR_INIT;
    void *p = NULL;
    CHECK(dlq_device_alloc(w->rt, w->device, (size_t)1 << 50, &p, &err) == DLQ_ENOMEM);
    CALL(dlq_device_alloc(w->rt, w->device, 1 << 20, &p, NULL));
    dlq_device_free(w->rt, w->device, p);
    CHECK(cudaGetLastError() == cudaSuccess);
    return NULL;
}

static const char *
the_callers_device_stays_current(struct gpu_world *w)
{
    int n = 0;
    int now = -1;
    void *p = NULL;
    CHECK(cudaGetDeviceCount(&n) == cudaSuccess);
    CHECK(cudaSetDevice(n - 1) == cudaSuccess);
    for (int32_t i = 0; i < n; i++) {
        const struct dlq_device device = {DLQ_DEVICE_CUDA, i};
        CALL(dlq_device_alloc(w->rt, device, 64, &p, NULL));
        CALL(dlq_runtime_device_upload(w->rt, device, p, 64, "abc", 4, 4, 1, NULL));
        CALL(dlq_runtime_device_flush(w->rt, device, NULL));
        dlq_device_free(w->rt, device, p);
        CHECK(cudaGetDevice(&now) == cudaSuccess && now == n - 1);
    }
    CALL(dlq_device_use(w->rt, w->device, NULL));
    CHECK(cudaGetDevice(&now) == cudaSuccess && now == w->device.index);
    return NULL;
}

// What an upload left on the device: the runs in place, everything else as it was.
static bool
arrived(const unsigned char *got, size_t dst_pitch, const unsigned char *src, size_t src_pitch,
        size_t width, size_t rows, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        const size_t row = i / dst_pitch;
        const size_t column = i % dst_pitch;
        const unsigned char want =
            row < rows && column < width ? src[row * src_pitch + column] : POISON;
        if (got[i] != want) {
            return false;
        }
    }
    return true;
}

static const char *
upload_and_look(struct gpu_world *w, size_t width, size_t rows, size_t dst_pitch, size_t src_pitch,
                unsigned seed)
{
    const size_t size = dst_pitch * rows + 512;
    unsigned char *const src = malloc(src_pitch * rows);
    unsigned char *const got = malloc(size);
    void *p = NULL;
    dlq_stream *stream = NULL;
    CHECK(src && got);
    for (size_t i = 0; i < src_pitch * rows; i++) {
        src[i] = pattern(i, seed);
    }
    CALL(dlq_stream_create(w->rt, w->device, &stream, NULL));
    CALL(dlq_device_alloc(w->rt, w->device, size, &p, NULL));
    memset(got, POISON, size);
    CALL(dlq_stream_upload(stream, p, got, size, NULL));
    unsigned char *const again = malloc(src_pitch * rows);
    CHECK(again);
    memcpy(again, src, src_pitch * rows);
    CALL(dlq_runtime_device_upload(w->rt, w->device, p, dst_pitch, src, src_pitch, width, rows,
                                   NULL));
    // The source may be reused on return.
    memset(src, 0, src_pitch * rows);
    CALL(dlq_runtime_device_flush(w->rt, w->device, NULL));
    CALL(dlq_stream_download(stream, got, p, size, NULL));
    const bool ok = arrived(got, dst_pitch, again, src_pitch, width, rows, size);
    dlq_device_free(w->rt, w->device, p);
    dlq_stream_destroy(stream);
    free(again);
    free(got);
    free(src);
    return ok ? NULL : "other bytes arrived";
}

static const char *
uploads_of_every_shape_arrive(struct gpu_world *w)
{
    static const size_t shapes[][4] = {
        // width, rows, dst pitch, src pitch
        {1, 1, 1, 1},
        {7, 1, 64, 64},
        {100, 300, 100, 100},
        {3, 1000, 8, 5},
        {1, 100000, 1, 2},
        {1, 30000, 2, 1},
        {512, 4096, 1024, 512},
        {512, 4096, 512, 4096},
        {(256 << 10) + 1, 5, (256 << 10) + 1, 300000},
        {4 << 20, 1, 4 << 20, 4 << 20},
        {(4 << 20) + 1, 1, (4 << 20) + 1, (4 << 20) + 1},
        {4 << 20, 3, 5 << 20, 4 << 20},
        {5 << 20, 3, 6 << 20, (5 << 20) + 3},
        {37 << 20, 1, 37 << 20, 37 << 20},
        {28672, 1024, 57344, 28672},
    };
    static char why[128];
    for (size_t i = 0; i < sizeof(shapes) / sizeof(*shapes); i++) {
        const size_t *const s = shapes[i];
        const char *const wrong = upload_and_look(w, s[0], s[1], s[2], s[3], (unsigned)i);
        if (wrong) {
            snprintf(why, sizeof(why), "width %zu, rows %zu, pitches %zu and %zu: %s", s[0], s[1],
                     s[2], s[3], wrong);
            return why;
        }
    }
    return NULL;
}

static const char *
many_small_uploads_need_one_flush(struct gpu_world *w)
{
    enum { COUNT = 50000, SIZE = 100 };
    unsigned char *const got = malloc(COUNT * SIZE);
    void *p = NULL;
    dlq_stream *stream = NULL;
    CHECK(got);
    CALL(dlq_stream_create(w->rt, w->device, &stream, NULL));
    CALL(dlq_device_alloc(w->rt, w->device, COUNT * SIZE, &p, NULL));
    for (size_t i = 0; i < COUNT; i++) {
        unsigned char bytes[SIZE];
        memset(bytes, (int)(i % 251), SIZE);
        CALL(dlq_runtime_device_upload(w->rt, w->device, (char *)p + i * SIZE, SIZE, bytes, SIZE,
                                       SIZE, 1, NULL));
    }
    CALL(dlq_runtime_device_flush(w->rt, w->device, NULL));
    CALL(dlq_stream_download(stream, got, p, COUNT * SIZE, NULL));
    for (size_t i = 0; i < COUNT * SIZE; i++) {
        CHECK(got[i] == i / SIZE % 251);
    }
    dlq_device_free(w->rt, w->device, p);
    dlq_stream_destroy(stream);
    free(got);
    return NULL;
}

// More than are done together, among small ones, and some to a place that was written before.
static const char *
posted_uploads_arrive_in_order(struct gpu_world *w)
{
    enum { COUNT = 150, SIZE = 700000, SMALL = 1000 };
    unsigned char *const src = malloc((size_t)COUNT * SIZE);
    unsigned char *const got = malloc((size_t)COUNT * SIZE);
    void *p = NULL;
    dlq_stream *stream = NULL;
    CHECK(src && got);
    CALL(dlq_stream_create(w->rt, w->device, &stream, NULL));
    CALL(dlq_device_alloc(w->rt, w->device, (size_t)COUNT * SIZE, &p, NULL));
    for (size_t i = 0; i < COUNT; i++) {
        memset(src + i * SIZE, (int)(i % 251) + 1, SIZE);
        char *const dst = (char *)p + i * SIZE;
        if (i % 7 == 0) {
            CALL(dlq_runtime_device_post(w->rt, w->device, dst, SIZE, src, SIZE, SIZE, 1, NULL));
        }
        if (i % 5 == 0) {
            CALL(dlq_runtime_device_upload(w->rt, w->device, dst, SMALL, src, SMALL, SMALL, 1,
                                           NULL));
        }
        CALL(dlq_runtime_device_post(w->rt, w->device, dst, SIZE, src + i * SIZE, SIZE, SIZE, 1,
                                     NULL));
    }
    CALL(dlq_runtime_device_flush(w->rt, w->device, NULL));
    CALL(dlq_stream_download(stream, got, p, (size_t)COUNT * SIZE, NULL));
    CHECK(memcmp(got, src, (size_t)COUNT * SIZE) == 0);
    dlq_device_free(w->rt, w->device, p);
    dlq_stream_destroy(stream);
    free(got);
    free(src);
    return NULL;
}

struct uploader {
    struct gpu_world *w;
    unsigned seed;
    const char *wrong;
};

static void *
upload_often(void *arg)
{
    struct uploader *const u = arg;
    for (unsigned i = 0; i < 8 && !u->wrong; i++) {
        const size_t width = 100000 + 1000 * u->seed + i;
        u->wrong = upload_and_look(u->w, width, 40, width + 3, width + i % 2, u->seed * 8 + i);
    }
    return NULL;
}

static const char *
threads_upload_to_one_device(struct gpu_world *w)
{
    enum { THREADS = 4 };
    pthread_t threads[THREADS];
    struct uploader uploaders[THREADS];
    const char *wrong = NULL;
    for (unsigned i = 0; i < THREADS; i++) {
        uploaders[i] = (struct uploader){w, i, NULL};
        CHECK(pthread_create(&threads[i], NULL, upload_often, &uploaders[i]) == 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        wrong = wrong ? wrong : uploaders[i].wrong;
    }
    return wrong;
}

static const char *
copies_keep_pitches_apart(struct gpu_world *w)
{
    char got[13] = "";
    void *p = NULL;
    dlq_stream *stream = NULL;
    dlq_device_copy_fn copy = NULL;
    CALL(dlq_runtime_device_copier(w->rt, w->device, &copy, NULL));
    CALL(dlq_stream_create(w->rt, w->device, &stream, NULL));
    CALL(dlq_device_alloc(w->rt, w->device, 64, &p, NULL));
    CALL(dlq_stream_upload(stream, p, "abXcdX......", 12, NULL));
    CALL(copy(w->device.index, (char *)p + 6, 4, p, 3, 2, 2, dlq_stream_handle(stream), NULL));
    CALL(dlq_stream_download(stream, got, p, 12, NULL));
    CHECK(memcmp(got, "abXcdXab..cd", 12) == 0);
    CALL(dlq_stream_copy(stream, p, (char *)p + 6, 6, NULL));
    CALL(dlq_stream_download(stream, got, p, 12, NULL));
    CHECK(memcmp(got, "ab..cdab..cd", 12) == 0);
    dlq_device_free(w->rt, w->device, p);
    dlq_stream_destroy(stream);
    return NULL;
}

static const char *
graphs_do_their_work_when_launched(struct gpu_world *w)
{
    char got[4] = "";
    void *p = NULL;
    dlq_stream *stream = NULL;
    dlq_graph *graph = NULL;
    CALL(dlq_stream_create(w->rt, w->device, &stream, NULL));
    CALL(dlq_device_alloc(w->rt, w->device, 64, &p, NULL));
    CALL(dlq_stream_upload(stream, p, "newold", 6, NULL));
    CALL(dlq_stream_capture_begin(stream, NULL));
    CALL(dlq_stream_copy(stream, (char *)p + 3, p, 3, NULL));
    CALL(dlq_stream_capture_end(stream, &graph, NULL));
    CALL(dlq_stream_download(stream, got, (char *)p + 3, 3, NULL));
    CHECK(memcmp(got, "old", 3) == 0);
    for (int i = 0; i < 2; i++) {
        CALL(dlq_graph_launch(graph, stream, NULL));
        CALL(dlq_stream_download(stream, got, (char *)p + 3, 3, NULL));
        CHECK(memcmp(got, "new", 3) == 0);
        CALL(dlq_stream_upload(stream, (char *)p + 3, "old", 3, NULL));
    }
    dlq_graph_destroy(graph);
    dlq_device_free(w->rt, w->device, p);
    dlq_stream_destroy(stream);
    return NULL;
}

// What a method must not do in apply() is found by a capture, and the stream survives it.
static const char *
a_wait_inside_a_capture_is_an_error(struct gpu_world *w)
{
    struct dlq_error err = DLQ_ERROR_INIT;
    dlq_stream *stream = NULL;
    dlq_graph *graph = NULL;
    CALL(dlq_stream_create(w->rt, w->device, &stream, NULL));
    CALL(dlq_stream_capture_begin(stream, NULL));
    CHECK(dlq_stream_synchronize(stream, &err) == DLQ_EDEVICE);
    CHECK(err.native != 0 && strstr(err.msg, "CUDA device 0"));
    CHECK(dlq_stream_capture_end(stream, &graph, NULL) == DLQ_EDEVICE);
    CHECK(!graph);
    CALL(dlq_stream_synchronize(stream, NULL));
    dlq_stream_destroy(stream);
    return NULL;
}

static const char *
events_measure_the_device(struct gpu_world *w)
{
    const size_t size = (size_t)256 << 20;
    void *p = NULL;
    double ms = 0.0;
    dlq_stream *stream = NULL;
    dlq_event *from = NULL;
    dlq_event *to = NULL;
    CALL(dlq_stream_create(w->rt, w->device, &stream, NULL));
    CALL(dlq_event_create(w->rt, w->device, &from, NULL));
    CALL(dlq_event_create(w->rt, w->device, &to, NULL));
    CALL(dlq_device_alloc(w->rt, w->device, 2 * size, &p, NULL));
    CALL(dlq_event_record(from, stream, NULL));
    CALL(dlq_stream_copy(stream, (char *)p + size, p, size, NULL));
    CALL(dlq_event_record(to, stream, NULL));
    CALL(dlq_event_elapsed(from, to, &ms, NULL));
    CHECK(ms > 0.02 && ms < 1000.0);
    dlq_device_free(w->rt, w->device, p);
    dlq_event_destroy(from);
    dlq_event_destroy(to);
    dlq_stream_destroy(stream);
    return NULL;
}

int
gpu_check(struct gpu_world *w)
{
#define TEST(name)                                                                                 \
    {                                                                                              \
#name, name                                                                                \
    }
    static const struct {
        const char *name;
        const char *(*run)(struct gpu_world *w);
    } tests[] = {
        TEST(facts_are_those_of_a_gpu),
        TEST(memory_is_aligned_and_comes_back),
        TEST(unused_memory_is_kept_and_bounded),
        TEST(too_much_memory_is_refused_and_nothing_breaks),
        TEST(the_callers_device_stays_current),
        TEST(uploads_of_every_shape_arrive),
        TEST(many_small_uploads_need_one_flush),
        TEST(posted_uploads_arrive_in_order),
        TEST(threads_upload_to_one_device),
        TEST(copies_keep_pitches_apart),
        TEST(graphs_do_their_work_when_launched),
        TEST(a_wait_inside_a_capture_is_an_error),
        TEST(events_measure_the_device),
    };
    const int n = (int)(sizeof(tests) / sizeof(*tests));
    int failed = 0;
    printf("1..%d\n", n);
    for (int i = 0; i < n; i++) {
        const char *const wrong = tests[i].run(w);
        printf("%sok %d - %s%s%s\n", wrong ? "not " : "", i + 1, tests[i].name, wrong ? " # " : "",
               wrong ? wrong : "");
        fflush(stdout);
        failed += wrong != NULL;
    }
    return failed;
}
