// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "support.h"

#include "elf_note.h"

#include "alloc.h"

#include <dlquant/plugin.h>

#include <elf.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// A shared object as far as the reader looks: header, two segments, a note.
struct image {
    ElfW(Ehdr) eh;
    ElfW(Phdr) ph[2];
    struct {
        ElfW(Nhdr) head;
        char name[8];
        char desc[24];
    } note;
};

static const char text[] = "{\"name\":\"tiny\"}";

static struct image
good_image(void)
{
    // The machine is that of the test program itself.
    struct image m;
    memset(&m, 0, sizeof(m));
    const int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    assert_int_equal(read(fd, &m.eh, sizeof(m.eh)), sizeof(m.eh));
    close(fd);
    m.eh.e_type = ET_DYN;
    m.eh.e_phoff = offsetof(struct image, ph);
    m.eh.e_phnum = 2;
    m.ph[0] = (ElfW(Phdr)){.p_type = PT_LOAD, .p_filesz = sizeof(m), .p_align = 4096};
    m.ph[1] = (ElfW(Phdr)){.p_type = PT_NOTE,
                           .p_offset = offsetof(struct image, note),
                           .p_filesz = sizeof(m.note),
                           .p_align = 4};
    m.note.head = (ElfW(Nhdr)){8, sizeof(text), DLQ_NOTE_TYPE};
    memcpy(m.note.name, DLQ_NOTE_VENDOR, 8);
    memcpy(m.note.desc, text, sizeof(text));
    return m;
}

static int32_t
read_bytes(const void *data, size_t len, char **note, struct dlq_error *err)
{
    char path[] = "/tmp/dlquant-elf-XXXXXX";
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    unlink(path);
    assert_int_equal(write(fd, data, len), len);
    const int32_t rc = dlq_elf_note_read(fd, len, &dlq_system_allocator, note, err);
    close(fd);
    return rc;
}

static void
assert_format(const struct image *m, size_t len, const char *message)
{
    struct dlq_error err = DLQ_ERROR_INIT;
    char *note = NULL;
    test_assert_error(read_bytes(m, len, &note, &err), &err, DLQ_EFORMAT, message);
    assert_null(note);
    assert_int_equal(read_bytes(m, len, NULL, NULL), DLQ_EFORMAT);
}

static void
assert_note(const struct image *m, const char *expected)
{
    struct dlq_error err = DLQ_ERROR_INIT;
    char *note = NULL;
    test_assert_ok(read_bytes(m, sizeof(*m), &note, &err), &err);
    if (expected) {
        assert_string_equal(note, expected);
    } else {
        assert_null(note);
    }
    dlq_free(&dlq_system_allocator, note);
}

static void
the_note_is_found_without_running_the_file(void **state)
{
    (void)state;
    const struct image m = good_image();
    assert_note(&m, text);
}

static void
other_notes_are_passed_over(void **state)
{
    (void)state;
    struct image m = good_image();
    m.note.name[0] = 'x';
    assert_note(&m, NULL);
    m = good_image();
    m.note.head.n_type = 3;
    assert_note(&m, NULL);
    m = good_image();
    m.note.head.n_namesz = 7;
    assert_note(&m, NULL);
    m = good_image();
    m.ph[1].p_type = PT_GNU_RELRO;
    assert_note(&m, NULL);
}

static void
a_note_behind_another_is_found(void **state)
{
    (void)state;
    // The first one is of GNU: 4 + 4 bytes; then ours.
    struct {
        ElfW(Nhdr) head;
        char name[4];
        char desc[4];
    } first = {{4, 3, 3}, "GNU", "id"};
    struct {
        struct image m;
        char more[sizeof(first)];
    } file = {.m = good_image()};
    char notes[sizeof(first) + sizeof(file.m.note)];
    memcpy(notes, &first, sizeof(first));
    memcpy(notes + sizeof(first), &file.m.note, sizeof(file.m.note));
    memcpy(&file.m.note, notes, sizeof(notes));
    file.m.ph[1].p_filesz = sizeof(notes);
    struct dlq_error err = DLQ_ERROR_INIT;
    char *note = NULL;
    test_assert_ok(read_bytes(&file, sizeof(file), &note, &err), &err);
    assert_string_equal(note, text);
    dlq_free(&dlq_system_allocator, note);
}

static void
a_note_that_does_not_fit_its_segment_is_no_note(void **state)
{
    (void)state;
    struct image m = good_image();
    m.note.head.n_descsz = sizeof(m.note.desc) + 1;
    assert_note(&m, NULL);
    m.note.head.n_descsz = UINT32_MAX;
    assert_note(&m, NULL);
    m = good_image();
    m.note.head.n_namesz = UINT32_MAX;
    assert_note(&m, NULL);
    m = good_image();
    m.ph[1].p_filesz = 11;
    assert_note(&m, NULL);
}

static void
a_note_without_its_zero_is_read_up_to_its_size(void **state)
{
    (void)state;
    struct image m = good_image();
    m.note.head.n_descsz = 7;
    assert_note(&m, "{\"name\"");
}

static void
what_is_no_elf_file_is_refused(void **state)
{
    (void)state;
    struct image m = good_image();
    assert_format(&m, 0, "not an ELF file");
    assert_format(&m, 3, "not an ELF file");
    m.eh.e_ident[0] = 'M';
    assert_format(&m, sizeof(m), "not an ELF file");
}

static void
a_file_for_another_machine_is_refused(void **state)
{
    (void)state;
    struct image m = good_image();
    m.eh.e_machine = EM_68K;
    assert_format(&m, sizeof(m), "ELF machine: expected ");
    m = good_image();
    m.eh.e_ident[EI_CLASS] ^= 3;
    assert_format(&m, sizeof(m), "ELF class: expected ");
    m = good_image();
    m.eh.e_ident[EI_DATA] ^= 3;
    assert_format(&m, sizeof(m), "ELF byte order: expected ");
    m = good_image();
    m.eh.e_type = ET_EXEC;
    assert_format(&m, sizeof(m), "ELF type: expected 3, found 2");
}

static void
whatever_lies_behind_the_end_is_refused(void **state)
{
    (void)state;
    struct image m = good_image();
    assert_format(&m, 4, "truncated ELF file, header bytes: expected 64, found 4");
    assert_format(&m, sizeof(m.eh), "truncated ELF file, bytes for program headers");
    assert_format(&m, sizeof(m) - 1, "truncated ELF file, bytes for a segment");
    m.eh.e_phoff = UINT64_MAX - 8;
    assert_format(&m, sizeof(m), "truncated ELF file, bytes for program headers");
    m = good_image();
    m.ph[0].p_offset = UINT64_MAX;
    assert_format(&m, sizeof(m), "truncated ELF file, bytes for a segment");
    m = good_image();
    m.ph[1].p_offset = sizeof(m);
    assert_format(&m, sizeof(m), "truncated ELF file, bytes for a segment");
}

static void
sizes_beyond_the_limits_are_refused(void **state)
{
    (void)state;
    struct image m = good_image();
    m.eh.e_phnum = DLQ_ELF_MAX_SEGMENTS + 1;
    assert_format(&m, sizeof(m), "ELF program headers, at most: expected 128, found 129");
    m = good_image();
    m.eh.e_phentsize = 32;
    assert_format(&m, sizeof(m), "ELF program header bytes: expected 56, found 32");
    m = good_image();
    m.ph[0].p_type = PT_NULL;
    m.ph[1].p_type = PT_NULL;
    assert_format(&m, sizeof(m), "ELF file without a loadable segment");

    struct {
        struct image m;
        char more[DLQ_ELF_MAX_NOTE];
    } *const big = calloc(1, sizeof(*big));
    big->m = good_image();
    big->m.ph[1].p_filesz = DLQ_ELF_MAX_NOTE + 1;
    struct dlq_error err = DLQ_ERROR_INIT;
    char *note = NULL;
    test_assert_error(read_bytes(big, sizeof(*big), &note, &err), &err, DLQ_EFORMAT,
                      "ELF note segment bytes, at most: expected 65536, found 65537");
    free(big);
}

static void
no_single_wrong_byte_does_harm(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(struct image); i++) {
        static const unsigned char flips[] = {0x01, 0x80, 0xff};
        for (size_t k = 0; k < sizeof(flips); k++) {
            struct image m = good_image();
            ((unsigned char *)&m)[i] ^= flips[k];
            char *note = NULL;
            const int32_t rc = read_bytes(&m, sizeof(m), &note, NULL);
            assert_true(rc == DLQ_OK || rc == DLQ_EFORMAT);
            dlq_free(&dlq_system_allocator, note);
        }
    }
}

static int32_t
read_good(void *ctx, struct test_allocator *t, struct dlq_error *err)
{
    char *note = NULL;
    const int fd = *(int *)ctx;
    const int32_t rc = dlq_elf_note_read(fd, sizeof(struct image), &t->a, &note, err);
    dlq_free(&t->a, note);
    return rc;
}

static void
running_out_of_memory_leaks_nothing(void **state)
{
    (void)state;
    const struct image m = good_image();
    char path[] = "/tmp/dlquant-elf-XXXXXX";
    int fd = mkstemp(path);
    unlink(path);
    assert_int_equal(write(fd, &m, sizeof(m)), sizeof(m));
    assert_int_equal(test_each_allocation_fails(read_good, &fd), 2);
    close(fd);
}

static void
a_file_that_shrinks_while_it_is_read_is_an_error(void **state)
{
    (void)state;
    struct dlq_error err = DLQ_ERROR_INIT;
    const struct image m = good_image();
    char path[] = "/tmp/dlquant-elf-XXXXXX";
    const int fd = mkstemp(path);
    unlink(path);
    assert_int_equal(write(fd, &m, sizeof(m.eh)), sizeof(m.eh));
    test_assert_error(dlq_elf_note_read(fd, sizeof(m), &dlq_system_allocator, NULL, &err), &err,
                      DLQ_EIO, "cannot read: file shrank");
    close(fd);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_note_is_found_without_running_the_file),
        cmocka_unit_test(other_notes_are_passed_over),
        cmocka_unit_test(a_note_behind_another_is_found),
        cmocka_unit_test(a_note_that_does_not_fit_its_segment_is_no_note),
        cmocka_unit_test(a_note_without_its_zero_is_read_up_to_its_size),
        cmocka_unit_test(what_is_no_elf_file_is_refused),
        cmocka_unit_test(a_file_for_another_machine_is_refused),
        cmocka_unit_test(whatever_lies_behind_the_end_is_refused),
        cmocka_unit_test(sizes_beyond_the_limits_are_refused),
        cmocka_unit_test(no_single_wrong_byte_does_harm),
        cmocka_unit_test(running_out_of_memory_leaks_nothing),
        cmocka_unit_test(a_file_that_shrinks_while_it_is_read_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
