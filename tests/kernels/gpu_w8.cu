// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// W8A8 on a GPU: `check [quick]`, `bench OUT.csv [what]`, `tune OUT.csv [what]`. `what` limits to
// int8 or fp8, small or large token counts, or those named as in "m64", joined by commas. Both
// write cuBLASLt's times to OUT.csv.peers and the configurations timed to OUT.csv.plans, which
// kernels/cuda/w8_table.py makes the table of choices from.
#include "gpu_w8.cuh"

#include <string.h>

int
main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "check";
    int devices = 0;
    setvbuf(stdout, NULL, _IOLBF, 0); // what hangs should be the last line
    if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
        printf("no CUDA device\n");
        return 77;
    }
    CUDA_OK(dlq_k_w8_prepare());
    if (strcmp(what, "check") == 0) {
        const bool quick = argc > 2 && strcmp(argv[2], "quick") == 0;
        return (check_quantize() + check_gemm(quick)) != 0;
    }
    if (argc > 2 && (strcmp(what, "bench") == 0 || strcmp(what, "tune") == 0))
        return bench(argv[2], what[0] == 't', argc > 3 ? argv[3] : NULL) != 0;
    fprintf(stderr, "usage: gpu_w8 check [quick] | bench OUT.csv [what] | tune OUT.csv [what]\n");
    return 2;
}
