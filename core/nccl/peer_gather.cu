// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
#include "peer_inbox.cuh"

using namespace dlq::peer;

namespace
{

// Where in the whole each rank's part is.
struct parts {
    int64_t begin[DLQ_PEER_RANKS], count[DLQ_PEER_RANKS];
};

// All ranks send as many tiles as the largest part has, so that their turns stay the same.
template <typename T, int SIZE>
__global__ void
__launch_bounds__(THREADS, 4)
    gather(const __grid_constant__ dlq_peer_ends ends, const __grid_constant__ parts p,
           const T *from, T *to, int tiles)
{
    constexpr int MOST = SIZE ? SIZE : DLQ_PEER_RANKS;
    const layout l = {SIZE ? SIZE : ends.size};
    const int64_t count = p.count[ends.rank];
    counter *const c = counters(ends);
    rank_thread me = {ends, 0, false};
    wait_for_data();
    if (!send_tiles<MOST>(me, l, c, from, count, tiles)) {
        return;
    }
    for (int t = (int)blockIdx.x; t < tiles; t += (int)gridDim.x) {
        const int64_t at = element<T>(t);
        me.turn = c[t].turn + 1;
        me.take_all<MOST>(l.size, l.at_once(me.turn, 0) + (size_t)t * THREADS,
                          (size_t)tiles_at_once(l.size) * THREADS, load(from, at, count),
                          [&](int r, uint2 data) { store(to + p.begin[r], at, p.count[r], data); });
    }
    count_turns(c, tiles);
}

// `each`: elements of T that make one of the caller's.
template <typename T>
cudaError_t
launch_gather(const dlq_peer_ends &ends, const T *from, T *to, const int64_t *counts, int64_t each,
              cudaStream_t stream)
{
    parts p = {};
    int64_t all = 0;
    int64_t most = 0;
    if (ends.size > DLQ_PEER_RANKS) {
        return cudaErrorInvalidValue;
    }
    for (int r = 0; r < ends.size; r++) {
        p.begin[r] = all;
        p.count[r] = counts[r] * each;
        all += p.count[r];
        most = p.count[r] > most ? p.count[r] : most;
    }
    const size_t bytes = (size_t)most * sizeof(T);
    if (most < 1 || bytes > dlq_peer_limit(DLQ_PEER_AT_ONCE, ends.size)) {
        return cudaErrorInvalidValue;
    }
    const int tiles = tiles_of(bytes);
    return ends.size == 2   ? launch_tiles(gather<T, 2>, ends, tiles, stream, p, from, to)
           : ends.size == 4 ? launch_tiles(gather<T, 4>, ends, tiles, stream, p, from, to)
                            : launch_tiles(gather<T, 0>, ends, tiles, stream, p, from, to);
}

} // namespace

cudaError_t
dlq_peer_gather(const dlq_peer_ends *ends, const void *from, void *to, const int64_t *counts,
                size_t width, cudaStream_t stream)
{
    return width == 2
               ? launch_gather(*ends, (const uint16_t *)from, (uint16_t *)to, counts, 1, stream)
           : width == 4 || width == 8 ? launch_gather(*ends, (const uint32_t *)from, (uint32_t *)to,
                                                      counts, (int64_t)width / 4, stream)
                                      : cudaErrorInvalidValue;
}
