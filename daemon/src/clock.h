// SPDX-License-Identifier: MIT
#ifndef SANDD_DAEMON_CLOCK_H
#define SANDD_DAEMON_CLOCK_H

#include <stdint.h>

#include "daemon/platform/system.h"

/* The daemon's one clock: since boot, suspended time included, in microseconds. */
static inline uint64_t sandd_clock_now_us(void) {
  return (uint64_t)(sandd_platform_boottime_ns() / 1000);
}

#endif
