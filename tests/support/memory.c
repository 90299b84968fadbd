// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "support.h"

#include <jansson.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

// Before each block; as long as the largest alignment that is asked for.
struct head {
    size_t size;
    void *base;
    uint64_t mark;
};

#define MARK UINT64_C(0x6b6c6f6c62716c64)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct test_allocator *jansson_allocator;

static bool
refuse(struct test_allocator *t)
{
    t->calls++;
    return t->fail_at > 0 && (t->calls == t->fail_at || (t->fail_after && t->calls > t->fail_at));
}

static void *
counted_alloc(void *ctx, size_t size, size_t align)
{
    struct test_allocator *const t = ctx;
    char *ptr = NULL;
    pthread_mutex_lock(&lock);
    if (!refuse(t) && size < SIZE_MAX / 2) {
        const size_t room = (sizeof(struct head) + align - 1) / align * align;
        void *base = NULL;
        if (posix_memalign(&base, align < sizeof(void *) ? sizeof(void *) : align, room + size) ==
            0) {
            ptr = (char *)base + room;
            // What a caller forgets to write must not look like zeroes.
            memset(ptr, 0xA5, size);
            struct head head = {size, base, MARK};
            memcpy(ptr - sizeof(head), &head, sizeof(head));
            t->live++;
            t->bytes += size;
            t->peak = t->bytes > t->peak ? t->bytes : t->peak;
        }
    }
    pthread_mutex_unlock(&lock);
    return ptr;
}

static void
counted_free(void *ctx, void *ptr)
{
    struct test_allocator *const t = ctx;
    struct head head;
    if (!ptr) {
        return;
    }
    pthread_mutex_lock(&lock);
    memcpy(&head, (char *)ptr - sizeof(head), sizeof(head));
    if (head.mark != MARK) {
        abort(); // Freed twice, or not ours
    }
    memset((char *)ptr - sizeof(head), 0, sizeof(head));
    t->live--;
    t->bytes -= head.size;
    free(head.base);
    pthread_mutex_unlock(&lock);
}

void
test_allocator_init(struct test_allocator *t)
{
    *t = (struct test_allocator){
        .a = {.struct_size = sizeof(t->a), .ctx = t, .alloc = counted_alloc, .free = counted_free},
    };
}

// jansson ignores that its token buffer could not grow (its issue 362), which core/config.c can
// only make unlikely. The sizes of that buffer are powers of two from 32; those never fail here.
static void *
jansson_alloc(size_t size)
{
    struct test_allocator *const t = jansson_allocator;
    if (size < 32 || (size & (size - 1)) != 0) {
        return counted_alloc(t, size, 16);
    }
    const long fail_at = t->fail_at;
    t->fail_at = 0;
    void *const ptr = counted_alloc(t, size, 16);
    t->fail_at = fail_at;
    t->calls--;
    return ptr;
}

static void
jansson_free(void *ptr)
{
    counted_free(jansson_allocator, ptr);
}

void
test_allocator_hook_jansson(struct test_allocator *t)
{
    jansson_allocator = t;
    json_set_alloc_funcs(t ? jansson_alloc : malloc, t ? jansson_free : free);
}

long
test_each_allocation_fails(int32_t (*body)(void *ctx, struct test_allocator *t,
                                           struct dlq_error *err),
                           void *ctx)
{
    for (long n = 1; n < 100000; n++) {
        struct test_allocator t;
        struct dlq_error err = DLQ_ERROR_INIT;
        test_allocator_init(&t);
        t.fail_at = n;
        test_allocator_hook_jansson(&t);
        const int32_t rc = body(ctx, &t, &err);
        test_allocator_hook_jansson(NULL);
        if (t.live != 0) {
            fail_msg("allocation %ld failing: %ld blocks (%zu bytes) leaked, status %d %s", n,
                     t.live, t.bytes, rc, err.msg);
        }
        if (t.calls < n) {
            test_assert_ok(rc, &err);
            return n - 1;
        }
        if (rc != DLQ_ENOMEM || err.code != rc || err.msg[0] == '\0') {
            fail_msg("allocation %ld failing: status %d, record %d '%s'", n, rc, err.code, err.msg);
        }
    }
    fail_msg("more than 100000 allocations");
    return -1;
}
