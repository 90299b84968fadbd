// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQUANT_DLQUANT_H
#define DLQUANT_DLQUANT_H

/// Everything that an engine needs.

#include <dlquant/checkpoint.h>
#include <dlquant/collective.h>
#include <dlquant/device.h>
#include <dlquant/linear.h>
#include <dlquant/runtime.h>
#include <dlquant/status.h>
#include <dlquant/types.h>

#endif // DLQUANT_DLQUANT_H
