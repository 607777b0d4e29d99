// SPDX-License-Identifier: MIT
#include "flow.h"

#include "world.h"

#include <string.h>

void writer_begin(writer *out, sandd_ring *ring, uint64_t key, uint64_t total) {
  *out = (writer){.ring = ring, .key = key, .total = total};
  sandd_ring_set_user(ring, out);
}

bool writer_step(world *w, writer *out, uint64_t n) {
  uint64_t end = sandd_ring_end(out->ring);
  if (sandd_ring_finished(out->ring))
    return true;
  if (n > out->total - end)
    n = out->total - end;
  if (!n || out->blocked)
    return end >= out->total;
  size_t room = sandd_ring_room(out->ring);
  int64_t took = sandd_ring_write(out->ring, content_at(out->key, end), (size_t)n);
  EXPECT(w, took == (int64_t)SMALLER(n, room), "a ring with room for %zu took %lld of %llu", room, (long long)took,
         (unsigned long long)n);
  if (took == 0)
    out->blocked = true;
  return end + (uint64_t)took >= out->total;
}

void writer_free(writer *out) {
  sandd_ring_free(out->ring);
  out->ring = NULL;
}

void reader_begin(reader *in, sandd_inbox *inbox, uint64_t key, bool may_skip) {
  *in = (reader){.inbox = inbox, .key = key, .may_skip = may_skip, .readable = true};
  sandd_inbox_set_user(inbox, in);
}

void reader_step(world *w, reader *in, uint64_t n) {
  const uint8_t *data;
  uint64_t len;
  while (in->readable && n) {
    uint64_t at = sandd_inbox_consumed(in->inbox);
    sandd_inbox_state state = sandd_inbox_peek(in->inbox, &data, &len);
    if (state == SANDD_INBOX_DATA) {
      if (len > n)
        len = n;
      EXPECT(w, len && len <= CONTENT_SPAN && !memcmp(data, content_at(in->key, at), (size_t)len),
             "bytes differ at %llu+%llu", (unsigned long long)at, (unsigned long long)len);
      in->bytes += len;
      n -= len;
    } else if (state == SANDD_INBOX_SKIP) {
      EXPECT(w, in->may_skip, "a Skip that nobody may send at %llu+%llu", (unsigned long long)at,
             (unsigned long long)len);
      in->skipped += len;
    } else {
      in->readable = false;
      if (state == SANDD_INBOX_END)
        in->ended = true;
      break;
    }
    sandd_inbox_consume(in->inbox, len, w->now);
    EXPECT(w, sandd_inbox_consumed(in->inbox) == at + len, "consumed %llu at %llu, now at %llu",
           (unsigned long long)len, (unsigned long long)at, (unsigned long long)sandd_inbox_consumed(in->inbox));
  }
}

void reader_free(reader *in) {
  sandd_inbox_free(in->inbox);
  in->inbox = NULL;
  in->readable = false;
}
