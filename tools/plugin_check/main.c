// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "check.h"
#include "output.h"
#include "tool.h"

#include <dlfcn.h>
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/// dlquant-plugin-check: every check of a plugin file in a child of its own, so that a crash or an
/// endless loop of the plugin is a failed check and no more.

struct options {
    const char *file;
    char *config;      ///< Text of --config, or NULL
    int64_t k, n;      ///< Size of the layer to try
    int time_limit_s;  ///< Of one check
    uint64_t seed;     ///< Of all random values
    const char *group; ///< Only checks of this group; NULL: all
    bool json;
};

/// What the child does before and instead of a check.
enum task { TASK_LOAD, TASK_ADD, TASK_CONFIG, TASK_CHECK };

static const char *const verdict_names[] = {"pass", "fail", "skip"};

static void
say(struct check_result *result, enum check_verdict verdict, const char *text)
{
    result->verdict = verdict;
    snprintf(result->text, sizeof(result->text), "%.600s", text ? text : "");
}

/// Whether a host takes the plugin at all: a skip when not.
static void
try_add(const struct check_subject *subject, struct check_result *result)
{
    dlq_runtime *rt = NULL;
    struct dlq_error err = DLQ_ERROR_INIT;
    const struct dlq_runtime_options options = {.struct_size = sizeof(options),
                                                .load_policy = DLQ_LOAD_NONE};
    if (dlq_runtime_create(&options, &rt, &err) != DLQ_OK ||
        dlq_runtime_add_plugin(rt, subject->plugin, &err) != DLQ_OK) {
        say(result, CHECK_SKIP, err.msg);
    }
    dlq_runtime_destroy(rt);
}

/// Whether the plugin's name alone is a configuration to it.
static void
try_default_config(const struct check_subject *subject, struct check_result *result)
{
    dlq_runtime *rt = NULL;
    dlq_quant_config *config = NULL;
    struct dlq_error err = DLQ_ERROR_INIT;
    const char *text = subject->cases[0].config;
    const struct dlq_runtime_options options = {.struct_size = sizeof(options),
                                                .load_policy = DLQ_LOAD_NONE};
    if (dlq_runtime_create(&options, &rt, &err) != DLQ_OK ||
        dlq_runtime_add_plugin(rt, subject->plugin, &err) != DLQ_OK ||
        dlq_quant_config_create(rt, subject->plugin->name, text, strlen(text), &config, &err) !=
            DLQ_OK) {
        say(result, CHECK_FAIL, err.msg);
    }
    dlq_quant_config_destroy(config);
    dlq_runtime_destroy(rt);
}

/// The child: load the plugin, do one task, hand over the result.
static void
child_main(const struct options *opt, bool with_case, enum task task, const struct check *check,
           int out)
{
    struct check_result result = {CHECK_PASS, ""};
    char text[256];
    const struct rlimit no_core = {0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    void *library = dlopen(opt->file, RTLD_NOW | RTLD_LOCAL);
    void *symbol = library ? dlsym(library, DLQ_PLUGIN_SYMBOL) : NULL;
    if (!symbol) {
        say(&result, CHECK_FAIL, dlerror());
    } else {
        dlq_plugin_query_fn query = NULL;
        memcpy(&query, &symbol, sizeof(query));
        const struct dlq_plugin *plugin = query();
        if (!plugin || plugin->header.magic != DLQ_PLUGIN_MAGIC || !plugin->name) {
            say(&result, CHECK_FAIL, DLQ_PLUGIN_SYMBOL "() returned no plugin descriptor");
        } else if (task != TASK_LOAD) {
            snprintf(text, sizeof(text), "{\"quant_method\":\"%.63s\"}", plugin->name);
            const struct check_case one = {
                .name = opt->config ? "the given configuration" : "the plugin's name alone",
                .config = opt->config ? opt->config : text,
                .k = opt->k,
                .n = opt->n,
            };
            const struct check_subject subject = {.plugin = plugin,
                                                  .query = query,
                                                  .file = opt->file,
                                                  .cases = &one,
                                                  .n_cases = with_case,
                                                  .seed = opt->seed};
            if (task == TASK_ADD) {
                try_add(&subject, &result);
            } else if (task == TASK_CONFIG) {
                try_default_config(&subject, &result);
            } else {
                check_run(check, &subject, &result);
            }
        }
    }
    const ssize_t written = write(out, &result, sizeof(result));
    _exit(written == (ssize_t)sizeof(result) ? 0 : 1);
}

/// Read the whole result before the time is up; the number of bytes that came.
static size_t
read_result(int in, double deadline, struct check_result *result, bool *late)
{
    size_t at = 0;
    *late = false;
    while (at < sizeof(*result)) {
        struct pollfd fd = {.fd = in, .events = POLLIN};
        const double left = deadline - tool_seconds();
        const int ready = left > 0.0 ? poll(&fd, 1, (int)(left * 1e3) + 1) : 0;
        if (ready == 0) {
            *late = true;
            break;
        }
        if (ready < 0) {
            if (errno == EINTR) {
                continue;
            }
            break;
        }
        const ssize_t n = read(in, (char *)result + at, sizeof(*result) - at);
        if (n <= 0) {
            break;
        }
        at += (size_t)n;
    }
    return at;
}

/// Run a task in a child and wait for it.
static void
run_child(const struct options *opt, bool with_case, enum task task, const struct check *check,
          struct check_result *result)
{
    int pipe_fd[2];
    fflush(NULL);
    if (pipe(pipe_fd) != 0) {
        say(result, CHECK_SKIP, strerror(errno));
        return;
    }
    const pid_t pid = fork();
    if (pid == 0) {
        close(pipe_fd[0]);
        child_main(opt, with_case, task, check, pipe_fd[1]);
    }
    close(pipe_fd[1]);
    if (pid < 0) {
        close(pipe_fd[0]);
        say(result, CHECK_SKIP, strerror(errno));
        return;
    }
    bool late = false;
    const size_t got = read_result(pipe_fd[0], tool_seconds() + opt->time_limit_s, result, &late);
    close(pipe_fd[0]);
    if (late) {
        kill(pid, SIGKILL);
    }
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (got == sizeof(*result)) {
        result->text[sizeof(result->text) - 1] = '\0';
        return;
    }
    result->verdict = CHECK_FAIL;
    if (late) {
        snprintf(result->text, sizeof(result->text), "ran longer than %d s", opt->time_limit_s);
    } else if (WIFSIGNALED(status)) {
        snprintf(result->text, sizeof(result->text), "crashed with signal %d (%s)",
                 WTERMSIG(status), strsignal(WTERMSIG(status)));
    } else {
        snprintf(result->text, sizeof(result->text), "ended the process with status %d",
                 WIFEXITED(status) ? WEXITSTATUS(status) : -1);
    }
}

static void
print_result(const struct options *opt, int number, const char *name, const char *group,
             const struct check_result *r)
{
    if (opt->json) {
        tool_json_begin();
        tool_json_str("check", name);
        tool_json_str("group", group);
        tool_json_str("verdict", verdict_names[r->verdict]);
        tool_json_str("text", r->text);
        tool_json_end();
        return;
    }
    printf("%s %d - %s", r->verdict == CHECK_FAIL ? "not ok" : "ok", number, name);
    if (r->verdict == CHECK_SKIP) {
        printf(" # SKIP %s", r->text);
    } else if (r->text[0]) {
        printf("\n# %s", r->text);
    }
    printf("\n");
}

static void
print_sums(const struct options *opt, const int count[3])
{
    if (opt->json) {
        tool_json_begin();
        tool_json_int("passed", count[CHECK_PASS]);
        tool_json_int("failed", count[CHECK_FAIL]);
        tool_json_int("skipped", count[CHECK_SKIP]);
        tool_json_end();
    } else {
        printf("1..%d\n# %d passed, %d failed, %d skipped\n",
               count[CHECK_PASS] + count[CHECK_FAIL] + count[CHECK_SKIP], count[CHECK_PASS],
               count[CHECK_FAIL], count[CHECK_SKIP]);
    }
}

static int
run_checks(const struct options *opt)
{
    struct check_result r;
    int count[3] = {0, 0, 0};
    run_child(opt, false, TASK_LOAD, NULL, &r);
    if (r.verdict == CHECK_FAIL) {
        ++count[CHECK_FAIL];
        print_result(opt, 1, "the_file_loads", "static", &r);
        print_sums(opt, count);
        return 1;
    }
    int number = 0;
    struct check_result refused;
    run_child(opt, false, TASK_ADD, NULL, &refused);
    const bool added = refused.verdict != CHECK_SKIP;
    if (!added) {
        refused.verdict = CHECK_FAIL;
        ++count[CHECK_FAIL];
        print_result(opt, ++number, "a_host_accepts_the_plugin", "descriptor", &refused);
    }
    bool with_case = opt->config != NULL;
    if (!with_case && added) {
        run_child(opt, true, TASK_CONFIG, NULL, &r);
        with_case = r.verdict == CHECK_PASS;
        if (!with_case && !opt->json) {
            printf("# no layer is tried: %s\n# hint: --config FILE --k K --n N\n", r.text);
        }
    }
    for (size_t i = 0; i < check_list_size; ++i) {
        const struct check *check = &check_list[i];
        if (opt->group && strcmp(opt->group, check->group) != 0) {
            continue;
        }
        if (added || strcmp(check->group, "static") == 0 ||
            strcmp(check->group, "descriptor") == 0) {
            run_child(opt, with_case, TASK_CHECK, check, &r);
        } else {
            say(&r, CHECK_SKIP, "no host accepts the plugin");
        }
        ++count[r.verdict];
        print_result(opt, ++number, check->name, check->group, &r);
    }
    print_sums(opt, count);
    return count[CHECK_FAIL] > 0;
}

static bool
is_group(const char *name)
{
    for (size_t i = 0; i < check_list_size; ++i) {
        if (strcmp(name, check_list[i].group) == 0) {
            return true;
        }
    }
    return false;
}

/// The text of a file of at most 1 MiB; NULL when it cannot be read.
static char *
read_text(const char *path)
{
    enum { MAX = 1 << 20 };
    FILE *file = fopen(path, "rb");
    if (!file) {
        return NULL;
    }
    char *text = calloc(1, MAX + 1);
    const size_t n = text ? fread(text, 1, MAX + 1, file) : 0;
    const bool whole = text && n <= MAX && !ferror(file);
    fclose(file);
    if (!whole) {
        free(text);
        return NULL;
    }
    return text;
}

static int
usage(FILE *to, int rc)
{
    fprintf(to, "usage: dlquant-plugin-check [--config FILE] [--k K] [--n N] [--group GROUP]\n"
                "           [--time-limit SECONDS] [--seed SEED] [--json] PLUGIN.so\n");
    return rc;
}

int
main(int argc, char **argv)
{
    static const struct option long_options[] = {
        {"config", required_argument, NULL, 'c'}, {"group", required_argument, NULL, 'g'},
        {"help", no_argument, NULL, 'h'},         {"json", no_argument, NULL, 'j'},
        {"k", required_argument, NULL, 'k'},      {"n", required_argument, NULL, 'n'},
        {"seed", required_argument, NULL, 's'},   {"time-limit", required_argument, NULL, 't'},
        {"version", no_argument, NULL, 'v'},      {NULL, 0, NULL, 0},
    };
    struct options opt = {.k = 256, .n = 128, .time_limit_s = 60, .seed = 1};
    for (int c = 0; (c = getopt_long(argc, argv, "h", long_options, NULL)) != -1;) {
        switch (c) {
        case 'c':
            free(opt.config);
            opt.config = read_text(optarg);
            if (!opt.config) {
                fprintf(stderr, "dlquant-plugin-check: cannot read %s\n", optarg);
                return 2;
            }
            break;
        case 'g':
            opt.group = optarg;
            if (!is_group(optarg)) {
                fprintf(stderr, "dlquant-plugin-check: unknown group: %s\n", optarg);
                free(opt.config);
                return usage(stderr, 2);
            }
            break;
        case 'h':
            free(opt.config);
            return usage(stdout, 0);
        case 'j':
            opt.json = true;
            break;
        case 'k':
            opt.k = atoll(optarg);
            break;
        case 'n':
            opt.n = atoll(optarg);
            break;
        case 's':
            opt.seed = strtoull(optarg, NULL, 0);
            break;
        case 't':
            opt.time_limit_s = atoi(optarg);
            break;
        case 'v':
            free(opt.config);
            printf("dlquant-plugin-check %s, plugin ABI %d.%d\n", dlq_version(), DLQ_ABI_MAJOR,
                   DLQ_ABI_MINOR);
            return 0;
        default:
            free(opt.config);
            return usage(stderr, 2);
        }
    }
    if (optind + 1 != argc || opt.k < 1 || opt.n < 1 || opt.time_limit_s < 1) {
        free(opt.config);
        return usage(stderr, 2);
    }
    // dlopen() searches the library path for a bare name.
    char path[4096];
    snprintf(path, sizeof(path), "%s%s", strchr(argv[optind], '/') ? "" : "./", argv[optind]);
    opt.file = path;
    const int rc = run_checks(&opt);
    free(opt.config);
    return rc;
}
