// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

/// The smallest engine: one MLP of a checkpoint, act(x Wgate) * (x Wup), times Wdown, on dlquant's
/// layers. Build it against an installed dlquant:
///
///     cc embed.c $(pkg-config --cflags --libs dlquant) -lm -o embed
///     ./embed CHECKPOINT model.layers.0.mlp HIDDEN INTERMEDIATE

#include <dlquant/dlquant.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/// Fill a layer from the checkpoint and make it ready: the steps between create and apply.
static int32_t
finish(dlq_linear *layer, const dlq_checkpoint *ckpt, struct dlq_error *err)
{
    const int32_t status = dlq_linear_load_checkpoint(layer, ckpt, err);
    return status == DLQ_OK ? dlq_linear_process(layer, err) : status;
}

/// One multiplication with its own scratch; an engine keeps one scratch for all layers.
static int32_t
multiply(dlq_linear *layer, const float *x, float *y, struct dlq_error *err)
{
    const size_t size = dlq_linear_workspace_size(layer, 1);
    void *workspace = aligned_alloc(256, (size + 256) / 256 * 256);
    if (!workspace) {
        return DLQ_ENOMEM;
    }
    const struct dlq_linear_io io = {.struct_size = sizeof(io),
                                     .m = 1,
                                     .x = x,
                                     .y = y,
                                     .workspace = workspace,
                                     .workspace_size = size};
    const int32_t status = dlq_linear_apply(layer, &io, err);
    free(workspace);
    return status;
}

int
main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: embed CHECKPOINT PREFIX HIDDEN INTERMEDIATE\n");
        return 2;
    }
    const int64_t hidden = atoll(argv[3]);
    const int64_t inter = atoll(argv[4]);
    if (hidden < 1 || inter < 1 || hidden > 1 << 20 || inter > 1 << 20) {
        fprintf(stderr, "embed: sizes of 1 to 1048576\n");
        return 2;
    }
    char up_prefix[512], down_prefix[512], text[256];
    snprintf(up_prefix, sizeof(up_prefix), "%s.gate_up_proj", argv[2]);
    snprintf(down_prefix, sizeof(down_prefix), "%s.down_proj", argv[2]);

    struct dlq_error err = DLQ_ERROR_INIT;
    dlq_runtime *rt = NULL;
    dlq_checkpoint *ckpt = NULL;
    dlq_quant_config *config = NULL;
    dlq_linear *gate_up = NULL, *down = NULL;
    float *x = calloc((size_t)(2 * hidden + 3 * inter), sizeof(*x));
    int32_t status = x ? dlq_runtime_create(NULL, &rt, &err) : DLQ_ENOMEM;

    // 1. The checkpoint, and a configuration of the method that its config.json names.
    struct dlq_quant_source source = {.struct_size = sizeof(source)};
    if (status == DLQ_OK) {
        status = dlq_checkpoint_open(rt, argv[1], 0, &ckpt, &err);
    }
    if (status == DLQ_OK) {
        status = dlq_checkpoint_quant_source(ckpt, &source, &err);
    }
    if (status == DLQ_OK && source.quant_method[0] != '\0') {
        const struct dlq_device cpu = {DLQ_DEVICE_CPU, 0};
        status = dlq_quant_config_choose(rt, source.quant_method, source.text, source.len, cpu,
                                         &config, &err);
    }

    // 2. Two layers: gate and up side by side, split over outputs; down, split over inputs. With a
    //    collective in the description the same code runs on several ranks.
    const int64_t parts[] = {inter, inter};
    struct dlq_linear_desc desc = {.struct_size = sizeof(desc),
                                   .prefix = up_prefix,
                                   .input_size = hidden,
                                   .output_sizes = parts,
                                   .n_output_sizes = 2,
                                   .act_dtype = DLQ_F32,
                                   .max_m = 1,
                                   .config = config,
                                   .evidence = ckpt};
    if (status == DLQ_OK) {
        status = dlq_linear_merged_create(rt, &desc, &gate_up, &err);
    }
    desc.prefix = down_prefix;
    desc.input_size = inter;
    desc.output_size = hidden;
    desc.output_sizes = NULL;
    desc.n_output_sizes = 0;
    if (status == DLQ_OK) {
        status = dlq_linear_row_create(rt, &desc, &down, &err);
    }

    // 3. Weights, once.
    if (status == DLQ_OK) {
        status = finish(gate_up, ckpt, &err);
    }
    if (status == DLQ_OK) {
        status = finish(down, ckpt, &err);
    }

    // 4. Run.
    if (status == DLQ_OK) {
        float *both = x + hidden, *act = both + 2 * inter, *y = act + inter;
        for (int64_t i = 0; i < hidden; ++i) {
            x[i] = sinf((float)i);
        }
        status = multiply(gate_up, x, both, &err);
        for (int64_t i = 0; i < inter; ++i) {
            act[i] = both[i] / (1.0F + expf(-both[i])) * both[inter + i];
        }
        if (status == DLQ_OK) {
            status = multiply(down, act, y, &err);
        }
        if (status == DLQ_OK) {
            dlq_linear_describe(gate_up, text, sizeof(text));
            printf("%s\n", text);
            printf("y[0] = %.4f, y[%lld] = %.4f\n", (double)y[0], (long long)hidden - 1,
                   (double)y[hidden - 1]);
        }
    }
    if (status != DLQ_OK) {
        fprintf(stderr, "embed: %s\n", err.msg[0] ? err.msg : dlq_status_string(status));
    }
    dlq_linear_destroy(down);
    dlq_linear_destroy(gate_up);
    dlq_quant_config_destroy(config);
    dlq_checkpoint_close(ckpt);
    dlq_runtime_destroy(rt);
    free(x);
    return status == DLQ_OK ? 0 : 1;
}
