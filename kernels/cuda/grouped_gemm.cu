// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// Grouped products: the packed form's geometry, the choice of a tile and of the parts that K is cut
// into, and the sum of those parts.
#include "grouped_gemm.h"
#include "grouped_kernels.h"
#include "grouped_layout.h"
#include "launch.cuh"
#include "ptx.cuh"
#include "round.cuh"
#include "sm90_grouped.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

namespace
{

constexpr int MAX_SPLITS = 16;

uint32_t
packed_scale(uint32_t dtype)
{
    switch (dtype) {
    case DLQ_F32:
    case DLQ_F16:
    case DLQ_BF16:
        return dtype;
    case DLQ_F8_E4M3:
    case DLQ_F8_E8M0:
        return DLQ_BF16;
    default:
        return DLQ_DTYPE_NONE;
    }
}

int64_t
place(int64_t *at, int64_t bytes)
{
    const int64_t offset = *at;
    *at = dlq::round_up(*at + bytes, 256);
    return bytes > 0 ? offset : 0;
}

} // namespace

int64_t
grouped_source_groups(const struct dlq_k_grouped_desc *d)
{
    return d->n_groups > 0 ? d->n_groups : dlq::divide_up(d->k, d->group);
}

void
grouped_lay_out(struct dlq_k_grouped *w)
{
    const struct dlq_k_grouped_desc *const d = &w->desc;
    const bool one = grouped_source_groups(d) == 1;
    const int64_t four_bits = d->code == DLQ_K_GROUPED_U4 || d->code == DLQ_K_GROUPED_E2M1;
    const int64_t scale = w->packed_scale == DLQ_F32 ? 4 : 2;
    int64_t at = 0;
    place(&at, w->padded_n * w->padded_k / (four_bits ? 2 : 1));
    w->scales_at = place(&at, one ? 0 : w->groups * w->padded_n * scale);
    w->zeros_at = place(&at, d->zeros ? w->groups * w->padded_n : 0);
    w->factors_at = place(&at, one || d->factors ? w->padded_n * 4 : 0);
    w->blocks_at = place(&at, w->padded_k / 64 * 4);
    const bool ordered = !one && (d->act_order || d->group % 16 != 0);
    w->order_at = place(&at, ordered ? w->padded_k * 4 : 0);
    w->bytes = at;
}

extern "C" int
dlq_k_grouped_plan(struct dlq_k_grouped *w, const struct dlq_k_grouped_desc *d)
{
    const int64_t limit = INT32_MAX / 2;
    if (d->k <= 0 || d->n <= 0 || d->k > limit || d->n > limit || d->group <= 0 ||
        d->group > d->k || d->n_groups < 0 || d->n_groups > limit || d->code < 0 ||
        d->code >= DLQ_K_GROUPED_CODES ||
        (!d->act_order && d->n_groups != 0 && d->n_groups != dlq::divide_up(d->k, d->group)))
        return -DLQ_K_ESHAPE;
    struct dlq_k_grouped out = {};
    out.desc = *d;
    out.packed_scale = packed_scale(d->scale_dtype);
    if (out.packed_scale == DLQ_DTYPE_NONE)
        return -DLQ_K_EDTYPE;
    out.padded_n = dlq::round_up(d->n, 64);
    out.groups = grouped_source_groups(d);
    out.block_groups = 1;
    if (out.groups == 1) {
        out.padded_k = dlq::round_up(d->k, 64);
    } else if (d->act_order) {
        // What no map of rows to groups exceeds.
        out.groups = out.groups < d->k ? out.groups : d->k;
        out.padded_k = dlq::round_up(d->k + 15 * out.groups, 64);
        out.block_groups = 4;
    } else {
        const int64_t steps = dlq::divide_up(d->group, 16);
        const int64_t last = d->k - (out.groups - 1) * d->group;
        out.padded_k = dlq::round_up((out.groups - 1) * steps * 16 + dlq::round_up(last, 16), 64);
        out.block_groups = steps == 1 ? 4 : steps % 4 == 0 ? 1 : 2;
    }
    if (out.padded_n / 64 > 65535 || out.padded_k > limit)
        return -DLQ_K_ESHAPE;
    grouped_lay_out(&out);
    *w = out;
    return 0;
}

namespace
{

// How a product of some rows is cut up.
struct choice {
    int tile, splits;
    int64_t split; // blocks of K of one
};

choice
cut(const struct dlq_k_grouped *w, int tile, int64_t splits)
{
    const struct grouped_tile *const t = &grouped_tiles[tile];
    const int64_t turns = dlq::divide_up(w->padded_k / 64, t->slices);
    splits = splits < turns / 2 ? splits : turns / 2;
    splits = splits < 1 ? 1 : splits > MAX_SPLITS ? MAX_SPLITS : splits;
    choice c = {tile, 1, dlq::divide_up(turns, splits) * t->slices};
    c.splits = (int)dlq::divide_up(w->padded_k / 64, c.split);
    return c;
}

int64_t
tiles_of(const struct dlq_k_grouped *w, int tile, int64_t rows)
{
    const struct grouped_tile *const t = &grouped_tiles[tile];
    return dlq::divide_up(rows, t->rows) * dlq::divide_up(w->padded_n, t->columns);
}

// Nanoseconds of the two largest tiles, as an H100 was measured: CTAs come in waves of one a
// multiprocessor, a block of K takes 545 and 1000 ns, and the parts of K are added up at 4 TB/s.
int64_t
cost_of(const struct dlq_k_grouped *w, const choice *c, int64_t rows, int multiprocessors)
{
    const struct grouped_tile *const t = &grouped_tiles[c->tile];
    const int64_t waves = dlq::divide_up(tiles_of(w, c->tile, rows) * c->splits, multiprocessors);
    const int64_t sums = dlq::round_up(rows, t->rows) * w->padded_n * 8 * c->splits;
    return waves * (c->split * (t->rows == 64 ? 545 : 1000) + 2500) +
           (c->splits > 1 ? 3000 + sums / 4000 : 0);
}

// Depends on rows only by how many tiles of the last size but one they take.
choice
choose(const struct dlq_k_grouped *w, int64_t rows, int multiprocessors)
{
    multiprocessors = multiprocessors > 0 ? multiprocessors : 1;
    int tile = 0;
    while (tile < GROUPED_TILES - 2 && rows > grouped_tiles[tile].rows)
        tile++;
    if (tile < GROUPED_TILES - 2)
        return cut(w, tile, 2 * multiprocessors / tiles_of(w, tile, rows));
    choice best = {};
    int64_t least = INT64_MAX;
    for (; tile < GROUPED_TILES && (tile == GROUPED_TILES - 2 || rows > 64); tile++) {
        const int most = tiles_of(w, tile, rows) < 2 * multiprocessors ? MAX_SPLITS : 1;
        for (int splits = 1; splits <= most; splits++) {
            const choice c = cut(w, tile, splits);
            const int64_t cost = cost_of(w, &c, rows, multiprocessors);
            if (cost < least) {
                least = cost;
                best = c;
            }
        }
    }
    return best;
}

// What the parts of K of so many rows of x take, which may be parts of rows themselves.
int64_t
partial_bytes(const struct dlq_k_grouped *w, const choice *c, int64_t rows, int parts)
{
    return c->splits > 1 || parts > 1 ? c->splits * rows * w->padded_n * 4 : 0;
}

// Shared memory of a block and of a multiprocessor.
int
shared_limit(int capability)
{
    const bool small = capability == 86 || capability == 89 || capability >= 120;
    return (small ? 99 : capability < 90 ? 163 : 227) * 1024;
}

void
lay_out_stage(struct grouped_args *a, const struct dlq_k_grouped *w, const struct grouped_tile *t,
              int capability)
{
    const int columns = t->columns, held = t->slices * a->block_groups * columns;
    const bool four_bits = w->desc.code == DLQ_K_GROUPED_U4 || w->desc.code == DLQ_K_GROUPED_E2M1;
    a->x_at = t->slices * columns * (four_bits ? 32 : 64);
    a->scales_at = a->x_at + t->slices * t->rows * 128;
    a->zeros_at = a->scales_at + (a->scales ? held * (a->scale_dtype == DLQ_F32 ? 4 : 2) : 0);
    a->stage_at = (a->zeros_at + (a->zeros ? held : 0) + 127) / 128 * 128;
    const int limit = shared_limit(capability);
    const int room = (t->rows <= 32 ? limit / 2 - 1024 : limit) / a->stage_at;
    a->stages = room < 2 ? 2 : room > 6 ? 6 : room;
}

int
launch_product(const struct dlq_k_grouped *w, const struct grouped_launch *l,
               const struct grouped_args *a, cudaStream_t stream)
{
    switch (w->desc.code) {
    case DLQ_K_GROUPED_U4:
        return grouped_u4(l, a, stream);
    case DLQ_K_GROUPED_U8:
        return grouped_u8(l, a, stream);
    case DLQ_K_GROUPED_E4M3:
        return grouped_e4m3(l, a, stream);
    default:
        return grouped_e2m1(l, a, stream);
    }
}

struct reduce_args {
    const float *partial, *factors, *row_scale, *bias;
    void *y;
    int64_t m, y_stride;
    int n, padded_n, splits, parts;
    uint32_t y_dtype;
};

// Splits are [splits][parts][m][padded n].
__global__ void __launch_bounds__(256) reduce(const __grid_constant__ reduce_args a)
{
    ptx_pdl_launch();
    ptx_pdl_wait();
    const int64_t i = (int64_t)blockIdx.x * 256 + threadIdx.x;
    const int64_t m = i / (a.padded_n / 4);
    const int n = (int)(i % (a.padded_n / 4)) * 4;
    if (m >= a.m || n >= a.n)
        return;
    const int64_t plane = a.m * a.padded_n;
    const float *const at = a.partial + m * a.padded_n + n;
    float4 sum = *(const float4 *)at;
    for (int t = 1; t < a.splits * a.parts; t++) {
        const float4 v = *(const float4 *)(at + t * plane);
        sum.x += v.x, sum.y += v.y, sum.z += v.z, sum.w += v.w;
    }
    const float each[4] = {sum.x, sum.y, sum.z, sum.w};
    const float scale = a.row_scale != nullptr ? a.row_scale[m] : 1.0f;
#pragma unroll
    for (int e = 0; e < 4; e++) {
        if (n + e >= a.n)
            break;
        const float factor = a.factors != nullptr ? a.factors[n + e] : 1.0f;
        const float v = __fadd_rn(__fmul_rn(each[e], __fmul_rn(scale, factor)),
                                  a.bias != nullptr ? a.bias[n + e] : 0.0f);
        const int64_t to = m * a.y_stride + n + e;
        if (a.y_dtype == DLQ_F16)
            ((__half *)a.y)[to] = __float2half_rn(v);
        else if (a.y_dtype == DLQ_BF16)
            ((__nv_bfloat16 *)a.y)[to] = __float2bfloat16_rn(v);
        else
            ((float *)a.y)[to] = v;
    }
}

int
launch_reduce(const struct dlq_k_grouped *w, const struct dlq_k_grouped_call *call,
              const struct grouped_args *g, int splits, cudaStream_t stream)
{
    reduce_args a = {};
    a.partial = g->partial;
    a.factors = g->factors;
    a.row_scale = g->row_scale;
    a.bias = g->bias;
    a.y = call->y;
    a.m = call->m;
    a.y_stride = call->y_stride;
    a.n = g->n;
    a.padded_n = (int)w->padded_n;
    a.splits = splits;
    a.parts = call->x.parts;
    a.y_dtype = call->y_dtype;
    const dim3 grid((unsigned)dlq::divide_up(call->m * (w->padded_n / 4), 256));
    return dlq::launch_config(grid, 256, 0, call->early, stream).run(reduce, a);
}

template <class T>
const T *
part_of(const struct dlq_k_grouped *w, int64_t at)
{
    return at != 0 ? (const T *)(w->data + at) : nullptr;
}

int
prepare_wide(const struct dlq_k_grouped *w, int device)
{
    int major = 0, minor = 0;
    cudaError_t err = cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device);
    if (err == cudaSuccess)
        err = cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device);
    int result = (int)err;
    for (int i = 0; i < 3 * SM90_GROUPED_TILES && major == 9 && minor == 0 && result <= 0; i++) {
        struct sm90_grouped_launch l = {};
        const bool x_scaled = i % 3 > 1;
        l.plan.tile = i / 3;
        l.bf16 = i % 3 > 0;
        if ((!x_scaled || dlq_k_grouped_takes_x_scale(w)) &&
            sm90_grouped_takes(w, l.bf16, x_scaled, &l.sums))
            result = sm90_grouped_run(w->desc.code, &l, nullptr, nullptr);
    }
    return result > 0 ? result : 0;
}

} // namespace

int
grouped_prepare(const struct dlq_k_grouped *w)
{
    int device = 0;
    struct grouped_launch l = {};
    cudaError_t err = cudaGetDevice(&device);
    if (err == cudaSuccess)
        err = cudaDeviceGetAttribute(&l.shared, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
    cudaFuncAttributes loaded;
    if (err == cudaSuccess)
        err = cudaFuncGetAttributes(&loaded, reduce);
    int result = (int)err;
    l.fine = w->block_groups > 1;
    const int kinds = dlq_k_grouped_takes_x_scale(w) ? 3 : 2;
    for (int i = 0; i < kinds * GROUPED_TILES && result == 0; i++) {
        l.tile = i / kinds;
        l.bf16 = i % kinds > 0;
        l.x_scaled = i % kinds > 1;
        result = launch_product(w, &l, nullptr, nullptr);
    }
    return result == 0 ? prepare_wide(w, device) : result;
}

extern "C" void
dlq_k_grouped_sizes(const struct dlq_k_grouped *w, int32_t multiprocessors,
                    int64_t sizes[DLQ_K_GROUPED_SIZES])
{
    // Choices change only from tile to tile, and many tiles are not split.
    int64_t most = 0;
    int at = 0;
    for (int64_t rows = 8; rows < 128 || tiles_of(w, GROUPED_TILES - 1, rows) < 2 * multiprocessors;
         rows = rows < 64 ? 2 * rows : rows + 64) {
        const choice c = choose(w, rows, multiprocessors);
        const int64_t bytes = partial_bytes(w, &c, rows, 1);
        most = bytes > most ? bytes : most;
        if (at < DLQ_K_GROUPED_SIZES - 1 && rows == 8ll << at)
            sizes[at++] = most;
    }
    while (at < DLQ_K_GROUPED_SIZES)
        sizes[at++] = most;
}

extern "C" size_t
dlq_k_grouped_workspace(const struct dlq_k_grouped *w, const int64_t sizes[DLQ_K_GROUPED_SIZES],
                        int64_t max_m, int32_t parts)
{
    const int64_t rows = max_m * parts;
    int at = 0;
    while (at < DLQ_K_GROUPED_SIZES - 1 && 8ll << at < rows)
        at++;
    const int64_t whole = parts > 1 ? rows * w->padded_n * 4 : 0;
    return (size_t)(sizes[at] > whole ? sizes[at] : whole);
}

extern "C" bool
dlq_k_grouped_takes_x_scale(const struct dlq_k_grouped *w)
{
    return w->desc.code == DLQ_K_GROUPED_E4M3 && w->groups > 1 && !w->desc.act_order &&
           w->desc.group % 64 == 0;
}

namespace
{

// Whether m rows of 16-bit x and y run on wgmma, and how.
bool
choose_wide(const struct dlq_k_grouped *w, int64_t m, bool bf16, bool x_scaled, int capability,
            int multiprocessors, enum sm90_grouped_sums *sums, struct sm90_grouped_plan *plan)
{
    return capability == 90 && sm90_grouped_takes(w, bf16, x_scaled, sums) &&
           sm90_grouped_choose(w, m, *sums, multiprocessors, plan);
}

struct grouped_args
arguments_of(const struct dlq_k_grouped *w, const struct dlq_k_grouped_call *call)
{
    struct grouped_args a = {};
    a.codes = w->data;
    a.scales = part_of<uint8_t>(w, w->scales_at);
    a.zeros = part_of<uint8_t>(w, w->zeros_at);
    a.blocks = part_of<int32_t>(w, w->blocks_at);
    a.factors = part_of<float>(w, w->factors_at);
    a.row_scale = call->row_scale;
    a.x_scale = call->x_scale;
    a.x_scale_stride = call->x_scale_stride;
    a.bias = call->bias;
    a.x = (const uint16_t *)call->x.data;
    a.x_stride = call->x.stride;
    a.x_k = (int32_t)call->x.k;
    a.y = call->y;
    a.y_stride = call->y_stride;
    a.y_dtype = call->y_dtype;
    a.m = (int32_t)(call->m * call->x.parts);
    a.n = (int32_t)w->desc.n;
    a.strips = (int32_t)(w->padded_n / 16);
    a.k_blocks = (int32_t)(w->padded_k / 64);
    a.zero = w->desc.zero;
    a.scale_dtype = w->packed_scale;
    a.block_groups = w->block_groups;
    return a;
}

} // namespace

int
grouped_run_wide(const struct dlq_k_grouped *w, const struct dlq_k_grouped_call *call,
                 enum sm90_grouped_sums sums, const struct sm90_grouped_plan *plan,
                 cudaStream_t stream)
{
    const struct grouped_args a = arguments_of(w, call);
    struct sm90_grouped_launch l = {};
    l.plan = *plan;
    l.sums = sums;
    l.bf16 = call->x.bf16;
    l.early = call->early;
    l.multiprocessors = call->multiprocessors;
    l.groups = w->groups;
    l.group = w->desc.group;
    return sm90_grouped_run(w->desc.code, &l, &a, stream);
}

extern "C" bool
dlq_k_grouped_wide(const struct dlq_k_grouped *w, int64_t m, uint32_t x_dtype, bool x_scaled,
                   uint32_t y_dtype, int32_t capability, int32_t multiprocessors)
{
    enum sm90_grouped_sums sums;
    struct sm90_grouped_plan plan;
    return (x_dtype == DLQ_F16 || x_dtype == DLQ_BF16) && y_dtype != DLQ_F32 &&
           choose_wide(w, m, x_dtype == DLQ_BF16, x_scaled, capability, multiprocessors, &sums,
                       &plan);
}

extern "C" struct dlq_k_grouped_call
dlq_k_grouped_call_of(const struct dlq_kg_call *call, const struct dlq_kg_device *device,
                      uint32_t y_dtype)
{
    struct dlq_k_grouped_call c = {};
    c.m = call->m;
    c.bias = call->bias;
    c.y = call->y;
    c.y_stride = call->y_stride;
    c.y_dtype = y_dtype;
    c.multiprocessors = device->multiprocessors;
    c.capability = device->capability;
    c.early = device->early != 0;
    return c;
}

extern "C" int
dlq_k_grouped_run(const struct dlq_k_grouped *w, const struct dlq_k_grouped_call *call,
                  cudaStream_t stream)
{
    const int64_t rows = call->m * call->x.parts;
    if (call->m <= 0 || rows > INT32_MAX / 2 || call->y_stride < w->desc.n ||
        call->x.k > w->padded_k || call->x.k % 8 != 0 || call->x.stride < call->x.k ||
        call->x.stride % 8 != 0 || (uintptr_t)call->x.data % 16 != 0 ||
        (call->x.parts > 1 && !call->x.bf16))
        return -DLQ_K_ESHAPE;
    if (call->y_dtype != DLQ_F16 && call->y_dtype != DLQ_BF16 && call->y_dtype != DLQ_F32)
        return -DLQ_K_EDTYPE;
    if (call->x_scale != nullptr &&
        (!dlq_k_grouped_takes_x_scale(w) || !call->x.bf16 || call->x.parts != 1 ||
         call->x_scale_stride < call->m || call->x_scale_stride % 128 != 0))
        return -DLQ_K_ESHAPE;
    enum sm90_grouped_sums sums;
    struct sm90_grouped_plan wide;
    if (call->x.parts == 1 && call->y_dtype != DLQ_F32 &&
        choose_wide(w, call->m, call->x.bf16, call->x_scale != nullptr, call->capability,
                    call->multiprocessors, &sums, &wide)) {
        const int err = grouped_run_wide(w, call, sums, &wide, stream);
        if (err != -DLQ_K_EUNSUPPORTED) // a driver without tensor maps
            return err;
    }
    const choice c = choose(w, rows, call->multiprocessors);
    const struct grouped_tile *const t = &grouped_tiles[c.tile];
    const int64_t partial = partial_bytes(w, &c, rows, call->x.parts);
    if ((int64_t)call->workspace_size < partial)
        return -DLQ_K_ESHAPE;
    struct grouped_args a = arguments_of(w, call);
    a.partial = partial > 0 ? (float *)call->workspace : nullptr;
    a.split = (int32_t)c.split;
    lay_out_stage(&a, w, t, call->capability);
    struct grouped_launch l = {};
    l.tile = c.tile;
    l.bf16 = call->x.bf16;
    l.x_scaled = call->x_scale != nullptr;
    l.fine = w->block_groups > 1;
    l.grid = dim3((unsigned)dlq::divide_up(rows, t->rows),
                  (unsigned)dlq::divide_up(w->padded_n, t->columns), (unsigned)c.splits);
    l.early = call->early;
    const int out = t->rows * (t->columns + 4) * 4;
    l.shared = a.stages * a.stage_at > out ? a.stages * a.stage_at : out;
    const int err = launch_product(w, &l, &a, stream);
    return err != 0 || partial == 0 ? err : launch_reduce(w, call, &a, c.splits, stream);
}
