// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// How kernels are launched: what cudaLaunchKernelEx() wants to know beside the arguments.
#ifndef DLQ_KERNELS_CUDA_LAUNCH_CUH
#define DLQ_KERNELS_CUDA_LAUNCH_CUH

#include <cuda_runtime_api.h>

namespace dlq
{

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
