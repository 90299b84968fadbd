// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "gpu_peers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROOM = DLQ_PEER_BYTES + 2 * PEERS_MARGIN, ROUNDS = 20, REPLAYS = 5 };

// What every rank does next; set between meetings.
static struct {
    size_t width;
    int64_t counts[DLQ_PEER_RANKS];
    int place; // Elements in front, of what is gathered and of a part
    bool in_place;
    bool sums; // The whole is added up after it was gathered
} step;

static unsigned char
byte_of(int rank, size_t i)
{
    const uint32_t h = ((uint32_t)i + 1) * 2654435761u ^ (uint32_t)(rank + 1) * 2246822519u;
    return (unsigned char)(h >> 24);
}

static size_t
part_size(int rank)
{
    return (size_t)step.counts[rank] * step.width;
}

// Where in the memory of a GPU the whole is, and a rank's part of it.
static size_t
whole_at(void)
{
    return PEERS_MARGIN + (size_t)step.place * step.width;
}

static size_t
part_at(int rank)
{
    size_t at = whole_at();
    for (int i = 0; i < rank; i++) {
        at += part_size(i);
    }
    return at;
}

// A part that is not in place has room of its own, aligned in another way.
static size_t
source_at(const struct peers_rank *r)
{
    return step.in_place ? part_at(r->rank) : PEERS_MARGIN + (size_t)(3 - step.place) * step.width;
}

static void
fill(struct peers_rank *r, char *part)
{
    memset(r->host, 0xab, ROOM);
    for (size_t i = 0; i < part_size(r->rank); i++) {
        r->host[source_at(r) + i] = (char)byte_of(r->rank, i);
    }
    PEERS_MUST(cudaMemsetAsync(r->data, 0xab, ROOM, r->stream));
    PEERS_MUST(cudaMemcpyAsync(part, r->host, ROOM, cudaMemcpyHostToDevice, r->stream));
    PEERS_MUST(cudaStreamSynchronize(r->stream));
}

static void
enqueue(struct peers_rank *r, const char *part)
{
    PEERS_MUST(dlq_peer_gather(&r->ends, part + source_at(r), r->data + whole_at(), step.counts,
                               step.width, r->stream));
    if (step.sums) {
        const size_t size = part_at(r->w->size) - whole_at();
        PEERS_MUST(dlq_peer_sum(&r->ends, r->data + whole_at(), (int64_t)(size / sizeof(uint32_t)),
                                DLQ_PEER_I32, DLQ_PEER_AT_ONCE, r->stream));
    }
}

// Bytes that are wrong, of the whole and around it.
static int
count_wrong(struct peers_rank *r)
{
    char *const want = malloc(ROOM);
    const size_t size = part_at(r->w->size) - whole_at();
    int wrong = 0;
    memset(want, 0xab, ROOM);
    for (int from = 0; from < r->w->size; from++) {
        for (size_t i = 0; i < part_size(from); i++) {
            want[part_at(from) + i] = (char)byte_of(from, i);
        }
    }
    for (size_t i = 0; step.sums && i < size / sizeof(uint32_t); i++) {
        uint32_t v;
        memcpy(&v, want + whole_at() + i * sizeof(v), sizeof(v));
        v *= (uint32_t)r->w->size;
        memcpy(want + whole_at() + i * sizeof(v), &v, sizeof(v));
    }
    PEERS_MUST(cudaMemcpyAsync(r->host, r->data, ROOM, cudaMemcpyDeviceToHost, r->stream));
    PEERS_MUST(cudaStreamSynchronize(r->stream));
    for (size_t i = 0; i < ROOM; i++) {
        wrong += r->host[i] != want[i];
    }
    free(want);
    return wrong;
}

static char *
part_of(struct peers_rank *r)
{
    void *part = r->data;
    if (!step.in_place) {
        // May wait for the GPU too.
        PEERS_MUST(cudaMalloc(&part, ROOM));
        peers_meet(r);
    }
    return part;
}

static void
leave_part(struct peers_rank *r, char *part)
{
    if (part != r->data) {
        // Waits for the GPU, on which a rank may wait for this one.
        peers_meet(r);
        PEERS_MUST(cudaFree(part));
    }
}

static void
gather_once(struct peers_rank *r)
{
    char *const part = part_of(r);
    fill(r, part);
    enqueue(r, part);
    (void)__atomic_fetch_add(&r->w->failed, count_wrong(r), __ATOMIC_SEQ_CST);
    leave_part(r, part);
}

// Turns behind each other, as calls and in a graph that is replayed.
static void
gather_in_turns(struct peers_rank *r)
{
    cudaGraph_t graph = NULL;
    cudaGraphExec_t exec = NULL;
    char *const part = part_of(r);
    fill(r, part);
    for (int i = 0; i < ROUNDS; i++) {
        enqueue(r, part);
    }
    int wrong = count_wrong(r);
    peers_meet(r);
    PEERS_MUST(cudaStreamBeginCapture(r->stream, cudaStreamCaptureModeThreadLocal));
    for (int i = 0; i < ROUNDS; i++) {
        enqueue(r, part);
    }
    PEERS_MUST(cudaStreamEndCapture(r->stream, &graph));
    PEERS_MUST(cudaGraphInstantiate(&exec, graph, 0));
    fill(r, part);
    peers_meet(r);
    for (int i = 0; i < REPLAYS; i++) {
        PEERS_MUST(cudaGraphLaunch(exec, r->stream));
    }
    wrong += count_wrong(r);
    (void)__atomic_fetch_add(&r->w->failed, wrong, __ATOMIC_SEQ_CST);
    peers_meet(r);
    PEERS_MUST(cudaGraphExecDestroy(exec));
    PEERS_MUST(cudaGraphDestroy(graph));
    leave_part(r, part);
}

static void
refuse(struct peers_rank *r)
{
    int64_t counts[DLQ_PEER_RANKS] = {0};
    bool ok =
        dlq_peer_gather(&r->ends, r->data, r->data, counts, 4, r->stream) == cudaErrorInvalidValue;
    counts[1] = 1;
    ok = ok &&
         dlq_peer_gather(&r->ends, r->data, r->data, counts, 1, r->stream) == cudaErrorInvalidValue;
    counts[1] = (int64_t)(dlq_peer_limit(DLQ_PEER_AT_ONCE, r->w->size) / 4) + 1;
    ok = ok &&
         dlq_peer_gather(&r->ends, r->data, r->data, counts, 4, r->stream) == cudaErrorInvalidValue;
    (void)__atomic_fetch_add(&r->w->failed, !ok, __ATOMIC_SEQ_CST);
}

static bool
report(struct peers_world *w, const char *what)
{
    const bool ok = w->failed == 0;
    printf("%s %d ranks gathered%s, %zu bytes each, %s: %d wrong\n", ok ? "ok" : "not ok", w->size,
           w->early ? ", early" : "", step.width, what, w->failed);
    w->failed = 0;
    return ok;
}

// So many of every rank; or of all but one, and of each another number.
static void
set_counts(int size, int64_t count, bool uneven)
{
    for (int i = 0; i < size; i++) {
        step.counts[i] = uneven ? count * (i % 3) / 2 + (i % 3 ? i : 0) : count;
    }
}

static bool
check_width(struct peers_world *w)
{
    // Ranks that share a GPU have to find room on it at the same time.
    const size_t most = dlq_peer_limit(DLQ_PEER_AT_ONCE, w->size);
    const size_t room = w->alone || w->size <= 4 ? most : most / 8;
    // The whole fills the memory at most.
    const int64_t each =
        (int64_t)((room < DLQ_PEER_BYTES / (size_t)w->size ? room
                                                           : DLQ_PEER_BYTES / (size_t)w->size) /
                  step.width) -
        8;
    const int64_t counts[] = {1, 2, 3, 7, 256, 1025, 4099, each};
    bool ok = true;
    for (size_t i = 0; i < 4 * sizeof(counts) / sizeof(counts[0]); i++) {
        step.in_place = i / 2 % 2 == 1;
        step.place = (int)(i % 4);
        set_counts(w->size, counts[i / 4], i % 2 == 1);
        peers_run(w, gather_once);
    }
    ok = report(w, "counts and places") && ok;
    step.in_place = false;
    set_counts(w->size, 0, false);
    step.counts[w->size - 1] = (int64_t)(room / step.width) - 8;
    peers_run(w, gather_once);
    ok = report(w, "all of one rank") && ok;
    step.place = 0;
    set_counts(w->size, 3000, true);
    peers_run(w, gather_in_turns);
    ok = report(w, "turns") && ok;
    // Sums take turns with them; these want whole words.
    step.sums = true;
    set_counts(w->size, 4096, false);
    peers_run(w, gather_in_turns);
    step.sums = false;
    return report(w, "turns with sums") && ok;
}

bool
peers_check_gather(struct peers_world *w)
{
    bool ok = true;
    for (step.width = 2; step.width <= 8; step.width *= 2) {
        ok = check_width(w) && ok;
    }
    step.width = 4;
    peers_run(w, refuse);
    return report(w, "sizes that are refused") && ok;
}
