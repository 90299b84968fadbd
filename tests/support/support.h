// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_TESTS_SUPPORT_H
#define DLQ_TESTS_SUPPORT_H

// cmocka.h wants these before itself.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dlquant/runtime.h>
#include <dlquant/status.h>

#include <stdbool.h>

/// Shared helpers of the test programs. A helper that cannot do its work fails the running test.

/// Number of elements of an array.
#define TEST_COUNT(array) (sizeof(array) / sizeof(*(array)))

// --- Files ---

/// Path of a file of tests/data; the string lives until the fourth call after this one.
const char *
test_data(const char *name);

/// Make a fresh folder under $TMPDIR. Remove and free it with test_tmpdir_remove().
char *
test_tmpdir(void);

/// Remove a folder with everything in it and free its name. Symbolic links are not followed.
void
test_tmpdir_remove(char *dir);

/// `dir`/`name`; the string lives until the fourth call after this one.
const char *
test_path(const char *dir, const char *name);

/// Write a file of `len` bytes, and the folders between `dir` and it.
void
test_write(const char *dir, const char *name, const void *data, size_t len);

/// test_write() of a text.
void
test_write_text(const char *dir, const char *name, const char *text);

/// The bytes of a file with a zero behind them; free() them. `len` may be NULL.
char *
test_read(const char *path, size_t *len);

/// Copy a file of tests/data (a path below it) to `dir`/`name`.
void
test_copy(const char *data, const char *dir, const char *name);

// --- safetensors ---

/// A tensor to write. `dtype` is the format's word, "F16".
struct test_tensor {
    const char *name;
    const char *dtype;
    int ndim;
    int64_t shape[8];
    const void *data; ///< NULL: bytes 0, 1, 2, ... 255, 0, ...
    size_t nbytes;
};

/// Write a valid safetensors file, tensors in the order given.
void
test_safetensors(const char *dir, const char *name, const struct test_tensor *tensors, size_t n);

/// Write a header length, a header and data as they are, valid or not. `length` -1: that of
/// `header`.
void
test_safetensors_raw(const char *dir, const char *name, int64_t length, const char *header,
                     const void *data, size_t nbytes);

// --- Errors ---

/// Check that a call failed with this code and a message that contains `text`; the error's own code
/// must agree. Then clears the record.
#define test_assert_error(rc, err, code, text)                                                     \
    test_check_error(rc, err, code, text, __FILE__, __LINE__)

void
test_check_error(int32_t rc, struct dlq_error *err, int32_t code, const char *text,
                 const char *file, int line);

/// Check that a call succeeded, showing the message when it did not.
#define test_assert_ok(rc, err) test_check_ok(rc, err, __FILE__, __LINE__)

void
test_check_ok(int32_t rc, const struct dlq_error *err, const char *file, int line);

// --- Memory ---

/// An allocator that counts, finds leaks and fails on demand. Usable from several threads.
struct test_allocator {
    struct dlq_allocator a; ///< Give this one away
    long calls;             ///< Allocations asked for so far
    long fail_at;           ///< The call with this number (from 1) fails; 0: none
    bool fail_after;        ///< Every later call fails too
    long live;              ///< Blocks that are not freed yet
    size_t bytes;           ///< Bytes in them
    size_t peak;            ///< Highest value of `bytes`
};

void
test_allocator_init(struct test_allocator *t);

/// Make `fail_at` apply to jansson's memory too, its token buffer aside, counting in the same
/// `calls`; NULL goes back to plain malloc(). jansson keeps one allocator a process.
void
test_allocator_hook_jansson(struct test_allocator *t);

/// Run `body` with the first, second, ... allocation failing, until a run in which none fails. In
/// each failing run `body` must return DLQ_ENOMEM and leave nothing allocated; the last must return
/// DLQ_OK. `body` frees what it made. Returns the number of failing runs.
long
test_each_allocation_fails(int32_t (*body)(void *ctx, struct test_allocator *t,
                                           struct dlq_error *err),
                           void *ctx);

#endif // DLQ_TESTS_SUPPORT_H
