// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_CORE_COLLECTIVE_MODULE_H
#define DLQ_CORE_COLLECTIVE_MODULE_H

#include <dlquant/collective.h>

#include <stddef.h>
#include <stdint.h>

/// Collectives over a library that this one does not link: a module, loaded when a group is first
/// asked for.

/// What the module of MPI implements.
struct dlq_mpi_ops {
    uint32_t struct_size; ///< sizeof(struct dlq_mpi_ops)
    const char *version;  ///< DLQ_VERSION; a module belongs to one library version

    /// See dlq_collective_mpi_create(). `alloc` outlives the group; `options` has this library's
    /// size.
    int32_t (*create)(const struct dlq_allocator *alloc,
                      const struct dlq_collective_mpi_options *options, dlq_collective_mpi **out,
                      struct dlq_error *err);
    void (*abort)(dlq_collective_mpi *group, const char *reason);
    void (*destroy)(dlq_collective_mpi *group);
};

/// How every group of the module begins.
struct dlq_collective_mpi {
    const struct dlq_mpi_ops *ops;
    struct dlq_collective table;
};

/// The one symbol of the module: returns static constant data.
typedef const struct dlq_mpi_ops *(*dlq_mpi_module_fn)(void);

/// Name of the symbol, for dlsym().
#define DLQ_MPI_MODULE_SYMBOL "dlq_mpi_module"

/// File of the module.
#define DLQ_MPI_MODULE "dlquant-mpi.so"

/// What the module of NCCL implements; see the functions of collective.h.
struct dlq_nccl_ops {
    uint32_t struct_size; ///< sizeof(struct dlq_nccl_ops)
    const char *version;  ///< DLQ_VERSION

    int32_t (*make_id)(void *id, struct dlq_error *err);

    /// `alloc` outlives the group; `options` has this library's size.
    int32_t (*create)(const struct dlq_allocator *alloc,
                      const struct dlq_collective_nccl_options *options, dlq_collective_nccl **out,
                      struct dlq_error *err);
    int32_t (*wait)(dlq_collective_nccl *group, void *stream, struct dlq_error *err);
    int32_t (*register_data)(dlq_collective_nccl *group, void *data, size_t size,
                             struct dlq_error *err);
    int32_t (*unregister_data)(dlq_collective_nccl *group, const void *data, struct dlq_error *err);
    void (*abort)(dlq_collective_nccl *group, const char *reason);
    void (*destroy)(dlq_collective_nccl *group);
};

/// How every group of the module begins.
struct dlq_collective_nccl {
    const struct dlq_nccl_ops *ops;
    struct dlq_collective table;
    const char *sums; ///< How sums of few bytes go, and why; static, for the log
};

/// The one symbol of the module: returns static constant data.
typedef const struct dlq_nccl_ops *(*dlq_nccl_module_fn)(void);

/// Name of the symbol, for dlsym().
#define DLQ_NCCL_MODULE_SYMBOL "dlq_nccl_module"

/// File of the module.
#define DLQ_NCCL_MODULE "dlquant-nccl.so"

#endif // DLQ_CORE_COLLECTIVE_MODULE_H
