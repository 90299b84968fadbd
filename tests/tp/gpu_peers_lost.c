// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "gpu_peers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    COUNT = 4096,
    LIMIT_NS = 200000000,
    QUEUE = 5000, ///< Launches, several times more than wait for a GPU before a launch itself waits
    ALONE = 1     ///< The rank that others leave alone, or that leaves them alone
};

// What every rank does next; set between meetings.
static struct {
    enum dlq_peer_way way;
    bool gathers;     // Instead of sums
    int64_t limit_ns; // 0: the host stops who waits
} step;

static int64_t
now_ns(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void
pause_ns(int64_t ns)
{
    (void)nanosleep(&(struct timespec){.tv_nsec = ns}, NULL);
}

// What an end at the limit takes at most, on machines that check each launch too.
static int64_t
longest(void)
{
    const char *const factor = getenv("DLQ_TEST_TIME_FACTOR");
    return (int64_t)2 * LIMIT_NS * (factor ? atoi(factor) : 1);
}

static void
note(const struct peers_rank *r, bool ok)
{
    (void)__atomic_fetch_add(&r->w->failed, !ok, __ATOMIC_SEQ_CST);
}

static void
enqueue(struct peers_rank *r)
{
    char *const data = r->data + PEERS_MARGIN;
    if (!step.gathers) {
        PEERS_MUST(dlq_peer_sum(&r->ends, data, COUNT, DLQ_PEER_I32, step.way, r->stream));
        return;
    }
    int64_t counts[DLQ_PEER_RANKS];
    for (int i = 0; i < r->w->size; i++) {
        counts[i] = COUNT;
    }
    PEERS_MUST(dlq_peer_gather(&r->ends, data + (size_t)(COUNT * r->rank) * sizeof(uint32_t), data,
                               counts, sizeof(uint32_t), r->stream));
}

// Ranks that failed are as before: turns are equal again, and no slot has one to come.
static void
revive(struct peers_rank *r)
{
    static uint32_t turns[DLQ_PEER_WORDS];
    static uint32_t turn;
    PEERS_MUST(cudaStreamSynchronize(r->stream));
    peers_meet(r);
    if (r->rank == 0) {
        turn += 1000;
        for (int i = 0; i < DLQ_PEER_TURNS; i++) {
            turns[2 * i] = turn;
        }
    }
    peers_meet(r);
    *r->ends.mail = (struct dlq_peer_mail){0};
    r->ends.limit_ns = step.limit_ns;
    PEERS_MUST(
        cudaMemcpyAsync(r->ends.turns, turns, sizeof(turns), cudaMemcpyHostToDevice, r->stream));
    PEERS_MUST(cudaStreamSynchronize(r->stream));
    peers_meet(r);
}

// Whether a sum waits until it is told to stop, or for as long as its limit and not twice, and then
// says whom it waited for.
static bool
is_left_waiting(struct peers_rank *r)
{
    const int64_t begin = now_ns();
    enqueue(r);
    pause_ns(20000000);
    const bool waited = cudaStreamQuery(r->stream) == cudaErrorNotReady;
    if (step.limit_ns == 0) {
        __atomic_store_n(&r->ends.mail->stop, 1, __ATOMIC_SEQ_CST);
    }
    PEERS_MUST(cudaStreamSynchronize(r->stream));
    const int64_t took = now_ns() - begin;
    const uint32_t late = __atomic_load_n(&r->ends.mail->late, __ATOMIC_SEQ_CST);
    const bool in_time = step.limit_ns == 0 || (took >= step.limit_ns / 10 * 9 && took < longest());
    if (!in_time) {
        printf("rank %d ended after %.1f ms, limit %.1f ms\n", r->rank, (double)took / 1e6,
               (double)step.limit_ns / 1e6);
    }
    return waited && in_time && late >= 1 && late <= (uint32_t)r->w->size &&
           late != 1 + (uint32_t)r->rank;
}

static void
wait_alone(struct peers_rank *r)
{
    revive(r);
    if (r->rank == ALONE) {
        note(r, is_left_waiting(r));
    }
}

// What a rank sent before it waited is good for one sum of the others; after that it sends nothing,
// though it goes on.
static void
go_on_alone(struct peers_rank *r)
{
    revive(r);
    if (r->rank == ALONE) {
        note(r, is_left_waiting(r));
        enqueue(r);
        PEERS_MUST(cudaStreamSynchronize(r->stream));
    }
    peers_meet(r);
    if (r->rank != ALONE) {
        enqueue(r);
        PEERS_MUST(cudaStreamSynchronize(r->stream));
        note(r, r->ends.mail->late == 0);
        note(r, is_left_waiting(r) && r->ends.mail->late == 1 + ALONE);
    }
}

// The first of many ends at its limit and all others at once, so that a thread that is in a launch
// behind them gets on.
static void
fill_the_queue(struct peers_rank *r)
{
    revive(r);
    if (r->rank != ALONE) {
        return;
    }
    const int64_t begin = now_ns();
    for (int i = 0; i < QUEUE; i++) {
        enqueue(r);
    }
    PEERS_MUST(cudaStreamSynchronize(r->stream));
    const int64_t took = now_ns() - begin;
    note(r, took >= LIMIT_NS / 10 * 9 && took < longest());
    note(r, r->ends.mail->late != 0 && r->ends.mail->stop == 0);
}

// A graph that was made before the rank was lost.
static void
replay_alone(struct peers_rank *r)
{
    cudaGraph_t graph = NULL;
    cudaGraphExec_t exec = NULL;
    revive(r);
    if (r->rank != ALONE) {
        return;
    }
    PEERS_MUST(cudaStreamBeginCapture(r->stream, cudaStreamCaptureModeThreadLocal));
    for (int i = 0; i < 20; i++) {
        enqueue(r);
    }
    PEERS_MUST(cudaStreamEndCapture(r->stream, &graph));
    PEERS_MUST(cudaGraphInstantiate(&exec, graph, 0));
    const int64_t begin = now_ns();
    for (int i = 0; i < QUEUE / 20; i++) {
        PEERS_MUST(cudaGraphLaunch(exec, r->stream));
    }
    PEERS_MUST(cudaStreamSynchronize(r->stream));
    const int64_t took = now_ns() - begin;
    note(r, took >= LIMIT_NS / 10 * 9 && took < longest());
    note(r, r->ends.mail->late != 0 && r->ends.mail->stop == 0);
    PEERS_MUST(cudaGraphExecDestroy(exec));
    PEERS_MUST(cudaGraphDestroy(graph));
}

// A rank that is late, but not too late, twice.
static void
come_late(struct peers_rank *r)
{
    revive(r);
    uint32_t want = 0;
    for (int i = 0; i < r->w->size; i++) {
        want += 0x01010101u * (uint32_t)(i + 1);
    }
    for (int turn = 0; turn < 2; turn++) {
        PEERS_MUST(cudaMemsetAsync(r->data, r->rank + 1, DLQ_PEER_BYTES, r->stream));
        if (r->rank == ALONE) {
            pause_ns(LIMIT_NS / 2);
        }
        enqueue(r);
        PEERS_MUST(cudaMemcpyAsync(r->host, r->data + PEERS_MARGIN, COUNT * sizeof(want),
                                   cudaMemcpyDeviceToHost, r->stream));
        PEERS_MUST(cudaStreamSynchronize(r->stream));
        for (size_t i = 0; i < COUNT; i++) {
            note(r, memcmp(r->host + i * sizeof(want), &want, sizeof(want)) == 0);
        }
    }
    note(r, r->ends.mail->late == 0);
}

static bool
check(struct peers_world *w, void (*body)(struct peers_rank *r), const char *what)
{
    peers_run(w, body);
    const bool ok = w->failed == 0;
    printf("%s %d ranks %s%s, %s, %s: %d wrong\n", ok ? "ok" : "not ok", w->size,
           step.gathers                   ? "gathered"
           : step.way == DLQ_PEER_AT_ONCE ? "at once"
                                          : "in shares",
           w->early ? ", early" : "", what, step.limit_ns ? "to a limit" : "until stopped",
           w->failed);
    w->failed = 0;
    return ok;
}

// But for a rank that is late: what is gathered from it, others check.
static bool
check_limits(struct peers_world *w)
{
    step.limit_ns = 0;
    bool ok = check(w, wait_alone, "a rank that is alone");
    step.limit_ns = LIMIT_NS;
    ok = check(w, wait_alone, "a rank that is alone") && ok;
    ok = check(w, fill_the_queue, "a full queue") && ok;
    return check(w, replay_alone, "replays alone") && ok;
}

static bool
check_going_on(struct peers_world *w)
{
    step.limit_ns = 0;
    const bool ok = check(w, go_on_alone, "a rank that goes on alone");
    step.limit_ns = LIMIT_NS;
    return check(w, go_on_alone, "a rank that goes on alone") && ok;
}

bool
peers_check_lost(struct peers_world *w)
{
    bool ok = true;
    for (int way = DLQ_PEER_AT_ONCE; way <= DLQ_PEER_IN_SHARES; way++) {
        step.way = (enum dlq_peer_way)way;
        ok = check_limits(w) && ok;
        ok = check(w, come_late, "a rank that is late") && ok;
    }
    step.way = DLQ_PEER_AT_ONCE;
    ok = check_going_on(w) && ok;
    step.gathers = true;
    ok = check_limits(w) && ok;
    ok = check_going_on(w) && ok;
    step.gathers = false;
    return ok;
}
