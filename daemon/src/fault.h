// SPDX-License-Identifier: MIT
#ifndef SANDD_DAEMON_FAULT_H
#define SANDD_DAEMON_FAULT_H

#include <sandd/proto/stream.h>

#include "daemon/platform/error.h"
#include "sandd/v1/status.pb-c.h"

/* A StatusCode of status.proto: SANDD_CODE(NOT_FOUND). */
#define SANDD_CODE(name) SANDD__V1__STATUS_CODE__STATUS_CODE_##name

/* Why a request is refused, with room for its sentence. Plain data. */
typedef struct sandd_fault {
  int code; /* StatusCode; 0: no fault */
  char text[768];
  char errno_name[24];
  int kept_channel;
  uint64_t kept_earliest, kept_end;
} sandd_fault;

/* Fills fault (NULL is fine) and returns false, so that a check can `return sandd_fault_set(...)`. */
bool sandd_fault_set(sandd_fault *fault, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* The same from what the platform said. */
bool sandd_fault_from_platform(sandd_fault *fault, const sandd_platform_error *error);
/* From a code of the protocol library: a limit is RESOURCE_EXHAUSTED, everything else INTERNAL. what: "stdout". */
bool sandd_fault_from_error(sandd_fault *fault, int error, const char *what);
/* What to hand to sandd_stream_reset; points into fault. */
sandd_status sandd_fault_status(const sandd_fault *fault);

#endif
