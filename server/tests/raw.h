// SPDX-License-Identifier: MIT
// A WebSocket client by hand, for what no decent library would send.
#ifndef SANDD_SERVER_TEST_RAW_H
#define SANDD_SERVER_TEST_RAW_H

#include <sandd/v1/packet.pb-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RAW_TEXT = 1, RAW_BINARY = 2, RAW_CLOSE = 8 };

/* Connects and upgrades; a descriptor. Fails the test if that does not work. */
int raw_connect(int port);
/* One whole message, masked. */
void raw_send(int fd, int opcode, const void *data, size_t len);
void raw_packet(int fd, const Sandd__V1__Packet *packet);
void raw_frame(int fd, uint64_t ack, Sandd__V1__Frame *frame);
/* Says Hello as daemon id; versions: {1}, or what is not 0. */
void raw_hello(int fd, const char *id, uint32_t version);
/* The next packet, or NULL when the connection ended: then *code is that of the Close frame, 0 without one. Fails the test
 * after 20 s. To be freed with sandd__v1__packet__free_unpacked. */
Sandd__V1__Packet *raw_receive(int fd, unsigned *code);
/* Reads until the connection ends: its close code. */
unsigned raw_end(int fd);
/* Reads until a frame with that body has come: its packet; *frame points into it. */
Sandd__V1__Packet *raw_await(int fd, int body, Sandd__V1__Frame **frame);
/* Hello, Welcome, and the frame that confirms the connection. */
void raw_up(int fd, const char *id);

#endif
