// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_TESTS_SAFETENSORS_FIXTURE_H
#define DLQ_TESTS_SAFETENSORS_FIXTURE_H

#include "safetensors.h"
#include "support.h"

#define I32_2X2(range) "{\"test\":{\"dtype\":\"I32\",\"shape\":[2,2],\"data_offsets\":" range "}}"

/// The program's folder.
extern char *safetensors_dir;

int
safetensors_make_dir(void **state);

int
safetensors_remove_dir(void **state);

/// Read the header of a file that messages call m.safetensors.
int32_t
safetensors_from(const char *path, struct dlq_safetensors *out, struct dlq_error *err);

/// safetensors_from() a file of this header, with its true length, and `nbytes` zero bytes.
int32_t
safetensors_of(const char *header, size_t nbytes, struct dlq_safetensors *st,
               struct dlq_error *err);

void
safetensors_release(struct dlq_safetensors *st);

#endif // DLQ_TESTS_SAFETENSORS_FIXTURE_H
