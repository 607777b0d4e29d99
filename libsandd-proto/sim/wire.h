// SPDX-License-Identifier: MIT
#ifndef SANDD_SIM_WIRE_H
#define SANDD_SIM_WIRE_H

#include "base.h"

/* What the oracle reads off the wire, by a decoder of its own. */
enum {
  BODY_DATA = 3,
  BODY_WINDOW = 4,
  BODY_SKIP = 5,
  BODY_HELLO = 16,
  BODY_WELCOME = 17,
  BODY_GOODBYE = 18,
  BODY_CHANNEL_END = 32,
  BODY_END = 33,
  BODY_RESET = 34,
  BODY_EXEC_OPEN = 64
};

typedef struct wire_frame {
  uint64_t seq, stream_id;
  int body;
  const uint8_t *data; /* the encoded body */
  size_t len;
  const uint8_t *whole; /* the encoded frame */
  size_t whole_len;
} wire_frame;

typedef struct wire_packet {
  const uint8_t *at, *end;
  uint64_t ack;
} wire_packet;

/* Starts to read a packet, and gives its ack. False: it is none. */
bool wire_begin(wire_packet *packet, const uint8_t *data, size_t len);
/* The next frame: 1, 0 at the end, -1 for garbage. */
int wire_next(wire_packet *packet, wire_frame *frame);
/* The channel, first offset and end of a Data or Skip. False for garbage. */
bool wire_range(const wire_frame *frame, int *channel, uint64_t *from, uint64_t *to);

#endif
