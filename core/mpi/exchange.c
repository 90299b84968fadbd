// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "exchange.h"

#include "error.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

// Above the tags that an engine's own messages tend to have, below the least upper bound that MPI
// promises. They matter only while the group is made, on the engine's own communicator.
#define TAG_DATA 28571
#define TAG_NOTICE 28572

// After this long a waiting rank sleeps between looks instead of giving up its turn only.
#define YIELD_NS 2000000
#define SLEEP_NS 50000

// Looks at the messages of a round between two looks for a notice.
#define NOTICE_ROUNDS 16

int64_t
dlq_mpi_now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

void
dlq_mpi_pause(int64_t since_ns)
{
    if (dlq_mpi_now_ns() - since_ns < YIELD_NS) {
        sched_yield();
    } else {
        nanosleep(&(struct timespec){.tv_nsec = SLEEP_NS}, NULL);
    }
}

int32_t
dlq_mpi_fail_broken(const struct dlq_mpi_group *g, const char *what, struct dlq_error *err)
{
    return dlq_fail_native(err, g->code, DLQ_DOMAIN_COMM, 0, "rank %d of %d, %s: %s", (int)g->rank,
                           (int)g->size, what, g->reason);
}

static void
tell(struct dlq_mpi_group *g, struct dlq_mpi_notice *notice, MPI_Request *requests)
{
    for (int32_t r = 0; r < g->size; r++) {
        if (r != g->rank && requests[r] == MPI_REQUEST_NULL) {
            // A rank that cannot be told will find out by its own time limit.
            (void)MPI_Isend(notice, (int)sizeof(*notice), MPI_BYTE, r, TAG_NOTICE, g->comm,
                            &requests[r]);
        }
    }
}

static void
set_broken(struct dlq_mpi_group *g, int32_t code, const char *reason)
{
    if (g->code == DLQ_OK) {
        g->code = code;
        snprintf(g->reason, sizeof(g->reason), "%s", reason);
    }
}

void
dlq_mpi_break(struct dlq_mpi_group *g, int32_t code, const char *reason)
{
    if (g->code != DLQ_OK) {
        return;
    }
    set_broken(g, code, reason);
    g->broken = (struct dlq_mpi_notice){.kind = DLQ_MPI_BROKEN, .code = code};
    memcpy(g->broken.reason, g->reason, sizeof(g->reason));
    tell(g, &g->broken, g->told + g->size);
}

void
dlq_mpi_hear(struct dlq_mpi_group *g)
{
    for (;;) {
        int found = 0;
        MPI_Status status;
        struct dlq_mpi_notice notice;
        if (MPI_Iprobe(MPI_ANY_SOURCE, TAG_NOTICE, g->comm, &found, &status) != MPI_SUCCESS ||
            !found ||
            MPI_Recv(&notice, (int)sizeof(notice), MPI_BYTE, status.MPI_SOURCE, TAG_NOTICE, g->comm,
                     MPI_STATUS_IGNORE) != MPI_SUCCESS) {
            return;
        }
        notice.reason[DLQ_MPI_REASON - 1] = '\0';
        g->answered[status.MPI_SOURCE] = true;
        if (notice.kind == DLQ_MPI_BROKEN) {
            set_broken(g, notice.code != DLQ_OK ? notice.code : DLQ_ECOMM, notice.reason);
        } else {
            g->asked = true;
        }
    }
}

static bool
waits_for(const struct dlq_mpi_group *g, int32_t r)
{
    return g->requests[r] != MPI_REQUEST_NULL || g->requests[g->size + r] != MPI_REQUEST_NULL;
}

// Name those who did not answer; when all did, those who came too late.
static void
blame(struct dlq_mpi_group *g)
{
    bool silent = false;
    for (int32_t r = 0; r < g->size; r++) {
        silent = silent || (r != g->rank && !g->answered[r]);
    }
    char reason[DLQ_MPI_REASON];
    size_t len = 0;
    for (int32_t r = 0; r < g->size; r++) {
        if (r != g->rank && (silent ? !g->answered[r] : waits_for(g, r)) &&
            len < sizeof(reason) / 2) {
            len += (size_t)snprintf(reason + len, sizeof(reason) - len, "%s%d",
                                    len ? ", " : "missing after the time limit: rank ", (int)r);
        }
    }
    snprintf(reason + len, sizeof(reason) - len, "%s (limit %d ms)",
             len ? "" : "the time limit passed", (int)g->timeout_ms);
    dlq_mpi_break(g, DLQ_ETIMEOUT, reason);
}

static int64_t
grace_ns(const struct dlq_mpi_group *g)
{
    const int64_t ms = g->timeout_ms / 4;
    return (ms < 100 ? 100 : ms > 500 ? 500 : ms) * 1000000;
}

static void
time_out(struct dlq_mpi_group *g)
{
    const int64_t start = dlq_mpi_now_ns();
    g->ask.kind = DLQ_MPI_ASK;
    tell(g, &g->ask, g->told);
    while (g->code == DLQ_OK && dlq_mpi_now_ns() - start < grace_ns(g)) {
        dlq_mpi_hear(g);
        dlq_mpi_pause(start);
    }
    if (g->code == DLQ_OK) {
        blame(g);
    }
}

// Start the messages of a round.
static int
start(struct dlq_mpi_group *g)
{
    int rc = MPI_SUCCESS;
    for (int32_t r = 0; r < g->size && rc == MPI_SUCCESS; r++) {
        if (r != g->rank && g->lanes[r].in_bytes > 0) {
            rc = MPI_Irecv(g->in + (size_t)r * g->slot, (int)g->lanes[r].in_bytes, MPI_BYTE, r,
                           TAG_DATA, g->comm, &g->requests[r]);
        }
    }
    for (int32_t i = 1; i < g->size && rc == MPI_SUCCESS; i++) {
        const int32_t r = (g->rank + i) % g->size;
        if (g->lanes[r].out_bytes > 0) {
            rc = MPI_Isend(g->lanes[r].out, (int)g->lanes[r].out_bytes, MPI_BYTE, r, TAG_DATA,
                           g->comm, &g->requests[g->size + r]);
        }
    }
    return rc;
}

// Whether all messages of the round are through. `*failed` is the rank whose message broke.
static bool
finished(struct dlq_mpi_group *g, int *error, int32_t *failed)
{
    bool all = true;
    for (int32_t i = 0; i < 2 * g->size; i++) {
        if (g->requests[i] != MPI_REQUEST_NULL) {
            int done = 0;
            const int rc = MPI_Test(&g->requests[i], &done, MPI_STATUS_IGNORE);
            if (rc != MPI_SUCCESS) {
                *error = rc;
                *failed = i % g->size;
                return true;
            }
            all = all && done;
        }
    }
    return all;
}

static void
break_on_error(struct dlq_mpi_group *g, int error, int32_t failed)
{
    char text[MPI_MAX_ERROR_STRING + 1] = "unknown error";
    int len = 0;
    (void)MPI_Error_string(error, text, &len);
    char reason[DLQ_MPI_REASON];
    if (failed >= 0) {
        snprintf(reason, sizeof(reason), "rank %d: %.300s", (int)failed, text);
    } else {
        snprintf(reason, sizeof(reason), "MPI refused a message: %.300s", text);
    }
    dlq_mpi_break(g, DLQ_ECOMM, reason);
}

int32_t
dlq_mpi_exchange(struct dlq_mpi_group *g, const char *what, struct dlq_error *err)
{
    dlq_mpi_hear(g);
    if (g->code != DLQ_OK) {
        return dlq_mpi_fail_broken(g, what, err);
    }
    const int64_t begin = dlq_mpi_now_ns();
    const int64_t limit = (int64_t)g->timeout_ms * 1000000;
    int32_t failed = -1;
    int error = start(g);
    for (unsigned n = 1; error == MPI_SUCCESS && !finished(g, &error, &failed); n++) {
        if (n % NOTICE_ROUNDS == 0) {
            dlq_mpi_hear(g);
            if (g->code != DLQ_OK) {
                break;
            }
            if (g->asked || (limit > 0 && dlq_mpi_now_ns() - begin >= limit)) {
                time_out(g);
                break;
            }
        }
        dlq_mpi_pause(begin);
    }
    if (error != MPI_SUCCESS) {
        break_on_error(g, error, failed);
    }
    return g->code == DLQ_OK ? DLQ_OK : dlq_mpi_fail_broken(g, what, err);
}

bool
dlq_mpi_quiesce(struct dlq_mpi_group *g)
{
    const int64_t begin = dlq_mpi_now_ns();
    for (int32_t r = 0; r < g->size; r++) {
        if (g->requests[r] != MPI_REQUEST_NULL) {
            (void)MPI_Cancel(&g->requests[r]);
        }
    }
    for (;;) {
        bool all = true;
        for (int32_t i = 0; i < 4 * g->size; i++) {
            MPI_Request *const request =
                i < 2 * g->size ? &g->requests[i] : &g->told[i - 2 * g->size];
            int done = *request == MPI_REQUEST_NULL;
            all = all &&
                  (done || (MPI_Test(request, &done, MPI_STATUS_IGNORE) == MPI_SUCCESS && done));
        }
        if (all || dlq_mpi_now_ns() - begin >= 50000000) {
            return all;
        }
        dlq_mpi_pause(begin);
    }
}
