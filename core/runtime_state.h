// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_CORE_RUNTIME_STATE_H
#define DLQ_CORE_RUNTIME_STATE_H

#include "log.h"
#include "registry.h"
#include "runtime_internal.h"
#include "threads.h"

#include <dlquant/host.h>
#include <dlquant/runtime.h>

#include <pthread.h>

/// What a runtime is made of, for the files that implement it: runtime, quant_config, host, device.
struct dlq_runtime {
    struct dlq_allocator alloc;
    struct dlq_log log;
    struct dlq_threads threads;
    struct dlq_pool *pool; ///< Behind `threads`, or NULL when the engine brought its own
    struct dlq_host host;
    struct dlq_registry registry;
    pthread_mutex_t lock;           ///< Guards `unquantized`
    dlq_quant_config *unquantized;  ///< Made on first use
    struct dlq_device_info planned; ///< A device to plan for; a struct_size of 0: none
};

/// Fill the table that plugins get.
void
dlq_host_init(struct dlq_host *host, dlq_runtime *rt);

#endif // DLQ_CORE_RUNTIME_STATE_H
