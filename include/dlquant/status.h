// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQUANT_STATUS_H
#define DLQUANT_STATUS_H

#include <dlquant/abi.h>

#include <stdint.h>

/// Status codes and the error record that explains one.

DLQ_BEGIN_DECLS

/// Result of a call: what functions that return int32_t return, where their comment names nothing
/// else. Zero is success; a code never changes its meaning.
enum dlq_status {
    DLQ_OK = 0,           ///< Success
    DLQ_EINVAL = 1,       ///< An argument breaks the function's contract
    DLQ_ENOMEM = 2,       ///< Memory could not be had
    DLQ_ENOTFOUND = 3,    ///< A name, a file or a tensor does not exist
    DLQ_EEXIST = 4,       ///< A name is taken
    DLQ_EIO = 5,          ///< The operating system refused to read; `native` has errno
    DLQ_EFORMAT = 6,      ///< Malformed file: JSON, safetensors, ELF
    DLQ_ECONFIG = 7,      ///< A configuration is well formed and makes no sense
    DLQ_EUNSUPPORTED = 8, ///< Valid, but nothing here can run it; the message says what would
    DLQ_ESHAPE = 9,       ///< Sizes do not fit together
    DLQ_EDTYPE = 10,      ///< Element types do not fit together
    DLQ_EABI = 11,        ///< A plugin and this host cannot work together
    DLQ_EPERM = 12,       ///< Load policy or file permissions forbid it
    DLQ_EDEVICE = 13,     ///< A device failed or is absent; `native` has its own code
    DLQ_ESTATE = 14,      ///< Called in the wrong order
    DLQ_EINCOMPLETE = 15, ///< Parameters were not filled, or tensors were left over in strict mode
    DLQ_EOVERFLOW = 16,   ///< A size does not fit its type
    DLQ_ECOMM = 17,       ///< A collective failed; the message names the rank
    DLQ_ETIMEOUT = 18,    ///< A time limit passed
    DLQ_EPLUGIN = 19,     ///< A plugin broke its contract
    DLQ_EINTERNAL = 20    ///< A defect of this library
};

/// Part of the library that an error comes from (`domain` of struct dlq_error).
enum dlq_domain {
    DLQ_DOMAIN_NONE = 0,       ///< Unknown
    DLQ_DOMAIN_CORE = 1,       ///< Runtime, registry, layers
    DLQ_DOMAIN_LOADER = 2,     ///< Plugin files
    DLQ_DOMAIN_CHECKPOINT = 3, ///< Checkpoint folders and safetensors
    DLQ_DOMAIN_PLUGIN = 4,     ///< A quantization method
    DLQ_DOMAIN_DEVICE = 5,     ///< A device module; `native` is its error number
    DLQ_DOMAIN_COMM = 6        ///< A collective
};

/// Bytes of an error message, the terminating zero included.
#define DLQ_ERROR_MSG_SIZE 1008

/// What went wrong. The caller owns it and may pass NULL wherever one is asked for.
/// A function writes it only when it fails; the return value and `code` agree.
struct dlq_error {
    uint32_t struct_size;         ///< Size of this struct as the caller knows it
    int32_t code;                 ///< enum dlq_status
    int32_t native;               ///< errno, cudaError_t and the like; 0 when there is none
    uint32_t domain;              ///< enum dlq_domain
    char msg[DLQ_ERROR_MSG_SIZE]; ///< One UTF-8 line: who, what was expected, what was found
};

/// Initialiser for a struct dlq_error.
#define DLQ_ERROR_INIT                                                                             \
    {                                                                                              \
        sizeof(struct dlq_error), 0, 0, 0,                                                         \
        {                                                                                          \
            0                                                                                      \
        }                                                                                          \
    }

/// One sentence for a status code, with an uppercase first letter and no period. Never NULL.
/// [any-thread] @since 1.0
DLQ_API const char *
dlq_status_string(int32_t status);

DLQ_END_DECLS

#endif // DLQUANT_STATUS_H
