// SPDX-License-Identifier: MIT
// Output gathered in memory.
#ifndef SANDD_SERVER_COLLECT_H
#define SANDD_SERVER_COLLECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct collected {
  uint8_t *bytes;
  size_t len, cap;
  size_t skip_at; /* where something is missing; SIZE_MAX: nowhere */
  uint64_t lost;  /* bytes above the bound, or that there was no memory for */
  uint64_t bound; /* 0: none */
} collected;

void sandd_collected_init(collected *c, uint64_t bound);
/* Appends; what does not fit counts as lost, and nothing that comes later is taken. */
void sandd_collected_add(collected *c, const uint8_t *data, size_t len);
void sandd_collected_skip(collected *c);
void sandd_collected_free(collected *c);

#endif
