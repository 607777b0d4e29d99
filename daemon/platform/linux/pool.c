// SPDX-License-Identifier: MIT
#include <stdlib.h>
#include <string.h>

#include "daemon/platform/linux/internal.h"

struct sandd_pool_chunk {
  sandd_pool_chunk *next;
  size_t used, size;
  _Alignas(16) char bytes[];
};

enum { CHUNK = 8192 - 64 };

void *sandd_pool_get(sandd_pool *pool, size_t size) {
  size = (size + 15) & ~(size_t)15;
  sandd_pool_chunk *chunk = pool->head;
  if (chunk == NULL || chunk->size - chunk->used < size) {
    size_t room = size > CHUNK ? size : CHUNK;
    chunk = malloc(sizeof(*chunk) + room);
    if (chunk == NULL)
      return NULL;
    *chunk = (sandd_pool_chunk){.next = pool->head, .size = room};
    pool->head = chunk;
  }
  void *p = chunk->bytes + chunk->used;
  chunk->used += size;
  return p;
}

char *sandd_pool_join(sandd_pool *pool, const void *a, size_t a_len, const void *b, size_t b_len) {
  char *p = sandd_pool_get(pool, a_len + b_len + 1);
  if (p == NULL)
    return NULL;
  if (a_len > 0)
    memcpy(p, a, a_len);
  if (b_len > 0)
    memcpy(p + a_len, b, b_len);
  p[a_len + b_len] = 0;
  return p;
}

void sandd_pool_free(sandd_pool *pool) {
  while (pool->head != NULL) {
    sandd_pool_chunk *next = pool->head->next;
    free(pool->head);
    pool->head = next;
  }
}
