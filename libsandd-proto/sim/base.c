// SPDX-License-Identifier: MIT
#include "base.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint64_t chance_bits(chance *c) {
  uint64_t z = c->state += 0x9e3779b97f4a7c15u;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}

uint64_t chance_below(chance *c, uint64_t n) {
  return n ? chance_bits(c) % n : 0;
}

bool chance_of(chance *c, double probability) {
  return (double)(chance_bits(c) >> 11) < probability * 9007199254740992.0;
}

const uint8_t *content_at(uint64_t key, uint64_t offset) {
  static uint8_t *pattern;
  if (!pattern) {
    chance c = {42};
    pattern = sim_alloc(2 * CONTENT_SPAN);
    for (size_t i = 0; i < CONTENT_SPAN; i++)
      pattern[i] = pattern[i + CONTENT_SPAN] = (uint8_t)chance_bits(&c);
  }
  return pattern + (key % CONTENT_SPAN + offset % CONTENT_SPAN) % CONTENT_SPAN;
}

uint64_t content_key(uint64_t a, uint64_t b) {
  chance c = {a * 0x9e3779b97f4a7c15u ^ b};
  return chance_bits(&c);
}

uint64_t hash_bytes(const void *data, size_t len, uint64_t start) {
  const uint8_t *p = data;
  uint64_t h = start ^ 0xcbf29ce484222325u;
  for (size_t i = 0; i < len; i++)
    h = (h ^ p[i]) * 0x100000001b3u;
  return h;
}

typedef union head {
  size_t size;
  max_align_t align;
} head;

static void *count_alloc(void *ctx, size_t size) {
  memory *m = ctx;
  head *h = malloc(sizeof *h + size);
  if (!h)
    return NULL;
  h->size = size;
  m->blocks++;
  m->bytes += size;
  if (m->bytes > m->most_bytes)
    m->most_bytes = m->bytes;
  return h + 1;
}

static void count_free(void *ctx, void *ptr) {
  memory *m = ctx;
  if (!ptr)
    return;
  head *h = (head *)ptr - 1;
  m->blocks--;
  m->bytes -= h->size;
  free(h);
}

void memory_init(memory *m) {
  *m = (memory){.allocator = {.alloc = count_alloc, .free = count_free, .ctx = m}};
}

void *sim_alloc(size_t size) {
  void *ptr = calloc(1, size);
  if (!ptr) {
    fputs("FAIL out of memory\n", stderr);
    exit(2);
  }
  return ptr;
}
