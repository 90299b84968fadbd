// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQUANT_TYPES_H
#define DLQUANT_TYPES_H

#include <dlquant/abi.h>

#include <stddef.h>
#include <stdint.h>

/// Element types, devices and tensor views: plain data that every side of the library shares.

DLQ_BEGIN_DECLS

/// Largest number of dimensions of a tensor or a parameter.
#define DLQ_MAX_DIMS 8

/// A dtype is `code << 8 | bits` with the codes of DLPack's DLDataTypeCode and one lane.
#define DLQ_DTYPE(code, bits) ((uint32_t)(code) << 8 | (uint32_t)(bits))

/// Element type. The value holds DLPack's type code and bit width, see DLQ_DTYPE.
enum dlq_dtype {
    DLQ_DTYPE_NONE = 0,                 ///< Absent
    DLQ_I8 = DLQ_DTYPE(0, 8),           ///< Signed 8-bit integer
    DLQ_I16 = DLQ_DTYPE(0, 16),         ///< Signed 16-bit integer
    DLQ_I32 = DLQ_DTYPE(0, 32),         ///< Signed 32-bit integer, also a packed word
    DLQ_I64 = DLQ_DTYPE(0, 64),         ///< Signed 64-bit integer
    DLQ_U8 = DLQ_DTYPE(1, 8),           ///< Unsigned 8-bit integer, also a packed byte
    DLQ_U16 = DLQ_DTYPE(1, 16),         ///< Unsigned 16-bit integer
    DLQ_U32 = DLQ_DTYPE(1, 32),         ///< Unsigned 32-bit integer
    DLQ_U64 = DLQ_DTYPE(1, 64),         ///< Unsigned 64-bit integer
    DLQ_F16 = DLQ_DTYPE(2, 16),         ///< IEEE binary16
    DLQ_F32 = DLQ_DTYPE(2, 32),         ///< IEEE binary32
    DLQ_F64 = DLQ_DTYPE(2, 64),         ///< IEEE binary64
    DLQ_BF16 = DLQ_DTYPE(4, 16),        ///< bfloat16
    DLQ_C64 = DLQ_DTYPE(5, 64),         ///< Complex of two binary32
    DLQ_BOOL = DLQ_DTYPE(6, 8),         ///< One byte, 0 or 1
    DLQ_F8_E4M3 = DLQ_DTYPE(10, 8),     ///< e4m3fn: bias 7, largest 448, no infinity
    DLQ_F8_E4M3FNUZ = DLQ_DTYPE(11, 8), ///< e4m3fnuz
    DLQ_F8_E5M2 = DLQ_DTYPE(12, 8),     ///< e5m2, IEEE-like
    DLQ_F8_E5M2FNUZ = DLQ_DTYPE(13, 8), ///< e5m2fnuz
    DLQ_F8_E8M0 = DLQ_DTYPE(14, 8),     ///< e8m0fnu: a power of two, 2^(value - 127)
    DLQ_F6_E2M3 = DLQ_DTYPE(15, 6),     ///< e2m3fn
    DLQ_F6_E3M2 = DLQ_DTYPE(16, 6),     ///< e3m2fn
    DLQ_F4_E2M1 = DLQ_DTYPE(17, 4)      ///< e2m1fn
};

/// Bits of one element.
#define DLQ_DTYPE_BITS(dtype) ((uint32_t)(dtype)&0xFFu)

/// DLPack's type code.
#define DLQ_DTYPE_CODE(dtype) ((uint32_t)(dtype) >> 8)

/// Sets of activation dtypes.
enum dlq_act_dtypes {
    DLQ_ACT_F16 = 1u << 0,  ///< Runs with DLQ_F16 activations
    DLQ_ACT_BF16 = 1u << 1, ///< Runs with DLQ_BF16 activations
    DLQ_ACT_F32 = 1u << 2   ///< Runs with DLQ_F32 activations
};

/// Device kinds, with the values of DLPack's DLDeviceType.
enum dlq_device_kind {
    DLQ_DEVICE_CPU = 1, ///< Host memory
    DLQ_DEVICE_CUDA = 2 ///< One CUDA GPU
};

/// One device of the machine.
struct dlq_device {
    int32_t kind;  ///< enum dlq_device_kind
    int32_t index; ///< Ordinal within the kind; 0 for the CPU
};

/// Instruction sets of a CPU that kernels are written for, as a set. A host reports what the
/// machine has, the operating system permits and `DLQ_CPU_FLAGS` leaves.
enum dlq_cpu_flags {
    DLQ_CPU_AVX2 = 1 << 0,         ///< AVX2, FMA and F16C
    DLQ_CPU_AVX_VNNI = 1 << 1,     ///< 256-bit vpdpbusd in VEX encoding
    DLQ_CPU_AVX512 = 1 << 2,       ///< AVX-512 F, BW, DQ and VL
    DLQ_CPU_AVX512_VBMI = 1 << 3,  ///< vpermb
    DLQ_CPU_AVX512_VNNI = 1 << 4,  ///< vpdpbusd on 512 bits
    DLQ_CPU_AVX512_BF16 = 1 << 5,  ///< vdpbf16ps
    DLQ_CPU_AVX512_FP16 = 1 << 6,  ///< Arithmetic on binary16
    DLQ_CPU_AMX_INT8 = 1 << 7,     ///< Tiles and tdpb[su][su]d, permitted to this process
    DLQ_CPU_AMX_BF16 = 1 << 8,     ///< Tiles and tdpbf16ps, permitted to this process
    DLQ_CPU_NEON_DOTPROD = 1 << 9, ///< Arm sdot and udot
    DLQ_CPU_NEON_I8MM = 1 << 10    ///< Arm smmla and usdot
};

/// A view of memory that somebody else owns.
///
/// The fields are those of DLPack's DLTensor (`data`, `device`, `ndim`, `dtype`, `shape`,
/// `strides`, `byte_offset` = 0), so that either can be made from the other without copying
/// elements. Sizes and strides count elements; for packed dtypes below 8 bits the view must be
/// contiguous.
struct dlq_tensor {
    uint32_t struct_size;          ///< DLQ_SIZE_UPTO(struct dlq_tensor, strides)
    uint32_t dtype;                ///< enum dlq_dtype
    void *data;                    ///< First element, in memory of `device`
    struct dlq_device device;      ///< Where `data` lives
    int32_t ndim;                  ///< 0 to DLQ_MAX_DIMS; 0 is one element
    int32_t flags;                 ///< Zero
    int64_t shape[DLQ_MAX_DIMS];   ///< Elements along each dimension
    int64_t strides[DLQ_MAX_DIMS]; ///< Elements from one index to the next along each dimension
};

DLQ_END_DECLS

#endif // DLQUANT_TYPES_H
