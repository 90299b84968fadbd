// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_CORE_NCCL_GROUP_H
#define DLQ_CORE_NCCL_GROUP_H

#include "collective_module.h"
#include "peers.h"

#include <cuda_runtime_api.h>
#include <nccl.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// A group of GPUs from the inside.
///
/// Calls enqueue on the caller's stream and return. What happens to them later, a wait sees: it
/// looks at the stream and at NCCL, and asks the group on the host who is missing. What goes over
/// memory of peers has the time limit on the GPU as well, for who launches may be kept from waiting
/// by a kernel that does not end; that it gave up, the next call sees.

/// Elements that are summed in fp32 at a time; what is longer goes in several steps.
#define DLQ_NCCL_STEP ((int64_t)1 << 20)

enum { DLQ_NCCL_REASON = 512 };

struct dlq_nccl_group {
    struct dlq_collective_nccl base;
    const struct dlq_allocator *alloc;
    const struct dlq_collective *host; ///< NULL: none
    ncclComm_t comm;                   ///< NULL once it was aborted
    bool owns_comm;
    int32_t rank;
    int32_t size;
    int32_t device;
    int32_t timeout_ms;
    int32_t connect_ms; ///< Of dlq_nccl_join()
    float *scratch;     ///< DLQ_NCCL_STEP elements on the device
    struct dlq_nccl_peers peers;
    struct dlq_nccl_registered *registered; ///< The engine's memory that NCCL knows
    int32_t code;                           ///< Not DLQ_OK: the group is broken
    char reason[DLQ_NCCL_REASON];
};

/// The caller's current device, while another one is.
struct dlq_nccl_device {
    int before;
};

/// Make `device` current until dlq_nccl_leave_device(), which is due also after a failure.
cudaError_t
dlq_nccl_enter_device(struct dlq_nccl_device *scope, int32_t device);

void
dlq_nccl_leave_device(const struct dlq_nccl_device *scope);

/// Put the calls into `g->base.table`.
void
dlq_nccl_fill_table(struct dlq_nccl_group *g);

/// Make the communicator with the id, and use every kind of call once so that none has to connect
/// ranks later. Within `g->connect_ms`.
int32_t
dlq_nccl_join(struct dlq_nccl_group *g, const ncclUniqueId *id, struct dlq_error *err);

/// Take the communicator down, which is the group's own, and release what waits for it on the GPU.
/// NCCL is left alone with that after two seconds: a rank that lost others has to say so.
void
dlq_nccl_abort(struct dlq_nccl_group *g);

/// Exchange what the ranks have to agree on, over the host's group or, without one, over the
/// communicator. `own` is this rank's failure so far, which all others learn; `id` becomes rank 0's
/// when the options have none.
int32_t
dlq_nccl_meet(struct dlq_nccl_group *g, const struct dlq_collective_nccl_options *options,
              int32_t own, ncclUniqueId *id, struct dlq_error *err);

/// Every rank's `each` bytes to all: `all` has room for those of `g->size` ranks and this one's in
/// their place. Over the host's group or, without one, over the communicator; at most 1 KiB each.
int32_t
dlq_nccl_exchange(struct dlq_nccl_group *g, void *all, size_t each, struct dlq_error *err);

/// DLQ_OK unless the group is broken, which a kernel that gave up on the GPU makes it here: every
/// call begins with this.
int32_t
dlq_nccl_check(struct dlq_nccl_group *g, cudaStream_t stream, const char *what,
               struct dlq_error *err);

/// See dlq_collective_nccl_wait().
int32_t
dlq_nccl_wait(struct dlq_nccl_group *g, cudaStream_t stream, const char *what,
              struct dlq_error *err);

/// Break the group, unless it is, and release what waits on the GPU.
void
dlq_nccl_break(struct dlq_nccl_group *g, int32_t code, const char *reason);

/// Why the group is broken, as the result of `what`.
int32_t
dlq_nccl_fail_broken(const struct dlq_nccl_group *g, const char *what, struct dlq_error *err);

/// Let NCCL use memory of the engine in place, where the loaded one can. See
/// dlq_collective_nccl_register().
int32_t
dlq_nccl_register(struct dlq_nccl_group *g, void *data, size_t size, struct dlq_error *err);

int32_t
dlq_nccl_unregister(struct dlq_nccl_group *g, const void *data, struct dlq_error *err);

void
dlq_nccl_unregister_all(struct dlq_nccl_group *g);

/// Whom the group on the host misses, as "on the host: ...". `code` is what is known so far; the
/// result is DLQ_ETIMEOUT when a rank did not come.
int32_t
dlq_nccl_ask_host(const struct dlq_nccl_group *g, int32_t code, char *text, size_t size);

/// DLQ_OK for ncclSuccess, else DLQ_ECOMM with what NCCL says.
int32_t
dlq_nccl_result(const struct dlq_nccl_group *g, const char *what, ncclResult_t rc,
                struct dlq_error *err);

/// The same for the runtime of CUDA, DLQ_EDEVICE; its own note of the error is cleared.
int32_t
dlq_nccl_cuda_result(const struct dlq_nccl_group *g, const char *what, cudaError_t rc,
                     struct dlq_error *err);

#endif // DLQ_CORE_NCCL_GROUP_H
