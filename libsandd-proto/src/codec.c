// SPDX-License-Identifier: MIT
#include "codec.h"

#define B(name) SANDD__V1__FRAME__BODY_##name

body_kind sandd_body_kind(int body) {
  switch (body) {
  case B(DATA):
  case B(WINDOW):
  case B(SKIP): return BODY_DATA;
  case B(HEARTBEAT):
  case B(HEARTBEAT_REPLY):
  case B(HELLO):
  case B(WELCOME):
  case B(GOODBYE): return BODY_LINK;
  case B(CHANNEL_END):
  case B(END):
  case B(RESET):
  case B(EXEC_OPEN):
  case B(EXEC_STARTED):
  case B(EXEC_EXITED):
  case B(SIGNAL):
  case B(RESIZE):
  case B(DETACH): return BODY_CONTROL;
  default: return BODY_UNKNOWN;
  }
}

bool sandd_body_opens(int body) {
  return body == B(EXEC_OPEN);
}

int sandd_packet_decode(sandd_endpoint *endpoint, const uint8_t *data, size_t len, size_t message_max,
                        Sandd__V1__Packet **out, const char **why) {
  sandd_arena *arena = &endpoint->arena;
  sandd_arena_reset(arena, 2 * message_max + 65536);
  *out = sandd__v1__packet__unpack(&arena->allocator, len, data);
  if (*out)
    return 0;
  if (arena->no_memory) {
    *why = "out of memory";
    return SANDD_E_NOMEM;
  }
  if (arena->over_limit) {
    *why = "the packet needs too much memory to decode";
    return SANDD_E_TOO_LARGE;
  }
  *why = "the message is no Packet";
  return SANDD_E_PROTOCOL;
}

static bool valid_utf8(const char *text) {
  const uint8_t *p = (const uint8_t *)text;
  while (*p) {
    unsigned c = *p++, more, min;
    if (c < 0x80)
      continue;
    if (c >= 0xc2 && c <= 0xdf)
      more = 1, min = 0x80, c &= 0x1f;
    else if ((c & 0xf0) == 0xe0)
      more = 2, min = 0x800, c &= 0x0f;
    else if (c >= 0xf0 && c <= 0xf4)
      more = 3, min = 0x10000, c &= 0x07;
    else
      return false;
    for (; more; more--, p++) {
      if ((*p & 0xc0) != 0x80)
        return false;
      c = c << 6 | (*p & 0x3f);
    }
    if (c < min || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
      return false;
  }
  return true;
}

/* Every string of a message, by its descriptor. The schema is not recursive, so this ends. */
static bool texts_valid(const ProtobufCMessage *message) {
  const ProtobufCMessageDescriptor *d = message->descriptor;
  for (unsigned i = 0; i < d->n_fields; i++) {
    const ProtobufCFieldDescriptor *f = &d->fields[i];
    if (f->type != PROTOBUF_C_TYPE_STRING && f->type != PROTOBUF_C_TYPE_MESSAGE)
      continue;
    const char *base = (const char *)message;
    if ((f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) && *(const uint32_t *)(base + f->quantifier_offset) != f->id)
      continue;
    size_t n = f->label == PROTOBUF_C_LABEL_REPEATED ? *(const size_t *)(base + f->quantifier_offset) : 1;
    const void *const *items = f->label == PROTOBUF_C_LABEL_REPEATED ? *(const void *const *const *)(base + f->offset)
                                                                     : (const void *const *)(base + f->offset);
    for (size_t k = 0; k < n; k++) {
      if (!items[k])
        continue;
      if (f->type == PROTOBUF_C_TYPE_STRING ? !valid_utf8(items[k]) : !texts_valid(items[k]))
        return false;
    }
  }
  return true;
}

const char *sandd_frame_check_text(const Frame *frame) {
  switch (frame->body_case) {
  case B(DATA):
  case B(WINDOW):
  case B(SKIP):
  case B(HEARTBEAT):
  case B(HEARTBEAT_REPLY):
  case B(CHANNEL_END): return NULL; /* they have none */
  default: return texts_valid(&frame->base) ? NULL : "a string is not UTF-8";
  }
}

static size_t put_varint(uint8_t *out, uint64_t value) {
  size_t n = 0;
  for (; value >= 0x80; value >>= 7)
    out[n++] = (uint8_t)(value | 0x80);
  out[n++] = (uint8_t)value;
  return n;
}

static size_t varint_size(uint64_t value) {
  size_t n = 1;
  for (; value >= 0x80; value >>= 7)
    n++;
  return n;
}

#define TAG_ACK    0x08 /* Packet.ack, varint */
#define TAG_FRAMES 0x12 /* Packet.frames, length-delimited */
#define TAG_SEQ    0x08 /* Frame.seq, varint */

void packet_begin(packet_writer *writer, uint8_t *buf, size_t cap, uint64_t ack) {
  *writer = (packet_writer){.buf = buf, .cap = cap};
  if (ack && cap > 11) {
    buf[writer->len++] = TAG_ACK;
    writer->len += put_varint(buf + writer->len, ack);
  }
}

bool packet_add(packet_writer *writer, const Frame *frame) {
  size_t size = sandd__v1__frame__get_packed_size(frame);
  if (writer->len + 1 + varint_size(size) + size > writer->cap)
    return false;
  writer->buf[writer->len++] = TAG_FRAMES;
  writer->len += put_varint(writer->buf + writer->len, size);
  writer->len += sandd__v1__frame__pack(frame, writer->buf + writer->len);
  writer->frames++;
  return true;
}

bool packet_add_control(packet_writer *writer, const sandd_control *control) {
  size_t size = control->len + (control->seq ? 1 + varint_size(control->seq) : 0);
  if (writer->len + 1 + varint_size(size) + size > writer->cap)
    return false;
  writer->buf[writer->len++] = TAG_FRAMES;
  writer->len += put_varint(writer->buf + writer->len, size);
  if (control->seq) {
    writer->buf[writer->len++] = TAG_SEQ;
    writer->len += put_varint(writer->buf + writer->len, control->seq);
  }
  memcpy(writer->buf + writer->len, control->data, control->len);
  writer->len += control->len;
  writer->frames++;
  return true;
}

size_t packet_room(const packet_writer *writer) {
  const size_t overhead = 64; /* tags, lengths, stream id, channel and offset of a Data frame at their longest */
  return writer->cap > writer->len + overhead ? writer->cap - writer->len - overhead : 0;
}

sandd_control *sandd_control_new(sandd_endpoint *endpoint, const Frame *frame) {
  Frame copy = *frame;
  copy.seq = 0;
  size_t size = sandd__v1__frame__get_packed_size(&copy);
  if (size > UINT32_MAX)
    return NULL;
  sandd_control *control = sandd_alloc(endpoint, sizeof *control + size);
  if (!control)
    return NULL;
  control->stream_id = frame->stream_id;
  control->body = (int)frame->body_case;
  control->data = (uint8_t *)(control + 1);
  control->len = (uint32_t)sandd__v1__frame__pack(&copy, control->data);
  return control;
}

void sandd_control_free(sandd_endpoint *endpoint, sandd_control *control) {
  if (control && !control->spare)
    sandd_free(endpoint, control);
}

size_t sandd_control_cost(const sandd_control *control) {
  return control->len + 20;
}

ProtobufCMessage *sandd_message_copy(sandd_endpoint *endpoint, const ProtobufCMessage *message) {
  size_t size = protobuf_c_message_get_packed_size(message);
  uint8_t *bytes = sandd_alloc(endpoint, size + 1);
  if (!bytes)
    return NULL;
  protobuf_c_message_pack(message, bytes);
  ProtobufCMessage *copy = protobuf_c_message_unpack(message->descriptor, &endpoint->pb_allocator, size, bytes);
  sandd_free(endpoint, bytes);
  return copy;
}

void sandd_message_free(sandd_endpoint *endpoint, ProtobufCMessage *message) {
  if (message)
    protobuf_c_message_free_unpacked(message, &endpoint->pb_allocator);
}
