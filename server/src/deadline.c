// SPDX-License-Identifier: MIT
#include "deadline.h"

#include <stdlib.h>

#include "exec.h"
#include "internal.h"

/* execs[0] is unused, the children of i are 2i and 2i + 1. */

static void put(deadline_heap *heap, size_t index, sandd_exec *exec) {
  heap->execs[index] = exec;
  exec->deadline.index = index;
}

static void sift_up(deadline_heap *heap, size_t index) {
  sandd_exec *exec = heap->execs[index];
  for (; index > 1 && exec->deadline.at_us < heap->execs[index / 2]->deadline.at_us; index /= 2)
    put(heap, index, heap->execs[index / 2]);
  put(heap, index, exec);
}

static void sift_down(deadline_heap *heap, size_t index) {
  sandd_exec *exec = heap->execs[index];
  for (size_t child; (child = index * 2) <= heap->count; index = child) {
    if (child < heap->count && heap->execs[child + 1]->deadline.at_us < heap->execs[child]->deadline.at_us)
      child++;
    if (exec->deadline.at_us <= heap->execs[child]->deadline.at_us)
      break;
    put(heap, index, heap->execs[child]);
  }
  put(heap, index, exec);
}

uint64_t sandd_deadline_first(const sandd_server *server) {
  return server->deadlines.count ? server->deadlines.execs[1]->deadline.at_us : UINT64_MAX;
}

void sandd_deadline_clear(sandd_server *server, sandd_exec *exec) {
  deadline_heap *heap = &server->deadlines;
  size_t index = exec->deadline.index;
  if (!index)
    return;
  exec->deadline.index = 0;
  sandd_exec *last = heap->execs[heap->count--];
  if (last == exec)
    return;
  put(heap, index, last);
  sift_up(heap, index);
  sift_down(heap, last->deadline.index);
}

int sandd_deadline_set(sandd_server *server, sandd_exec *exec, uint64_t at_us) {
  deadline_heap *heap = &server->deadlines;
  sandd_deadline_clear(server, exec);
  if (heap->count + 1 >= heap->cap) {
    size_t cap = heap->cap ? heap->cap * 2 : 64;
    sandd_exec **bigger = realloc(heap->execs, cap * sizeof *bigger);
    if (!bigger)
      return SANDD_E_NOMEM;
    heap->execs = bigger;
    heap->cap = cap;
  }
  exec->deadline.at_us = at_us;
  put(heap, ++heap->count, exec);
  sift_up(heap, heap->count);
  /* The loop's timer goes off too early now and then; it only has to be moved when it would be late. */
  if (at_us < server->deadline_armed_us)
    uv_async_send(&server->deadline_async);
  return 0;
}

sandd_exec *sandd_deadline_next(sandd_server *server, uint64_t now_us) {
  if (sandd_deadline_first(server) > now_us)
    return NULL;
  sandd_exec *exec = server->deadlines.execs[1];
  sandd_deadline_clear(server, exec);
  return exec;
}
