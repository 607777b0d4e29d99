// SPDX-License-Identifier: MIT
#include "timers.h"

#include <sandd/error.h>
#include <stdlib.h>

static void put(sandd_timers *timers, size_t place, sandd_timer *timer) {
  timers->heap[place - 1] = timer;
  timer->place = place;
}

static void sift_up(sandd_timers *timers, sandd_timer *timer) {
  size_t place = timer->place;
  while (place > 1 && timers->heap[place / 2 - 1]->deadline_us > timer->deadline_us) {
    put(timers, place, timers->heap[place / 2 - 1]);
    place /= 2;
  }
  put(timers, place, timer);
}

static void sift_down(sandd_timers *timers, sandd_timer *timer) {
  size_t place = timer->place;
  for (;;) {
    size_t child = place * 2;
    if (child > timers->count) {
      break;
    }
    if (child < timers->count && timers->heap[child]->deadline_us < timers->heap[child - 1]->deadline_us) {
      child++;
    }
    if (timers->heap[child - 1]->deadline_us >= timer->deadline_us) {
      break;
    }
    put(timers, place, timers->heap[child - 1]);
    place = child;
  }
  put(timers, place, timer);
}

int sandd_timers_reserve(sandd_timers *timers, size_t count) {
  if (count <= timers->cap) {
    return 0;
  }
  size_t cap = timers->cap ? timers->cap : 16;
  while (cap < count) {
    cap *= 2;
  }
  sandd_timer **heap = realloc(timers->heap, cap * sizeof(*heap));
  if (!heap) {
    return SANDD_E_NOMEM;
  }
  timers->heap = heap;
  timers->cap = cap;
  return 0;
}

void sandd_timers_clear(sandd_timers *timers, sandd_timer *timer) {
  if (timer->place == 0) {
    return;
  }
  sandd_timer *last = timers->heap[timers->count - 1];
  size_t place = timer->place;
  timers->count--;
  timer->place = 0;
  if (last != timer) {
    put(timers, place, last);
    sift_up(timers, last);
    sift_down(timers, last);
  }
}

int sandd_timers_set(sandd_timers *timers, sandd_timer *timer, uint64_t deadline_us) {
  if (deadline_us == UINT64_MAX) {
    sandd_timers_clear(timers, timer);
    return 0;
  }
  if (timer->place == 0) {
    int error = sandd_timers_reserve(timers, timers->count + 1);
    if (error) {
      return error;
    }
    timers->count++;
    put(timers, timers->count, timer);
  }
  timer->deadline_us = deadline_us;
  sift_up(timers, timer);
  sift_down(timers, timer);
  return 0;
}

uint64_t sandd_timers_next(const sandd_timers *timers) {
  return timers->count ? timers->heap[0]->deadline_us : UINT64_MAX;
}

void sandd_timers_run(sandd_timers *timers, uint64_t now_us) {
  while (timers->count && timers->heap[0]->deadline_us <= now_us) {
    sandd_timer *timer = timers->heap[0];
    sandd_timers_clear(timers, timer);
    timer->cb(timer->data, now_us);
  }
}

void sandd_timers_free(sandd_timers *timers) {
  free(timers->heap);
  *timers = (sandd_timers){0};
}
