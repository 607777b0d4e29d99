// SPDX-License-Identifier: MIT
#ifndef SANDD_SIM_FLOW_H
#define SANDD_SIM_FLOW_H

#include "base.h"

#include <sandd/proto/inbox.h>
#include <sandd/proto/ring.h>

/* The application's two ends of a channel. Both go by events alone: a wake-up that the library forgets is a stall. */

typedef struct writer {
  sandd_ring *ring;
  uint64_t key, total;
  bool blocked; /* it found no room, and waits for RING_WRITABLE */
  bool drained;
} writer;

void writer_begin(writer *out, sandd_ring *ring, uint64_t key, uint64_t total);
/* Writes up to n bytes of what the channel carries; true once all of it is in the ring. */
bool writer_step(struct world *w, writer *out, uint64_t n);
void writer_free(writer *out);

typedef struct reader {
  sandd_inbox *inbox;
  uint64_t key;
  bool readable; /* INBOX_READABLE came and not all was read */
  bool may_skip; /* dropped bytes are lawful here */
  bool ended;    /* read up to the final offset */
  uint64_t bytes, skipped;
} reader;

void reader_begin(reader *in, sandd_inbox *inbox, uint64_t key, bool may_skip);
/* Reads and compares up to n bytes. */
void reader_step(struct world *w, reader *in, uint64_t n);
void reader_free(reader *in);

#endif
