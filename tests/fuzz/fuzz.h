// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_TESTS_FUZZ_H
#define DLQ_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/// A fuzz target. It feeds one input to the code under test and aborts when something that must
/// hold for every input does not. Two things can drive it: driver.c, which changes the seeds at
/// random for a second or so and runs with all tests, and libFuzzer: clang with
/// -fsanitize=fuzzer,address,undefined over one fuzz_*.c and the core, without driver.c.

/// One input. Returns 0.
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/// Valid and nearly valid inputs to begin with.
struct fuzz_seed {
    const char *data;
    size_t size;
};

extern const struct fuzz_seed fuzz_seeds[];
extern const size_t fuzz_n_seeds;

/// Pieces that mean something to the format, to be put in anywhere.
extern const char *const fuzz_words[];
extern const size_t fuzz_n_words;

/// Abort with a line that says what does not hold.
#define FUZZ_CHECK(condition) ((condition) ? (void)0 : fuzz_fail(#condition, __FILE__, __LINE__))

static inline void
fuzz_fail(const char *condition, const char *file, int line)
{
    fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, condition);
    abort();
}

#endif // DLQ_TESTS_FUZZ_H
