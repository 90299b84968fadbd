// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_CORE_MPI_COLLECTIVE_H
#define DLQ_CORE_MPI_COLLECTIVE_H

#include "exchange.h"

/// The four calls of a group. Every call begins with one exchange in which each rank says what it
/// was asked for, so that ranks that were asked for different things all learn it; little data
/// travels with it. More data follows in rounds of at most DLQ_MPI_PAYLOAD bytes a message.

/// Bytes before the data of a message in a group of `size`.
size_t
dlq_mpi_head_size(int32_t size);

/// Put the calls into `g->base.table`.
void
dlq_mpi_fill_table(struct dlq_mpi_group *g);

#endif // DLQ_CORE_MPI_COLLECTIVE_H
