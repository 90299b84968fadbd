// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// What launches have to know of the current device, asked for once.
#ifndef DLQ_KERNELS_CUDA_DEVICE_ATTRIBUTE_CUH
#define DLQ_KERNELS_CUDA_DEVICE_ATTRIBUTE_CUH

#include <cuda_runtime.h>

namespace dlq
{

// 0 where there is no device. [any thread]
template <cudaDeviceAttr Attribute>
int
device_attribute(void)
{
    static int values[64];
    int device;
    if (cudaGetDevice(&device) != cudaSuccess || device < 0 || device >= 64)
        return 0;
    int value = __atomic_load_n(&values[device], __ATOMIC_RELAXED);
    if (value == 0 && cudaDeviceGetAttribute(&value, Attribute, device) == cudaSuccess)
        __atomic_store_n(&values[device], value, __ATOMIC_RELAXED);
    return value;
}

} // namespace dlq

#endif
