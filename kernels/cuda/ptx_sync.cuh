// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// PTX of threads, barriers and launches: addresses, flags, mbarrier, clusters, programmatic
// dependent launch, registers. elect, mbarriers and clusters need sm_90, setmaxnreg sm_90a;
// programmatic dependent launch is nothing before sm_90.
#ifndef DLQ_KERNELS_CUDA_PTX_SYNC_CUH
#define DLQ_KERNELS_CUDA_PTX_SYNC_CUH

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

// A counter in global memory: adds, and returns what it was. What this thread, and those it met at
// a barrier, wrote before is visible to whoever sees the sum, and the other way round.
DLQ_DEV unsigned long long
ptx_atom_add_acq_rel64(unsigned long long *p, unsigned long long v)
{
    unsigned long long was;
    asm volatile("atom.acq_rel.gpu.global.add.u64 %0, [%1], %2;"
                 : "=l"(was)
                 : "l"(p), "l"(v)
                 : "memory");
    return was;
}

DLQ_DEV unsigned long long
ptx_ld_acquire64(const unsigned long long *p)
{
    unsigned long long v;
    asm volatile("ld.acquire.gpu.global.u64 %0, [%1];" : "=l"(v) : "l"(p) : "memory");
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
