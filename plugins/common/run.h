// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_PLUGINS_COMMON_RUN_H
#define DLQ_PLUGINS_COMMON_RUN_H

#include "../../kernels/linear_call.h"

#include <dlquant/plugin.h>

#include <stdbool.h>
#include <stdint.h>

/// From the plugin interface to the CPU kernels' and back.

/// The host's threads as kernels see them. At most `n_threads` tasks are assumed to run at once.
struct dlq_k_parallel
dlq_run_parallel(const struct dlq_host *host, int n_threads);

/// A kernel's call for a host's call.
struct dlq_k_linear_call
dlq_run_call(const struct dlq_linear_call *call, uint32_t act_dtype,
             const struct dlq_k_parallel *parallel);

/// Fill `err`, which may be NULL, without the host. `message` is a literal.
void
dlq_run_set_error(struct dlq_error *err, int32_t code, int32_t native, const char *message);

/// enum dlq_status for enum dlq_k_result of apply(); fills `err` without the host, which a [stream]
/// function must not call.
int32_t
dlq_run_result(int result, struct dlq_error *err);

/// Fail with the reason behind a result of a kernel's plan or pack function. `tensor` is the
/// parameter that `bad` points into.
int32_t
dlq_run_fail(const struct dlq_host *host, const struct dlq_layer_info *info, const char *tensor,
             int result, int64_t bad, struct dlq_error *err);

/// Memory for packed weights on the layer's device, or NULL after writing `err`.
void *
dlq_run_pack_alloc(const struct dlq_host *host, const struct dlq_layer_info *info, int64_t bytes,
                   struct dlq_error *err);

/// Give `data`, from dlq_run_pack_alloc(), to the host as the storage of parameter `name`. On
/// failure it is freed.
int32_t
dlq_run_pack_commit(const struct dlq_host *host, struct dlq_layer *layer,
                    const struct dlq_layer_info *info, const char *name, void *data, int64_t bytes,
                    struct dlq_error *err);

/// Free `data`, from dlq_run_pack_alloc(), that was not committed.
void
dlq_run_pack_free(const struct dlq_host *host, const struct dlq_layer_info *info, void *data);

#endif // DLQ_PLUGINS_COMMON_RUN_H
