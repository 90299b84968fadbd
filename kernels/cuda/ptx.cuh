// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// The PTX instructions the kernels use, one thin wrapper each, named after the instruction.
// Sections: addresses, flags, mbarrier, bulk copies, tensor copies (TMA), clusters, programmatic
// dependent launch, fragments and mma.sync, wgmma, registers. Everything from "bulk copies" on,
// except fragments and mma.sync, needs sm_90 (wgmma and setmaxnreg: sm_90a).
#ifndef DLQ_KERNELS_CUDA_PTX_CUH
#define DLQ_KERNELS_CUDA_PTX_CUH

#include <cuda.h>
#include <stdint.h>

#define DLQ_DEV static __device__ __forceinline__

// ---- addresses

DLQ_DEV uint32_t
ptx_smem(const void *p)
{
    return (uint32_t)__cvta_generic_to_shared(p);
}

DLQ_DEV uint32_t
ptx_lane(void)
{
    uint32_t lane;
    asm("mov.u32 %0, %%laneid;" : "=r"(lane));
    return lane;
}

// One lane of a converged warp, the same one every time.
DLQ_DEV bool
ptx_elect(void)
{
    uint32_t won;
    asm volatile("{.reg .pred p; elect.sync _|p, 0xffffffff; selp.u32 %0, 1, 0, p;}" : "=r"(won));
    return won != 0;
}

// Barrier among `threads` threads of the CTA; id 0 is __syncthreads'.
DLQ_DEV void
ptx_bar_sync(int id, int threads)
{
    asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

DLQ_DEV void
ptx_bar_arrive(int id, int threads)
{
    asm volatile("bar.arrive %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

// A flag in global memory that another CTA waits for: what this thread, and those it met at a
// barrier, wrote before is visible to whoever reads the flag with ptx_ld_acquire.
DLQ_DEV void
ptx_st_release(unsigned *flag, unsigned v)
{
    asm volatile("st.release.gpu.global.u32 [%0], %1;" ::"l"(flag), "r"(v) : "memory");
}

DLQ_DEV unsigned
ptx_ld_acquire(const unsigned *flag)
{
    unsigned v;
    asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(v) : "l"(flag) : "memory");
    return v;
}

// ---- mbarrier (all addresses are shared-memory addresses from ptx_smem)

DLQ_DEV void
ptx_mbar_init(uint32_t bar, uint32_t arrivals)
{
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(bar), "r"(arrivals) : "memory");
}

// Makes initialized barriers visible to the copy engine and to the cluster; then a CTA or cluster
// barrier is still needed.
DLQ_DEV void
ptx_mbar_init_fence(void)
{
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

DLQ_DEV void
ptx_mbar_arrive(uint32_t bar)
{
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(bar) : "memory");
}

DLQ_DEV void
ptx_mbar_arrive_expect(uint32_t bar, uint32_t bytes)
{
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(bar), "r"(bytes)
                 : "memory");
}

// `bar` is an address of this CTA or, from ptx_mapa, of another CTA of the cluster.
DLQ_DEV void
ptx_mbar_arrive_cluster(uint32_t bar)
{
    asm volatile("mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%0];" ::"r"(bar)
                 : "memory");
}

// As ptx_mbar_arrive_cluster without making this thread's own stores visible there: enough to free
// a buffer that was only read, and without the fence of the whole device that release.cluster is.
DLQ_DEV void
ptx_mbar_arrive_remote(uint32_t bar)
{
    asm volatile("mbarrier.arrive.shared::cluster.b64 _, [%0];" ::"r"(bar) : "memory");
}

DLQ_DEV bool
ptx_mbar_try(uint32_t bar, uint32_t parity)
{
    uint32_t done;
    asm volatile("{.reg .pred p; mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2; selp.u32 "
                 "%0, 1, 0, p;}"
                 : "=r"(done)
                 : "r"(bar), "r"(parity)
                 : "memory");
    return done != 0;
}

DLQ_DEV void
ptx_mbar_wait(uint32_t bar, uint32_t parity)
{
    while (!ptx_mbar_try(bar, parity))
        ;
}

// As ptx_mbar_wait, and what other CTAs of the cluster wrote before they arrived is visible
// afterwards.
DLQ_DEV void
ptx_mbar_wait_cluster(uint32_t bar, uint32_t parity)
{
    uint32_t done;
    do
        asm volatile("{.reg .pred p; mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 p, "
                     "[%1], %2; selp.u32 %0, 1, 0, p;}"
                     : "=r"(done)
                     : "r"(bar), "r"(parity)
                     : "memory");
    while (!done);
}

// Ordinary stores to shared memory before it, the copy engine's or wgmma's accesses after it.
DLQ_DEV void
ptx_fence_proxy_async(void)
{
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

// ---- copies of 16 bytes by ordinary threads, `bytes` of them read and the rest zero

DLQ_DEV void
ptx_cp_async16(uint32_t dst, const void *src, uint32_t bytes)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(dst), "l"(src), "r"(bytes)
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

template <int N>
DLQ_DEV void
ptx_bulk_wait(void)
{
    asm volatile("cp.async.bulk.wait_group %0;" ::"n"(N) : "memory");
}

// ---- clusters

DLQ_DEV uint32_t
ptx_cluster_rank(void)
{
    uint32_t rank;
    asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
    return rank;
}

DLQ_DEV uint32_t
ptx_cluster_size(void)
{
    uint32_t size;
    asm volatile("mov.u32 %0, %%cluster_nctarank;" : "=r"(size));
    return size;
}

// The address of the same place in the shared memory of CTA `rank`.
DLQ_DEV uint32_t
ptx_mapa(uint32_t addr, uint32_t rank)
{
    uint32_t remote;
    asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(remote) : "r"(addr), "r"(rank));
    return remote;
}

// Without the fence of the whole device that a release is: no ordinary store before it is seen by
// the others.
DLQ_DEV void
ptx_cluster_arrive_relaxed(void)
{
    asm volatile("barrier.cluster.arrive.relaxed.aligned;" ::: "memory");
}

DLQ_DEV void
ptx_cluster_wait(void)
{
    asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
}

DLQ_DEV float
ptx_ld_cluster(uint32_t addr)
{
    float v;
    asm volatile("ld.shared::cluster.f32 %0, [%1];" : "=f"(v) : "r"(addr) : "memory");
    return v;
}

DLQ_DEV void
ptx_st_cluster(uint32_t addr, float v)
{
    asm volatile("st.shared::cluster.f32 [%0], %1;" ::"r"(addr), "f"(v) : "memory");
}

// A store to another CTA that signals its 4 bytes on a barrier of that CTA.
DLQ_DEV void
ptx_st_async(uint32_t addr, float v, uint32_t bar)
{
    asm volatile(
        "st.async.shared::cluster.mbarrier::complete_tx::bytes.b32 [%0], %1, [%2];" ::"r"(addr),
        "r"(__float_as_uint(v)), "r"(bar)
        : "memory");
}

DLQ_DEV void
ptx_st_async4(uint32_t addr, float4 v, uint32_t bar)
{
    asm volatile("st.async.shared::cluster.mbarrier::complete_tx::bytes.v4.b32 [%0], {%1, %2, %3, "
                 "%4}, [%5];" ::"r"(addr),
                 "r"(__float_as_uint(v.x)), "r"(__float_as_uint(v.y)), "r"(__float_as_uint(v.z)),
                 "r"(__float_as_uint(v.w)), "r"(bar)
                 : "memory");
}

// ---- programmatic dependent launch: both are no-ops in a kernel launched without the attribute,
// and before sm_90

// The next kernel of the stream may start; it sees this one's results only after its own wait.
DLQ_DEV void
ptx_pdl_launch(void)
{
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

// Until the kernels before this one have finished and their results are visible.
DLQ_DEV void
ptx_pdl_wait(void)
{
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

// ---- fragments and mma.sync

// Four 8x8 matrices of 16-bit values; lanes 8i..8i+7 give the row addresses of matrix i.
DLQ_DEV void
ptx_ldmatrix4(uint32_t r[4], uint32_t addr)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(addr)
                 : "memory");
}

DLQ_DEV void
ptx_stmatrix4(uint32_t addr, uint32_t a, uint32_t b, uint32_t c, uint32_t d)
{
    asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(addr),
                 "r"(a), "r"(b), "r"(c), "r"(d)
                 : "memory");
}

DLQ_DEV void
ptx_stmatrix4_trans(uint32_t addr, uint32_t a, uint32_t b, uint32_t c, uint32_t d)
{
    asm volatile(
        "stmatrix.sync.aligned.m8n8.x4.trans.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(addr),
        "r"(a), "r"(b), "r"(c), "r"(d)
        : "memory");
}

// The transpose of an 8x8 matrix of 16-bit values held by the warp.
DLQ_DEV uint32_t
ptx_movmatrix_trans(uint32_t a)
{
    uint32_t r;
    asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(r) : "r"(a));
    return r;
}

DLQ_DEV uint4
ptx_lds128(uint32_t addr)
{
    uint4 v;
    asm volatile("ld.shared.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
                 : "r"(addr)
                 : "memory");
    return v;
}

DLQ_DEV uint2
ptx_lds64(uint32_t addr)
{
    uint2 v;
    asm volatile("ld.shared.v2.u32 {%0, %1}, [%2];" : "=r"(v.x), "=r"(v.y) : "r"(addr) : "memory");
    return v;
}

DLQ_DEV uint32_t
ptx_lds32(uint32_t addr)
{
    uint32_t v;
    asm volatile("ld.shared.u32 %0, [%1];" : "=r"(v) : "r"(addr) : "memory");
    return v;
}

// (a op mask) | or in one instruction.
template <uint32_t Mask, uint32_t Or>
DLQ_DEV uint32_t
ptx_and_or(uint32_t a)
{
    uint32_t r;
    asm("lop3.b32 %0, %1, %2, %3, 0xEA;" : "=r"(r) : "r"(a), "n"(Mask), "n"(Or));
    return r;
}

// ---- wgmma: the multiplications themselves are in the kernels' own headers (their register lists
// differ)

DLQ_DEV void
ptx_wgmma_fence(void)
{
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}

DLQ_DEV void
ptx_wgmma_commit(void)
{
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}

template <int N>
DLQ_DEV void
ptx_wgmma_wait(void)
{
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(N) : "memory");
}

// Descriptor of a K-major operand tile written by TMA with 128-byte swizzle: rows of 128 bytes,
// 8-row groups 1024 bytes apart. The tile starts at a multiple of 1024 bytes; a step of 32 bytes
// along K adds 2 to the descriptor.
DLQ_DEV uint64_t
ptx_wgmma_desc128(uint32_t addr)
{
    return (uint64_t)((addr & 0x3ffff) >> 4) | (uint64_t)1 << 16 | (uint64_t)(1024 >> 4) << 32 |
           (uint64_t)1 << 62;
}

// ---- registers: in warp-specialized kernels compiled with __launch_bounds__(threads, 1)

template <int N>
DLQ_DEV void
ptx_reg_inc(void)
{
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(N));
}

template <int N>
DLQ_DEV void
ptx_reg_dec(void)
{
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(N));
}

#endif
