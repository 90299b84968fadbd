// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "float16.h"
#include "gpu_peers.h"

#include <dlquant/types.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint32_t dtypes[] = {DLQ_F16, DLQ_BF16, DLQ_F32, DLQ_I32}; // By enum dlq_peer_type

// What every rank does next; set between meetings.
static struct {
    enum dlq_peer_way way;
    enum dlq_peer_type type;
    int64_t count;
    uint32_t seed;
} step;

static size_t
width_of(enum dlq_peer_type type)
{
    return type == DLQ_PEER_F16 || type == DLQ_PEER_BF16 ? 2 : 4;
}

enum { VALUES = 1 << 14 };

// Values that elements have, and their bits in the type at hand. Magnitudes of eight powers of two:
// sums in another order have other bits.
static float values[VALUES];
static uint32_t bits[VALUES];

static void
make_values(void)
{
    for (uint32_t i = 0; i < VALUES; i++) {
        values[i] = ((float)(i >> 3) - 1023.5f) / (float)(1u << (i & 7));
        bits[i] = 0;
        if (step.type == DLQ_PEER_I32) {
            bits[i] = i * 2654435761u;
        } else {
            (void)dlq_cast(dtypes[step.type], &bits[i], DLQ_F32, &values[i], 1);
            (void)dlq_cast(DLQ_F32, &values[i], dtypes[step.type], &bits[i], 1);
        }
    }
}

static uint32_t
index_of(int rank, int64_t i)
{
    uint32_t h = (uint32_t)i * 2654435761u ^ (uint32_t)rank * 2246822519u ^ step.seed;
    h = (h ^ h >> 15) * 3266489917u;
    return h >> 16 & (VALUES - 1);
}

// The sums of all ranks, in fp32 and rounded once, `sums` being room.
static void
add_up(int size, float *sums, char *out)
{
    for (int64_t i = 0; i < step.count; i++) {
        uint32_t integer = 0;
        for (int r = 0; r < size; r++) {
            const uint32_t v = index_of(r, i);
            sums[i] = r == 0 ? values[v] : sums[i] + values[v];
            integer += bits[v];
        }
        if (step.type == DLQ_PEER_I32) {
            memcpy(out + (size_t)i * sizeof(integer), &integer, sizeof(integer));
        }
    }
    if (step.type != DLQ_PEER_I32) {
        (void)dlq_cast(dtypes[step.type], out, DLQ_F32, sums, step.count);
    }
}

// The sums of these sums, which all ranks have.
static void
add_up_again(int size, float *sums, char *out)
{
    if (step.type == DLQ_PEER_I32) {
        for (int64_t i = 0; i < step.count; i++) {
            uint32_t v;
            memcpy(&v, out + (size_t)i * sizeof(v), sizeof(v));
            v *= (uint32_t)size;
            memcpy(out + (size_t)i * sizeof(v), &v, sizeof(v));
        }
        return;
    }
    (void)dlq_cast(DLQ_F32, sums, dtypes[step.type], out, step.count);
    for (int64_t i = 0; i < step.count; i++) {
        const float v = sums[i];
        for (int r = 1; r < size; r++) {
            sums[i] += v;
        }
    }
    (void)dlq_cast(dtypes[step.type], out, DLQ_F32, sums, step.count);
}

// Where this rank's data is: ranks differ in how it is aligned.
static size_t
place_of(const struct peers_rank *r)
{
    return PEERS_MARGIN + (r->rank + step.seed) % 4 * width_of(step.type);
}

static void
fill(struct peers_rank *r)
{
    char *const data = r->host + place_of(r);
    memset(r->host, 0xab, DLQ_PEER_BYTES + 2 * PEERS_MARGIN);
    for (int64_t i = 0; i < step.count; i++) {
        memcpy(data + (size_t)i * width_of(step.type), &bits[index_of(r->rank, i)],
               width_of(step.type));
    }
    PEERS_MUST(cudaMemcpyAsync(r->data, r->host, DLQ_PEER_BYTES + 2 * PEERS_MARGIN,
                               cudaMemcpyHostToDevice, r->stream));
}

static void
fetch(struct peers_rank *r)
{
    PEERS_MUST(cudaMemcpyAsync(r->host, r->data, DLQ_PEER_BYTES + 2 * PEERS_MARGIN,
                               cudaMemcpyDeviceToHost, r->stream));
    PEERS_MUST(cudaStreamSynchronize(r->stream));
}

// Bytes that are wrong after so many sums, of these and around them.
static int
count_wrong(const struct peers_rank *r, int calls)
{
    const size_t room = DLQ_PEER_BYTES + 2 * PEERS_MARGIN;
    char *const want = malloc(room);
    float *const sums = malloc((size_t)step.count * sizeof(*sums));
    int wrong = 0;
    memset(want, 0xab, room);
    add_up(r->w->size, sums, want + place_of(r));
    for (int i = 1; i < calls; i++) {
        add_up_again(r->w->size, sums, want + place_of(r));
    }
    for (size_t i = 0; i < room; i++) {
        wrong += r->host[i] != want[i];
    }
    free(sums);
    free(want);
    return wrong;
}

static cudaError_t
enqueue(struct peers_rank *r)
{
    return dlq_peer_sum(&r->ends, r->data + place_of(r), step.count, step.type, step.way,
                        r->stream);
}

static void
sum_once(struct peers_rank *r)
{
    fill(r);
    PEERS_MUST(enqueue(r));
    fetch(r);
    __atomic_fetch_add(&r->w->failed, count_wrong(r, 1), __ATOMIC_SEQ_CST);
}

// Two sums in a graph that is replayed, the second of what the first left and nothing waiting in
// between; sums of zeroes after the first replay.
static void
replay(struct peers_rank *r)
{
    cudaGraph_t graph = NULL;
    cudaGraphExec_t exec = NULL;
    fill(r);
    PEERS_MUST(cudaStreamBeginCapture(r->stream, cudaStreamCaptureModeThreadLocal));
    PEERS_MUST(enqueue(r));
    PEERS_MUST(enqueue(r));
    PEERS_MUST(cudaStreamEndCapture(r->stream, &graph));
    PEERS_MUST(cudaGraphInstantiate(&exec, graph, 0));
    // Making a graph waits for a GPU, on which a rank may wait for this one.
    peers_meet(r);
    PEERS_MUST(cudaGraphLaunch(exec, r->stream));
    fetch(r);
    int wrong = count_wrong(r, 2);
    for (int i = 0; i < 5; i++) {
        PEERS_MUST(cudaMemsetAsync(r->data, 0, DLQ_PEER_BYTES, r->stream));
        PEERS_MUST(cudaGraphLaunch(exec, r->stream));
        PEERS_MUST(cudaGraphLaunch(exec, r->stream));
    }
    fill(r);
    PEERS_MUST(cudaGraphLaunch(exec, r->stream));
    fetch(r);
    wrong += count_wrong(r, 2);
    peers_meet(r);
    PEERS_MUST(cudaGraphExecDestroy(exec));
    PEERS_MUST(cudaGraphDestroy(graph));
    __atomic_fetch_add(&r->w->failed, wrong, __ATOMIC_SEQ_CST);
}

static void
refuse(struct peers_rank *r)
{
    const int64_t most = (int64_t)(dlq_peer_limit(step.way, r->w->size) / width_of(step.type));
    const bool ok =
        dlq_peer_sum(&r->ends, r->data, most + 1, step.type, step.way, r->stream) ==
            cudaErrorInvalidValue &&
        dlq_peer_sum(&r->ends, r->data, 0, step.type, step.way, r->stream) == cudaErrorInvalidValue;
    __atomic_fetch_add(&r->w->failed, !ok, __ATOMIC_SEQ_CST);
}

static bool
report(struct peers_world *w, const char *what)
{
    static const char *const types[] = {"fp16", "bf16", "fp32", "int32"};
    printf("%s %d ranks %s, %s%s, %s: %d wrong\n", w->failed ? "not ok" : "ok", w->size,
           step.way == DLQ_PEER_AT_ONCE ? "at once" : "in shares", types[step.type],
           w->early ? ", early" : "", what, w->failed);
    const bool ok = w->failed == 0;
    w->failed = 0;
    return ok;
}

// Ranks that share a GPU have to find room on it at the same time.
static int64_t
room_for(const struct peers_world *w)
{
    const size_t most = dlq_peer_limit(step.way, w->size);
    return (int64_t)((w->alone || w->size <= 4 ? most : most / 8) / width_of(step.type));
}

static bool
check_type(struct peers_world *w)
{
    const int64_t most = room_for(w);
    const int64_t counts[] = {1,    2,     3,        5,    255,  1023, 1024, 1025,
                              4096, 30001, most / 2, most, 4097, most, 7,    4096};
    bool ok = true;
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        step.count = counts[i];
        step.seed = (uint32_t)i;
        peers_run(w, sum_once);
    }
    ok = report(w, "counts and places") && ok;
    step.count = 8192;
    peers_run(w, replay);
    ok = report(w, "replays") && ok;
    peers_run(w, refuse);
    return report(w, "sizes that are refused") && ok;
}

bool
peers_check(struct peers_world *w)
{
    bool ok = true;
    for (int type = DLQ_PEER_F16; type <= DLQ_PEER_I32; type++) {
        for (int way = DLQ_PEER_AT_ONCE; way <= DLQ_PEER_IN_SHARES; way++) {
            step.type = (enum dlq_peer_type)type;
            make_values();
            step.way = (enum dlq_peer_way)way;
            ok = check_type(w) && ok;
        }
    }
    ok = peers_check_gather(w) && ok;
    return peers_check_lost(w) && ok;
}
