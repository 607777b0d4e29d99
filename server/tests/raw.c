// SPDX-License-Identifier: MIT
#include "raw.h"

#include <arpa/inet.h>
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

int raw_connect(int port) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  struct timeval limit = {20, 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
  static const char request[] = "GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
                                "Sec-WebSocket-Protocol: sandd.v1\r\n\r\n";
  ck_assert_int_eq(send(fd, request, sizeof request - 1, 0), (ssize_t)sizeof request - 1);
  char answer[2048];
  size_t len = 0;
  while (len < 4 || memcmp(answer + len - 4, "\r\n\r\n", 4) != 0) {
    ck_assert_uint_lt(len, sizeof answer - 1);
    ck_assert_int_eq(recv(fd, answer + len, 1, 0), 1);
    len++;
  }
  answer[len] = 0;
  ck_assert_msg(strstr(answer, " 101 ") != NULL, "%s", answer);
  return fd;
}

void raw_send(int fd, int opcode, const void *data, size_t len) {
  uint8_t *frame = malloc(len + 14);
  size_t at = 0;
  frame[at++] = (uint8_t)(0x80 | opcode);
  if (len < 126) {
    frame[at++] = (uint8_t)(0x80 | len);
  } else if (len < 65536) {
    frame[at++] = 0x80 | 126;
    frame[at++] = (uint8_t)(len >> 8);
    frame[at++] = (uint8_t)len;
  } else {
    frame[at++] = 0x80 | 127;
    for (int shift = 56; shift >= 0; shift -= 8)
      frame[at++] = (uint8_t)((uint64_t)len >> shift);
  }
  memset(frame + at, 0, 4); /* a mask of zeros masks nothing */
  at += 4;
  if (len)
    memcpy(frame + at, data, len);
  /* The far end may have hung up already: what it said counts. */
  ssize_t n = send(fd, frame, at + len, MSG_NOSIGNAL);
  (void)n;
  free(frame);
}

void raw_packet(int fd, const Sandd__V1__Packet *packet) {
  size_t len = sandd__v1__packet__get_packed_size(packet);
  uint8_t *data = malloc(len + 1);
  sandd__v1__packet__pack(packet, data);
  raw_send(fd, RAW_BINARY, data, len);
  free(data);
}

void raw_frame(int fd, uint64_t ack, Sandd__V1__Frame *frame) {
  Sandd__V1__Packet packet = SANDD__V1__PACKET__INIT;
  packet.ack = ack;
  packet.n_frames = 1;
  packet.frames = &frame;
  raw_packet(fd, &packet);
}

void raw_hello(int fd, const char *id, uint32_t version) {
  uint32_t versions[1] = {version ? version : 1};
  Sandd__V1__Platform platform = SANDD__V1__PLATFORM__INIT;
  Sandd__V1__Limits limits = SANDD__V1__LIMITS__INIT;
  Sandd__V1__Capability exec = SANDD__V1__CAPABILITY__INIT;
  Sandd__V1__Capability *capabilities[1] = {&exec};
  exec.name = (char *)(uintptr_t)"exec";
  Sandd__V1__Hello hello = SANDD__V1__HELLO__INIT;
  hello.n_versions = 1;
  hello.versions = versions;
  hello.daemon_id = (char *)(uintptr_t)id;
  hello.instance_id = (char *)(uintptr_t)id;
  hello.attempt = 1;
  hello.software = (char *)(uintptr_t)"raw";
  hello.platform = &platform;
  hello.limits = &limits;
  hello.n_capabilities = 1;
  hello.capabilities = capabilities;
  Sandd__V1__Frame frame = SANDD__V1__FRAME__INIT;
  frame.body_case = SANDD__V1__FRAME__BODY_HELLO;
  frame.hello = &hello;
  raw_frame(fd, 0, &frame);
}

static bool read_exactly(int fd, uint8_t *out, size_t len) {
  while (len) {
    ssize_t n = recv(fd, out, len, 0);
    if (n <= 0)
      return false;
    out += n;
    len -= (size_t)n;
  }
  return true;
}

Sandd__V1__Packet *raw_receive(int fd, unsigned *code) {
  uint8_t head[2], more[8];
  *code = 0;
  if (!read_exactly(fd, head, 2))
    return NULL;
  size_t len = head[1] & 0x7f, extra = len == 126 ? 2 : len == 127 ? 8 : 0;
  if (extra) {
    if (!read_exactly(fd, more, extra))
      return NULL;
    len = 0;
    for (size_t i = 0; i < extra; i++)
      len = len << 8 | more[i];
  }
  uint8_t *data = malloc(len + 1);
  Sandd__V1__Packet *packet = NULL;
  if (read_exactly(fd, data, len)) {
    if ((head[0] & 0x0f) == RAW_CLOSE)
      *code = len >= 2 ? (unsigned)(data[0] << 8 | data[1]) : 1005;
    else
      packet = sandd__v1__packet__unpack(NULL, len, data);
  }
  free(data);
  return packet;
}

unsigned raw_end(int fd) {
  unsigned code;
  Sandd__V1__Packet *packet;
  while ((packet = raw_receive(fd, &code)) != NULL)
    sandd__v1__packet__free_unpacked(packet, NULL);
  close(fd);
  return code;
}

Sandd__V1__Packet *raw_await(int fd, int body, Sandd__V1__Frame **frame) {
  for (;;) {
    unsigned code;
    Sandd__V1__Packet *packet = raw_receive(fd, &code);
    ck_assert_msg(packet != NULL, "the connection ended with %u", code);
    for (size_t i = 0; i < packet->n_frames; i++)
      if ((int)packet->frames[i]->body_case == body) {
        *frame = packet->frames[i];
        return packet;
      }
    sandd__v1__packet__free_unpacked(packet, NULL);
  }
}

void raw_up(int fd, const char *id) {
  Sandd__V1__Frame *frame, heartbeat = SANDD__V1__FRAME__INIT;
  Sandd__V1__Heartbeat beat = SANDD__V1__HEARTBEAT__INIT;
  raw_hello(fd, id, 1);
  sandd__v1__packet__free_unpacked(raw_await(fd, SANDD__V1__FRAME__BODY_WELCOME, &frame), NULL);
  heartbeat.body_case = SANDD__V1__FRAME__BODY_HEARTBEAT;
  heartbeat.heartbeat = &beat;
  beat.stamp = 1;
  raw_frame(fd, 0, &heartbeat);
}
