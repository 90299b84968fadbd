// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_CORE_ELF_NOTE_H
#define DLQ_CORE_ELF_NOTE_H

#include <dlquant/runtime.h>

#include <stddef.h>
#include <stdint.h>

/// The note that a plugin file carries about itself, read without running any of its code.
///
/// The file is untrusted: every offset and size is checked against the file's size before it is
/// used, and no read is larger than the limits below.

/// Most program headers that are looked at; linkers write about ten.
#define DLQ_ELF_MAX_SEGMENTS 128

/// Largest note segment, and thereby the largest note.
#define DLQ_ELF_MAX_NOTE ((size_t)64 << 10)

/// Check that a file of `size` bytes is a shared object for this machine with all its segments
/// inside the file, so that the dynamic linker can map it, and find the note of vendor
/// DLQ_NOTE_VENDOR and type DLQ_NOTE_TYPE. On success `*note` is its text, zero-terminated, which
/// the caller frees with `alloc`, or NULL when there is none. DLQ_EFORMAT and DLQ_EIO have a reason
/// without the path. `note` may be NULL: check only.
int32_t
dlq_elf_note_read(int fd, uint64_t size, const struct dlq_allocator *alloc, char **note,
                  struct dlq_error *err);

#endif // DLQ_CORE_ELF_NOTE_H
