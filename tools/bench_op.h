// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_TOOLS_BENCH_OP_H
#define DLQ_TOOLS_BENCH_OP_H

#include <dlquant/dlquant.h>

#include <stdbool.h>
#include <stdint.h>

/// Operations that `dlquant bench` measures, as layers of checkpoints that do not exist: a
/// configuration and tensors in memory, whose weights are known.

/// How an operation stores its weights.
enum tool_bench_form {
    TOOL_BENCH_AWQ,   ///< 4 bits with zero points, gemm packing
    TOOL_BENCH_PACK,  ///< 4 or 8 bits, symmetric, pack-quantized
    TOOL_BENCH_INT8,  ///< int8, one scale an output, int8 activations a token
    TOOL_BENCH_INT4,  ///< 4 bits in groups, one code a byte, int8 activations a token
    TOOL_BENCH_FP8,   ///< e4m3, one scale an output, fp8 activations a token
    TOOL_BENCH_FP8_W, ///< The same with activations as they are
    TOOL_BENCH_DENSE  ///< Not quantized
};

struct tool_bench_op {
    char name[48]; ///< As files of figures have it: "w4a16_fp16_zp_g128"
    enum tool_bench_form form;
    int32_t bits;   ///< Of a weight
    int64_t group;  ///< Inputs that share a scale; 0: all
    uint32_t dtype; ///< Of x and y
};

/// Operations that are measured when none is named, separated by commas.
#define TOOL_BENCH_OPS "w4a16_zp_g128,w8a8_int8,w8a8_fp8,dense"

/// Every operation, for messages.
#define TOOL_BENCH_NAMES                                                                           \
    "w4a16_zp_gN, w4a16_gN, w4a16_channel, w8a16_gN, w8a16_channel, w4a8_gN, w8a8_int8, "          \
    "w8a8_fp8, "                                                                                   \
    "w8a16_fp8, dense; with _fp16, _bf16 or _fp32 behind the first word"

/// Read the first `len` bytes of `text`. `dtype`: what holds where the name has none. False when
/// there is no such operation.
bool
tool_bench_op_parse(const char *text, size_t len, uint32_t dtype, struct tool_bench_op *out);

/// A tensor of the layer, unsharded.
struct tool_bench_tensor {
    const char *name;
    struct dlq_tensor view;
};

/// The weights of one shape.
struct tool_bench_weights {
    const struct tool_bench_op *op;
    int64_t k, n;
    struct tool_bench_tensor tensors[3];
    int n_tensors;
};

/// Make [n, k] weights from a fixed seed. False when the shape does not suit the operation.
bool
tool_bench_weights_make(struct tool_bench_weights *w, const struct tool_bench_op *op, int64_t k,
                        int64_t n);

void
tool_bench_weights_free(struct tool_bench_weights *w);

/// W[n, k] as the checkpoint stores it.
double
tool_bench_weight(const struct tool_bench_weights *w, int64_t n, int64_t k);

/// Text of the quantization section and the method's name; NULL name: unquantized.
const char *
tool_bench_config(const struct tool_bench_op *op, char *text, size_t size);

#endif // DLQ_TOOLS_BENCH_OP_H
