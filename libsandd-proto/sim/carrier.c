// SPDX-License-Identifier: MIT
#include "carrier.h"

#include <stdlib.h>
#include <string.h>

void pipe_put(pipe *p, const uint8_t *data, size_t len) {
  if (p->hole)
    return;
  message *m = sim_alloc(sizeof *m + len);
  m->len = len;
  memcpy(m->data, data, len);
  if (p->last)
    p->last->next = m;
  else
    p->first = m;
  p->last = m;
  p->bytes += len;
}

message *pipe_get(pipe *p, size_t *n, bool *moved) {
  message *m = p->first;
  if (!m || !*n)
    return NULL;
  *moved = true;
  size_t rest = m->len - p->part;
  if (*n < rest) {
    p->part += *n;
    *n = 0;
    return NULL;
  }
  *n -= rest;
  p->part = 0;
  p->bytes -= m->len;
  if (!(p->first = m->next))
    p->last = NULL;
  return m;
}

void pipe_cut(pipe *p, chance *c) {
  size_t keep = (size_t)chance_below(c, p->bytes + 1);
  message **at = &p->first, *last = NULL;
  p->bytes = 0;
  while (*at && p->bytes + (*at)->len <= keep) { /* the message that the cut falls into is lost whole */
    p->bytes += (*at)->len;
    last = *at;
    at = &last->next;
  }
  for (message *m = *at, *next; m; m = next) {
    next = m->next;
    free(m);
  }
  *at = NULL;
  p->last = last;
  if (!p->first)
    p->part = 0;
  p->hole = true;
}

void pipe_clear(pipe *p) {
  for (message *m = p->first, *next; m; m = next) {
    next = m->next;
    free(m);
  }
  p->first = p->last = NULL;
  p->bytes = p->part = 0;
}
