// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
#ifndef DLQ_TESTS_KERNELS_GPU_SAMPLED_H
#define DLQ_TESTS_KERNELS_GPU_SAMPLED_H

#include <stdlib.h>

// N of DLQ_CHECK_EVERY=N, else 1.
inline int
gpu_check_every(void)
{
    static const char *const said = getenv("DLQ_CHECK_EVERY");
    static const int every = said != nullptr ? atoi(said) : 1;
    return every > 1 ? every : 1;
}

// True every Nth time that this place is passed: what checks leave of their cases for tools that
// slow them down. A place within another one counts for itself.
#define GPU_SAMPLED()                                                                              \
    ([] {                                                                                          \
        static int at;                                                                             \
        return at++ % gpu_check_every() == 0;                                                      \
    }())

#endif
