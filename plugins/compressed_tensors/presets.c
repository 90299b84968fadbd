// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "ct.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/// Schemes that a config group may name instead of spelling them out.

#define ARGS(kind, b, how, ...)                                                                    \
    {                                                                                              \
        .present = true, .bits = (b), .type = (kind), .symmetric = true, .strategy = (how),        \
        __VA_ARGS__                                                                                \
    }

#define INT8_TOKEN ARGS(CT_INT, 8, CT_TOKEN, .dynamic = CT_DYNAMIC)
#define INT4_TOKEN ARGS(CT_INT, 4, CT_TOKEN, .dynamic = CT_DYNAMIC)
#define FP8_TOKEN ARGS(CT_FLOAT, 8, CT_TOKEN, .dynamic = CT_DYNAMIC)
#define GROUP_128(b) ARGS(CT_INT, b, CT_GROUP, .group = 128)
#define NVFP4(how) ARGS(CT_FLOAT, 4, CT_TENSOR_GROUP, .group = 16, .scale = CT_SCALE_E4M3, how)
#define MX(b, how) ARGS(CT_FLOAT, b, CT_GROUP, .group = 32, .scale = CT_SCALE_U8, how)
#define STATIC .dynamic = CT_STATIC
#define DYNAMIC .dynamic = CT_DYNAMIC
#define LOCAL .dynamic = CT_LOCAL

struct preset {
    const char *name;
    struct ct_args weights;
    struct ct_args input;
};

static const struct preset presets[] = {
    {"UNQUANTIZED", {0}, {0}},
    {"W4A16_ASYM",
     {.present = true, .bits = 4, .type = CT_INT, .strategy = CT_GROUP, .group = 128},
     {0}},
    {"W8A8", ARGS(CT_INT, 8, CT_CHANNEL, STATIC), INT8_TOKEN},
    {"INT8", ARGS(CT_INT, 8, CT_CHANNEL, STATIC), INT8_TOKEN},
    {"W4AFP8", GROUP_128(4), FP8_TOKEN},
    {"FP8", ARGS(CT_FLOAT, 8, CT_TENSOR, STATIC), ARGS(CT_FLOAT, 8, CT_TENSOR, STATIC)},
    {"FP8_DYNAMIC", ARGS(CT_FLOAT, 8, CT_CHANNEL, STATIC), FP8_TOKEN},
    {"FP8_BLOCK", ARGS(CT_FLOAT, 8, CT_BLOCK, .block = {128, 128}),
     ARGS(CT_FLOAT, 8, CT_GROUP, .group = 128, .dynamic = CT_DYNAMIC)},
    {"NVFP4A16", NVFP4(STATIC), {0}},
    {"NVFP4", NVFP4(STATIC), NVFP4(LOCAL)},
    {"MXFP4A16", MX(4, STATIC), {0}},
    {"MXFP4", MX(4, STATIC), MX(4, DYNAMIC)},
    {"MXFP8A16", MX(8, STATIC), {0}},
    {"MXFP8", MX(8, STATIC), MX(8, DYNAMIC)},
};

// WxA16 (2..8), WxA8 (2..7) and WxA4 (2..4): int x in groups of 128.
static bool
find_integer(const char *name, struct ct_group *group)
{
    int bits = 0;
    int act = 0;
    int end = 0;
    if (sscanf(name, "%*1[Ww]%1d%*1[Aa]%2d%n", &bits, &act, &end) != 2 || name[end] != '\0') {
        return false;
    }
    const bool known = (act == 16 && bits >= 2 && bits <= 8) ||
                       (act == 8 && bits >= 2 && bits <= 7) || (act == 4 && bits >= 2 && bits <= 4);
    if (known) {
        group->weights = (struct ct_args)GROUP_128(bits);
        group->input = act == 8   ? (struct ct_args)INT8_TOKEN
                       : act == 4 ? (struct ct_args)INT4_TOKEN
                                  : (struct ct_args){.symmetric = true};
    }
    return known;
}

bool
ct_preset_find(const char *name, struct ct_group *group)
{
    for (size_t i = 0; i < sizeof(presets) / sizeof(*presets); i++) {
        if (strcasecmp(presets[i].name, name) == 0) {
            group->weights = presets[i].weights;
            group->input = presets[i].input;
            return true;
        }
    }
    return find_integer(name, group);
}
