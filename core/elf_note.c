// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "elf_note.h"

#include "alloc.h"
#include "error.h"

#include <dlquant/plugin.h>

#include <elf.h>
#include <errno.h>
#include <link.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

// The e_machine of this build; a file for another one is refused before the dynamic linker sees it.
#if defined(__x86_64__)
#define OWN_MACHINE EM_X86_64
#elif defined(__aarch64__)
#define OWN_MACHINE EM_AARCH64
#elif defined(__riscv)
#define OWN_MACHINE EM_RISCV
#elif defined(__powerpc64__)
#define OWN_MACHINE EM_PPC64
#else
#define OWN_MACHINE EM_NONE
#endif

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define OWN_DATA ELFDATA2LSB
#else
#define OWN_DATA ELFDATA2MSB
#endif

#define OWN_CLASS (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32)

struct elf_file {
    int fd;
    uint64_t size;
    struct dlq_error *err;
};

static int32_t
fail_format(const struct elf_file *f, const char *reason, uint64_t expected, uint64_t found)
{
    return dlq_fail_native(f->err, DLQ_EFORMAT, DLQ_DOMAIN_LOADER, 0,
                           "%s: expected %llu, found %llu", reason, (unsigned long long)expected,
                           (unsigned long long)found);
}

// Whether [offset, offset + len) lies inside the file.
static bool
inside(const struct elf_file *f, uint64_t offset, uint64_t len)
{
    return offset <= f->size && len <= f->size - offset;
}

static int32_t
read_at(const struct elf_file *f, uint64_t offset, void *buf, size_t len)
{
    size_t done = 0;
    while (done < len) {
        const ssize_t n = pread(f->fd, (char *)buf + done, len - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return dlq_fail_native(f->err, DLQ_EIO, DLQ_DOMAIN_LOADER, n < 0 ? errno : 0,
                                   "cannot read: %s", n < 0 ? strerror(errno) : "file shrank");
        }
        done += (size_t)n;
    }
    return DLQ_OK;
}

static int32_t
read_header(const struct elf_file *f, ElfW(Ehdr) * eh)
{
    char magic[SELFMAG] = {0};
    if (f->size >= SELFMAG) {
        const int32_t rc = read_at(f, 0, magic, sizeof(magic));
        if (rc != DLQ_OK) {
            return rc;
        }
    }
    if (memcmp(magic, ELFMAG, SELFMAG) != 0) {
        return dlq_fail_native(f->err, DLQ_EFORMAT, DLQ_DOMAIN_LOADER, 0, "not an ELF file");
    }
    if (f->size < sizeof(*eh)) {
        return fail_format(f, "truncated ELF file, header bytes", sizeof(*eh), f->size);
    }
    const int32_t rc = read_at(f, 0, eh, sizeof(*eh));
    if (rc != DLQ_OK) {
        return rc;
    }
    if (eh->e_ident[EI_CLASS] != OWN_CLASS) {
        return fail_format(f, "ELF class", OWN_CLASS, eh->e_ident[EI_CLASS]);
    }
    if (eh->e_ident[EI_DATA] != OWN_DATA) {
        return fail_format(f, "ELF byte order", OWN_DATA, eh->e_ident[EI_DATA]);
    }
    if (OWN_MACHINE != EM_NONE && eh->e_machine != OWN_MACHINE) {
        return fail_format(f, "ELF machine", OWN_MACHINE, eh->e_machine);
    }
    if (eh->e_type != ET_DYN) {
        return fail_format(f, "ELF type", ET_DYN, eh->e_type);
    }
    if (eh->e_phentsize != sizeof(ElfW(Phdr))) {
        return fail_format(f, "ELF program header bytes", sizeof(ElfW(Phdr)), eh->e_phentsize);
    }
    if (eh->e_phnum > DLQ_ELF_MAX_SEGMENTS) {
        return fail_format(f, "ELF program headers, at most", DLQ_ELF_MAX_SEGMENTS, eh->e_phnum);
    }
    return DLQ_OK;
}

static uint64_t
align_up(uint64_t value, uint64_t align)
{
    return (value + align - 1) & ~(align - 1);
}

// One note segment: namesz, descsz, type, then name and desc, each padded to the segment's
// alignment (System V gABI, "Note Section"; 4, or 8 for the GNU property note).
static const char *
find_note(const char *data, size_t size, uint64_t align, size_t *len)
{
    static const char vendor[] = DLQ_NOTE_VENDOR;
    align = align == 8 ? 8 : 4;
    uint64_t pos = 0;
    while (size >= sizeof(ElfW(Nhdr)) && pos <= size - sizeof(ElfW(Nhdr))) {
        ElfW(Nhdr) note;
        memcpy(&note, data + pos, sizeof(note));
        const uint64_t name = pos + sizeof(note);
        const uint64_t desc = align_up(name + note.n_namesz, align);
        const uint64_t end = desc + note.n_descsz;
        if (end > size) {
            return NULL;
        }
        if (note.n_type == DLQ_NOTE_TYPE && note.n_namesz == sizeof(vendor) &&
            !memcmp(data + name, vendor, sizeof(vendor))) {
            *len = note.n_descsz;
            return data + desc;
        }
        pos = align_up(end, align);
    }
    return NULL;
}

static int32_t
read_note_segment(const struct elf_file *f, const struct dlq_allocator *alloc, uint64_t offset,
                  uint64_t size, uint64_t align, char **note)
{
    if (size > DLQ_ELF_MAX_NOTE) {
        return fail_format(f, "ELF note segment bytes, at most", DLQ_ELF_MAX_NOTE, size);
    }
    char *const data = dlq_alloc(alloc, (size_t)size + 1);
    if (!data) {
        return dlq_fail(f->err, DLQ_ENOMEM, "no memory for an ELF note");
    }
    int32_t rc = read_at(f, offset, data, (size_t)size);
    if (rc == DLQ_OK) {
        size_t len = 0;
        const char *const text = find_note(data, (size_t)size, align, &len);
        if (text) {
            *note = dlq_strndup(alloc, text, strnlen(text, len));
            rc = *note ? DLQ_OK : dlq_fail(f->err, DLQ_ENOMEM, "no memory for an ELF note");
        }
    }
    dlq_free(alloc, data);
    return rc;
}

int32_t
dlq_elf_note_read(int fd, uint64_t size, const struct dlq_allocator *alloc, char **note,
                  struct dlq_error *err)
{
    const struct elf_file f = {.fd = fd, .size = size, .err = err};
    if (note) {
        *note = NULL;
    }
    ElfW(Ehdr) eh;
    int32_t rc = read_header(&f, &eh);
    const uint64_t table = rc == DLQ_OK ? (uint64_t)eh.e_phnum * sizeof(ElfW(Phdr)) : 0;
    if (rc == DLQ_OK && !inside(&f, eh.e_phoff, table)) {
        rc = fail_format(&f, "truncated ELF file, bytes for program headers", eh.e_phoff + table,
                         size);
    }
    bool loads = false;
    for (unsigned i = 0; rc == DLQ_OK && i < eh.e_phnum; i++) {
        ElfW(Phdr) ph;
        rc = read_at(&f, eh.e_phoff + i * sizeof(ph), &ph, sizeof(ph));
        if (rc != DLQ_OK) {
            break;
        }
        // Mapped pages behind the end of the file would kill the process at the first touch.
        if ((ph.p_type == PT_LOAD || ph.p_type == PT_NOTE || ph.p_type == PT_DYNAMIC) &&
            !inside(&f, ph.p_offset, ph.p_filesz)) {
            rc = fail_format(&f, "truncated ELF file, bytes for a segment",
                             ph.p_offset + ph.p_filesz, size);
            break;
        }
        loads = loads || ph.p_type == PT_LOAD;
        if (ph.p_type == PT_NOTE && note && !*note) {
            rc = read_note_segment(&f, alloc, ph.p_offset, ph.p_filesz, ph.p_align, note);
        }
    }
    if (rc == DLQ_OK && !loads) {
        rc = dlq_fail_native(err, DLQ_EFORMAT, DLQ_DOMAIN_LOADER, 0,
                             "ELF file without a loadable segment");
    }
    if (rc != DLQ_OK && note) {
        dlq_free(alloc, *note);
        *note = NULL;
    }
    return rc;
}
