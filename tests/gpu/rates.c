// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "gpu.h"

#include "runtime_internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { REPEATS = 5 };

#define SIZE ((size_t)1 << 30)

// A file in the page cache; -1 when there is no room for it.
static int
make_file(const char *bytes)
{
    char path[] = "/tmp/dlquant-rates-XXXXXX";
    const int fd = mkstemp(path);
    size_t done = 0;
    if (fd >= 0) {
        unlink(path);
    }
    while (fd >= 0 && done < SIZE) {
        const ssize_t n = write(fd, bytes + done, SIZE - done);
        if (n <= 0) {
            close(fd);
            return -1;
        }
        done += (size_t)n;
    }
    return fd;
}

// Bytes a second of one upload of runs. `fd` at least 0: from a new mapping of that file.
static double
upload_rate(const struct gpu_world *w, void *dst, size_t dst_pitch, const char *src, int fd,
            size_t src_pitch, size_t width)
{
    const size_t rows = SIZE / (dst_pitch > src_pitch ? dst_pitch : src_pitch);
    double rates[REPEATS];
    for (int i = 0; i < REPEATS; i++) {
        const char *from = src;
        const double t = gpu_seconds();
        if (fd >= 0) {
            from = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, fd, 0);
            if (from == MAP_FAILED) {
                return 0.0;
            }
        }
        if (dlq_runtime_device_upload(w->rt, w->device, dst, dst_pitch, from, src_pitch, width,
                                      rows, NULL) != DLQ_OK ||
            dlq_runtime_device_flush(w->rt, w->device, NULL) != DLQ_OK) {
            return 0.0;
        }
        rates[i] = (double)(rows * width) / (gpu_seconds() - t);
        if (fd >= 0) {
            munmap((void *)(uintptr_t)from, SIZE);
        }
    }
    return gpu_median(rates, REPEATS);
}

static double
small_upload_us(const struct gpu_world *w, void *dst, const char *src)
{
    enum { COUNT = 20000, BYTES = 2048 };
    const double t = gpu_seconds();
    for (size_t i = 0; i < COUNT; i++) {
        (void)dlq_runtime_device_upload(w->rt, w->device, (char *)dst + i * BYTES, BYTES, src,
                                        BYTES, BYTES, 1, NULL);
    }
    (void)dlq_runtime_device_flush(w->rt, w->device, NULL);
    return (gpu_seconds() - t) / COUNT * 1e6;
}

// Milliseconds that a block of the size of a large layer takes: new, and with the memory of one
// that was given back.
static void
print_alloc_times(const struct gpu_world *w)
{
    enum { BLOCKS = 64 };
    const size_t size = (size_t)112 << 20;
    void *blocks[BLOCKS] = {NULL};
    double t = gpu_seconds();
    for (int i = 0; i < BLOCKS; i++) {
        (void)dlq_device_alloc(w->rt, w->device, size, &blocks[i], NULL);
    }
    const double fresh = (gpu_seconds() - t) / BLOCKS * 1e3;
    t = gpu_seconds();
    for (int i = 0; i < BLOCKS; i++) {
        dlq_device_free(w->rt, w->device, blocks[0]);
        (void)dlq_device_alloc(w->rt, w->device, size, &blocks[0], NULL);
    }
    const double again = (gpu_seconds() - t) / BLOCKS * 1e3;
    for (int i = 0; i < BLOCKS; i++) {
        dlq_device_free(w->rt, w->device, blocks[i]);
    }
    printf("112 MiB: allocated in %.3f ms, freed and allocated again in %.3f ms\n", fresh, again);
}

static void
print_rates(const struct gpu_world *w, int32_t threads, void *dst, const char *src, int fd)
{
    enum { ROW = 14336 };
    printf("%2d threads: memory %.1f GB/s, file %.1f GB/s, rows of 14 KiB apart on the host %.1f "
           "GB/s, on the device %.1f GB/s, 2 KiB %.2f us\n",
           (int)threads, upload_rate(w, dst, SIZE, src, -1, SIZE, SIZE) * 1e-9,
           fd < 0 ? 0.0 : upload_rate(w, dst, SIZE, NULL, fd, SIZE, SIZE) * 1e-9,
           upload_rate(w, dst, ROW, src, -1, 2 * ROW, ROW) * 1e-9,
           upload_rate(w, dst, 2 * ROW, src, -1, ROW, ROW) * 1e-9, small_upload_us(w, dst, src));
}

int
gpu_rates(void)
{
    static const int32_t threads[] = {1, 2, 4, 8, 16};
    char *const src = malloc(SIZE);
    if (!src) {
        return 1;
    }
    memset(src, 0x5A, SIZE);
    const int fd = make_file(src);
    const double pinned = gpu_pinned_rate();
    printf("pinned memory: %.1f GB/s\n", pinned * 1e-9);
    struct gpu_world first;
    gpu_begin(&first, 1);
    print_alloc_times(&first);
    gpu_end(&first);
    for (size_t i = 0; i < sizeof(threads) / sizeof(*threads); i++) {
        struct gpu_world w;
        void *dst = NULL;
        gpu_begin(&w, threads[i]);
        if (dlq_device_alloc(w.rt, w.device, SIZE, &dst, NULL) == DLQ_OK) {
            print_rates(&w, threads[i], dst, src, fd);
        }
        dlq_device_free(w.rt, w.device, dst);
        gpu_end(&w);
    }
    if (fd >= 0) {
        close(fd);
    }
    free(src);
    return 0;
}
