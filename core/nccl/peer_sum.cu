// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "peer_inbox.cuh"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

using namespace dlq::peer;

namespace
{

// The elements of 8 bytes and their sum.
template <typename T> struct sum;

template <> struct sum<__half> {
    float v[4] = {};

    __device__ void add(uint2 data)
    {
        const float2 a = __half22float2(*(const __half2 *)&data.x);
        const float2 b = __half22float2(*(const __half2 *)&data.y);
        v[0] += a.x;
        v[1] += a.y;
        v[2] += b.x;
        v[3] += b.y;
    }

    __device__ uint2 result() const
    {
        const __half2 a = __floats2half2_rn(v[0], v[1]);
        const __half2 b = __floats2half2_rn(v[2], v[3]);
        return make_uint2(*(const uint32_t *)&a, *(const uint32_t *)&b);
    }
};

template <> struct sum<__nv_bfloat16> {
    float v[4] = {};

    __device__ void add(uint2 data)
    {
        v[0] += __uint_as_float(data.x << 16);
        v[1] += __uint_as_float(data.x & 0xffff0000u);
        v[2] += __uint_as_float(data.y << 16);
        v[3] += __uint_as_float(data.y & 0xffff0000u);
    }

    __device__ uint2 result() const
    {
        const __nv_bfloat162 a = __floats2bfloat162_rn(v[0], v[1]);
        const __nv_bfloat162 b = __floats2bfloat162_rn(v[2], v[3]);
        return make_uint2(*(const uint32_t *)&a, *(const uint32_t *)&b);
    }
};

template <> struct sum<float> {
    float v[2] = {};

    __device__ void add(uint2 data)
    {
        v[0] += __uint_as_float(data.x);
        v[1] += __uint_as_float(data.y);
    }

    __device__ uint2 result() const
    {
        return make_uint2(__float_as_uint(v[0]), __float_as_uint(v[1]));
    }
};

template <> struct sum<uint32_t> {
    uint32_t v[2] = {};

    __device__ void add(uint2 data)
    {
        v[0] += data.x;
        v[1] += data.y;
    }

    __device__ uint2 result() const
    {
        return make_uint2(v[0], v[1]);
    }
};

// Sum, in rank order, of what came from each rank r at `at` + r * `step`, and `own` from this one.
template <typename T, int MOST>
__device__ uint2
add_up(rank_thread &me, int size, size_t at, size_t step, uint2 own)
{
    sum<T> s;
    me.take_all<MOST>(size, at, step, own, [&s](int, uint2 data) { s.add(data); });
    return s.result();
}

// SIZE 0: any number of ranks.
template <typename T, int SIZE>
__global__ void
__launch_bounds__(THREADS, 4)
    sum_at_once(const __grid_constant__ dlq_peer_ends ends, T *data, int64_t count, int tiles)
{
    constexpr int MOST = SIZE ? SIZE : DLQ_PEER_RANKS;
    const layout l = {SIZE ? SIZE : ends.size};
    counter *const c = counters(ends);
    rank_thread me = {ends, 0, false};
    wait_for_data();
    if (!send_tiles<MOST>(me, l, c, data, count, tiles)) {
        return;
    }
    for (int t = (int)blockIdx.x; t < tiles; t += (int)gridDim.x) {
        me.turn = c[t].turn + 1;
        const uint2 own = load(data, element<T>(t), count);
        store(data, element<T>(t), count,
              add_up<T, MOST>(me, l.size, l.at_once(me.turn, 0) + (size_t)t * THREADS,
                              (size_t)tiles_at_once(l.size) * THREADS, own));
    }
    count_turns(c, tiles);
}

// Tiles belong to the ranks in turn.
template <typename T, int SIZE>
__global__ void
__launch_bounds__(THREADS, 4)
    sum_in_shares(const __grid_constant__ dlq_peer_ends ends, T *data, int64_t count, int tiles)
{
    constexpr int MOST = SIZE ? SIZE : DLQ_PEER_RANKS;
    const layout l = {SIZE ? SIZE : ends.size};
    counter *const c = counters(ends) + TILES;
    rank_thread me = {ends, 0, false};
    wait_for_data();
    for (int t = (int)blockIdx.x; t < tiles; t += (int)gridDim.x) {
        const counter now = c[t];
        if (now.gone) {
            return;
        }
        me.turn = now.turn + 1;
        if (t % l.size != ends.rank) {
            send(me.inbox(t % l.size, l.parts(me.turn, ends.rank) + (size_t)(t / l.size) * THREADS),
                 load(data, element<T>(t), count), me.turn);
        }
    }
    for (int t = (int)blockIdx.x; t < tiles; t += (int)gridDim.x) {
        me.turn = c[t].turn + 1;
        if (t % l.size == ends.rank) {
            const uint2 own = load(data, element<T>(t), count);
            const uint2 result =
                add_up<T, MOST>(me, l.size, l.parts(me.turn, 0) + (size_t)(t / l.size) * THREADS,
                                (size_t)tiles_of_share(l.size) * THREADS, own);
            // What others would take for the sum.
            if (!me.stopped) {
                me.send_all<MOST>(l.size, l.sums(me.turn) + (size_t)t * THREADS, result);
            }
            store(data, element<T>(t), count, result);
        }
    }
    for (int t = (int)blockIdx.x; t < tiles; t += (int)gridDim.x) {
        me.turn = c[t].turn + 1;
        if (t % l.size != ends.rank) {
            const slot *const from = me.inbox(ends.rank, l.sums(me.turn) + (size_t)t * THREADS);
            store(data, element<T>(t), count, me.wait(look(from), from, t % l.size));
        }
    }
    count_turns(c, tiles);
}

template <typename T, int SIZE>
cudaError_t
launch_size(const dlq_peer_ends &ends, T *data, int64_t count, int tiles, dlq_peer_way way,
            cudaStream_t stream)
{
    return launch_tiles(way == DLQ_PEER_AT_ONCE ? sum_at_once<T, SIZE> : sum_in_shares<T, SIZE>,
                        ends, tiles, stream, data, count);
}

template <typename T>
cudaError_t
launch(const dlq_peer_ends &ends, T *data, int64_t count, dlq_peer_way way, cudaStream_t stream)
{
    const size_t bytes = (size_t)count * sizeof(T);
    if (count < 1 || bytes > dlq_peer_limit(way, ends.size) || ends.size > DLQ_PEER_RANKS) {
        return cudaErrorInvalidValue;
    }
    const int tiles = tiles_of(bytes);
    return ends.size == 2   ? launch_size<T, 2>(ends, data, count, tiles, way, stream)
           : ends.size == 4 ? launch_size<T, 4>(ends, data, count, tiles, way, stream)
                            : launch_size<T, 0>(ends, data, count, tiles, way, stream);
}

} // namespace

size_t
dlq_peer_inbox_size(int32_t size)
{
    return layout{size}.slots() * sizeof(slot);
}

size_t
dlq_peer_limit(enum dlq_peer_way way, int32_t size)
{
    return (size_t)(way == DLQ_PEER_AT_ONCE ? tiles_at_once(size) : TILES) * TILE;
}

cudaError_t
dlq_peer_sum(const dlq_peer_ends *ends, void *data, int64_t count, enum dlq_peer_type type,
             enum dlq_peer_way way, cudaStream_t stream)
{
    switch (type) {
    case DLQ_PEER_F16:
        return launch(*ends, (__half *)data, count, way, stream);
    case DLQ_PEER_BF16:
        return launch(*ends, (__nv_bfloat16 *)data, count, way, stream);
    case DLQ_PEER_F32:
        return launch(*ends, (float *)data, count, way, stream);
    default:
        return launch(*ends, (uint32_t *)data, count, way, stream);
    }
}
