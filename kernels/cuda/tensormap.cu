// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
#include "tensormap.h"

#include <cuda_runtime.h>
#include <cudaTypedefs.h>

static PFN_cuTensorMapEncodeTiled_v12000
encode_function(void)
{
    // Written once with one value by whoever comes first: a race between threads is harmless.
    static PFN_cuTensorMapEncodeTiled_v12000 cached;
    PFN_cuTensorMapEncodeTiled_v12000 fn = __atomic_load_n(&cached, __ATOMIC_RELAXED);
    if (fn)
        return fn;
    void *entry = nullptr;
    cudaDriverEntryPointQueryResult found;
    if (cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &entry, 12000, cudaEnableDefault,
                                         &found) != cudaSuccess ||
        found != cudaDriverEntryPointSuccess)
        return nullptr;
    fn = (PFN_cuTensorMapEncodeTiled_v12000)entry;
    __atomic_store_n(&cached, fn, __ATOMIC_RELAXED);
    return fn;
}

extern "C" int
dlq_k_tensormap_2d(CUtensorMap *map, const void *base, int elem_bytes, uint64_t rows, uint64_t cols,
                   uint64_t pitch_bytes, uint32_t box_rows, uint32_t box_cols,
                   enum dlq_k_swizzle swizzle)
{
    static const CUtensorMapSwizzle swizzles[] = {
        CU_TENSOR_MAP_SWIZZLE_NONE, CU_TENSOR_MAP_SWIZZLE_32B, CU_TENSOR_MAP_SWIZZLE_64B,
        CU_TENSOR_MAP_SWIZZLE_128B};
    PFN_cuTensorMapEncodeTiled_v12000 encode = encode_function();
    if (!encode)
        return -1;
    const CUtensorMapDataType type = elem_bytes == 1   ? CU_TENSOR_MAP_DATA_TYPE_UINT8
                                     : elem_bytes == 2 ? CU_TENSOR_MAP_DATA_TYPE_UINT16
                                     : elem_bytes == 4 ? CU_TENSOR_MAP_DATA_TYPE_UINT32
                                                       : CU_TENSOR_MAP_DATA_TYPE_UINT64;
    const cuuint64_t dims[2] = {cols, rows};
    const cuuint64_t pitch[1] = {pitch_bytes};
    const cuuint32_t box[2] = {box_cols, box_rows};
    const cuuint32_t steps[2] = {1, 1};
    return (int)encode(map, type, 2, (void *)base, dims, pitch, box, steps,
                       CU_TENSOR_MAP_INTERLEAVE_NONE, swizzles[swizzle],
                       CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
}

extern "C" int
dlq_k_tensormap_blocks(CUtensorMap *map, const void *base, uint32_t block_bytes, uint64_t along,
                       uint64_t across, uint32_t box_across)
{
    PFN_cuTensorMapEncodeTiled_v12000 encode = encode_function();
    if (!encode)
        return -1;
    const uint32_t pieces = block_bytes / 2048;
    const cuuint64_t dims[3] = {256, along * pieces, across};
    const cuuint64_t pitch[2] = {2048, along * block_bytes};
    const cuuint32_t box[3] = {256, pieces, box_across};
    const cuuint32_t steps[3] = {1, 1, 1};
    return (int)encode(map, CU_TENSOR_MAP_DATA_TYPE_UINT64, 3, (void *)base, dims, pitch, box,
                       steps, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_NONE,
                       CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
}
