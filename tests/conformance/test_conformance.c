// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "check.h"
#include "support.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

/// Every check of tools/plugin_check on one plugin file of ours, given as the only argument.

static const struct check_case unquantized_cases[] = {
    {.name = "fp32",
     .config = "{\"anything\": [1, 2]}",
     .k = 100,
     .n = 56,
     .params_dtype = DLQ_F32},
    {.name = "fp16", .config = "{}", .k = 64, .n = 24, .params_dtype = DLQ_F16},
    {.name = "bf16", .config = "", .k = 40, .n = 41, .params_dtype = DLQ_BF16},
};

static const struct check_case awq_marlin_cases[] = {
    {.name = "asym g32",
     .config = "{\"quant_method\":\"awq\",\"bits\":4,\"group_size\":32,\"zero_point\":true,"
               "\"version\":\"gemm\",\"modules_to_not_convert\":[\"visual\"]}",
     .k = 256,
     .n = 64},
    {.name = "asym g128",
     .config = "{\"w_bit\":4,\"q_group_size\":128,\"zero_point\":true,\"version\":\"GEMM\"}",
     .k = 256,
     .n = 72},
    {.name = "sym g16",
     .config = "{\"bits\":4,\"group_size\":16,\"zero_point\":false,\"lm_head\":true}",
     .k = 80,
     .n = 64},
    {.name = "asym channel", .config = "{\"bits\":4,\"group_size\":-1}", .k = 72, .n = 40},
    {.name = "asym g43", .config = "{\"bits\":4,\"group_size\":43}", .k = 172, .n = 16},
};

#define CT(group)                                                                                  \
    "{\"quant_method\":\"compressed-tensors\",\"config_groups\":{\"group_0\":" group "}}"
#define SCHEME(format, weights, input)                                                             \
    CT("{\"targets\":[\"Linear\"],\"format\":\"" format "\",\"weights\":" weights                  \
       ",\"input_activations\":" input "}")
#define INT8_CHANNEL "{\"num_bits\":8,\"strategy\":\"channel\"}"

// Row k of g_idx belongs to a group that is not k / g.
static int
fill_act_order(const struct dlq_param_desc *desc, struct dlq_tensor *tensor,
               uint64_t (*random)(uint64_t *state), uint64_t *state)
{
    (void)random;
    (void)state;
    if (strcmp(desc->name, "weight_g_idx") != 0) {
        return 0;
    }
    const int32_t groups = (int32_t)(tensor->shape[0] / 32);
    for (int32_t i = 0; i < tensor->shape[0]; i++) {
        ((int32_t *)tensor->data)[i] = i * 7 % groups;
    }
    return 1;
}

// int8 codes of fewer bits must be in their range.
static int
fill_int3(const struct dlq_param_desc *desc, struct dlq_tensor *tensor,
          uint64_t (*random)(uint64_t *state), uint64_t *state)
{
    if (desc->dtype != DLQ_I8) {
        return 0;
    }
    for (int64_t i = 0; i < tensor->shape[0] * tensor->shape[1]; i++) {
        ((int8_t *)tensor->data)[i] = (int8_t)(random(state) % 8) - 4;
    }
    return 1;
}

// A static scale that x of about 1, with outliers of 20, fits.
static int
fill_static_scale(const struct dlq_param_desc *desc, struct dlq_tensor *tensor,
                  uint64_t (*random)(uint64_t *state), uint64_t *state)
{
    (void)random;
    (void)state;
    if (strcmp(desc->name, "input_scale") != 0) {
        return 0;
    }
    *(float *)tensor->data = 20.0F / 448.0F;
    return 1;
}

// Global scales that divide, and group scales that are positive e4m3 numbers from 1 to 4.
static int
fill_nvfp4(const struct dlq_param_desc *desc, struct dlq_tensor *tensor,
           uint64_t (*random)(uint64_t *state), uint64_t *state)
{
    if (strstr(desc->name, "global_scale")) {
        *(float *)tensor->data = strstr(desc->name, "input") ? 448.0F * 6.0F / 20.0F : 500.0F;
        return 1;
    }
    if (desc->dtype != DLQ_F8_E4M3) {
        return 0;
    }
    for (int64_t i = 0; i < tensor->shape[0] * tensor->shape[1]; i++) {
        ((uint8_t *)tensor->data)[i] = (uint8_t)(0x38 + random(state) % 16);
    }
    return 1;
}

// Exponents of scales from 2^-9 to 2^-2.
static int
fill_mx(const struct dlq_param_desc *desc, struct dlq_tensor *tensor,
        uint64_t (*random)(uint64_t *state), uint64_t *state)
{
    if (strcmp(desc->name, "weight_scale") != 0) {
        return 0;
    }
    for (int64_t i = 0; i < tensor->shape[0] * tensor->shape[1]; i++) {
        ((uint8_t *)tensor->data)[i] = (uint8_t)(118 + random(state) % 8);
    }
    return 1;
}

static const struct check_case compressed_tensors_cases[] = {
    {.name = "W4A16 sym g32",
     .config = SCHEME("pack-quantized", "{\"num_bits\":4,\"group_size\":32}", "null"),
     .k = 256,
     .n = 64},
    {.name = "W4A16 asym g64",
     .config = "{\"config_groups\":{\"group_0\":{\"targets\":[\"re:.*o_proj$\"],\"weights\":{"
               "\"num_bits\":4,\"group_size\":64,\"symmetric\":false}}},\"format\":"
               "\"pack-quantized\",\"ignore\":[\"lm_head\",\"re:vision.*\"]}",
     .k = 128,
     .n = 72},
    {.name = "W3A16 sym channel",
     .config = SCHEME("pack-quantized", "{\"num_bits\":3,\"strategy\":\"channel\"}", "null"),
     .k = 96,
     .n = 40},
    {.name = "W8A16 sym tensor",
     .config = SCHEME("pack-quantized", "{\"num_bits\":8,\"strategy\":\"tensor\"}", "null"),
     .k = 64,
     .n = 24},
    {.name = "W4A16 act order",
     .config = SCHEME("pack-quantized", "{\"num_bits\":4,\"group_size\":32,\"actorder\":\"group\"}",
                      "null"),
     .k = 128,
     .n = 32,
     .fill = fill_act_order},
    {.name = "W3A16 naive",
     .config = SCHEME("naive-quantized", "{\"num_bits\":3,\"group_size\":32}", "null"),
     .k = 64,
     .n = 24,
     .fill = fill_int3},
    {.name = "preset W8A16",
     .config = "{\"config_groups\":{\"W8A16\":[\"Linear\"]}}",
     .k = 128,
     .n = 16},
    {.name = "W8A8 dynamic",
     .config = SCHEME("int-quantized", INT8_CHANNEL, "{\"strategy\":\"token\",\"dynamic\":true}"),
     .k = 128,
     .n = 40},
    {.name = "W8A8 dynamic asym",
     .config = SCHEME("int-quantized", INT8_CHANNEL,
                      "{\"strategy\":\"token\",\"dynamic\":true,\"symmetric\":false}"),
     .k = 72,
     .n = 24},
    {.name = "W8A8 static tensor",
     .config = SCHEME("int-quantized", "{\"num_bits\":8,\"strategy\":\"tensor\"}",
                      "{\"strategy\":\"tensor\"}"),
     .k = 64,
     .n = 33},
    {.name = "FP8 channel, dynamic token",
     .config =
         SCHEME("float-quantized", "{\"num_bits\":8,\"type\":\"float\",\"strategy\":\"channel\"}",
                "{\"type\":\"float\",\"strategy\":\"token\",\"dynamic\":true}"),
     .k = 96,
     .n = 40},
    {.name = "FP8 block",
     .config = SCHEME("float-quantized",
                      "{\"type\":\"float\",\"strategy\":\"block\",\"block_structure\":[32,32]}",
                      "{\"type\":\"float\",\"group_size\":32,\"dynamic\":true}"),
     .k = 128,
     .n = 72},
    {.name = "FP8 channel, dynamic groups",
     .config = SCHEME("float-quantized", "{\"type\":\"float\",\"strategy\":\"channel\"}",
                      "{\"type\":\"float\",\"strategy\":\"group\",\"group_size\":128,"
                      "\"dynamic\":true}"),
     .k = 192,
     .n = 24},
    {.name = "FP8 static",
     .config = SCHEME("float-quantized", "{\"type\":\"float\",\"strategy\":\"tensor\"}",
                      "{\"type\":\"float\",\"strategy\":\"tensor\"}"),
     .k = 64,
     .n = 24,
     .fill = fill_static_scale},
    {.name = "NVFP4",
     .config = SCHEME("nvfp4-pack-quantized",
                      "{\"num_bits\":4,\"type\":\"float\",\"strategy\":\"tensor_group\","
                      "\"group_size\":16}",
                      "{\"num_bits\":4,\"type\":\"float\",\"strategy\":\"tensor_group\","
                      "\"group_size\":16,\"dynamic\":\"local\"}"),
     .k = 128,
     .n = 24,
     .fill = fill_nvfp4},
    {.name = "MXFP8 weight-only",
     .config = SCHEME("mxfp8-quantized", "{\"type\":\"float\",\"group_size\":32}", "null"),
     .k = 64,
     .n = 24,
     .fill = fill_mx},
    {.name = "W4AFP8",
     .config = SCHEME("int-quantized", "{\"num_bits\":4,\"group_size\":32}",
                      "{\"type\":\"float\",\"strategy\":\"token\",\"dynamic\":true}"),
     .k = 128,
     .n = 24,
     .fill = fill_int3},
    {.name = "W4A8 groups",
     .config = SCHEME("pack-quantized", "{\"num_bits\":4,\"group_size\":32}",
                      "{\"strategy\":\"token\",\"dynamic\":true}"),
     .k = 128,
     .n = 24},
    {.name = "W4A8 packed",
     .config = SCHEME("pack-quantized", "{\"num_bits\":4,\"strategy\":\"channel\"}",
                      "{\"strategy\":\"token\",\"dynamic\":true}"),
     .k = 64,
     .n = 24},
};

static const struct check_case template_cases[] = {
    {.name = "int8", .config = "{\"bits\":8,\"skip\":[\"lm_head\"]}", .k = 96, .n = 40},
};

static const struct {
    const char *name;
    const struct check_case *cases;
    size_t n_cases;
} tables[] = {
    {"unquantized", unquantized_cases, TEST_COUNT(unquantized_cases)},
    {"awq_marlin", awq_marlin_cases, TEST_COUNT(awq_marlin_cases)},
    {"compressed-tensors", compressed_tensors_cases, TEST_COUNT(compressed_tensors_cases)},
    {"template", template_cases, TEST_COUNT(template_cases)},
};

static struct check_subject subject;

static void
run_check(void **state)
{
    const struct check *const check = *state;
    struct check_result result;
    check_run(check, &subject, &result);
    if (result.verdict != CHECK_PASS) {
        fail_msg("%s: %s", result.verdict == CHECK_SKIP ? "skipped" : "failed", result.text);
    }
}

int
main(int argc, char **argv)
{
    // Names of checks come out as they begin: one that hangs is the last.
    setvbuf(stdout, NULL, _IOLBF, 0);
    void *const file = argc == 2 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
    if (!file) {
        fprintf(stderr, "usage: test_conformance PLUGIN.so (%s)\n", argc == 2 ? dlerror() : "");
        return 2;
    }
    void *const symbol = dlsym(file, DLQ_PLUGIN_SYMBOL);
    memcpy(&subject.query, &symbol, sizeof(symbol));
    subject.plugin = subject.query();
    subject.file = argv[1];
    subject.seed = 20260101;
    for (size_t i = 0; i < TEST_COUNT(tables); i++) {
        if (strcmp(tables[i].name, subject.plugin->name) == 0) {
            subject.cases = tables[i].cases;
            subject.n_cases = tables[i].n_cases;
        }
    }
    struct CMUnitTest tests[64];
    if (check_list_size > TEST_COUNT(tests)) {
        return 2;
    }
    for (size_t i = 0; i < check_list_size; i++) {
        tests[i] = (struct CMUnitTest){
            .name = check_list[i].name,
            .test_func = run_check,
            .initial_state = (void *)&check_list[i],
        };
    }
    return _cmocka_run_group_tests(subject.plugin->name, tests, check_list_size, NULL, NULL);
}
