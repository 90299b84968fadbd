// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_PLUGINS_COMMON_GPU_H
#define DLQ_PLUGINS_COMMON_GPU_H

#include "../../kernels/gpu_call.h"

#include <gpu_build.h> // made by Meson

#include <dlquant/plugin.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// From the plugin interface to the GPU kernels' and back.

/// Least capability that has kernels.
#define DLQ_GPU_MIN_CAPABILITY 80

/// The members "devices" and "archs" of a plugin's note.
#if DLQ_WITH_CUDA
#define DLQ_GPU_NOTE "\"devices\":[\"cpu\",\"cuda\"],\"archs\":[" DLQ_GPU_ARCHS "]"
#else
#define DLQ_GPU_NOTE "\"devices\":[\"cpu\"],\"archs\":[]"
#endif

/// The devices of a plugin that runs wherever this build has kernels, ended by a kind of 0.
extern const struct dlq_device_support dlq_gpu_devices[];

/// Whether the layer is on a GPU.
bool
dlq_gpu_is(const struct dlq_layer_info *info);

/// Whether this build has kernels for a device.
bool
dlq_gpu_runs(const struct dlq_device_info *device);

/// DLQ_EUNSUPPORTED unless this build has kernels for the layer's device.
int32_t
dlq_gpu_check_device(const struct dlq_host *host, const struct dlq_layer_info *info,
                     const char *plugin, struct dlq_error *err);

/// The layer's device as kernels see it. Early launches are off where the environment has
/// DLQ_EARLY_LAUNCH=0. [setup]
struct dlq_kg_device
dlq_gpu_device(const struct dlq_layer_info *info);

/// A kernel's call for a host's call.
struct dlq_kg_call
dlq_gpu_call(const struct dlq_linear_call *call);

/// enum dlq_status for the result of apply(); fills `err` without the host, which a [stream]
/// function must not call.
int32_t
dlq_gpu_result(int result, struct dlq_error *err);

/// Fail with the reason behind a result of a kernel's plan or pack function. `tensor` is the
/// parameter that `bad` points into.
int32_t
dlq_gpu_fail(const struct dlq_host *host, const struct dlq_layer_info *info, const char *tensor,
             int result, int64_t bad, struct dlq_error *err);

/// Let `tensor`, a loaded parameter on a GPU, view a copy in host memory; `*copy`, NULL before, is
/// that memory, for dlq_host_free(). An empty tensor stays empty, one on the host as it is.
int32_t
dlq_gpu_fetch(const struct dlq_host *host, const struct dlq_layer_info *info,
              struct dlq_tensor *tensor, void **copy, struct dlq_error *err);

/// dlq_scales_warn_zero() for scales on a GPU, counted there.
int32_t
dlq_gpu_scales_warn_zero(const struct dlq_host *host, const struct dlq_layer_info *info,
                         const char *name, const struct dlq_tensor *scales, struct dlq_error *err);

/// Fill in what kernels decide: those for one row and for many, as "a" or "a | b", the sizes that
/// they compute, and the bytes of packed weights.
void
dlq_gpu_explain(struct dlq_explanation *out, const char *one, const char *many, int64_t padded_k,
                int64_t padded_n, int64_t bytes);

/// The most rows that the engine plans for, or a number that stands for many.
int64_t
dlq_gpu_many_rows(const struct dlq_layer_info *info);

#endif // DLQ_PLUGINS_COMMON_GPU_H
