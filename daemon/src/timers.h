// SPDX-License-Identifier: MIT
#ifndef SANDD_DAEMON_TIMERS_H
#define SANDD_DAEMON_TIMERS_H

#include <stddef.h>
#include <stdint.h>

/* Any number of deadlines as a heap over memory of their owners: an idle process costs no loop handle of its own, and the
 * tests bring their own clock. Time: CLOCK_BOOTTIME in microseconds. One thread. */
typedef struct sandd_timer sandd_timer;
typedef void (*sandd_timer_cb)(void *data, uint64_t now_us);

struct sandd_timer {
  uint64_t deadline_us;
  size_t place; /* 1-based in the heap; 0: not set */
  sandd_timer_cb cb;
  void *data;
};

typedef struct sandd_timers {
  sandd_timer **heap;
  size_t count, cap;
} sandd_timers;

/* Sets (or moves) a timer, whose cb and data the owner has filled in; UINT64_MAX clears it. Room is only needed for a
 * timer that sandd_timers_reserve did not provide for. Returns 0 or SANDD_E_NOMEM. */
int sandd_timers_set(sandd_timers *timers, sandd_timer *timer, uint64_t deadline_us);
/* Takes a timer out; no effect on one that is not set. */
void sandd_timers_clear(sandd_timers *timers, sandd_timer *timer);
/* Makes room for count timers, so that setting one can't fail. Returns 0 or SANDD_E_NOMEM. */
int sandd_timers_reserve(sandd_timers *timers, size_t count);
/* The nearest deadline, UINT64_MAX if there is none. */
uint64_t sandd_timers_next(const sandd_timers *timers);
/* Calls what is due, each timer cleared before its call; a callback may set and clear any timer. */
void sandd_timers_run(sandd_timers *timers, uint64_t now_us);
/* Frees the heap, not the timers. */
void sandd_timers_free(sandd_timers *timers);

#endif
