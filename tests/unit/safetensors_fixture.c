// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "safetensors_fixture.h"

#include "alloc.h"

#include <stdlib.h>

char *safetensors_dir;

int
safetensors_make_dir(void **state)
{
    (void)state;
    safetensors_dir = test_tmpdir();
    return 0;
}

int
safetensors_remove_dir(void **state)
{
    (void)state;
    test_tmpdir_remove(safetensors_dir);
    return 0;
}

int32_t
safetensors_from(const char *path, struct dlq_safetensors *out, struct dlq_error *err)
{
    struct dlq_file file = DLQ_FILE_INIT;
    int32_t rc = dlq_file_open(&file, path, err);
    if (rc == DLQ_OK) {
        rc = dlq_safetensors_read(&dlq_system_allocator, &file, "m.safetensors", out, err);
    }
    dlq_file_close(&file);
    return rc;
}

int32_t
safetensors_of(const char *header, size_t nbytes, struct dlq_safetensors *st, struct dlq_error *err)
{
    void *const data = calloc(1, nbytes + 1);
    test_safetensors_raw(safetensors_dir, "m.safetensors", -1, header, data, nbytes);
    free(data);
    return safetensors_from(test_path(safetensors_dir, "m.safetensors"), st, err);
}

void
safetensors_release(struct dlq_safetensors *st)
{
    dlq_safetensors_free(&dlq_system_allocator, st);
}
