// SPDX-License-Identifier: MIT
#ifndef SANDD_PROTO_RING_STATE_H
#define SANDD_PROTO_RING_STATE_H

#include "types.h"

/* Lets go of what every holder has consumed and nobody keeps. */
void sandd_ring_trim(sandd_ring *ring);
/* The segment with the byte at offset (base <= offset < end). */
const sandd_segment *sandd_ring_find(const sandd_ring *ring, uint64_t offset);

/* cursor.c */
int sandd_cursor_new(sandd_cursor **out, sandd_stream *stream, int channel, sandd_ring *ring, uint64_t start,
                     uint64_t grant, bool watches);
void sandd_cursor_free(sandd_cursor *cursor); /* also leaves its stream and its ring */
/* The next Data or Skip, at most chunk bytes: true and *out. Nothing moves until sandd_cursor_sent. */
typedef struct sandd_cursor_piece {
  uint64_t offset, len;
  const uint8_t *data; /* NULL: a Skip */
} sandd_cursor_piece;
bool sandd_cursor_peek(const sandd_cursor *cursor, uint64_t chunk, sandd_cursor_piece *out);
void sandd_cursor_sent(sandd_cursor *cursor, const sandd_cursor_piece *piece);
/* A Window came. NULL, or what is wrong with it. */
const char *sandd_cursor_window(sandd_cursor *cursor, uint64_t next, uint64_t consumed, uint64_t limit);

#endif
