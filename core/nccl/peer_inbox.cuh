// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// What sums and gathers over memory of peers share: how ranks send each other tiles.
//
// Each 4 bytes travel in one store of 8 with the number of the turn, so that who sees the number
// has the bytes: nothing else orders the ranks. Data goes in tiles; each has turns of its own, in
// each way, and all of a tile is sent on every turn, so that a slot holds the number of the last
// turn but one. It is free again by then: nobody ends turn t + 1 without what every other rank
// sends after it took turn t out. All waiting is for the same tile of other ranks, which they send
// before they wait.
#ifndef DLQ_CORE_NCCL_PEER_INBOX_CUH
#define DLQ_CORE_NCCL_PEER_INBOX_CUH

#include "peer_sum.h"

namespace dlq
{

namespace peer
{

constexpr int THREADS = 256;
constexpr int TILE = THREADS * 8; // Bytes
constexpr int TILES = DLQ_PEER_BYTES / TILE;
constexpr int BLOCKS = 128; // Four for each multiprocessor find room, in any order

static_assert(DLQ_PEER_TURNS == 2 * TILES, "a counter for each tile and way");

// Looks between two looks at the clock and the host's memory.
constexpr unsigned PATIENCE = 4096;

struct slot {
    unsigned long long word[2]; // Each: 4 bytes below, the turn above
};

static __device__ void
send(slot *to, uint2 data, uint32_t turn)
{
    const unsigned long long mark = (unsigned long long)turn << 32;
    asm volatile("st.relaxed.sys.global.v2.b64 [%0], {%1, %2};" ::"l"(to), "l"(mark | data.x),
                 "l"(mark | data.y)
                 : "memory");
}

static __device__ slot
look(const slot *from)
{
    slot s;
    asm volatile("ld.relaxed.sys.global.v2.b64 {%0, %1}, [%2];"
                 : "=l"(s.word[0]), "=l"(s.word[1])
                 : "l"(from)
                 : "memory");
    return s;
}

static __device__ bool
has_come(const slot &s, uint32_t turn)
{
    return (uint32_t)(s.word[0] >> 32) == turn && (uint32_t)(s.word[1] >> 32) == turn;
}

static __device__ uint2
data_of(const slot &s)
{
    return make_uint2((uint32_t)s.word[0], (uint32_t)s.word[1]);
}

// Until the kernel in front has ended. From then on what is launched next may prepare itself, while
// this kernel waits for other ranks; not before, or all that is enqueued would fill the GPU, and
// another group's sums, for which its ranks wait, would find no room.
static __device__ void
wait_for_data()
{
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

static __device__ int64_t
now_ns()
{
    int64_t now;
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now)::"memory");
    return now;
}

union bytes {
    uint2 all;
    uint16_t half[4];
    uint32_t word[2];
};

// 8 bytes at `at`; what is beyond the end counts as zero.
template <typename T>
__device__ uint2
load(const T *data, int64_t at, int64_t count)
{
    constexpr int N = 8 / sizeof(T);
    if (at + N <= count && (size_t)data % 8 == 0) {
        return *(const uint2 *)(data + at);
    }
    bytes b = {make_uint2(0, 0)};
#pragma unroll
    for (int i = 0; i < N; i++) {
        if (at + i < count) {
            if constexpr (sizeof(T) == 2) {
                b.half[i] = ((const uint16_t *)data)[at + i];
            } else {
                b.word[i] = ((const uint32_t *)data)[at + i];
            }
        }
    }
    return b.all;
}

template <typename T>
__device__ void
store(T *data, int64_t at, int64_t count, uint2 value)
{
    constexpr int N = 8 / sizeof(T);
    if (at + N <= count && (size_t)data % 8 == 0) {
        *(uint2 *)(data + at) = value;
        return;
    }
    const bytes b = {value};
#pragma unroll
    for (int i = 0; i < N; i++) {
        if (at + i < count) {
            if constexpr (sizeof(T) == 2) {
                ((uint16_t *)data)[at + i] = b.half[i];
            } else {
                ((uint32_t *)data)[at + i] = b.word[i];
            }
        }
    }
}

// Tiles of the largest sum at once; more ranks send more.
__host__ __device__ constexpr int
tiles_at_once(int size)
{
    return size == 2 ? TILES : TILES / 4;
}

// Tiles of a rank's share.
__host__ __device__ constexpr int
tiles_of_share(int size)
{
    return (TILES + size - 1) / size;
}

// Of a tile and way. Both words come in one load.
struct __align__(8) counter
{
    uint32_t turn;
    uint32_t gone; // Not 0: a kernel was stopped or gave up, and what it left is no sum
};

static __device__ counter *
counters(const dlq_peer_ends &ends)
{
    return (counter *)ends.turns;
}

// When a thread began to wait, at `begin`, or now if that is 0; OVER when it has to end: the limit
// has passed, the host says so, or another thread gave up. These two are out of line, for they are
// seldom called and the code of a kernel is read anew in every launch.
constexpr int64_t OVER = -1;

static __device__ __noinline__ int64_t
keep_waiting(const dlq_peer_ends &ends, int64_t begin)
{
    const int64_t now = ends.limit_ns > 0 ? now_ns() : 1;
    begin = begin == 0 ? now : begin;
    const bool over = (ends.limit_ns > 0 && now - begin >= ends.limit_ns) ||
                      *(volatile uint32_t *)&counters(ends)[0].gone != 0 ||
                      *(volatile uint32_t *)&ends.mail->stop != 0;
    return over ? OVER : begin;
}

// The host learns whom the first thread that gives up waited for.
static __device__ __noinline__ void
give_up(const dlq_peer_ends &ends, int rank)
{
    counter *const c = counters(ends);
    if (atomicExch(&c[0].gone, 1) == 0) {
        for (int i = 1; i < DLQ_PEER_TURNS; i++) {
            c[i].gone = 1;
        }
        *(volatile uint32_t *)&ends.mail->late = 1 + rank;
        __threadfence_system();
    }
}

// Where slots are in an inbox, for an even or odd turn: those of whole data by sender, then parts
// of this rank's share by sender, then sums of other shares.
struct layout {
    int size;

    __host__ __device__ size_t at_once(uint32_t turn, int from) const
    {
        return ((size_t)(turn & 1) * size + from) * tiles_at_once(size) * THREADS;
    }

    __host__ __device__ size_t parts(uint32_t turn, int from) const
    {
        return at_once(0, 2 * size) +
               ((size_t)(turn & 1) * size + from) * tiles_of_share(size) * THREADS;
    }

    __host__ __device__ size_t sums(uint32_t turn) const
    {
        return parts(0, 2 * size) + (size_t)(turn & 1) * TILES * THREADS;
    }

    __host__ __device__ size_t slots() const
    {
        return sums(0) + (size_t)2 * TILES * THREADS;
    }
};

// One rank's kernel, one of its threads.
struct rank_thread {
    const dlq_peer_ends &ends;
    uint32_t turn;
    bool stopped;

    __device__ slot *inbox(int rank, size_t at) const
    {
        return (slot *)ends.inbox[rank] + at + threadIdx.x;
    }

    // The slot once it has come; `s` is the first look at it.
    __device__ uint2 wait(slot s, const slot *from, int rank)
    {
        int64_t begin = 0;
        for (unsigned n = 1; !has_come(s, turn) && !stopped; n++) {
            if (n % PATIENCE == 0) {
                begin = keep_waiting(ends, begin);
            }
            s = look(from);
            stopped = begin == OVER && !has_come(s, turn);
        }
        if (stopped) {
            give_up(ends, rank);
        }
        return data_of(s);
    }

    // To all others; not all begin with the same one.
    template <int MOST> __device__ void send_all(int size, size_t at, uint2 data) const
    {
#pragma unroll
        for (int i = 1; i < MOST; i++) {
            if (i < size) {
                const int to = ends.rank + i < size ? ends.rank + i : ends.rank + i - size;
                send(inbox(to, at), data, turn);
            }
        }
    }

    // What came from each rank r at `at` + r * `step`, and `own` from this one, in rank order.
    template <int MOST, typename F>
    __device__ void take_all(int size, size_t at, size_t step, uint2 own, F take)
    {
        const slot *const from = inbox(ends.rank, at);
        slot come[MOST];
#pragma unroll
        for (int r = 0; r < MOST; r++) {
            if (r < size && r != ends.rank) {
                come[r] = look(from + (size_t)r * step);
            }
        }
#pragma unroll
        for (int r = 0; r < MOST; r++) {
            if (r < size) {
                take(r, r == ends.rank ? own : wait(come[r], from + (size_t)r * step, r));
            }
        }
    }
};

// Every thread of a block has read its turns.
static __device__ void
count_turns(counter *c, int tiles)
{
    __syncthreads();
    for (int t = (int)(blockIdx.x + threadIdx.x * gridDim.x); t < tiles;
         t += (int)(gridDim.x * THREADS)) {
        c[t].turn++;
    }
}

// First element of this thread in a tile.
template <typename T>
__device__ int64_t
element(int tile)
{
    return (int64_t)(tile * THREADS + (int)threadIdx.x) * (int64_t)(8 / sizeof(T));
}

// To every other rank, this block's tiles of `data`; false if the rank gave up before.
template <int MOST, typename T>
__device__ __forceinline__ bool
send_tiles(rank_thread &me, const layout &l, const counter *c, const T *data, int64_t count,
           int tiles)
{
    for (int t = (int)blockIdx.x; t < tiles; t += (int)gridDim.x) {
        const counter now = c[t];
        if (now.gone) {
            return false;
        }
        me.turn = now.turn + 1;
        me.send_all<MOST>(l.size, l.at_once(me.turn, me.ends.rank) + (size_t)t * THREADS,
                          load(data, element<T>(t), count));
    }
    return true;
}

template <typename... Parameters, typename... Arguments>
cudaError_t
launch_tiles(void (*kernel)(const dlq_peer_ends, Parameters...), const dlq_peer_ends &ends,
             int tiles, cudaStream_t stream, Arguments... arguments)
{
    cudaLaunchAttribute early = {};
    early.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    early.val.programmaticStreamSerializationAllowed = 1;
    cudaLaunchConfig_t config = {};
    config.gridDim = dim3((unsigned)(tiles < BLOCKS ? tiles : BLOCKS));
    config.blockDim = dim3(THREADS);
    config.stream = stream;
    config.attrs = &early;
    config.numAttrs = ends.early ? 1 : 0;
    return cudaLaunchKernelEx(&config, kernel, ends, arguments..., tiles);
}

static int
tiles_of(size_t bytes)
{
    return (int)((bytes + TILE - 1) / TILE);
}

} // namespace peer

} // namespace dlq

#endif // DLQ_CORE_NCCL_PEER_INBOX_CUH
