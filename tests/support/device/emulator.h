// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_TESTS_EMULATOR_H
#define DLQ_TESTS_EMULATOR_H

#include "device.h"

#include <stdbool.h>
#include <stddef.h>

/// Two GPUs without any: memory that the host cannot touch, uploads that arrive when they are
/// flushed, graphs. They share one piece of memory, mapped without any right where the library sees
/// it, and a second time EMULATOR_OFFSET higher where the devices' own functions and methods work.
/// A library that reads or writes such memory itself dies.
///
/// Work on a stream is done at once. A graph is what the work between the two ends of its capture
/// changed in memory.

/// Bytes of memory, and the distance of the second mapping.
#define EMULATOR_OFFSET ((ptrdiff_t)64 << 20)

/// Devices.
#define EMULATOR_DEVICES 2

/// Where a method may touch memory of a device; NULL stays NULL.
static inline void *
emulator_touch(const void *device)
{
    return device ? (char *)(uintptr_t)device + EMULATOR_OFFSET : NULL;
}

/// What the devices were asked for, and what they shall do wrong. A program may set all to zero,
/// but for `live`, between tests.
struct emulator_log {
    long live;         ///< Blocks of memory
    size_t bytes;      ///< Bytes of them
    size_t peak;       ///< Most of `bytes`
    long uploads;      ///< Calls of upload()
    long posts;        ///< Calls of post()
    long flushes;      ///< Calls of flush()
    long copies;       ///< Calls of copy()
    long objects;      ///< Streams, graphs and events that exist
    void *last_stream; ///< Of the last copy
    int32_t current;   ///< Device of the last use()
    size_t room;       ///< Bytes that may be allocated; 0: all
    bool lose_graphs;  ///< A launch does nothing; also when DLQ_TEST_LOSE_GRAPHS is set
    bool fail_flush;   ///< flush() reports an upload that failed
};

extern struct emulator_log emulator;

/// What the module that a program loads gives away; see module.c.
extern const struct dlq_device_ops test_device_ops;

#endif // DLQ_TESTS_EMULATOR_H
