// SPDX-License-Identifier: MIT
#include "collect.h"

#include <stdlib.h>
#include <string.h>

void sandd_collected_init(collected *c, uint64_t bound) {
  *c = (collected){.skip_at = SIZE_MAX, .bound = bound};
}

static bool grow(collected *c, size_t len) {
  if (c->cap - c->len >= len)
    return true;
  size_t cap = c->cap ? c->cap : 512;
  while (cap - c->len < len) {
    if (cap > SIZE_MAX / 2)
      return false;
    cap *= 2;
  }
  uint8_t *bigger = realloc(c->bytes, cap);
  if (!bigger)
    return false;
  c->bytes = bigger;
  c->cap = cap;
  return true;
}

void sandd_collected_add(collected *c, const uint8_t *data, size_t len) {
  size_t fits = len;
  if (c->lost)
    fits = 0;
  else if (c->bound && c->len + len > c->bound)
    fits = (size_t)(c->bound - c->len);
  if (fits && !grow(c, fits))
    fits = 0;
  if (fits)
    memcpy(c->bytes + c->len, data, fits);
  c->len += fits;
  if (fits < len) {
    sandd_collected_skip(c);
    c->lost += len - fits;
  }
}

void sandd_collected_skip(collected *c) {
  if (c->skip_at == SIZE_MAX)
    c->skip_at = c->len;
}

void sandd_collected_free(collected *c) {
  free(c->bytes);
  *c = (collected){.skip_at = SIZE_MAX};
}
