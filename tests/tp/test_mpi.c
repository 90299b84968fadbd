// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "support.h"

#include <dlquant/collective.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

// Starts mpi_rank under the system's mpirun and reads what each rank left in a folder.

#define MAX_RANKS 4

static bool
is_open_mpi(void)
{
    char version[64] = "";
    FILE *const f = popen("mpirun --version 2>/dev/null", "r");
    if (f) {
        (void)!fgets(version, sizeof(version), f);
        pclose(f);
    }
    return strstr(version, "Open MPI") || strstr(version, "OpenRTE");
}

// A launcher that ends all ranks when one dies would hide whether ours find out by themselves.
static const char *
launcher(void)
{
    return is_open_mpi() ? "mpirun --oversubscribe --allow-run-as-root --enable-recovery "
                           "--mca btl self,vader,tcp"
                         : "mpirun -disable-auto-cleanup";
}

static char *
launch(const char *program, int n, const char *arguments)
{
    char command[2048];
    char *const folder = test_tmpdir();
    snprintf(command, sizeof(command),
             "unset DISPLAY; timeout -k 5 60 %s -n %d %s %s %s %s >%s/log 2>&1 </dev/null",
             launcher(), n, program, MODULE_DIR, folder, arguments, folder);
    (void)!system(command);
    return folder;
}

// The status that a rank left, and its message; -2 when it left nothing.
static int
result(const char *folder, int rank, char text[1024])
{
    char name[16];
    snprintf(name, sizeof(name), "%d", rank);
    FILE *const f = fopen(test_path(folder, name), "re");
    int status = -2;
    text[0] = '\0';
    if (f) {
        if (fscanf(f, "%d %1023[^\n]", &status, text) < 1) {
            status = -2;
        }
        fclose(f);
    }
    return status;
}

static void
assert_all_ok(const char *program, int n)
{
    char *const folder = launch(program, n, "all");
    for (int r = 0; r < n; r++) {
        char text[1024];
        const int status = result(folder, r, text);
        if (status != 0) {
            fail_msg("%d ranks: rank %d left %d %s\n%s", n, r, status, text,
                     test_read(test_path(folder, "log"), NULL));
        }
    }
    test_tmpdir_remove(folder);
}

// Every rank but `except` left `status` and a message with `needle`.
static void
assert_failure(const char *program, int n, const char *arguments, int except, int status,
               const char *needle)
{
    char *const folder = launch(program, n, arguments);
    for (int r = 0; r < n; r++) {
        char text[1024];
        const int found = r == except ? status : result(folder, r, text);
        if (found != status || (r != except && !strstr(text, needle))) {
            fail_msg("%s: rank %d of %d left %d '%s', expected %d and '%s'\n%s", arguments, r, n,
                     found, text, status, needle, test_read(test_path(folder, "log"), NULL));
        }
    }
    test_tmpdir_remove(folder);
}

static void
processes_have_the_bits_of_threads(void **state)
{
    (void)state;
    for (int n = 1; n <= MAX_RANKS; n++) {
        assert_all_ok(MPI_RANK, n);
    }
}

static void
an_engines_communicator_is_adopted(void **state)
{
    (void)state;
    assert_all_ok(MPI_ENGINE, 3);
}

static void
another_fingerprint_is_named(void **state)
{
    (void)state;
    assert_failure(MPI_RANK, 3, "fingerprint 2", -1, DLQ_ECOMM,
                   "rank 0 has fingerprint 0x1; rank 2 has 0x2");
}

static void
another_size_is_named(void **state)
{
    (void)state;
    assert_failure(MPI_RANK, 2, "size", -1, DLQ_ECOMM, "expected a group of 9, found 2");
}

static void
a_rank_that_gives_up_is_named(void **state)
{
    (void)state;
    assert_failure(MPI_RANK, 3, "abort 1", -1, DLQ_ECOMM, "rank 1 gave up: a test's reason");
}

// The engine's communicator counts backwards: process 2 of 3 is rank 0.
static void
a_rank_that_never_comes_is_named(void **state)
{
    (void)state;
    assert_failure(MPI_ENGINE, 3, "absent 2", 2, DLQ_ETIMEOUT,
                   "missing after the time limit: rank 0 (limit 1000 ms)");
}

static void
a_rank_that_dies_is_named(void **state)
{
    (void)state;
    if (!is_open_mpi()) {
        print_message("MPICH's launcher or its UCX ends the ranks that are left\n");
        skip();
    }
    unsigned seed = (unsigned)time(NULL);
    for (int i = 0; i < DEATHS; i++) {
        char arguments[64];
        const int victim = (int)((unsigned)rand_r(&seed) % 3);
        snprintf(arguments, sizeof(arguments), "die %d %u", victim,
                 (unsigned)rand_r(&seed) % 100000);
        char needle[96];
        snprintf(needle, sizeof(needle), ": missing after the time limit: rank %d (limit", victim);
        assert_failure(MPI_RANK, 3, arguments, victim, DLQ_ETIMEOUT, needle);
    }
}

static void
an_absent_module_is_an_error(void **state)
{
    (void)state;
    char *const folder = test_tmpdir();
    const char *const dirs[] = {folder, NULL};
    const struct dlq_runtime_options options = {
        .struct_size = sizeof(options), .plugin_dirs = dirs, .n_threads = 1};
    struct dlq_error err = DLQ_ERROR_INIT;
    dlq_runtime *rt = NULL;
    dlq_collective_mpi *group = NULL;
    assert_int_equal(dlq_runtime_create(&options, &rt, &err), DLQ_OK);
    assert_int_equal(dlq_collective_mpi_create(rt, NULL, &group, &err), DLQ_ECOMM);
    assert_non_null(
        strstr(err.msg, "no collectives over MPI: module dlquant-mpi.so not found in "));
    assert_non_null(strstr(err.msg, folder));
    struct dlq_collective_mpi_options bad = {.struct_size = sizeof(bad), .timeout_ms = -1};
    assert_int_equal(dlq_collective_mpi_create(rt, &bad, &group, &err), DLQ_EINVAL);
    assert_non_null(strstr(err.msg, "found 0 ranks and -1 ms"));
    bad = (struct dlq_collective_mpi_options){0};
    assert_int_equal(dlq_collective_mpi_create(rt, &bad, &group, &err), DLQ_EINVAL);
    assert_non_null(strstr(err.msg, "struct_size"));
    dlq_collective_mpi_destroy(NULL);
    dlq_runtime_destroy(rt);
    test_tmpdir_remove(folder);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_absent_module_is_an_error),
        cmocka_unit_test(processes_have_the_bits_of_threads),
        cmocka_unit_test(an_engines_communicator_is_adopted),
        cmocka_unit_test(another_fingerprint_is_named),
        cmocka_unit_test(another_size_is_named),
        cmocka_unit_test(a_rank_that_gives_up_is_named),
        cmocka_unit_test(a_rank_that_never_comes_is_named),
        cmocka_unit_test(a_rank_that_dies_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
