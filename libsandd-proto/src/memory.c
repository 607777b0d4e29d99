// SPDX-License-Identifier: MIT
#include "types.h"

void *sandd_alloc(sandd_endpoint *endpoint, size_t size) {
  void *ptr = endpoint->allocator.alloc(endpoint->allocator.ctx, size);
  if (ptr)
    memset(ptr, 0, size);
  return ptr;
}

void sandd_free(sandd_endpoint *endpoint, void *ptr) {
  if (ptr)
    endpoint->allocator.free(endpoint->allocator.ctx, ptr);
}

char *sandd_copy_text(sandd_endpoint *endpoint, const char *text, size_t len) {
  char *copy = sandd_alloc(endpoint, len + 1);
  if (copy && len)
    memcpy(copy, text, len);
  return copy;
}
