// SPDX-License-Identifier: MIT
/* A peer need not be this library. In some worlds what a side sends is packed anew as another implementation might: one
 * packet in several, control frames that were received sent once more, Data cut into pieces that overlap. */
#include "foreign.h"

#include "wire.h"
#include "world.h"

#include <stdlib.h>
#include <string.h>

typedef struct writing {
  uint8_t *data;
  size_t len, cap;
} writing;

static void put(writing *out, const void *data, size_t len) {
  if (out->len + len > out->cap) {
    out->cap = 2 * (out->len + len);
    uint8_t *more = sim_alloc(out->cap);
    if (out->len)
      memcpy(more, out->data, out->len);
    free(out->data);
    out->data = more;
  }
  memcpy(out->data + out->len, data, len);
  out->len += len;
}

static void put_varint(writing *out, uint64_t value) {
  do {
    uint8_t byte = (uint8_t)((value & 127) | (value > 127 ? 128 : 0));
    put(out, &byte, 1);
  } while (value >>= 7);
}

static void put_frame(writing *out, const uint8_t *frame, size_t len) {
  put_varint(out, 2 << 3 | 2);
  put_varint(out, len);
  put(out, frame, len);
}

static void flush(conn *c, side from, writing *out, uint64_t ack) {
  writing packet = {0};
  if (ack) {
    put_varint(&packet, 1 << 3);
    put_varint(&packet, ack);
  }
  if (out->len)
    put(&packet, out->data, out->len);
  if (packet.len)
    pipe_put(&c->out[from], packet.data, packet.len);
  free(packet.data);
  out->len = 0;
}

static void put_data(writing *out, uint64_t stream_id, int channel, uint64_t offset, const uint8_t *bytes, size_t len) {
  writing data = {0}, frame = {0};
  put_varint(&data, 1 << 3);
  put_varint(&data, (uint64_t)channel);
  put_varint(&data, 2 << 3);
  put_varint(&data, offset);
  put_varint(&data, 3 << 3 | 2);
  put_varint(&data, len);
  put(&data, bytes, len);
  put_varint(&frame, 2 << 3);
  put_varint(&frame, stream_id);
  put_varint(&frame, BODY_DATA << 3 | 2);
  put_varint(&frame, data.len);
  put(&frame, data.data, data.len);
  put_frame(out, frame.data, frame.len);
  free(data.data);
  free(frame.data);
}

/* Begins a new packet when the next frame does not fit into this one. */
static void make_room(world *w, conn *c, side from, writing *out, uint64_t ack, size_t len) {
  if (out->len + len + 64 > w->config.message)
    flush(c, from, out, ack);
}

/* Two pieces in place of one, which share some bytes. */
static void cut_data(world *w, conn *c, side side_from, writing *out, const wire_frame *frame, uint64_t ack) {
  int channel;
  uint64_t from, to;
  wire_range(frame, &channel, &from, &to);
  const uint8_t *bytes = frame->data + frame->len - (to - from); /* the last field */
  size_t len = (size_t)(to - from), end = 1 + (size_t)chance_below(&w->chance, len),
         start = (size_t)chance_below(&w->chance, end + 1);
  if (start == len)
    start = 0;
  put_data(out, frame->stream_id, channel, from, bytes, end);
  make_room(w, c, side_from, out, ack, len);
  put_data(out, frame->stream_id, channel, from + start, bytes + start, len - start);
}

void foreign_put(world *w, conn *c, side from, const uint8_t *data, size_t len) {
  chance *r = &w->chance;
  wire_packet packet;
  wire_frame frame;
  writing out = {0};
  if (!wire_begin(&packet, data, len))
    return;
  size_t sent = 0;
  while (wire_next(&packet, &frame) == 1) {
    const wire_log *log = c->session ? &c->session->by[from] : NULL;
    if (frame.seq > 1 && chance_of(r, .1)) {
      const logged *old = &log->frames[chance_below(r, frame.seq - 1)];
      make_room(w, c, from, &out, packet.ack, old->len);
      put_frame(&out, old->frame, old->len);
    }
    make_room(w, c, from, &out, packet.ack, frame.whole_len);
    if (frame.body == BODY_DATA && chance_of(r, .3))
      cut_data(w, c, from, &out, &frame, packet.ack);
    else
      put_frame(&out, frame.whole, frame.whole_len);
    sent++;
    if (chance_of(r, .3))
      flush(c, from, &out, packet.ack);
  }
  if (out.len || !sent)
    flush(c, from, &out, packet.ack);
  free(out.data);
}
