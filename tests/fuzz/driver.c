// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "fuzz.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// Runs a target without libFuzzer: `fuzz_x [rounds [seed]]`, or `fuzz_x -` for one input from
// standard input. The same seed gives the same inputs everywhere.

#define MAX_INPUT ((size_t)4096)

static const uint8_t *current;
static size_t current_size;

// The input that a target aborted on, for `fuzz_x -`.
static void
show_input(int number)
{
    (void)number;
    if (write(2, "input:\n", 7) < 0 || write(2, current, current_size) < 0) {
        _exit(3);
    }
    _exit(2);
}

static void
run(const uint8_t *data, size_t size)
{
    // A block of exactly this size, so that a sanitizer sees every byte read past it.
    uint8_t *const copy = malloc(size ? size : 1);
    if (!copy) {
        abort();
    }
    memcpy(copy, data, size);
    current = copy;
    current_size = size;
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

static uint32_t
next_random(uint64_t *state, size_t limit)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return limit ? (uint32_t)((*state >> 33) % limit) : 0;
}

// Put `n` bytes in the place of `cut` bytes at `at`.
static size_t
splice(uint8_t *data, size_t size, size_t at, size_t cut, const void *bytes, size_t n)
{
    cut = cut < size - at ? cut : size - at;
    if (size - cut + n > MAX_INPUT) {
        return size;
    }
    memmove(data + at + n, data + at + cut, size - at - cut);
    memcpy(data + at, bytes, n);
    return size - cut + n;
}

static size_t
mutate(uint8_t *data, size_t size, uint64_t *state)
{
    const size_t at = next_random(state, size + 1);
    uint8_t piece[64];
    const size_t n = next_random(state, sizeof(piece));
    const char *const word = fuzz_words[next_random(state, fuzz_n_words)];
    const uint8_t byte = (uint8_t)next_random(state, 256);
    switch (next_random(state, 6)) {
    case 0: // Another byte
        return splice(data, size, at, 1, &byte, 1);
    case 1: // One more byte
        return splice(data, size, at, 0, &byte, 1);
    case 2: // A part less
        return splice(data, size, at, n, "", 0);
    case 3: // A word more
        return splice(data, size, at, 0, word, strlen(word));
    case 4: // A word instead
        return splice(data, size, at, n, word, strlen(word));
    default: { // A part twice
        const size_t from = next_random(state, size + 1);
        const size_t len = n < size - from ? n : size - from;
        memcpy(piece, data + from, len);
        return splice(data, size, at, 0, piece, len);
    }
    }
}

static int
run_standard_input(void)
{
    uint8_t *const data = malloc(1 << 20);
    if (!data) {
        return 1;
    }
    run(data, fread(data, 1, 1 << 20, stdin));
    free(data);
    return 0;
}

int
main(int argc, char **argv)
{
    signal(SIGABRT, show_input);
    if (argc > 1 && strcmp(argv[1], "-") == 0) {
        return run_standard_input();
    }
    const unsigned long rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : 50000;
    uint64_t state = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    uint8_t data[MAX_INPUT + 64];
    for (size_t i = 0; i < fuzz_n_seeds; i++) {
        run((const uint8_t *)fuzz_seeds[i].data, fuzz_seeds[i].size);
    }
    for (unsigned long i = 0; i < rounds; i++) {
        const struct fuzz_seed *const seed = &fuzz_seeds[next_random(&state, fuzz_n_seeds)];
        size_t size = seed->size;
        memcpy(data, seed->data, size);
        for (uint32_t n = 1 + next_random(&state, 4); n > 0; n--) {
            size = mutate(data, size, &state);
        }
        run(data, size);
    }
    return 0;
}
