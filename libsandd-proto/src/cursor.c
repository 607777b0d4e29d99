// SPDX-License-Identifier: MIT
#include "ring.h"

int sandd_cursor_new(sandd_cursor **out, sandd_stream *stream, int channel, sandd_ring *ring, uint64_t start,
                     uint64_t grant, bool watches) {
  if (start < ring->base || start > ring->end || grant > OFFSET_MAX)
    return SANDD_E_INVALID;
  sandd_cursor *cursor = sandd_alloc(stream->endpoint, sizeof *cursor);
  if (!cursor)
    return SANDD_E_NOMEM;
  cursor->ring = ring;
  cursor->stream = stream;
  cursor->channel = channel;
  cursor->sent = cursor->most_sent = cursor->next = cursor->consumed = start;
  cursor->limit = start + grant;
  cursor->watches = watches;
  list_append(&ring->cursors, &cursor->node);
  sandd_ring_trim(ring);
  *out = cursor;
  return 0;
}

void sandd_cursor_free(sandd_cursor *cursor) {
  if (!cursor)
    return;
  sandd_ring *ring = cursor->ring;
  list_remove(&cursor->node);
  cursor->stream->out[cursor->channel] = NULL;
  sandd_ring_trim(ring);
  sandd_free(ring->endpoint, cursor);
}

bool sandd_cursor_peek(const sandd_cursor *cursor, uint64_t chunk, sandd_cursor_piece *out) {
  const sandd_ring *ring = cursor->ring;
  if (cursor->wait || cursor->sent >= ring->end)
    return false;
  if (cursor->sent < ring->base) { /* a watcher that lags; any other reader holds the ring */
    if (cursor->limit <= cursor->sent)
      return false;
    *out = (sandd_cursor_piece){.offset = cursor->sent, .len = ring->base - cursor->sent};
    return true;
  }
  const sandd_segment *s = sandd_ring_find(ring, cursor->sent);
  if (!s)
    return false;
  uint64_t left = s->offset + s->len - cursor->sent;
  if (!s->data) {
    if (!RULE(ring->endpoint, SKIP_PAST_LIMIT) && cursor->sent + left > cursor->limit)
      return false;
    *out = (sandd_cursor_piece){.offset = cursor->sent, .len = left};
    return true;
  }
  if (RULE(ring->endpoint, CREDIT)) {
    if (cursor->limit <= cursor->sent)
      return false;
    if (left > cursor->limit - cursor->sent)
      left = cursor->limit - cursor->sent;
  }
  if (left > chunk)
    left = chunk;
  if (!left)
    return false;
  *out = (sandd_cursor_piece){.offset = cursor->sent, .len = left, .data = s->data + (cursor->sent - s->offset)};
  return true;
}

void sandd_cursor_sent(sandd_cursor *cursor, const sandd_cursor_piece *piece) {
  cursor->sent = piece->offset + piece->len;
  if (cursor->sent > cursor->most_sent)
    cursor->most_sent = cursor->sent;
}

const char *sandd_cursor_window(sandd_cursor *cursor, uint64_t next, uint64_t consumed, uint64_t limit) {
  if (next > OFFSET_MAX || consumed > OFFSET_MAX || limit > OFFSET_MAX)
    return "Window has an offset above 2^62";
  if (consumed > next)
    return "Window consumed more than was received";
  if (next > cursor->most_sent)
    return "Window received more than was sent";
  if (next < cursor->next || consumed < cursor->told || limit < cursor->limit)
    return "Window goes back";
  cursor->next = next;
  cursor->told = consumed;
  cursor->limit = limit;
  if (cursor->wait || !RULE(cursor->ring->endpoint, RESTART_ONCE)) {
    cursor->wait = false;
    if (RULE(cursor->ring->endpoint, RESTART_AT_NEXT))
      cursor->sent = next;
  }
  if (consumed > cursor->consumed) {
    cursor->consumed = consumed;
    sandd_ring_trim(cursor->ring);
  }
  return NULL;
}
