// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_CORE_DEVICE_CPU_H
#define DLQ_CORE_DEVICE_CPU_H

#include <dlquant/status.h>
#include <dlquant/types.h>

#include <stdint.h>

/// Which instruction sets this process may use.

/// Number of bits of enum dlq_cpu_flags.
#define DLQ_CPU_N_FLAGS 11

/// Name of bit `bit` of enum dlq_cpu_flags in lower case, such as "avx512_vnni"; NULL past the
/// last. [any-thread]
const char *
dlq_device_cpu_flag_name(int bit);

/// Reads a set: names separated by commas, "none" or "" for no flag, "all", or a number as strtoul
/// reads it with base 0. DLQ_EINVAL names the word that is none of these. [any-thread]
int
dlq_device_cpu_parse_flags(const char *text, uint32_t *flags, struct dlq_error *err);

/// Drops flags that make no sense without another that is absent: everything x86 without AVX2,
/// AVX-512 and AMX extensions without AVX-512. [any-thread]
uint32_t
dlq_device_cpu_complete_flags(uint32_t flags);

/// What the processor has and the operating system saves, of the flags in `mask`. Asks the kernel
/// for permission to use AMX tiles if the mask has an AMX flag. [any-thread]
uint32_t
dlq_device_cpu_detect(uint32_t mask);

/// The set that kernels may use: detected once for the process and cut to the environment's
/// DLQ_CPU_FLAGS where that is set. DLQ_EINVAL when DLQ_CPU_FLAGS cannot be read, each time.
/// [any-thread]
int
dlq_device_cpu_flags(uint32_t *flags, struct dlq_error *err);

#endif // DLQ_CORE_DEVICE_CPU_H
