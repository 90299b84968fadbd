// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_PLUGIN_CHECK_RIG_H
#define DLQ_PLUGIN_CHECK_RIG_H

#include "check.h"

#include <pthread.h>
#include <stdbool.h>

/// What checks are made of: a runtime whose memory is watched, layers with made-up tensors, and one
/// product with guards around it.

/// Memory that counts, fails on demand and can be forbidden.
struct rig_memory {
    struct dlq_allocator a;
    pthread_mutex_t lock;
    long calls;     ///< Allocations asked for
    long fail_at;   ///< The call of this number (from 1) fails; 0: none
    long live;      ///< Blocks that are not freed
    bool forbidden; ///< Allocations fail and are counted in `broken`
    long broken;
};

/// A runtime that knows only the plugin under check.
struct rig {
    const struct check_subject *subject;
    struct rig_memory memory;
    dlq_runtime *rt;
    dlq_quant_config *config; ///< Of the case given to rig_open(), else NULL
};

/// Open a rig with the configuration of `c`; NULL: without one. On failure `result` is set, false
/// is returned, and nothing has to be closed.
bool
rig_open(struct rig *rig, const struct check_subject *subject, const struct check_case *c,
         int32_t n_threads, struct check_result *result);

void
rig_close(struct rig *rig);

/// A layer to make.
struct rig_spec {
    int32_t kind; ///< DLQ_REPLICATED, DLQ_COLUMN or DLQ_ROW
    int64_t k;
    int64_t n;
    uint32_t act_dtype;
    uint32_t params_dtype;
    int32_t rank;
    int32_t size; ///< Ranks
    bool bias;
};

struct rig_spec
rig_spec_of(const struct check_case *c, uint32_t act_dtype);

/// Make a layer; nothing is loaded.
int32_t
rig_layer_create(struct rig *rig, const struct rig_spec *spec, dlq_linear **out,
                 struct dlq_error *err);

#define RIG_MAX_TENSORS 16

/// The checkpoint tensors of one whole layer.
struct rig_image {
    size_t n;
    char names[RIG_MAX_TENSORS][64];
    struct dlq_tensor tensors[RIG_MAX_TENSORS]; ///< Own their data
};

/// Make up tensors for every parameter of the case's layer on one rank. False sets `result`.
bool
rig_image_make(struct rig *rig, const struct check_case *c, const struct rig_spec *spec,
               struct rig_image *image, struct check_result *result);

void
rig_image_free(struct rig_image *image);

/// Values of the tensor of that name as floats, or NULL; free() them.
float *
rig_image_floats(const struct rig_image *image, const char *name);

/// Load and process.
int32_t
rig_layer_fill(dlq_linear *layer, const struct rig_image *image, struct dlq_error *err);

/// rig_layer_create() and rig_layer_fill(); on failure nothing is left.
int32_t
rig_layer_make(struct rig *rig, const struct rig_spec *spec, const struct rig_image *image,
               dlq_linear **out, struct dlq_error *err);

/// A hash of all that the layer's parameters hold.
uint64_t
rig_layer_hash(const dlq_linear *layer);

/// Rows of x and of y in the layer's activation dtype, with guards around y and the workspace.
struct rig_io {
    int64_t m;
    int64_t k;
    int64_t n;
    uint32_t dtype;
    int64_t x_stride;
    int64_t y_stride;
    uint8_t *x; ///< [m, x_stride], NaN between the rows
    uint8_t *y; ///< Begins with a guard; see rig_io_y()
    uint8_t *workspace;
    size_t workspace_size;
};

/// Make rows of random values with a few outliers; `padded` leaves gaps between the rows. False:
/// no memory.
bool
rig_io_make(struct rig_io *io, const dlq_linear *layer, int64_t m, bool padded, uint64_t seed);

void
rig_io_free(struct rig_io *io);

/// Poison y and the workspace, multiply once, check the guards. False sets `result`.
bool
rig_io_apply(struct rig_io *io, dlq_linear *layer, struct check_result *result);

/// A made layer of a case, what it was loaded from, and rows for it.
struct rig_trial {
    struct rig_image image;
    dlq_linear *layer;
    struct rig_io io;
};

/// Make all three, with `m` rows. False sets `result` and leaves nothing.
bool
rig_trial_make(struct rig *rig, const struct check_case *c, const struct rig_spec *spec, int64_t m,
               bool padded, struct rig_trial *out, struct check_result *result);

void
rig_trial_free(struct rig_trial *trial);

/// First element of row `row` of y.
void *
rig_io_y(const struct rig_io *io, int64_t row);

/// Element of a buffer of that dtype, and the reverse with one rounding.
float
rig_get(const void *p, uint32_t dtype, int64_t i);
void
rig_set(void *p, uint32_t dtype, int64_t i, float v);
size_t
rig_size(uint32_t dtype);

/// 64 random bits.
uint64_t
rig_random(uint64_t *state);

/// Uniform in [lo, hi).
float
rig_uniform(uint64_t *state, float lo, float hi);

/// Record a failure, once; later ones are dropped. Returns false.
bool
rig_fail(struct check_result *result, const char *fmt, ...) DLQ_PRINTF(2, 3);

/// Record that something could not be asked, unless there is a failure already. Returns false.
bool
rig_skip(struct check_result *result, const char *fmt, ...) DLQ_PRINTF(2, 3);

/// Check that a failed call left a code and one line of text that agree. False sets `result`.
bool
rig_refusal_is_clean(int32_t status, const struct dlq_error *err, const char *what,
                     struct check_result *result);

/// The activation dtypes that the plugin declares, for loops: 0 ends.
void
rig_act_dtypes(const struct dlq_plugin *plugin, uint32_t out[4]);

/// "fp16", "bf16" or "fp32".
const char *
rig_dtype_name(uint32_t dtype);

/// Run `body` for every case and declared activation dtype, each in a rig of its own with two
/// threads; `biases`: also for a layer with a bias. Stops at the first failure; without cases
/// `result` says so.
void
rig_each_case(const struct check_subject *subject, bool biases,
              void (*body)(struct rig *rig, const struct check_case *c, const struct rig_spec *spec,
                           struct check_result *result),
              struct check_result *result);

// The checks, one file a group; see list.c.
void
check_file_exports(const struct check_subject *s, struct check_result *r);
void
check_file_links(const struct check_subject *s, struct check_result *r);
void
check_file_note(const struct check_subject *s, struct check_result *r);
void
check_query(const struct check_subject *s, struct check_result *r);
void
check_header(const struct check_subject *s, struct check_result *r);
void
check_names(const struct check_subject *s, struct check_result *r);
void
check_note(const struct check_subject *s, struct check_result *r);
void
check_config_ops(const struct check_subject *s, struct check_result *r);
void
check_extension(const struct check_subject *s, struct check_result *r);
void
check_config_valid(const struct check_subject *s, struct check_result *r);
void
check_config_truncated(const struct check_subject *s, struct check_result *r);
void
check_config_types(const struct check_subject *s, struct check_result *r);
void
check_config_hostile(const struct check_subject *s, struct check_result *r);
void
check_config_unknown(const struct check_subject *s, struct check_result *r);
void
check_config_no_error(const struct check_subject *s, struct check_result *r);
void
check_memory_returned(const struct check_subject *s, struct check_result *r);
void
check_memory_fails(const struct check_subject *s, struct check_result *r);
void
check_memory_fails_silently(const struct check_subject *s, struct check_result *r);
void
check_numerics(const struct check_subject *s, struct check_result *r);
void
check_special_rows(const struct check_subject *s, struct check_result *r);
void
check_column(const struct check_subject *s, struct check_result *r);
void
check_row(const struct check_subject *s, struct check_result *r);
void
check_row_split(const struct check_subject *s, struct check_result *r);
void
check_guards(const struct check_subject *s, struct check_result *r);
void
check_weights_unchanged(const struct check_subject *s, struct check_result *r);
void
check_repeat(const struct check_subject *s, struct check_result *r);
void
check_empty(const struct check_subject *s, struct check_result *r);
void
check_no_allocation(const struct check_subject *s, struct check_result *r);
void
check_two_threads(const struct check_subject *s, struct check_result *r);
void
check_explain(const struct check_subject *s, struct check_result *r);
void
check_unprocessed(const struct check_subject *s, struct check_result *r);

#endif // DLQ_PLUGIN_CHECK_RIG_H
