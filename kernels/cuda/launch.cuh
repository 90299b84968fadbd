// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// How kernels are launched: what cudaLaunchKernelEx() wants to know beside the arguments, and the
// shared memory that it would refuse otherwise.
#ifndef DLQ_KERNELS_CUDA_LAUNCH_CUH
#define DLQ_KERNELS_CUDA_LAUNCH_CUH

#include <cuda_runtime_api.h>

namespace dlq
{

// Lets a kernel have what a block can have of shared memory on the current device, but for `less`
// bytes. `granted` is the kernel's, for devices that were asked before. 0 or a cudaError_t.
// [any thread]
inline int
allow_shared(const void *kernel, int less, unsigned char granted[64])
{
    int device = 0, most = 0;
    cudaError_t err = cudaGetDevice(&device);
    if (err != cudaSuccess || (device < 64 && __atomic_load_n(&granted[device], __ATOMIC_RELAXED)))
        return (int)err;
    err = cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
    if (err == cudaSuccess)
        err =
            cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, most - less);
    if (err == cudaSuccess && device < 64)
        __atomic_store_n(&granted[device], 1, __ATOMIC_RELAXED);
    return (int)err;
}

// A type that an argument is converted to instead of deciding it.
template <class T> struct exactly {
    using type = T;
};

// `early`: as a programmatic dependent of the stream's previous kernel. `cluster`: CTAs of a
// cluster, side by side along x.
struct launch_config {
    cudaLaunchConfig_t config = {};
    cudaLaunchAttribute attributes[2];

    launch_config(dim3 grid, unsigned threads, size_t shared, bool early, cudaStream_t stream,
                  unsigned cluster = 1)
    {
        config.gridDim = grid;
        config.blockDim = dim3(threads);
        config.dynamicSmemBytes = shared;
        config.stream = stream;
        config.attrs = attributes;
        if (cluster > 1) {
            cudaLaunchAttribute *const a = &attributes[config.numAttrs++];
            a->id = cudaLaunchAttributeClusterDimension;
            a->val.clusterDim.x = cluster;
            a->val.clusterDim.y = a->val.clusterDim.z = 1;
        }
        if (early) {
            cudaLaunchAttribute *const a = &attributes[config.numAttrs++];
            a->id = cudaLaunchAttributeProgrammaticStreamSerialization;
            a->val.programmaticStreamSerializationAllowed = 1;
        }
    }
    launch_config(const launch_config &) = delete;
    launch_config &operator=(const launch_config &) = delete;

    // Enqueues a kernel. The arguments are read before this returns, and copied once.
    template <class... Parameters>
    int run(void (*kernel)(Parameters...),
            const typename exactly<Parameters>::type &...arguments) const
    {
        void *pointers[] = {(void *)&arguments...};
        return (int)cudaLaunchKernelExC(&config, (const void *)kernel, pointers);
    }
};

} // namespace dlq

#endif
