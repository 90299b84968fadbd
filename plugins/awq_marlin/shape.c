// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "shape.h"

#include "../../kernels/pack/marlin.h"
#include "../common/layer.h"

#include <inttypes.h>
#include <stdio.h>

static int32_t
check_words(const struct dlq_host *host, const struct dlq_layer_info *info, struct dlq_error *err)
{
    for (int32_t i = 0; i < info->n_parts; i++) {
        const struct dlq_part *const p = info->parts[i];
        if (p->full_size % 8 != 0 || p->local_size % 8 != 0 || p->source_offset % 8 != 0) {
            return host->fail(err, DLQ_ESHAPE,
                              "%s: part %s has N %" PRId64 ", %" PRId64 " of it from %" PRId64
                              " on rank %" PRId32 " of %" PRId32
                              "; AWQ packs 8 outputs in a word, multiples of 8 are expected",
                              info->prefix, p->prefix, p->full_size, p->local_size,
                              p->source_offset, info->tp_rank, info->tp_size);
        }
    }
    return DLQ_OK;
}

int32_t
awq_groups_find(const struct awq_config *config, const struct dlq_host *host,
                const struct dlq_layer_info *info, struct dlq_groups *out, struct dlq_error *err)
{
    const int32_t status = dlq_groups_find(host, info, config->group_size, out, err);
    return status == DLQ_OK ? check_words(host, info, err) : status;
}

// What the kernels of the Marlin family say; DLQ_MARLIN_OK when they could run the layer. With
// `padded`, sizes count as rounded up to their tiles.
static enum dlq_marlin_verdict
ask_marlin(const struct awq_config *config, const struct dlq_layer_info *info,
           const struct dlq_groups *groups, bool padded)
{
    const bool cuda = info->device.device.kind == DLQ_DEVICE_CUDA;
    const int64_t group = groups->one_group ? -1 : groups->rows;
    const int64_t type = config->zero_point ? DLQ_ST_UINT4 : DLQ_ST_UINT4B8;
    const enum dlq_marlin_verdict verdict = dlq_marlin_check_config(
        type, group, config->zero_point, cuda ? info->device.capability : 0);
    if (verdict != DLQ_MARLIN_OK) {
        return verdict;
    }
    const int64_t n_unit = DLQ_MARLIN_MIN_THREAD_N;
    const int64_t k_unit = DLQ_MARLIN_MIN_THREAD_K; // a multiple of every group that passed
    int64_t n = info->output_size_per_partition;
    int64_t k = info->input_size_per_partition;
    if (padded) {
        n = (n + n_unit - 1) / n_unit * n_unit;
        k = (k + k_unit - 1) / k_unit * k_unit;
    }
    return dlq_marlin_check_shape(n, k, padded ? k : info->input_size, group);
}

void
awq_marlin_note(const struct awq_config *config, const struct dlq_layer_info *info,
                const struct dlq_groups *groups, char *buf, size_t size)
{
    const enum dlq_marlin_verdict plain = ask_marlin(config, info, groups, false);
    const enum dlq_marlin_verdict padded =
        plain == DLQ_MARLIN_OK ? plain : ask_marlin(config, info, groups, true);
    if (padded == DLQ_MARLIN_OK) {
        snprintf(buf, size, "marlin layout: the shape fits%s%s%s",
                 plain == DLQ_MARLIN_OK ? "" : " when padded (",
                 plain == DLQ_MARLIN_OK ? "" : dlq_marlin_verdict_string(plain),
                 plain == DLQ_MARLIN_OK ? "" : ")");
    } else {
        snprintf(buf, size, "marlin layout: %s", dlq_marlin_verdict_string(padded));
    }
}
