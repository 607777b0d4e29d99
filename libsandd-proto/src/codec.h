// SPDX-License-Identifier: MIT
#ifndef SANDD_PROTO_CODEC_H
#define SANDD_PROTO_CODEC_H

#include "types.h"

typedef enum body_kind { BODY_UNKNOWN, BODY_LINK, BODY_DATA, BODY_CONTROL } body_kind;
body_kind sandd_body_kind(int body);
bool sandd_body_opens(int body); /* is it an opening frame? */

/* Decodes a packet into the endpoint's arena. 0, or SANDD_E_PROTOCOL / _TOO_LARGE / _NOMEM and *why. */
int sandd_packet_decode(sandd_endpoint *endpoint, const uint8_t *data, size_t len, size_t message_max,
                        Sandd__V1__Packet **out, const char **why);
/* A sentence when a string of the frame is no UTF-8, else NULL. */
const char *sandd_frame_check_text(const Frame *frame);

/* Writes a packet frame by frame; nothing is written past cap. */
typedef struct packet_writer {
  uint8_t *buf;
  size_t cap, len;
  unsigned frames;
} packet_writer;
void packet_begin(packet_writer *writer, uint8_t *buf, size_t cap, uint64_t ack);
bool packet_add(packet_writer *writer, const Frame *frame); /* false: no room */
bool packet_add_control(packet_writer *writer,
                        const sandd_control *control); /* with its seq in front; false: no room */
size_t packet_room(const packet_writer *writer);       /* for the payload of one Data frame */

/* Encodes a frame without its seq. NULL when there is no memory. */
sandd_control *sandd_control_new(sandd_endpoint *endpoint, const Frame *frame);
void sandd_control_free(sandd_endpoint *endpoint, sandd_control *control);
size_t sandd_control_cost(const sandd_control *control); /* bytes that it takes on the wire, at most */

/* A deep copy of a message, or NULL. */
ProtobufCMessage *sandd_message_copy(sandd_endpoint *endpoint, const ProtobufCMessage *message);
void sandd_message_free(sandd_endpoint *endpoint, ProtobufCMessage *message);

#endif
