// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "gpu.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int
main(int argc, char **argv)
{
    const char *const what = argc > 1 ? argv[1] : "check";
    if (!gpu_is_there()) {
        return 77;
    }
    if (strcmp(what, "check") == 0) {
        struct gpu_world w;
        gpu_begin(&w, 0);
        const int failed = gpu_check(&w);
        gpu_end(&w);
        return failed != 0;
    }
    if (strcmp(what, "rates") == 0) {
        return gpu_rates();
    }
    if (strcmp(what, "apply") == 0) {
        return gpu_apply_cost(argc > 2 ? atof(argv[2]) : 3.0);
    }
    fprintf(stderr, "usage: gpu_core check | rates | apply [LIMIT_US]\n");
    return 2;
}
