// SPDX-License-Identifier: MIT
#ifndef SANDD_PROTO_BACKOFF_H
#define SANDD_PROTO_BACKOFF_H

#include <sandd/error.h>
#include <stdint.h>

/* Jittered exponential back-off of a daemon's dialling. Plain data, no allocation; one thread at a time. */
typedef struct sandd_backoff {
  uint64_t first_us, longest_us; /* the wait after the first failure, and the most it grows to */
  uint64_t current_us;           /* 0: nothing failed yet */
  uint64_t up_since_us;          /* 0: not connected */
} sandd_backoff;

/* first_us must be above 0 and at most longest_us, else they are mended. */
SANDD_API void sandd_backoff_init(sandd_backoff *backoff, uint64_t first_us, uint64_t longest_us);
/* The session is up. Only a minute of it resets the back-off. */
SANDD_API void sandd_backoff_up(sandd_backoff *backoff, uint64_t now_us);
/* The connection ended or could not be made: how long to wait, in microseconds. hint_us: the peer's retry hint (0 for
 * none, else at least 100 ms counts); random: 64 random bits for the jitter (half to all of the wait). */
SANDD_API uint64_t sandd_backoff_wait(sandd_backoff *backoff, uint64_t hint_us, uint64_t random, uint64_t now_us);

#endif
