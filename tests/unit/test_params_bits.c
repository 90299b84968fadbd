// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "params_fixture.h"

#include <stdlib.h>
#include <string.h>

// Every word is checked against elements that are moved one by one.

static uint32_t seed = 1;

static uint32_t
next(uint32_t limit)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % limit;
}

/// How elements lie in words.
struct packing {
    int32_t bits;
    bool padded;
};

static int64_t
words_of(struct packing p, int64_t n)
{
    const int64_t in_word = p.padded ? 32 / p.bits : 32;
    const int64_t words = p.padded ? 1 : p.bits;
    return (n * words + in_word - 1) / in_word;
}

// Bit of a string of words that lie `stride` apart.
static uint32_t *
word_of(uint32_t *words, int64_t stride, struct packing p, int64_t element, int32_t bit,
        int32_t *place)
{
    const int64_t in_word = p.padded ? 32 / p.bits * p.bits : 32;
    const int64_t at = element * p.bits + bit;
    *place = (int32_t)(at % in_word);
    return words + at / in_word * stride;
}

static void
copy_element(uint32_t *to, int64_t to_stride, int64_t i, uint32_t *from, int64_t from_stride,
             int64_t j, struct packing p)
{
    for (int32_t bit = 0; bit < p.bits; ++bit) {
        int32_t place;
        const uint32_t *const source = word_of(from, from_stride, p, j, bit, &place);
        const uint32_t value = *source >> place & 1;
        uint32_t *const word = word_of(to, to_stride, p, i, bit, &place);
        *word |= value << place;
    }
}

// Words of noise, in all bits, elements and others, one byte off any alignment.
static uint32_t *
make_noise(int64_t n, char **memory)
{
    *memory = malloc((size_t)n * 4 + 1);
    for (int64_t i = 0; i < n * 4 + 1; ++i) {
        (*memory)[i] = (char)next(256);
    }
    uint32_t *const copy = malloc((size_t)n * 4);
    memcpy(copy, *memory + 1, (size_t)n * 4);
    return copy;
}

static void
check_inputs(struct packing p, int64_t local, int32_t ranks, int64_t n)
{
    const int64_t k = local * ranks;
    const int64_t width = words_of(p, k);
    const int64_t cols = words_of(p, local);
    char *memory;
    uint32_t *const full = make_noise(n * width, &memory);
    for (int32_t rank = 0; rank < ranks; ++rank) {
        struct params_fixture f;
        params_begin(&f, k, true, &n, 1, rank, ranks);
        const struct dlq_param_desc d = params_describe_bits(n, cols, 1, p.bits, p.padded);
        test_assert_ok(params_declare(&f, &d), &f.err);
        const struct dlq_tensor t = params_tensor(DLQ_I32, 2, n, width, memory + 1);
        test_assert_ok(params_load(&f, "weight_packed", 0, 0, &t), &f.err);
        test_assert_ok(dlq_params_check(&f.params, &f.err), &f.err);
        uint32_t *const expected = calloc((size_t)(n * cols), 4);
        for (int64_t i = 0; i < n * local; ++i) {
            copy_element(expected + i / local * cols, 1, i % local, full + i / local * width, 1,
                         rank * local + i % local, p);
        }
        const uint32_t *const got = params_data(&f, "weight_packed");
        for (int64_t i = 0; i < n * cols; ++i) {
            // Where all words are whole they are copied as they are, unused bits included.
            const uint32_t mask = p.padded && local % (32 / p.bits) == 0
                                      ? (uint32_t)((1ull << 32 / p.bits * p.bits) - 1)
                                      : ~0u;
            if ((got[i] & mask) != expected[i]) {
                fail_msg("%d bits%s, %lld of %lld, rank %d of %d: word %lld is %08x, not %08x",
                         p.bits, p.padded ? " padded" : "", (long long)local, (long long)k, rank,
                         ranks, (long long)i, got[i], expected[i]);
            }
        }
        free(expected);
        params_end(&f);
    }
    free(full);
    free(memory);
}

static void
inputs_cut_inside_words_are_repacked(void **state)
{
    (void)state;
    for (int32_t bits = 1; bits <= 8; ++bits) {
        for (int padded = 0; padded < 2; ++padded) {
            for (int i = 0; i < 40; ++i) {
                check_inputs((struct packing){bits, padded}, 1 + next(90), 1 + (int32_t)next(8),
                             1 + next(4));
            }
        }
    }
}

/// Parts of a parameter whose outputs are packed, along dimension `dim`.
struct outputs {
    struct packing p;
    int32_t dim;
    int64_t sizes[3]; ///< Of a rank
    int64_t groups;   ///< Of a rank, two of which share one of the checkpoint's
    int32_t ranks;
};

// Elements of the parts before `part`.
static int64_t
before(const struct outputs *o, int32_t part, int32_t ranks)
{
    int64_t sum = 0;
    for (int32_t i = 0; i < part; ++i) {
        sum += o->sizes[i] * ranks;
    }
    return sum;
}

static struct dlq_tensor
make_tensor(const struct outputs *o, int32_t first, int32_t last, int64_t groups, uint32_t **full,
            char **memory)
{
    const int64_t words =
        words_of(o->p, before(o, last + 1, o->ranks) - before(o, first, o->ranks));
    *full = make_noise(words * groups, memory);
    return params_tensor(DLQ_I32, 2, o->dim ? groups : words, o->dim ? words : groups, *memory + 1);
}

// Load parts `first` to `last` and put what must become of them into `expected`.
static void
load_outputs(struct params_fixture *f, const struct outputs *o, int32_t rank, int32_t first,
             int32_t last, uint32_t *expected)
{
    char *memory;
    uint32_t *full;
    const int64_t disk = o->groups / 2;
    const struct dlq_tensor t = make_tensor(o, first, last, disk, &full, &memory);
    test_assert_ok(params_load(f, "weight_packed", first, last, &t), &f->err);
    const int64_t words = words_of(o->p, before(o, 3, 1));
    const int64_t disk_words = t.shape[o->dim];
    for (int32_t part = first; part <= last; ++part) {
        for (int64_t i = 0; i < o->sizes[part] * o->groups; ++i) {
            const int64_t g = i % o->groups;
            const int64_t e = i / o->groups;
            copy_element(
                expected + (o->dim ? g * words : g), o->dim ? 1 : o->groups, before(o, part, 1) + e,
                full + (o->dim ? g / 2 * disk_words : g / 2), o->dim ? 1 : disk,
                before(o, part, o->ranks) - before(o, first, o->ranks) + rank * o->sizes[part] + e,
                o->p);
        }
    }
    free(full);
    free(memory);
}

static void
begin_outputs(struct params_fixture *f, const struct outputs *o, int32_t rank)
{
    int64_t sizes[3];
    for (int32_t i = 0; i < 3; ++i) {
        sizes[i] = o->sizes[i] * o->ranks;
    }
    params_begin(f, o->groups * 4, false, sizes, 3, rank, o->ranks);
    const int64_t words = words_of(o->p, before(o, 3, 1));
    struct dlq_param_desc d = params_describe_bits(
        o->dim ? o->groups : words, o->dim ? words : o->groups, o->dim, o->p.bits, o->p.padded);
    d.output_dim = o->dim;
    d.input_dim = 1 - o->dim;
    d.block[1 - o->dim] = 4;
    d.ckpt_block[1 - o->dim] = 8;
    test_assert_ok(params_declare(f, &d), &f->err);
}

static void
check_outputs(struct params_fixture *f, const struct outputs *o, const uint32_t *expected)
{
    const int64_t n = words_of(o->p, before(o, 3, 1)) * o->groups;
    const uint32_t *const got = params_data(f, "weight_packed");
    const uint32_t used = o->p.padded ? (uint32_t)((1ull << 32 / o->p.bits * o->p.bits) - 1) : ~0u;
    for (int64_t i = 0; i < n; ++i) {
        if ((got[i] & used) != expected[i]) {
            fail_msg("%d bits%s, parts of %lld, %lld, %lld of %d ranks: word %lld is %08x, not "
                     "%08x",
                     o->p.bits, o->p.padded ? " padded" : "", (long long)o->sizes[0],
                     (long long)o->sizes[1], (long long)o->sizes[2], o->ranks, (long long)i, got[i],
                     expected[i]);
        }
    }
}

static void
parts_share_words_in_any_order_of_loading(void **state)
{
    (void)state;
    // First part, last part; two tensors, one or three.
    static const int32_t orders[][6] = {
        {0, 0, 1, 1, 2, 2}, {2, 2, 1, 1, 0, 0}, {1, 1, 2, 2, 0, 0}, {2, 2, 0, 0, 1, 1},
        {0, 2, -1},         {1, 2, 0, 0, -1},   {2, 2, 0, 1, -1},
    };
    for (int32_t i = 0; i < 16 * 60; ++i) {
        const struct outputs o = {
            .p = {1 + i % 8, i / 8 % 2},
            .dim = (int32_t)next(2),
            // Often all parts are in one word.
            .sizes = {1 + next(i % 3 ? 60 : 3), 1 + next(i % 5 ? 60 : 3), 1 + next(60)},
            .groups = 2 + 2 * next(4),
            .ranks = 1 + (int32_t)next(4),
        };
        const int32_t rank = (int32_t)next((uint32_t)o.ranks);
        const int32_t *const order = orders[next(TEST_COUNT(orders))];
        struct params_fixture f;
        begin_outputs(&f, &o, rank);
        uint32_t *const expected = calloc((size_t)(words_of(o.p, before(&o, 3, 1)) * o.groups), 4);
        for (int32_t j = 0; j < 6 && order[j] >= 0; j += 2) {
            load_outputs(&f, &o, rank, order[j], order[j + 1], expected);
        }
        test_assert_ok(dlq_params_check(&f.params, &f.err), &f.err);
        check_outputs(&f, &o, expected);
        free(expected);
        params_end(&f);
    }
}

static int32_t
failing_upload(void *ctx, void *dst, size_t dst_pitch, const void *src, size_t src_pitch,
               size_t width, size_t rows, struct dlq_error *err)
{
    (void)ctx;
    (void)dst_pitch;
    (void)src;
    (void)src_pitch;
    (void)rows;
    memset(dst, 0xA5, width);
    err->code = DLQ_EDEVICE;
    return DLQ_EDEVICE;
}

static void
failed_load_leaves_the_bits_of_other_parts(void **state)
{
    (void)state;
    const struct outputs o = {{3, false}, 0, {5, 3, 9}, 2, 2};
    struct params_fixture f;
    begin_outputs(&f, &o, 1);
    uint32_t expected[4] = {0};
    load_outputs(&f, &o, 1, 0, 0, expected);
    const struct dlq_param_store store = f.params.store;
    f.params.store.upload = failing_upload;
    char *memory;
    uint32_t *full;
    const struct dlq_tensor t = make_tensor(&o, 1, 1, 1, &full, &memory);
    assert_int_equal(params_load(&f, "weight_packed", 1, 1, &t), DLQ_EDEVICE);
    f.params.store = store;
    test_assert_error(dlq_params_check(&f.params, &f.err), &f.err, DLQ_EINCOMPLETE,
                      "'weight_packed' (part 1, 2)");
    load_outputs(&f, &o, 1, 2, 2, expected);
    load_outputs(&f, &o, 1, 1, 1, expected);
    test_assert_ok(dlq_params_check(&f.params, &f.err), &f.err);
    check_outputs(&f, &o, expected);
    free(full);
    free(memory);
    params_end(&f);
}

static void
part_that_is_written_again_replaces_its_bits_alone(void **state)
{
    (void)state;
    struct params_fixture f;
    params_begin(&f, 1, false, (const int64_t[]){3, 5}, 2, 0, 1);
    struct dlq_param_desc d = params_describe_bits(1, 1, 0, 4, false);
    d.flags |= DLQ_PARAM_LAST_WRITE_OK;
    test_assert_ok(params_declare(&f, &d), &f.err);
    const int32_t words[] = {0x76543210, 0x0BCDEF98, 0x00000ABC};
    struct dlq_tensor t = params_tensor(DLQ_I32, 2, 1, 1, &words[0]);
    test_assert_ok(params_load(&f, "weight_packed", 1, 1, &t), &f.err);
    t.data = (void *)(uintptr_t)&words[1];
    test_assert_ok(params_load(&f, "weight_packed", 0, 0, &t), &f.err);
    assert_int_equal(*(const int32_t *)params_data(&f, "weight_packed"), 0x43210F98);
    t.data = (void *)(uintptr_t)&words[2];
    test_assert_ok(params_load(&f, "weight_packed", 0, 0, &t), &f.err);
    assert_int_equal(*(const int32_t *)params_data(&f, "weight_packed"), 0x43210ABC);
    params_end(&f);
}

static void
repacking_goes_through_a_bounded_buffer(void **state)
{
    (void)state;
    enum { rows = 3, words = 150001 };
    struct params_fixture f;
    const int64_t local = (int64_t)words * 8 - 3;
    params_begin(&f, local * 2, true, (const int64_t[]){rows}, 1, 1, 2);
    struct test_allocator a;
    test_allocator_init(&a);
    f.params.alloc = &a.a;
    const struct packing p = {4, false};
    const struct dlq_param_desc d = params_describe_bits(rows, words, 1, p.bits, p.padded);
    test_assert_ok(params_declare(&f, &d), &f.err);
    const int64_t width = words_of(p, local * 2);
    char *memory;
    uint32_t *const full = make_noise(rows * width, &memory);
    const struct dlq_tensor t = params_tensor(DLQ_I32, 2, rows, width, memory + 1);
    test_assert_ok(params_load(&f, "weight_packed", 0, 0, &t), &f.err);
    uint32_t *const expected = calloc(rows * words, 4);
    for (int64_t i = 0; i < rows * local; ++i) {
        copy_element(expected + i / local * words, 1, i % local, full + i / local * width, 1,
                     local + i % local, p);
    }
    assert_memory_equal(params_data(&f, "weight_packed"), expected, (size_t)rows * words * 4);
    assert_true(a.peak <= 300 * 1024);
    free(expected);
    free(full);
    free(memory);
    params_end(&f);
    assert_int_equal(a.live, 0);
}

static void
vector_of_packed_outputs_is_cut_too(void **state)
{
    (void)state;
    struct params_fixture f;
    params_begin(&f, 1, false, (const int64_t[]){6, 4}, 2, 1, 2);
    struct dlq_param_desc d = params_describe_vector("zero_point", DLQ_I32, 1, 0);
    d.flags = DLQ_PARAM_LSB_FIRST;
    d.output_dim = 0;
    d.packed_dim = 0;
    d.pack_num = 8;
    d.pack_den = 1;
    test_assert_ok(params_declare(&f, &d), &f.err);
    const int32_t fused[] = {0x76543210, 0x98};
    const struct dlq_tensor t = params_tensor(DLQ_I32, 1, 0, 2, fused);
    test_assert_ok(params_load(&f, "zero_point", 0, 1, &t), &f.err);
    assert_int_equal(*(const int32_t *)params_data(&f, "zero_point"), 0x98543);
    params_end(&f);
}

static int32_t
load_shared(void *ctx, struct test_allocator *t, struct dlq_error *err)
{
    (void)ctx;
    struct params_fixture f;
    params_begin(&f, 1, false, (const int64_t[]){3, 5}, 2, 0, 1);
    f.params.alloc = &t->a;
    const struct dlq_param_desc d = params_describe_bits(1, 1, 0, 4, false);
    const int32_t word = 0x76543210;
    const struct dlq_tensor tensor = params_tensor(DLQ_I32, 2, 1, 1, &word);
    int32_t rc = params_declare(&f, &d);
    rc = rc == DLQ_OK ? params_load(&f, "weight_packed", 1, 1, &tensor) : rc;
    *err = f.err;
    params_end(&f);
    return rc;
}

static void
each_allocation_may_fail(void **state)
{
    (void)state;
    // Parameter, name, flags and list; then shared words and the buffer.
    assert_int_equal(test_each_allocation_fails(load_shared, NULL), 6);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inputs_cut_inside_words_are_repacked),
        cmocka_unit_test(parts_share_words_in_any_order_of_loading),
        cmocka_unit_test(failed_load_leaves_the_bits_of_other_parts),
        cmocka_unit_test(part_that_is_written_again_replaces_its_bits_alone),
        cmocka_unit_test(repacking_goes_through_a_bounded_buffer),
        cmocka_unit_test(vector_of_packed_outputs_is_cut_too),
        cmocka_unit_test(each_allocation_may_fail),
    };
    return cmocka_run_group_tests_name("params_bits", tests, NULL, NULL);
}
