// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "tool.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

static const struct tool_command *const commands[] = {
    &tool_cmd_plugins, &tool_cmd_inspect, &tool_cmd_plan, &tool_cmd_run, &tool_cmd_bench,
};

enum { N_COMMANDS = sizeof(commands) / sizeof(commands[0]) };

static void
print_help(FILE *to)
{
    fprintf(to, "Run the linear layers of quantized language models.\n\n");
    for (int i = 0; i < N_COMMANDS; ++i) {
        fprintf(to, "  dlquant %-8s %s\n", commands[i]->name, commands[i]->usage);
        fprintf(to, "      %s\n", commands[i]->summary);
    }
    fprintf(to, "\n  dlquant --version\n\n"
                "Each takes --plugin-dir DIR, -v and --help too. "
                "man dlquant explains options and exit codes.\n");
}

int
main(int argc, char **argv)
{
    if (argc < 2) {
        print_help(stderr);
        return TOOL_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        print_help(stdout);
        return TOOL_OK;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("dlquant %s, plugin ABI %d.%d\n", dlq_version(), DLQ_ABI_MAJOR, DLQ_ABI_MINOR);
        return TOOL_OK;
    }
    for (int i = 0; i < N_COMMANDS; ++i) {
        if (strcmp(argv[1], commands[i]->name) == 0) {
            struct tool_options opt;
            const int rc = tool_parse(commands[i], argc - 1, argv + 1, &opt);
            if (rc != TOOL_OK) {
                return rc;
            }
            if (opt.help) {
                printf("dlquant %s %s\n%s\n", commands[i]->name, commands[i]->usage,
                       commands[i]->summary);
                return TOOL_OK;
            }
            return commands[i]->run(&opt);
        }
    }
    fprintf(stderr, "dlquant: unknown subcommand: %s\nhint: dlquant --help\n", argv[1]);
    return TOOL_USAGE;
}
