// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// PTX of copies to and from shared memory: cp.async, bulk copies and tensor copies (TMA), the last
// two from sm_90 on.
#ifndef DLQ_KERNELS_CUDA_PTX_COPY_CUH
#define DLQ_KERNELS_CUDA_PTX_COPY_CUH

#include "ptx_sync.cuh"

#include <cuda.h>

// ---- copies of 16 bytes by ordinary threads, `bytes` of them read and the rest zero

DLQ_DEV void
ptx_cp_async16(uint32_t dst, const void *src, uint32_t bytes)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(dst), "l"(src), "r"(bytes)
                 : "memory");
}

// The same, or nothing.
DLQ_DEV void
ptx_cp_async16_if(bool copied, uint32_t dst, const void *src, uint32_t bytes)
{
    asm volatile(
        "{.reg .pred p; setp.ne.u32 p, %3, 0; @p cp.async.cg.shared.global [%0], [%1], 16, "
        "%2;}" ::"r"(dst),
        "l"(src), "r"(bytes), "r"((uint32_t)copied)
        : "memory");
}

// One arrival of this thread on `bar` when all its copies so far are there; counted in the
// barrier's arrivals.
DLQ_DEV void
ptx_cp_async_arrive(uint32_t bar)
{
    asm volatile("cp.async.mbarrier.arrive.noinc.shared::cta.b64 [%0];" ::"r"(bar) : "memory");
}

// Until this thread's copies are there.
DLQ_DEV void
ptx_cp_async_wait(void)
{
    asm volatile("cp.async.wait_all;" ::: "memory");
}

// This thread's copies since the last commit are a group.
DLQ_DEV void
ptx_cp_async_commit(void)
{
    asm volatile("cp.async.commit_group;" ::: "memory");
}

// Until at most N of this thread's groups are on their way.
template <int N>
DLQ_DEV void
ptx_cp_async_wait_group(void)
{
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}

// ---- 16 bytes of global memory that are read once, so that L1 need not keep them

DLQ_DEV uint4
ptx_ldg128_once(const void *src)
{
    uint4 v;
    asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
                 : "l"(src));
    return v;
}

// ---- bulk copies: addresses and sizes are multiples of 16 bytes

DLQ_DEV void
ptx_bulk_load(uint32_t dst, const void *src, uint32_t bytes, uint32_t bar)
{
    asm volatile(
        "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::
            "r"(dst),
        "l"(src), "r"(bytes), "r"(bar)
        : "memory");
}

// `policy` from ptx_policy_first or ptx_policy_last.
DLQ_DEV void
ptx_bulk_load_hint(uint32_t dst, const void *src, uint32_t bytes, uint32_t bar, uint64_t policy)
{
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint "
                 "[%0], [%1], %2, [%3], %4;" ::"r"(dst),
                 "l"(src), "r"(bytes), "r"(bar), "l"(policy)
                 : "memory");
}

// Into the same place of every CTA in `mask` (bits are cluster ranks); each of them gets the bytes
// signalled on its own barrier.
DLQ_DEV void
ptx_bulk_load_multicast(uint32_t dst, const void *src, uint32_t bytes, uint32_t bar, uint16_t mask)
{
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::"
                 "cluster [%0], [%1], %2, [%3], %4;" ::"r"(dst),
                 "l"(src), "r"(bytes), "r"(bar), "h"(mask)
                 : "memory");
}

// Shared memory of this CTA to that of another CTA of the cluster; dst and bar are cluster
// addresses of the receiver.
DLQ_DEV void
ptx_bulk_send(uint32_t dst, uint32_t src, uint32_t bytes, uint32_t bar)
{
    asm volatile("cp.async.bulk.shared::cluster.shared::cta.mbarrier::complete_tx::bytes [%0], "
                 "[%1], %2, [%3];" ::"r"(dst),
                 "r"(src), "r"(bytes), "r"(bar)
                 : "memory");
}

DLQ_DEV uint64_t
ptx_policy_first(void)
{
    uint64_t policy;
    asm volatile("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(policy));
    return policy;
}

DLQ_DEV uint64_t
ptx_policy_last(void)
{
    uint64_t policy;
    asm volatile("createpolicy.fractional.L2::evict_last.b64 %0, 1.0;" : "=l"(policy));
    return policy;
}

// ---- tensor copies (TMA), two-dimensional: c0 is the coordinate in the contiguous dimension

DLQ_DEV void
ptx_tma_prefetch(const CUtensorMap *map)
{
    asm volatile("prefetch.tensormap [%0];" ::"l"(map) : "memory");
}

DLQ_DEV void
ptx_tma_load(uint32_t dst, const CUtensorMap *map, int c0, int c1, uint32_t bar)
{
    asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes "
                 "[%0], [%1, {%3, %4}], [%2];" ::"r"(dst),
                 "l"(map), "r"(bar), "r"(c0), "r"(c1)
                 : "memory");
}

// `policy` from ptx_policy_first or ptx_policy_last.
DLQ_DEV void
ptx_tma_load_hint(uint32_t dst, const CUtensorMap *map, int c0, int c1, uint32_t bar,
                  uint64_t policy)
{
    asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes."
                 "L2::cache_hint [%0], [%1, {%3, %4}], [%2], %5;" ::"r"(dst),
                 "l"(map), "r"(bar), "r"(c0), "r"(c1), "l"(policy)
                 : "memory");
}

DLQ_DEV void
ptx_tma_load_3d(uint32_t dst, const CUtensorMap *map, int c0, int c1, int c2, uint32_t bar)
{
    asm volatile("cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes "
                 "[%0], [%1, {%3, %4, %5}], [%2];" ::"r"(dst),
                 "l"(map), "r"(bar), "r"(c0), "r"(c1), "r"(c2)
                 : "memory");
}

DLQ_DEV void
ptx_tma_load_3d_hint(uint32_t dst, const CUtensorMap *map, int c0, int c1, int c2, uint32_t bar,
                     uint64_t policy)
{
    asm volatile("cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes."
                 "L2::cache_hint [%0], [%1, {%3, %4, %5}], [%2], %6;" ::"r"(dst),
                 "l"(map), "r"(bar), "r"(c0), "r"(c1), "r"(c2), "l"(policy)
                 : "memory");
}

DLQ_DEV void
ptx_tma_load_multicast(uint32_t dst, const CUtensorMap *map, int c0, int c1, uint32_t bar,
                       uint16_t mask)
{
    asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes."
                 "multicast::cluster [%0], [%1, {%3, %4}], "
                 "[%2], %5;" ::"r"(dst),
                 "l"(map), "r"(bar), "r"(c0), "r"(c1), "h"(mask)
                 : "memory");
}

DLQ_DEV void
ptx_tma_store(const CUtensorMap *map, uint32_t src, int c0, int c1)
{
    asm volatile(
        "cp.async.bulk.tensor.2d.global.shared::cta.tile.bulk_group [%0, {%2, %3}], [%1];" ::"l"(
            map),
        "r"(src), "r"(c0), "r"(c1)
        : "memory");
}

DLQ_DEV void
ptx_bulk_commit(void)
{
    asm volatile("cp.async.bulk.commit_group;" ::: "memory");
}

// Until at most N groups of this thread still read their shared memory.
template <int N>
DLQ_DEV void
ptx_bulk_wait_read(void)
{
    asm volatile("cp.async.bulk.wait_group.read %0;" ::"n"(N) : "memory");
}

#endif
