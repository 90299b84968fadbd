// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "support.h"

#include <dlquant/dlquant.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/// Every published configuration of tests/data/configs gets the answer that its content deserves:
/// put into a checkpoint folder as it stood in its own, found there, and given to the method that
/// it names.

struct row {
    const char *file; ///< In tests/data/configs
    const char *as;   ///< Its name in the folder
    int32_t code;     ///< DLQ_OK: accepted
    const char *says; ///< In what is said: "<description> => <scheme of a layer>", or the refusal
};

static const struct row rows[] = {
    {"AutoAWQ__README.md__L133.json", "quantize_config.json", DLQ_OK,
     "=> W4A16 asym g128 (no entry of /modules_to_not_convert matches)"},
    {"AutoAWQ__examples.md__L144.json", "quantize_config.json", DLQ_OK,
     "=> W4A16 asym g64 (no entry of /modules_to_not_convert matches)"},
    {"GPTQModel__test_auto_module_decoder.py__L505.json", "quantize_config.json", DLQ_ENOTFOUND,
     "unknown quantization method 'modelopt'"},
    {"GPTQModel__test_auto_module_decoder.py__L541.json", "quantize_config.json", DLQ_ENOTFOUND,
     "unknown quantization method 'modelopt'"},
    {"GPTQModel__test_model.py__L319.json", "quantize_config.json", DLQ_OK,
     "=> W4A16 sym g32 (/config_groups/group_0/targets/0 'Linear' (class))"},
    {"GPTQModel__test_model.py__L672.json", "quantize_config.json", DLQ_ENOTFOUND,
     "unknown quantization method 'gguf'"},
    {"GPTQModel__test_model.py__L722.json", "quantize_config.json", DLQ_ENOTFOUND,
     "unknown quantization method 'modelopt'"},
    {"GPTQModel__test_model_dequant_fp8.py__L101.json", "quantize_config.json", DLQ_ENOTFOUND,
     "unknown quantization method 'fp8'"},
    {"GPTQModel__test_model_dequant_fp8.py__L152.json", "quantize_config.json", DLQ_ENOTFOUND,
     "unknown quantization method 'fp8'"},
    {"GPTQModel__test_model_dequant_fp8.py__L197.json", "config.json", DLQ_ENOTFOUND,
     "unknown quantization method 'fp8'"},
    {"GPTQModel__test_model_dequant_fp8.py__L244.json", "config.json", DLQ_ENOTFOUND,
     "unknown quantization method 'fp8'"},
    {"GPTQModel__test_model_dequant_fp8.py__L246.json", "quantize_config.json", DLQ_ENOTFOUND,
     "unknown quantization method 'fp8'"},
    {"GPTQModel__test_model_dequant_fp8.py__L388.json", "config.json", DLQ_ENOTFOUND,
     "unknown quantization method 'fp8'"},
    {"GPTQModel__test_model_dequant_fp8.py__L392.json", "quantize_config.json", DLQ_ENOTFOUND,
     "unknown quantization method 'fp8'"},
    {"GPTQModel__test_model_dequant_fp8.py__L99.json", "config.json", DLQ_ENOTFOUND,
     "unknown quantization method 'fp8'"},
    {"PhaeDawg-QuantScripts_Compressed-Tensors__config.json", "config.json", DLQ_OK,
     "=> float8 channel; float8 token dynamic (/config_groups/group_0/targets/0 'Linear' (class))"},
    {"Qwen-VL-Chat-Int4__quantize_config.json", "quantize_config.json", DLQ_ENOTFOUND,
     "unknown quantization method 'gptq'"},
    {"Qwen3.8-27B-AWQ__test_gdn_in_proj.py__L193.json", "quantize_config.json", DLQ_ECONFIG,
     "/config_groups/group_0/targets: at least one target is expected"},
    {"Qwen3.8-27B-AWQ__test_gdn_in_proj.py__L239.json", "quantize_config.json", DLQ_ECONFIG,
     "/config_groups/group_0/targets: at least one target is expected"},
    {"TensorRT-Model-Optimizer__convert_oai_mxfp4_weight_only.py__L77.json", "quantize_config.json",
     DLQ_ENOTFOUND, "unknown quantization method 'mxfp4'"},
    {"Wizard-Vicuna-30B-Uncensored-GPTQ__quantize_config.json", "quantize_config.json",
     DLQ_ENOTFOUND, "unknown quantization method 'gptq'"},
    {"aic__MiniMaxAI--MiniMax-M2.5_config.json", "config.json", DLQ_ENOTFOUND,
     "unknown quantization method 'fp8'"},
    {"aic__Qwen--Qwen3-235B-A22B-FP8_config.json", "config.json", DLQ_ENOTFOUND,
     "unknown quantization method 'fp8'"},
    {"aic__Qwen--Qwen3-30B-A3B-FP8_config.json", "config.json", DLQ_ENOTFOUND,
     "unknown quantization method 'fp8'"},
    {"aic__Qwen--Qwen3-32B-FP8-Static-PerTensor_hf_quant_config.json", "hf_quant_config.json",
     DLQ_ENOTFOUND, "unknown quantization method 'modelopt'"},
    {"aic__Qwen--Qwen3-32B-FP8_config.json", "config.json", DLQ_ENOTFOUND,
     "unknown quantization method 'fp8'"},
    {"aic__config-2.json", "config.json", DLQ_ENOTFOUND, "unknown quantization method 'fp8'"},
    {"aic__config.json", "config.json", DLQ_ENOTFOUND, "unknown quantization method 'fp8'"},
    {"aic__deepseek-ai--DeepSeek-V3.2_config.json", "config.json", DLQ_ENOTFOUND,
     "unknown quantization method 'fp8'"},
    {"aic__deepseek-ai--DeepSeek-V3_config.json", "config.json", DLQ_ENOTFOUND,
     "unknown quantization method 'fp8'"},
    {"aic__deepseek-ai--DeepSeek-V4-Pro_config.json", "config.json", DLQ_ENOTFOUND,
     "unknown quantization method 'fp8'"},
    {"aic__moonshotai--Kimi-K2-Instruct_config.json", "config.json", DLQ_ENOTFOUND,
     "unknown quantization method 'fp8'"},
    {"aic__moonshotai--Kimi-K3_config.json", "config.json", DLQ_OK,
     "=> not quantized (/ignore/2 're:.*mlp\\.(gate|up|gate_up|down)_proj.*' (regex))"},
    {"aic__nvidia--DeepSeek-V3.1-NVFP4_hf_quant_config.json", "hf_quant_config.json", DLQ_ENOTFOUND,
     "unknown quantization method 'modelopt'"},
    {"aic__nvidia--DeepSeek-V4-Flash-NVFP4_config.json", "config.json", DLQ_ENOTFOUND,
     "unknown quantization method 'fp8'"},
    {"aic__nvidia--DeepSeek-V4-Flash-NVFP4_hf_quant_config.json", "hf_quant_config.json",
     DLQ_ENOTFOUND, "unknown quantization method 'modelopt'"},
    {"aic__nvidia--DeepSeek-V4-Pro-NVFP4_hf_quant_config.json", "hf_quant_config.json",
     DLQ_ENOTFOUND, "unknown quantization method 'modelopt'"},
    {"aic__nvidia--GLM-5-NVFP4_hf_quant_config.json", "hf_quant_config.json", DLQ_ENOTFOUND,
     "unknown quantization method 'modelopt'"},
    {"aic__nvidia--GLM-5.1-NVFP4_hf_quant_config.json", "hf_quant_config.json", DLQ_ENOTFOUND,
     "unknown quantization method 'modelopt'"},
    {"aic__nvidia--GLM-5.2-NVFP4_config.json", "config.json", DLQ_ENOTFOUND,
     "unknown quantization method 'modelopt'"},
    {"aic__nvidia--Gemma-4-26B-A4B-NVFP4_config.json", "config.json", DLQ_ENOTFOUND,
     "unknown quantization method 'modelopt'"},
    {"aic__nvidia--Gemma-4-26B-A4B-NVFP4_hf_quant_config.json", "hf_quant_config.json",
     DLQ_ENOTFOUND, "unknown quantization method 'modelopt'"},
    {"aic__nvidia--Gemma-4-31B-IT-NVFP4_hf_quant_config.json", "hf_quant_config.json",
     DLQ_ENOTFOUND, "unknown quantization method 'modelopt'"},
    {"aic__nvidia--Kimi-K2.5-NVFP4_config.json", "config.json", DLQ_ENOTFOUND,
     "unknown quantization method 'modelopt'"},
    {"aic__nvidia--Kimi-K2.6-NVFP4_hf_quant_config.json", "hf_quant_config.json", DLQ_ENOTFOUND,
     "unknown quantization method 'modelopt'"},
    {"aic__nvidia--Kimi-K2.7-Code-NVFP4_config.json", "config.json", DLQ_ENOTFOUND,
     "unknown quantization method 'modelopt'"},
    {"aic__nvidia--Llama-3.1-70B-Instruct-FP8_hf_quant_config.json", "hf_quant_config.json",
     DLQ_ENOTFOUND, "unknown quantization method 'modelopt'"},
    {"aic__nvidia--MiniMax-M2.5-NVFP4_config.json", "config.json", DLQ_ENOTFOUND,
     "unknown quantization method 'modelopt'"},
    {"aic__nvidia--MiniMax-M2.7-NVFP4_config.json", "config.json", DLQ_ENOTFOUND,
     "unknown quantization method 'modelopt'"},
    {"aic__nvidia--MiniMax-M2.7-NVFP4_hf_quant_config.json", "hf_quant_config.json", DLQ_ENOTFOUND,
     "unknown quantization method 'modelopt'"},
    {"aic__nvidia--NVIDIA-Nemotron-3-Super-120B-A12B-FP8_hf_quant_config.json",
     "hf_quant_config.json", DLQ_ENOTFOUND, "unknown quantization method 'modelopt'"},
    {"aic__nvidia--NVIDIA-Nemotron-3-Super-120B-A12B-NVFP4_hf_quant_config.json",
     "hf_quant_config.json", DLQ_ENOTFOUND, "unknown quantization method 'modelopt'"},
    {"aic__nvidia--NVIDIA-Nemotron-3-Ultra-550B-A55B-NVFP4_hf_quant_config.json",
     "hf_quant_config.json", DLQ_ENOTFOUND, "unknown quantization method 'modelopt'"},
    {"aic__nvidia--Qwen3-235B-A22B-NVFP4_hf_quant_config.json", "hf_quant_config.json",
     DLQ_ENOTFOUND, "unknown quantization method 'modelopt'"},
    {"aic__nvidia--Qwen3.5-122B-A10B-NVFP4_hf_quant_config.json", "hf_quant_config.json",
     DLQ_ENOTFOUND, "unknown quantization method 'modelopt'"},
    {"aic__nvidia--Qwen3.5-397B-A17B-NVFP4_config.json", "config.json", DLQ_ENOTFOUND,
     "unknown quantization method 'modelopt'"},
    {"aic__nvidia--Qwen3.6-27B-NVFP4_config.json", "config.json", DLQ_ENOTFOUND,
     "unknown quantization method 'modelopt'"},
    {"aic__nvidia--Qwen3.6-27B-NVFP4_hf_quant_config.json", "hf_quant_config.json", DLQ_ENOTFOUND,
     "unknown quantization method 'modelopt'"},
    {"aic__nvidia--Qwen3.6-35B-A3B-NVFP4_hf_quant_config.json", "hf_quant_config.json",
     DLQ_ENOTFOUND, "unknown quantization method 'modelopt'"},
    {"aic__openai--gpt-oss-120b_config.json", "config.json", DLQ_ENOTFOUND,
     "unknown quantization method 'mxfp4'"},
    {"aic__sgl-project--DeepSeek-V4-Flash-FP8_config.json", "config.json", DLQ_ENOTFOUND,
     "unknown quantization method 'fp8'"},
    {"aic__sgl-project--DeepSeek-V4-Pro-FP8_config.json", "config.json", DLQ_ENOTFOUND,
     "unknown quantization method 'fp8'"},
    {"aic__zai-org--GLM-5-FP8_config.json", "config.json", DLQ_ENOTFOUND,
     "unknown quantization method 'fp8'"},
    {"aic__zai-org--GLM-5.1-FP8_config.json", "config.json", DLQ_ENOTFOUND,
     "unknown quantization method 'fp8'"},
    {"aphrodite-engine__test_tpu_int8.py__L28.json", "quantize_config.json", DLQ_ENOTFOUND,
     "unknown quantization method 'tpu_int8'"},
    {"auto-round__mistral.py__L46.json", "quantize_config.json", DLQ_ENOTFOUND,
     "unknown quantization method 'fp8'"},
    {"auto-round__test_model_free.py__L796.json", "config.json", DLQ_ECONFIG,
     "/config_groups: an object is expected, nothing was found"},
    {"auto-round__test_model_free.py__L799.json", "quantize_config.json", DLQ_ECONFIG,
     "/config_groups: an object is expected, nothing was found"},
    {"auto-round__test_model_free.py__L804.json", "quantize_config.json", DLQ_ECONFIG,
     "/config_groups: an object is expected, nothing was found"},
    {"auto-round__test_model_free_utils.py__L671.json", "config.json", DLQ_ECONFIG,
     "/config_groups: an object is expected, nothing was found"},
    {"compressed-tensors__example_quant_config.json", "quantize_config.json", DLQ_OK,
     "=> W8A8 int8 sym tensor, static tensor (/config_groups/group_1/targets/0 'Linear' (class))"},
    {"compressed-tensors__int4_config.json", "quantize_config.json", DLQ_OK,
     "group_1: weights int4 tensor asym: packed zero points need strategy group or channel"},
    {"compressed-tensors__test_autoawq.py__L108.json", "quantize_config.json", DLQ_OK,
     "=> W4A16 asym g32 (no entry of /modules_to_not_convert matches)"},
    {"compressed-tensors__test_dynamic_lifecycle.py__L75.json", "quantize_config.json", DLQ_OK,
     "group_1: weights int8 tensor with input_activations int8 tensor dynamic: int8 per token "
     "(dynamic) or per tensor (static) is accepted, float over symmetric int2 to int5, or none"},
    {"hf__BrainForge--Devstral-2-123B-Instruct-2512-NVFP4__quantization_config.json",
     "quantize_config.json", DLQ_OK,
     "=> float4 tensor_group 16; float4 tensor_group 16 local (/config_groups/group_0/targets/0 "
     "'Linear' (class))"},
    {"hf__HuggingFaceM4--idefics2-8b-AWQ__quantization_config.json", "config.json", DLQ_OK,
     "=> W4A16 asym g128 (no entry of /modules_to_not_convert matches)"},
    {"hf__MaziyarPanahi--Mistral-7B-Instruct-v0.2-AWQ__quant_config.json", "quant_config.json",
     DLQ_OK, "=> W4A16 asym g128 (no entry of /modules_to_not_convert matches)"},
    {"hf__PatronusAI--Llama-3.1-70B-Instruct-AWQ-INT4__config.json", "config.json", DLQ_OK,
     "=> W4A16 asym g128 (no entry of /modules_to_not_convert matches)"},
    {"hf__TechxGenus--Meta-Llama-3-70B-AWQ__config.json", "config.json", DLQ_OK,
     "=> W4A16 asym g128 (no entry of /modules_to_not_convert matches)"},
    {"hf__TheBloke--CodeLlama-7B-Python-AWQ__quant_config.json", "quant_config.json", DLQ_OK,
     "=> W4A16 asym g128 (no entry of /modules_to_not_convert matches)"},
    {"hf__Weni--ZeroShot-Agents-Llama3-4.0.6-SFT-AWQ__quant_config.json", "quant_config.json",
     DLQ_OK, "=> W4A16 asym g128 (no entry of /modules_to_not_convert matches)"},
    {"hf__amazon--FalconLite__quantize_config.json", "quantize_config.json", DLQ_ENOTFOUND,
     "unknown quantization method 'gptq'"},
    {"hf__neuralmagic--Sparse-Llama-3.1-8B-ultrachat_200k-2of4-quantized.w4a16__quantization_"
     "config.json",
     "config.json", DLQ_EUNSUPPORTED,
     "/format: 'marlin-24' is 2:4 sparsity, which has no kernel; a checkpoint saved as "
     "pack-quantized or int-quantized would run"},
    {"hf__nm-testing--DeepSeek-Coder-V2-Lite-Instruct-W8A8__compression_config.json", "config.json",
     DLQ_OK,
     "=> W8A8 int8 sym channel, dynamic token (/config_groups/group_0/targets/0 'Linear' (class))"},
    {"hf__nm-testing--Phi-3-mini-128k-instruct-FP8__compression_config.json", "config.json", DLQ_OK,
     "=> float8 tensor; float8 tensor (/config_groups/group_0/targets/0 'Linear' (class))"},
    {"hf__openbmb--MiniCPM-o-AWQ__quantization_config.json", "config.json", DLQ_OK,
     "=> W4A16 asym g128 (no entry of /modules_to_not_convert matches)"},
    {"hf__unsloth--Qwen3.8-27B-NVFP4__mixed.partial.json", "config.json", DLQ_OK,
     "=> float8 channel; float8 token dynamic (/config_groups/group_0/targets/3 "
     "'re:.*layers\\.(56|57|58|59|60|61|62|63)\\.mlp\\.(gate|up|down)_proj$' (regex); group_1 "
     "matches too)"},
    {"hf__ybelkada--llava-1.5-7b-hf-awq__config.json", "config.json", DLQ_OK,
     "=> W4A16 asym g128 (no entry of /modules_to_not_convert matches)"},
    {"mistral.rs__normal_config.rs__L3253.json", "config.json", DLQ_OK,
     "=> W4A16 asym g128 (no entry of /modules_to_not_convert matches)"},
    {"sglang_awq__README.md__L385.json", "quantize_config.json", DLQ_ENOTFOUND,
     "unknown quantization method 'fp8'"},
    {"sglang_awq__config.md__L76.json", "quantize_config.json", DLQ_ENOTFOUND,
     "unknown quantization method 'fp8'"},
    {"sglang_awq__test_modelopt_export.py__L99.json", "config.json", DLQ_ENOTFOUND,
     "unknown quantization method 'modelopt'"},
    {"vllm-ascend__Kimi-K2-Thinking.md__L29.json", "quantize_config.json", DLQ_OK,
     "=> not quantized (no rule matches)"},
    {"vllm-ascend__conftest_quantization.py__L35.json", "quantize_config.json", DLQ_OK,
     "=> W8A8 int8 sym channel, dynamic token (/config_groups/group_0/targets/0 'Linear' (class))"},
};

// What becomes of a layer that nothing singles out: its scheme, "not quantized", or the refusal.
static void
plan_layer(dlq_runtime *rt, dlq_quant_config *config, char *line, size_t size)
{
    const struct dlq_linear_desc desc = {
        .struct_size = sizeof(desc),
        .flags = DLQ_LINEAR_PLAN,
        .prefix = "model.layers.58.mlp.down_proj",
        .input_size = 2048,
        .output_size = 2048,
        .act_dtype = DLQ_BF16,
        .config = config,
    };
    struct dlq_error err = DLQ_ERROR_INIT;
    dlq_linear *layer = NULL;
    const size_t used = strlen(line);
    if (dlq_linear_column_create(rt, &desc, &layer, &err) != DLQ_OK) {
        snprintf(line + used, size - used, " => %.900s", err.msg);
        return;
    }
    const struct dlq_decision *const d = dlq_linear_decision(layer);
    snprintf(line + used, size - used, " => %s (%s)",
             d->answer == DLQ_METHOD ? d->scheme : "not quantized", d->rule);
    dlq_linear_destroy(layer);
}

// Open a folder that holds the file, find its section, make the configuration. `line` gets what is
// said.
static int32_t
answer(const struct row *row, char *line, size_t size)
{
    static const float zero = 0.0F;
    const struct test_tensor tensor = {
        .name = "model.norm.weight",
        .dtype = "F32",
        .ndim = 1,
        .shape = {1},
        .data = &zero,
        .nbytes = sizeof(zero),
    };
    char *const dir = test_tmpdir();
    char path[256];
    snprintf(path, sizeof(path), "configs/%s", row->file);
    if (strcmp(row->as, "config.json") != 0) {
        test_write_text(dir, "config.json", "{}");
    }
    test_copy(path, dir, row->as);
    test_safetensors(dir, "model.safetensors", &tensor, 1);

    const struct dlq_runtime_options options = {.struct_size = sizeof(options), .n_threads = 1};
    const struct dlq_device cpu = {DLQ_DEVICE_CPU, 0};
    struct dlq_error err = DLQ_ERROR_INIT;
    dlq_runtime *rt = NULL;
    dlq_checkpoint *ckpt = NULL;
    dlq_quant_config *config = NULL;
    struct dlq_quant_source source = {.struct_size = sizeof(source)};
    test_assert_ok(dlq_runtime_create(&options, &rt, &err), &err);
    int32_t status = dlq_checkpoint_open(rt, dir, DLQ_CHECKPOINT_HEADERS_ONLY, &ckpt, &err);
    if (status == DLQ_OK) {
        status = dlq_checkpoint_quant_source(ckpt, &source, &err);
    }
    if (status == DLQ_OK && source.quant_method[0] == '\0') {
        snprintf(line, size, "unquantized");
    } else if (status == DLQ_OK) {
        status = dlq_quant_config_choose(rt, source.quant_method, source.text, source.len, cpu,
                                         &config, &err);
    }
    if (config) {
        dlq_quant_config_describe(config, line, size);
        plan_layer(rt, config, line, size);
    } else if (status != DLQ_OK) {
        snprintf(line, size, "%s", err.msg);
    }
    dlq_quant_config_destroy(config);
    dlq_checkpoint_close(ckpt);
    dlq_runtime_destroy(rt);
    test_tmpdir_remove(dir);
    return status;
}

static void
file_gets_the_answer_it_deserves(void **state)
{
    const struct row *const row = *state;
    char line[2 * DLQ_ERROR_MSG_SIZE];
    const int32_t status = answer(row, line, sizeof(line));
    if (status != row->code || !strstr(line, row->says)) {
        fail_msg("status %d with '%s'; %d with '%s' is expected", (int)status, line, (int)row->code,
                 row->says);
    }
}

int
main(void)
{
    static struct CMUnitTest tests[TEST_COUNT(rows)];
    for (size_t i = 0; i < TEST_COUNT(rows); i++) {
        tests[i] = (struct CMUnitTest){
            .name = rows[i].file,
            .test_func = file_gets_the_answer_it_deserves,
            .initial_state = (void *)&rows[i],
        };
    }
    return _cmocka_run_group_tests("config_files", tests, TEST_COUNT(rows), NULL, NULL);
}
