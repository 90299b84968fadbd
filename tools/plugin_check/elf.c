// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "rig.h"

#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/// The plugin's file, read as bytes: nothing of it is trusted, every offset is checked.

struct image {
    uint8_t *data;
    size_t size;
    const Elf64_Shdr *sections;
    size_t n_sections;
    const char *names; ///< Of sections, `names_size` bytes that end with zero
    size_t names_size;
};

// `size` bytes at `offset`, or NULL outside the file.
static const void *
at(const struct image *image, uint64_t offset, uint64_t size)
{
    return offset <= image->size && size <= image->size - offset ? image->data + offset : NULL;
}

// The same for words or structs of them, which must be aligned.
static const void *
table(const struct image *image, uint64_t offset, uint64_t size, size_t align)
{
    return offset % align == 0 ? at(image, offset, size) : NULL;
}

// A table of strings that ends with zero, or NULL.
static const char *
strings(const struct image *image, const Elf64_Shdr *section)
{
    const char *const text = at(image, section->sh_offset, section->sh_size);
    return text && section->sh_size > 0 && text[section->sh_size - 1] == '\0' ? text : NULL;
}

static bool
read_file(const char *path, struct image *image)
{
    FILE *const f = fopen(path, "rb");
    if (!f) {
        return false;
    }
    long size = -1;
    if (fseek(f, 0, SEEK_END) == 0 && (size = ftell(f)) > 0 && fseek(f, 0, SEEK_SET) == 0) {
        image->size = (size_t)size;
        image->data = malloc(image->size);
    }
    const bool ok = image->data && fread(image->data, 1, image->size, f) == image->size;
    fclose(f);
    return ok;
}

// Reads and parses the subject's file. False sets `r`; close in any case.
static bool
image_open(struct image *image, const struct check_subject *s, struct check_result *r)
{
    memset(image, 0, sizeof(*image));
    if (!s->file) {
        return rig_skip(r, "the table comes from no file");
    }
    if (!read_file(s->file, image)) {
        return rig_fail(r, "%s cannot be read", s->file);
    }
    const Elf64_Ehdr *const h = at(image, 0, sizeof(*h));
    if (!h || memcmp(h->e_ident, ELFMAG, SELFMAG) != 0 || h->e_ident[EI_CLASS] != ELFCLASS64 ||
        h->e_type != ET_DYN || h->e_shentsize != sizeof(Elf64_Shdr)) {
        return rig_fail(r, "%s is no 64-bit ELF shared object", s->file);
    }
    image->sections =
        table(image, h->e_shoff, (uint64_t)h->e_shnum * sizeof(Elf64_Shdr), sizeof(uint64_t));
    image->n_sections = h->e_shnum;
    if (!image->sections || h->e_shstrndx >= h->e_shnum) {
        return rig_fail(r, "%s has no section table", s->file);
    }
    image->names = strings(image, &image->sections[h->e_shstrndx]);
    image->names_size = image->sections[h->e_shstrndx].sh_size;
    return image->names ? true : rig_fail(r, "%s has no section names", s->file);
}

static void
image_close(struct image *image)
{
    free(image->data);
}

static const Elf64_Shdr *
find_section(const struct image *image, uint32_t type, const char *name)
{
    for (size_t i = 0; i < image->n_sections; i++) {
        const Elf64_Shdr *const section = &image->sections[i];
        if (section->sh_type == type &&
            (!name || (section->sh_name < image->names_size &&
                       strcmp(image->names + section->sh_name, name) == 0))) {
            return section;
        }
    }
    return NULL;
}

// The string table that a section is linked with, and its size.
static const char *
linked_strings(const struct image *image, const Elf64_Shdr *section, uint64_t *size)
{
    if (section->sh_link >= image->n_sections) {
        return NULL;
    }
    *size = image->sections[section->sh_link].sh_size;
    return strings(image, &image->sections[section->sh_link]);
}

static void
check_symbols(const struct image *image, struct check_result *r)
{
    const Elf64_Shdr *const section = find_section(image, SHT_DYNSYM, NULL);
    uint64_t size = 0;
    const char *const names = section ? linked_strings(image, section, &size) : NULL;
    const Elf64_Sym *const symbols =
        section ? table(image, section->sh_offset, section->sh_size, sizeof(uint64_t)) : NULL;
    if (!names || !symbols) {
        rig_fail(r, "the file has no dynamic symbols");
        return;
    }
    size_t found = 0;
    for (size_t i = 0; i < section->sh_size / sizeof(*symbols); i++) {
        const unsigned bind = ELF64_ST_BIND(symbols[i].st_info);
        if (symbols[i].st_shndx == SHN_UNDEF || bind == STB_LOCAL || symbols[i].st_name >= size) {
            continue;
        }
        const char *const name = names + symbols[i].st_name;
        if (strcmp(name, DLQ_PLUGIN_SYMBOL) != 0) {
            rig_fail(r, "the file exports '%.80s'; " DLQ_PLUGIN_SYMBOL " alone is expected", name);
        }
        found++;
    }
    if (found == 0) {
        rig_fail(r, "the file does not export " DLQ_PLUGIN_SYMBOL);
    }
}

void
check_file_exports(const struct check_subject *s, struct check_result *r)
{
    struct image image;
    if (image_open(&image, s, r)) {
        check_symbols(&image, r);
    }
    image_close(&image);
}

static void
check_dynamic(const struct image *image, struct check_result *r)
{
    static const char *const banned[] = {"libdlquant", "libnccl", "libmpi", "libpython",
                                         "libtorch"};
    const Elf64_Shdr *const section = find_section(image, SHT_DYNAMIC, NULL);
    uint64_t size = 0;
    const char *const names = section ? linked_strings(image, section, &size) : NULL;
    const Elf64_Dyn *const d =
        section ? table(image, section->sh_offset, section->sh_size, sizeof(uint64_t)) : NULL;
    if (!names || !d) {
        rig_fail(r, "the file has no dynamic section");
        return;
    }
    for (size_t i = 0; i < section->sh_size / sizeof(*d); i++) {
        if (d[i].d_tag == DT_TEXTREL) {
            rig_fail(r, "the file has text relocations");
        }
        for (size_t j = 0; d[i].d_tag == DT_NEEDED && j < sizeof(banned) / sizeof(*banned); j++) {
            if (d[i].d_un.d_val < size &&
                strncmp(names + d[i].d_un.d_val, banned[j], strlen(banned[j])) == 0) {
                rig_fail(r, "the file needs %.80s", names + d[i].d_un.d_val);
            }
        }
    }
}

static void
check_stack(const struct image *image, struct check_result *r)
{
    const Elf64_Ehdr *const h = at(image, 0, sizeof(*h));
    const Elf64_Phdr *const p =
        h->e_phentsize == sizeof(*p)
            ? table(image, h->e_phoff, (uint64_t)h->e_phnum * sizeof(*p), sizeof(uint64_t))
            : NULL;
    bool marked = false;
    for (size_t i = 0; p && i < h->e_phnum; i++) {
        if (p[i].p_type == PT_GNU_STACK) {
            marked = true;
            if ((p[i].p_flags & PF_X) != 0) {
                rig_fail(r, "the file asks for an executable stack");
            }
        }
    }
    if (!marked) {
        rig_fail(r, "the file does not say that its stack is not executable (PT_GNU_STACK)");
    }
}

void
check_file_links(const struct check_subject *s, struct check_result *r)
{
    struct image image;
    if (image_open(&image, s, r)) {
        check_dynamic(&image, r);
        check_stack(&image, r);
    }
    image_close(&image);
}

void
check_file_note(const struct check_subject *s, struct check_result *r)
{
    struct image image;
    if (image_open(&image, s, r)) {
        const Elf64_Shdr *const section = find_section(&image, SHT_NOTE, ".note.dlquant");
        const uint32_t *const words =
            section && section->sh_size >= 20
                ? table(&image, section->sh_offset, section->sh_size, sizeof(uint32_t))
                : NULL;
        const size_t len = s->plugin->note ? strlen(s->plugin->note) + 1 : 0;
        if (!words || !s->plugin->note) {
            rig_fail(r, "file and descriptor must both have the note; use DLQ_PLUGIN_NOTE");
        } else if (words[0] != 8 || words[2] != DLQ_NOTE_TYPE ||
                   memcmp(words + 3, DLQ_NOTE_VENDOR, 8) != 0) {
            rig_fail(r, "the note's vendor or type is not %s, %u", DLQ_NOTE_VENDOR, DLQ_NOTE_TYPE);
        } else if (words[1] != len || section->sh_size - 20 < len ||
                   memcmp(words + 5, s->plugin->note, len) != 0) {
            rig_fail(r, "the file's note and the descriptor's differ");
        }
    }
    image_close(&image);
}
