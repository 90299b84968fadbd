// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// The fragment layout of 4-bit weights: the one packed form that every W4A16 GPU kernel of ours
// reads, and its packing on the CPU (the definition; the GPU packer in kernels/cuda/pack_w4.cu
// gives the same bytes).
//
// W is N x K (outputs x inputs), 4-bit codes q and per group of `group` inputs of one output a
// scale s and a zero point z: w = (q - z) * s. Symmetric codes (uint4b8) have z = 8 everywhere.
//
//   buffer   strip 0 | strip 1 | ... | strip N/16-1 | row table (only when group == 0)
//            A strip is 16 outputs, N rounded up to a multiple of 64.
//   strip    unit 0 | unit 1 | ... | unit K/128-1, k fastest: one contiguous stream. K rounded up
//   to a multiple of 128. unit     block 0 (k 0..63) | block 1 (k 64..127) | pairs of group 0 | ...
//   | pairs of group 128/group-1
//            512 bytes           512 bytes             64 bytes each; none when group == 0
//   block    lane 0 | lane 1 | ... | lane 31, 16 bytes each: words j = 0..3, word j belongs to k
//   16j..16j+15 of the block word     nibble i (bits 4i..4i+3), with r = lane / 4, t = lane % 4:
//              nibble      0      1       2        3        4        5        6        7
//              row         r      r+8     r        r+8      r        r+8      r        r+8
//              k - 16j     2t     2t      2t+8     2t+8     2t+1     2t+1     2t+9     2t+9
//   pairs    for r = 0..7: s(r) z(r) s(r+8) z(r+8), each 16 bits in the activations' type: one
//   8-byte load a lane
//
// A word is the register operand of mma.sync m16n8k16 (and of one warp in wgmma m64nNk16), PTX ISA
// "Matrix fragments for mma.m16n8k16": the 16-bit pairs a0..a3 are word & 0x000f000f, word &
// 0x00f000f0 and the same of word >> 8. All of a0 and a2 belong to row r, all of a1 and a3 to row
// r+8: the nibble's place in the 16 bits is a constant factor of 16 between the two rows.
//
// group is 32, 64, 128 or 0; 0 is one group over all of K, its pairs follow the last strip: 64
// bytes a strip. A checkpoint's group that is a larger multiple of 128 is stored as 128 with
// repeated pairs. Padded codes equal the zero point, padded groups have s = z = 0.
#ifndef DLQ_KERNELS_PACK_W4_FRAGMENT_H
#define DLQ_KERNELS_PACK_W4_FRAGMENT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DLQ_K_W4_UNIT_WEIGHTS 1024
#define DLQ_K_W4_PAIRS 64

// Where the weights come from and what to make of them. Host or device memory alike, by the
// function that takes it.
struct dlq_k_w4_source {
    int n, k;                // outputs, inputs
    int group;               // the checkpoint's group size along k; 0 or k: one group
    int bf16;                // the type of the scales and of the packed pairs: 0 fp16, 1 bf16
    const uint32_t *weights; // AWQ: [k, n/8]; pack-quantized: [n, ceil(k/8)]
    const uint32_t
        *zeros; // AWQ: [groups, n/8]; pack-quantized: [ceil(n/8), groups]; NULL: symmetric, 8
    const uint16_t *scales; // AWQ: [groups, n]; pack-quantized: [n, groups]
};

// The group size the packed form has for a checkpoint's: 32, 64, 128, 0 (one group), or -1 when no
// packed form holds it.
int
dlq_k_w4_packed_group(int k, int group);

// Bytes of the packed form; 0 when the shape has none (n or k below 1, no packed group).
size_t
dlq_k_w4_packed_bytes(int n, int k, int group);

// Pack on the CPU into `out` (packed_bytes of it, all written). 0, or -1 for a shape without a
// packed form (AWQ also: n % 8 != 0).
int
dlq_k_w4_pack_awq(const struct dlq_k_w4_source *source, void *out);
int
dlq_k_w4_pack_ct(const struct dlq_k_w4_source *source, void *out);

// The inverse, for checks: code and the bits of scale and zero point of one weight.
void
dlq_k_w4_packed_at(const void *packed, int n, int k, int group, int row, int col, unsigned *code,
                   uint16_t *scale, uint16_t *zero);

#ifdef __cplusplus
}
#endif

#endif
