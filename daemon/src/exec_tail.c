// SPDX-License-Identifier: MIT
#include "exec_tail.h"

#include <stdlib.h>
#include <string.h>

void sandd_exec_tail_init(sandd_exec_tail *tail, size_t max, uint64_t *budget) {
  *tail = (sandd_exec_tail){.max = max, .budget = budget};
}

void sandd_exec_tail_free(sandd_exec_tail *tail) {
  free(tail->buf);
  *tail->budget += tail->cap;
  tail->buf = NULL;
  tail->cap = tail->len = tail->first = 0;
}

static void grow(sandd_exec_tail *tail, size_t want) {
  size_t cap = tail->cap ? tail->cap : 4096;
  while (cap < want) {
    cap *= 2;
  }
  if (cap > tail->max) {
    cap = tail->max;
  }
  if (cap <= tail->cap || cap - tail->cap > *tail->budget) {
    return;
  }
  uint8_t *buf = malloc(cap);
  if (!buf) {
    return;
  }
  size_t front = tail->cap - tail->first < tail->len ? tail->cap - tail->first : tail->len;
  if (tail->len > 0) {
    memcpy(buf, tail->buf + tail->first, front);
    memcpy(buf + front, tail->buf, tail->len - front);
  }
  *tail->budget -= cap - tail->cap;
  free(tail->buf);
  tail->buf = buf;
  tail->cap = cap;
  tail->first = 0;
}

void sandd_exec_tail_write(sandd_exec_tail *tail, const uint8_t *data, size_t len) {
  if (tail->len + len > tail->cap) {
    grow(tail, tail->len + len);
  }
  if (len > tail->cap) {
    tail->dropped += len - tail->cap;
    data += len - tail->cap;
    len = tail->cap;
  }
  if (tail->len + len > tail->cap) {
    size_t out = tail->len + len - tail->cap;
    tail->dropped += out;
    sandd_exec_tail_consume(tail, out);
  }
  if (len == 0) {
    return;
  }
  size_t end = (tail->first + tail->len) % tail->cap;
  size_t front = tail->cap - end < len ? tail->cap - end : len;
  memcpy(tail->buf + end, data, front);
  memcpy(tail->buf, data + front, len - front);
  tail->len += len;
}

size_t sandd_exec_tail_peek(const sandd_exec_tail *tail, const uint8_t **data) {
  *data = tail->buf + tail->first;
  return tail->cap - tail->first < tail->len ? tail->cap - tail->first : tail->len;
}

void sandd_exec_tail_consume(sandd_exec_tail *tail, size_t len) {
  tail->len -= len;
  tail->first = tail->len > 0 ? (tail->first + len) % tail->cap : 0;
}
