// SPDX-License-Identifier: MIT
#include <sandd/proto/backoff.h>

#define STABLE_US   60000000ull
#define HINT_MIN_US 100000ull

void sandd_backoff_init(sandd_backoff *backoff, uint64_t first_us, uint64_t longest_us) {
  if (!first_us)
    first_us = 1;
  *backoff = (sandd_backoff){.first_us = first_us, .longest_us = longest_us < first_us ? first_us : longest_us};
}

void sandd_backoff_up(sandd_backoff *backoff, uint64_t now_us) {
  backoff->up_since_us = now_us ? now_us : 1;
}

uint64_t sandd_backoff_wait(sandd_backoff *backoff, uint64_t hint_us, uint64_t random, uint64_t now_us) {
  if (backoff->up_since_us && now_us - backoff->up_since_us >= STABLE_US)
    backoff->current_us = 0;
  backoff->up_since_us = 0;
  uint64_t next = backoff->current_us ? 2 * backoff->current_us : backoff->first_us;
  backoff->current_us = next < backoff->longest_us ? next : backoff->longest_us;
  uint64_t half = backoff->current_us / 2, wait = half + (half ? random % (half + 1) : 0);
  if (hint_us && hint_us < HINT_MIN_US)
    hint_us = HINT_MIN_US;
  return wait > hint_us ? wait : hint_us;
}
