// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "device_cpu.h"

#include "error.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

static const char *const flag_names[DLQ_CPU_N_FLAGS] = {
    "avx2",        "avx_vnni", "avx512",   "avx512_vbmi",  "avx512_vnni", "avx512_bf16",
    "avx512_fp16", "amx_int8", "amx_bf16", "neon_dotprod", "neon_i8mm"};

const char *
dlq_device_cpu_flag_name(int bit)
{
    return bit >= 0 && bit < DLQ_CPU_N_FLAGS ? flag_names[bit] : NULL;
}

static bool
parse_name(const char *name, size_t length, uint32_t *flags)
{
    for (int bit = 0; bit < DLQ_CPU_N_FLAGS; bit++) {
        if (strlen(flag_names[bit]) == length && strncmp(flag_names[bit], name, length) == 0) {
            *flags |= 1u << bit;
            return true;
        }
    }
    if (length == 3 && strncmp(name, "all", length) == 0) {
        *flags |= (1u << DLQ_CPU_N_FLAGS) - 1u;
        return true;
    }
    return length == 0 || (length == 4 && strncmp(name, "none", length) == 0);
}

int
dlq_device_cpu_parse_flags(const char *text, uint32_t *flags, struct dlq_error *err)
{
    if (text[0] >= '0' && text[0] <= '9') {
        char *end = NULL;
        const unsigned long value = strtoul(text, &end, 0);
        if (*end != '\0' || value >> 32 != 0) {
            return dlq_fail(err, DLQ_EINVAL, "CPU flags \"%s\": not a 32-bit number", text);
        }
        *flags = (uint32_t)value;
        return DLQ_OK;
    }
    uint32_t set = 0;
    const char *name = text;
    while (true) {
        const size_t length = strcspn(name, ",");
        if (!parse_name(name, length, &set)) {
            return dlq_fail(err, DLQ_EINVAL,
                            "CPU flags \"%s\": \"%.*s\" is not a flag; expected names such as "
                            "avx2,avx512_vnni, \"all\", \"none\" or a number",
                            text, (int)length, name);
        }
        if (name[length] == '\0') {
            *flags = set;
            return DLQ_OK;
        }
        name += length + 1;
    }
}

uint32_t
dlq_device_cpu_complete_flags(uint32_t flags)
{
    const uint32_t avx512 = DLQ_CPU_AVX512_VBMI | DLQ_CPU_AVX512_VNNI | DLQ_CPU_AVX512_BF16 |
                            DLQ_CPU_AVX512_FP16 | DLQ_CPU_AMX_INT8 | DLQ_CPU_AMX_BF16;
    if ((flags & DLQ_CPU_AVX2) == 0) {
        flags &= ~(uint32_t)(DLQ_CPU_AVX_VNNI | DLQ_CPU_AVX512);
    }
    if ((flags & DLQ_CPU_AVX512) == 0) {
        flags &= ~avx512;
    }
    return flags;
}

#if defined(__x86_64__)

// XCR0: which register files the operating system saves at a switch.
static uint64_t
read_xcr0(void)
{
    uint32_t eax = 0;
    uint32_t edx = 0;
    __asm__ volatile("xgetbv" : "=a"(eax), "=d"(edx) : "c"(0));
    return (uint64_t)edx << 32 | eax;
}

static bool
request_amx(void)
{
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 };
    return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
}

uint32_t
dlq_device_cpu_detect(uint32_t mask)
{
    enum { YMM_STATE = 0x6, ZMM_STATE = 0xe6, TILE_STATE = 0x60000 };
    uint32_t eax = 0;
    uint32_t ebx = 0;
    uint32_t ecx = 0;
    uint32_t edx = 0;
    const uint32_t osxsave = 1u << 27;
    const uint32_t avx = 1u << 28 | 1u << 12 | 1u << 29; // AVX, FMA, F16C
    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || (ecx & osxsave) == 0 || (ecx & avx) != avx) {
        return 0;
    }
    const uint64_t xcr0 = read_xcr0();
    if ((xcr0 & YMM_STATE) != YMM_STATE || !__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) {
        return 0;
    }
    const uint32_t max_subleaf = eax;
    uint32_t flags = (ebx >> 5 & 1u) != 0 ? DLQ_CPU_AVX2 : 0;
    const uint32_t avx512 = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31; // F, DQ, BW, VL
    if ((xcr0 & ZMM_STATE) == ZMM_STATE && (ebx & avx512) == avx512) {
        flags |= DLQ_CPU_AVX512;
        flags |= (ecx >> 1 & 1u) != 0 ? DLQ_CPU_AVX512_VBMI : 0;
        flags |= (ecx >> 11 & 1u) != 0 ? DLQ_CPU_AVX512_VNNI : 0;
        flags |= (edx >> 23 & 1u) != 0 ? DLQ_CPU_AVX512_FP16 : 0;
    }
    if ((xcr0 & TILE_STATE) == TILE_STATE && (edx >> 24 & 1u) != 0) {
        flags |= (edx >> 25 & 1u) != 0 ? DLQ_CPU_AMX_INT8 : 0;
        flags |= (edx >> 22 & 1u) != 0 ? DLQ_CPU_AMX_BF16 : 0;
    }
    if (max_subleaf >= 1 && __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx)) {
        flags |= (eax >> 4 & 1u) != 0 ? DLQ_CPU_AVX_VNNI : 0;
        flags |= (eax >> 5 & 1u) != 0 ? DLQ_CPU_AVX512_BF16 : 0;
    }
    flags = dlq_device_cpu_complete_flags(flags & mask);
    const uint32_t amx = DLQ_CPU_AMX_INT8 | DLQ_CPU_AMX_BF16;
    return (flags & amx) != 0 && !request_amx() ? flags & ~amx : flags;
}

#elif defined(__aarch64__) && defined(__linux__)

uint32_t
dlq_device_cpu_detect(uint32_t mask)
{
    const unsigned long asimddp = 1ul << 20; // HWCAP_ASIMDDP
    const unsigned long i8mm = 1ul << 13;    // HWCAP2_I8MM
    uint32_t flags = (getauxval(AT_HWCAP) & asimddp) != 0 ? DLQ_CPU_NEON_DOTPROD : 0;
    flags |= (getauxval(AT_HWCAP2) & i8mm) != 0 ? DLQ_CPU_NEON_I8MM : 0;
    return flags & mask;
}

#else

uint32_t
dlq_device_cpu_detect(uint32_t mask)
{
    (void)mask;
    return 0;
}

#endif

static pthread_once_t detect_once = PTHREAD_ONCE_INIT;
static uint32_t detected;
static int detect_status;
static struct dlq_error detect_error = DLQ_ERROR_INIT;

static void
detect_for_process(void)
{
    uint32_t mask = UINT32_MAX;
    const char *text = getenv("DLQ_CPU_FLAGS");
    if (text != NULL) {
        detect_status = dlq_device_cpu_parse_flags(text, &mask, &detect_error);
    }
    if (detect_status == DLQ_OK) {
        detected = dlq_device_cpu_detect(mask);
    }
}

int
dlq_device_cpu_flags(uint32_t *flags, struct dlq_error *err)
{
    pthread_once(&detect_once, detect_for_process);
    if (detect_status != DLQ_OK) {
        return dlq_fail(err, detect_status, "DLQ_CPU_FLAGS: %s", detect_error.msg);
    }
    *flags = detected;
    return DLQ_OK;
}
