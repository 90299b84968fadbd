// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "peer_sum.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

// Each 4 bytes travel in one store of 8 with the number of the turn, so that who sees the number
// has the bytes: nothing else orders the ranks. A slot is used every second turn. It is free again
// by then: a rank sends turn t + 1 after it took turn t out, and nobody ends turn t + 1 without
// that. Every thread of a block sends, so that a slot holds the number of the last turn but one.

namespace
{

constexpr int SLOTS = DLQ_PEER_BYTES / 8;

// Looks between two looks at the host's memory.
constexpr unsigned PATIENCE = 4096;

struct slot {
    unsigned long long word[2]; // Each: 4 bytes below, the turn above
};

__device__ void
send(slot *to, uint2 data, uint32_t turn)
{
    const unsigned long long mark = (unsigned long long)turn << 32;
    asm volatile("st.relaxed.sys.global.v2.b64 [%0], {%1, %2};" ::"l"(to), "l"(mark | data.x),
                 "l"(mark | data.y)
                 : "memory");
}

__device__ slot
look(const slot *from)
{
    slot s;
    asm volatile("ld.relaxed.sys.global.v2.b64 {%0, %1}, [%2];"
                 : "=l"(s.word[0]), "=l"(s.word[1])
                 : "l"(from)
                 : "memory");
    return s;
}

__device__ bool
has_come(const slot &s, uint32_t turn)
{
    return (uint32_t)(s.word[0] >> 32) == turn && (uint32_t)(s.word[1] >> 32) == turn;
}

__device__ uint2
data_of(const slot &s)
{
    return make_uint2((uint32_t)s.word[0], (uint32_t)s.word[1]);
}

// Whether the host wants the kernel to end; it learns whom it waits for.
__device__ bool
is_stopped(dlq_peer_mail *mail, int rank)
{
    if (*(volatile uint32_t *)&mail->stop == 0) {
        return false;
    }
    *(volatile uint32_t *)&mail->late = 1 + rank;
    return true;
}

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

// SIZE 0: any number of ranks.
template <typename T, int SIZE>
__global__ void
__launch_bounds__(DLQ_PEER_THREADS)
    sum_over_peers(const __grid_constant__ dlq_peer_ends ends, T *data, int64_t count)
{
    constexpr int MOST = SIZE ? SIZE : DLQ_PEER_RANKS;
    const int size = SIZE ? SIZE : ends.size;
    const uint32_t turn = ends.turns[blockIdx.x] + 1;
    const int item = (int)(blockIdx.x * DLQ_PEER_THREADS + threadIdx.x);
    const int64_t at = (int64_t)item * (int64_t)(8 / sizeof(T));
    const uint2 own = load(data, at, count);
    const size_t row = (size_t)(turn & 1) * size;
#pragma unroll
    for (int i = 1; i < MOST; i++) {
        if (i < size) {
            // Not all to the same one at the same time.
            const int to = ends.rank + i < size ? ends.rank + i : ends.rank + i - size;
            send((slot *)ends.inbox[to] + (row + ends.rank) * SLOTS + item, own, turn);
        }
    }
    const slot *const inbox = (const slot *)ends.inbox[ends.rank] + row * SLOTS + item;
    slot come[MOST];
#pragma unroll
    for (int r = 0; r < MOST; r++) {
        if (r < size && r != ends.rank) {
            come[r] = look(inbox + (size_t)r * SLOTS);
        }
    }
    sum<T> s;
#pragma unroll
    for (int r = 0; r < MOST; r++) {
        if (r < size) {
            uint2 part = own;
            if (r != ends.rank) {
                for (unsigned n = 1; !has_come(come[r], turn); n++) {
                    if (n % PATIENCE == 0 && is_stopped(ends.mail, r)) {
                        break;
                    }
                    come[r] = look(inbox + (size_t)r * SLOTS);
                }
                part = data_of(come[r]);
            }
            s.add(part);
        }
    }
    store(data, at, count, s.result());
    __syncthreads();
    if (threadIdx.x == 0) {
        ends.turns[blockIdx.x] = turn;
    }
}

template <typename T>
cudaError_t
launch(const dlq_peer_ends &ends, T *data, int64_t count, cudaStream_t stream)
{
    constexpr int64_t PER_BLOCK = (int64_t)DLQ_PEER_THREADS * (int64_t)(8 / sizeof(T));
    const unsigned blocks = (unsigned)((count + PER_BLOCK - 1) / PER_BLOCK);
    if (blocks > DLQ_PEER_BLOCKS || ends.size > DLQ_PEER_RANKS) {
        return cudaErrorInvalidValue;
    }
    if (ends.size == 2) {
        sum_over_peers<T, 2><<<blocks, DLQ_PEER_THREADS, 0, stream>>>(ends, data, count);
    } else if (ends.size == 4) {
        sum_over_peers<T, 4><<<blocks, DLQ_PEER_THREADS, 0, stream>>>(ends, data, count);
    } else {
        sum_over_peers<T, 0><<<blocks, DLQ_PEER_THREADS, 0, stream>>>(ends, data, count);
    }
    return cudaPeekAtLastError();
}

} // namespace

size_t
dlq_peer_inbox_size(int32_t size)
{
    return sizeof(slot) * 2 * (size_t)size * SLOTS;
}

cudaError_t
dlq_peer_sum(const dlq_peer_ends *ends, void *data, int64_t count, enum dlq_peer_type type,
             cudaStream_t stream)
{
    switch (type) {
    case DLQ_PEER_F16:
        return launch(*ends, (__half *)data, count, stream);
    case DLQ_PEER_BF16:
        return launch(*ends, (__nv_bfloat16 *)data, count, stream);
    case DLQ_PEER_F32:
        return launch(*ends, (float *)data, count, stream);
    default:
        return launch(*ends, (uint32_t *)data, count, stream);
    }
}
