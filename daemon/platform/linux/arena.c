// SPDX-License-Identifier: MIT
#include <stdlib.h>
#include <string.h>

#include "daemon/platform/linux/internal.h"

struct sandd_arena_chunk {
  sandd_arena_chunk *next;
  size_t used, size;
  _Alignas(16) char bytes[];
};

enum { CHUNK = 8192 - 64 };

void *sandd_arena_get(sandd_arena *arena, size_t size) {
  size = (size + 15) & ~(size_t)15;
  sandd_arena_chunk *chunk = arena->head;
  if (chunk == NULL || chunk->size - chunk->used < size) {
    size_t room = size > CHUNK ? size : CHUNK;
    chunk = malloc(sizeof(*chunk) + room);
    if (chunk == NULL)
      return NULL;
    *chunk = (sandd_arena_chunk){.next = arena->head, .size = room};
    arena->head = chunk;
  }
  void *p = chunk->bytes + chunk->used;
  chunk->used += size;
  return p;
}

char *sandd_arena_join(sandd_arena *arena, const void *a, size_t a_len, const void *b, size_t b_len) {
  char *p = sandd_arena_get(arena, a_len + b_len + 1);
  if (p == NULL)
    return NULL;
  if (a_len > 0)
    memcpy(p, a, a_len);
  if (b_len > 0)
    memcpy(p + a_len, b, b_len);
  p[a_len + b_len] = 0;
  return p;
}

void sandd_arena_free(sandd_arena *arena) {
  while (arena->head != NULL) {
    sandd_arena_chunk *next = arena->head->next;
    free(arena->head);
    arena->head = next;
  }
}
