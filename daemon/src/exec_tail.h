// SPDX-License-Identifier: MIT
#ifndef SANDD_DAEMON_EXEC_TAIL_H
#define SANDD_DAEMON_EXEC_TAIL_H

#include <stddef.h>
#include <stdint.h>

/* The last bytes of a capped output, held back until its end: a ring that grows as it fills. Plain data. */
typedef struct sandd_exec_tail {
  uint8_t *buf;
  size_t cap, first, len;
  size_t max;       /* most bytes that are kept */
  uint64_t *budget; /* bytes that all tails may still allocate; without budget a tail keeps what it can */
  uint64_t dropped; /* bytes that fell out in front */
} sandd_exec_tail;

void sandd_exec_tail_init(sandd_exec_tail *tail, size_t max, uint64_t *budget);
void sandd_exec_tail_free(sandd_exec_tail *tail);
/* Appends; the oldest bytes fall out. */
void sandd_exec_tail_write(sandd_exec_tail *tail, const uint8_t *data, size_t len);
/* The oldest bytes that lie together; 0 when it is empty. Valid until the next call. */
size_t sandd_exec_tail_peek(const sandd_exec_tail *tail, const uint8_t **data);
void sandd_exec_tail_consume(sandd_exec_tail *tail, size_t len);

#endif
