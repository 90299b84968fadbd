// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_TOOLS_TOOL_H
#define DLQ_TOOLS_TOOL_H

#include <dlquant/dlquant.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// What every subcommand of dlquant shares: exit codes, options, the open checkpoint.

/// Exit codes; the manual page documents them.
enum tool_exit {
    TOOL_OK = 0,          ///< Everything asked for was done and is right
    TOOL_FAILED = 1,      ///< A layer is outside its bound
    TOOL_USAGE = 2,       ///< The command line or the environment makes no sense
    TOOL_INPUT = 3,       ///< The checkpoint or the golden folder is damaged or missing
    TOOL_UNSUPPORTED = 4, ///< The input is valid and nothing here can run it
    TOOL_ENVIRONMENT = 5, ///< Memory, device, plugin file or a peer failed
    TOOL_DEFECT = 6       ///< A defect of dlquant
};

/// Most values of a list option.
#define TOOL_MAX_LIST 32

/// What the command line says.
struct tool_options {
    const char *path;           ///< Checkpoint; NULL when none was given
    bool json;                  ///< One JSON object a line instead of tables
    bool check;                 ///< run: compare with the float64 product of dequantized weights
    bool integers;              ///< run: seeded inputs are -1, 0 and 1
    bool no_fuse;               ///< Leave q, k, v and gate, up as single layers
    bool no_times;              ///< run: no call more than results need
    bool explain;               ///< inspect: the rule behind each layer
    bool help;                  ///< Usage was asked for
    int verbose;                ///< Log level above warnings
    const char *golden;         ///< run: folder with recorded inputs and outputs; NULL: none
    const char *plugin_dirs[8]; ///< Searched first, ended by NULL
    int n_plugin_dirs;          ///< Number of plugin_dirs
    int32_t n_threads;          ///< Threads of the CPU; 0: all
    int32_t timeout_ms;         ///< run: how long a rank may be late
    uint32_t dtype;             ///< Dtype of x and y; 0: the checkpoint's
    struct dlq_device device;   ///< Where layers run
    int32_t sm;                 ///< inspect, plan: capability to plan for, 0: the device's own
    int32_t tp[TOOL_MAX_LIST];  ///< Numbers of ranks
    int n_tp;                   ///< Number of tp
    bool mpi;                   ///< run: ranks are the processes that mpirun started
    int64_t m[TOOL_MAX_LIST];   ///< Rows
    int n_m;                    ///< Number of m; 0: the subcommand's default
    const char *ops;            ///< bench: names separated by commas; NULL: the usual ones
    int64_t shapes[TOOL_MAX_LIST][2]; ///< bench: K, N
    int n_shapes;                     ///< Number of shapes; 0: the device's usual ones
    const char *compare[4];           ///< bench: files of figures
    int n_compare;                    ///< Number of compare
    const char *csv;                  ///< bench: file to write figures to; NULL: none
    const char *svg;                  ///< bench: file to draw to; NULL: none
};

/// One subcommand.
struct tool_command {
    const char *name;
    const char *usage;   ///< Arguments
    const char *summary; ///< One line
    const char *options; ///< Long options it takes, each followed by a space
    int (*run)(const struct tool_options *opt);
};

extern const struct tool_command tool_cmd_bench;
extern const struct tool_command tool_cmd_plugins;
extern const struct tool_command tool_cmd_inspect;
extern const struct tool_command tool_cmd_plan;
extern const struct tool_command tool_cmd_run;

/// Fill `opt` from the arguments after the subcommand's name. TOOL_OK, or TOOL_USAGE with the
/// complaint already on standard error.
int
tool_parse(const struct tool_command *cmd, int argc, char **argv, struct tool_options *opt);

/// `dtype` as "fp16", "bf16" or "fp32"; for all others the safetensors name.
const char *
tool_dtype_name(uint32_t dtype);

/// Zeroed memory; ends the process with TOOL_ENVIRONMENT when there is none.
void *
tool_alloc(size_t count, size_t size);

/// A formatted string that the caller frees.
char *
tool_format(const char *fmt, ...) DLQ_PRINTF(1, 2);

/// Seconds of a clock that never jumps.
double
tool_seconds(void);

/// Where an error happened decides what its status means to a caller of the command.
enum tool_stage {
    TOOL_STAGE_INPUT, ///< Opening what the user names: not found is bad input
    TOOL_STAGE_METHOD ///< Looking for a plugin and planning: not found is unsupported
};

/// Exit code for an error.
int
tool_exit_code(const struct dlq_error *err, enum tool_stage stage);

/// Print an error as one line and a hint line on standard error; returns the exit code.
int
tool_report(const struct dlq_error *err, enum tool_stage stage);

struct tool_model;

/// An open checkpoint with its configuration and layers.
struct tool_session {
    dlq_runtime *rt;
    dlq_checkpoint *ckpt;
    struct dlq_quant_source source;
    dlq_quant_config *config; ///< NULL: unquantized, or no plugin for the method
    struct tool_model *model;
};

/// Make a runtime as the options say.
int32_t
tool_runtime(const struct tool_options *opt, dlq_runtime **out, struct dlq_error *err);

/// Open runtime and checkpoint, and find the layers. On failure the error is reported and the exit
/// code returned; close in any case.
int
tool_session_open(struct tool_session *s, const struct tool_options *opt);

/// Make the checkpoint's configuration; fails when no plugin wants its method.
int32_t
tool_session_configure(struct tool_session *s, const struct tool_options *opt,
                       struct dlq_error *err);

void
tool_session_close(struct tool_session *s);

#endif // DLQ_TOOLS_TOOL_H
