// SPDX-License-Identifier: MIT
#include "wire.h"

static bool varint(const uint8_t **at, const uint8_t *end, uint64_t *out) {
  uint64_t value = 0;
  for (unsigned shift = 0; shift < 64 && *at < end; shift += 7) {
    uint8_t byte = *(*at)++;
    value |= (uint64_t)(byte & 127) << shift;
    if (!(byte & 128)) {
      *out = value;
      return true;
    }
  }
  return false;
}

typedef struct field {
  uint64_t number, value;
  const uint8_t *data;
} field;

/* One field of wire type 0 or 2. */
static int next_field(const uint8_t **at, const uint8_t *end, field *out) {
  uint64_t tag;
  if (*at == end)
    return 0;
  if (!varint(at, end, &tag) || !varint(at, end, &out->value))
    return -1;
  out->number = tag >> 3;
  out->data = NULL;
  if ((tag & 7) == 0)
    return 1;
  if ((tag & 7) != 2 || out->value > (uint64_t)(end - *at))
    return -1;
  out->data = *at;
  *at += out->value;
  return 1;
}

bool wire_begin(wire_packet *packet, const uint8_t *data, size_t len) {
  const uint8_t *at = data;
  field f;
  int got;
  *packet = (wire_packet){.at = data, .end = data + len};
  while ((got = next_field(&at, data + len, &f)) == 1)
    if (f.number == 1 && !f.data)
      packet->ack = f.value;
  return got == 0;
}

int wire_next(wire_packet *packet, wire_frame *frame) {
  field f, inner;
  int got;
  while ((got = next_field(&packet->at, packet->end, &f)) == 1 && f.number != 2) {
  }
  if (got != 1)
    return got;
  if (!f.data)
    return -1;
  *frame = (wire_frame){.whole = f.data, .whole_len = (size_t)f.value};
  const uint8_t *at = f.data, *end = f.data + f.value;
  while ((got = next_field(&at, end, &inner)) == 1) {
    if (inner.data) {
      frame->body = (int)inner.number;
      frame->data = inner.data;
      frame->len = (size_t)inner.value;
    } else if (inner.number == 1) {
      frame->seq = inner.value;
    } else if (inner.number == 2) {
      frame->stream_id = inner.value;
    }
  }
  return got == 0 ? 1 : -1;
}

bool wire_range(const wire_frame *frame, int *channel, uint64_t *from, uint64_t *to) {
  const uint8_t *at = frame->data, *end = frame->data + frame->len;
  field f;
  int got;
  *channel = 0;
  *from = *to = 0;
  while ((got = next_field(&at, end, &f)) == 1) {
    if (f.number == 1)
      *channel = (int)f.value;
    if (f.number == 2)
      *from = f.value;
    if (f.number == 3)
      *to = f.data ? *from + f.value : f.value;
  }
  return got == 0;
}
