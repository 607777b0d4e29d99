// SPDX-License-Identifier: MIT
/* Frames made by hand, good and bad ones, at a listener. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support.h"

#define OFFER "Sec-WebSocket-Protocol: sandd.v1\r\n"

static int open_raw(world *w) {
  char answer[1024];
  ssize_t n = 0;
  world_start(w);
  world_listen(w, (sandd_listen_config){0});
  int fd = raw_connect(sandd_listener_port(w->listener));
  raw_upgrade(fd, OFFER);
  WAIT_FOR(w, w->accepted && w->accepted->opened);
  WAIT_FOR(w, (n = recv(fd, answer, sizeof answer - 1, MSG_DONTWAIT)) > 0);
  answer[n] = 0;
  ck_assert_msg(!strncmp(answer, "HTTP/1.1 101", 12), "%s", answer);
  ck_assert_ptr_null(strstr(answer, "deflate"));
  return fd;
}

/* The server's next frame has this Close code, or the connection just ends (code 0). */
static void expect_close(world *w, int fd, unsigned code) {
  uint8_t frame[256];
  ssize_t n = 0;
  WAIT_FOR(w, (n = recv(fd, frame, sizeof frame, MSG_DONTWAIT)) >= 0 || errno == ECONNRESET);
  if (code) {
    ck_assert_int_ge(n, 4);
    ck_assert_uint_eq(frame[0], 0x88);
    ck_assert_uint_eq((unsigned)frame[2] << 8 | frame[3], code);
  } else {
    ck_assert_int_le(n, 0);
  }
}

/* Bytes in steps of _i, or all at once for 0. */
static void send_in_steps(world *w, int fd, const uint8_t *data, size_t len, size_t step) {
  for (size_t at = 0; at < len; at += step) {
    raw_send(fd, data + at, len - at < step ? len - at : step);
    sandd_net_turn(w->net, 0);
  }
}

static const size_t steps[] = {1, 2, 3, 7, 1000, 100000};

START_TEST(a_message_may_come_in_any_pieces) {
  uint8_t payload[3000], stream[20000];
  world w;
  int fd = open_raw(&w);
  for (size_t i = 0; i < sizeof payload; i++) {
    payload[i] = (uint8_t)(i * 31);
  }
  /* one whole; one in three frames with a ping between; an empty one; an empty one in two frames; one whole */
  size_t n = raw_frame(stream, 0x82, payload, 3000);
  n += raw_frame(stream + n, 0x02, payload, 100);
  n += raw_frame(stream + n, 0x89, "ping", 4);
  n += raw_frame(stream + n, 0x00, payload + 100, 2000);
  n += raw_frame(stream + n, 0x80, payload + 2100, 900);
  n += raw_frame(stream + n, 0x82, NULL, 0);
  n += raw_frame(stream + n, 0x02, NULL, 0);
  n += raw_frame(stream + n, 0x80, NULL, 0);
  n += raw_frame(stream + n, 0x82, payload, 126);
  send_in_steps(&w, fd, stream, n, steps[_i]);
  WAIT_FOR(&w, w.accepted->in_count == 5);
  static const size_t lengths[] = {3000, 3000, 0, 0, 126};
  message *m = w.accepted->in;
  for (int i = 0; i < 5; i++, m = m->next) {
    ck_assert_uint_eq(m->len, lengths[i]);
    ck_assert(!memcmp(m->data, payload, m->len));
  }
  uint8_t pong[64];
  WAIT_FOR(&w, recv(fd, pong, sizeof pong, MSG_DONTWAIT) == 6);
  ck_assert(!memcmp(pong, "\x8a\x04ping", 6));
  close(fd);
  world_stop(&w);
}
END_TEST

START_TEST(a_thousand_fragments_make_one_message) {
  uint8_t frame[64];
  world w;
  int fd = open_raw(&w);
  for (int i = 0; i < 1000; i++) {
    size_t n = raw_frame(frame, (uint8_t)(i == 0 ? 0x02 : i == 999 ? 0x80 : 0x00), "0123456789", 10);
    send_in_steps(&w, fd, frame, n, n);
  }
  WAIT_FOR(&w, w.accepted->in_count == 1);
  ck_assert_uint_eq(w.accepted->in->len, 10000);
  close(fd);
  world_stop(&w);
}
END_TEST

START_TEST(the_first_bytes_may_come_with_the_request) {
  uint8_t bytes[2048];
  world w;
  world_start(&w);
  world_listen(&w, (sandd_listen_config){0});
  int fd = raw_connect(sandd_listener_port(w.listener));
  int n = snprintf((char *)bytes, sizeof bytes,
                   "GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                   "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n" OFFER "\r\n");
  size_t len = (size_t)n + raw_frame(bytes + n, 0x82, "early", 5);
  raw_send(fd, bytes, len);
  WAIT_FOR(&w, w.accepted && w.accepted->in_count == 1);
  ck_assert(!memcmp(w.accepted->in->data, "early", 5));
  close(fd);
  world_stop(&w);
}
END_TEST

START_TEST(a_text_message_closes_with_1003_and_names_the_old_daemon) {
  uint8_t frame[128];
  world w;
  int fd = open_raw(&w);
  size_t n = raw_frame(frame, 0x81, "{\"type\":\"register\"}", 19);
  send_in_steps(&w, fd, frame, n, _i ? 1 : n);
  expect_close(&w, fd, 1003);
  n = raw_frame(frame, 0x88, "\x03\xeb", 2);
  raw_send(fd, frame, n);
  WAIT_FOR(&w, w.accepted->closed);
  ck_assert_int_eq(w.accepted->error, SANDD_NET_TEXT);
  ck_assert_uint_eq(w.accepted->ws_code, 1003);
  ck_assert_uint_eq(w.accepted->in_count, 0);
  ck_assert_ptr_nonnull(strstr(w.log, "old daemon that speaks JSON"));
  close(fd);
  world_stop(&w);
}
END_TEST

START_TEST(a_later_text_message_is_no_old_daemon) {
  uint8_t frame[128];
  world w;
  int fd = open_raw(&w);
  size_t n = raw_frame(frame, 0x82, "x", 1);
  n += raw_frame(frame + n, 0x81, "y", 1);
  raw_send(fd, frame, n);
  expect_close(&w, fd, 1003);
  close(fd);
  WAIT_FOR(&w, w.accepted->closed);
  ck_assert_int_eq(w.accepted->error, SANDD_NET_TEXT);
  ck_assert_ptr_null(strstr(w.log, "JSON"));
  world_stop(&w);
}
END_TEST

START_TEST(an_announced_size_above_the_limit_closes_before_it_comes) {
  /* 2^62 bytes, and 64 KiB and one byte. */
  static const uint8_t headers[2][14] = {
      {0x82, 0xff, 0x40, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4},
      {0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 1, 1, 2, 3, 4},
  };
  uint8_t some[8000] = {0};
  world w;
  int fd = open_raw(&w);
  raw_send(fd, headers[_i], sizeof headers[_i]);
  raw_send(fd, some, sizeof some);
  expect_close(&w, fd, 1009);
  close(fd);
  WAIT_FOR(&w, w.accepted->closed);
  ck_assert_int_eq(w.accepted->error, SANDD_NET_TOO_BIG);
  world_stop(&w);
}
END_TEST

START_TEST(fragments_above_the_limit_close_with_1009) {
  uint8_t payload[1000] = {0}, frame[1100];
  world w;
  int fd = open_raw(&w);
  for (int i = 0; i < 70 && w.accepted->in_count == 0; i++) {
    size_t n = raw_frame(frame, i ? 0x00 : 0x02, payload, sizeof payload);
    raw_send(fd, frame, n);
    sandd_net_turn(w.net, 1);
  }
  expect_close(&w, fd, 1009);
  close(fd);
  WAIT_FOR(&w, w.accepted->closed);
  ck_assert_int_eq(w.accepted->error, SANDD_NET_TOO_BIG);
  world_stop(&w);
}
END_TEST

START_TEST(garbage_ends_the_connection_and_nothing_else) {
  static const struct {
    const char *bytes;
    size_t len;
  } garbage[] = {
      {"\x83\x80\0\0\0\0", 6},                                  /* reserved opcode */
      {"\xc2\x80\0\0\0\0", 6},                                  /* reserved bit */
      {"\x80\x80\0\0\0\0", 6},                                  /* continuation of nothing */
      {"\x09\x80\0\0\0\0", 6},                                  /* fragmented ping */
      {"\x89\xfe\0\x7e\0\0\0\0", 8},                            /* ping of 126 bytes */
      {"\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0", 14}, /* negative length */
      {"\x02\x81\0\0\0\0x\x82\x81\0\0\0\0x", 14},               /* a new message within one */
  };
  world w;
  int fd = open_raw(&w);
  peer *victim = w.accepted;
  peer *bystander = peer_dial_url(&w, world_url(&w, "ws"));
  WAIT_FOR(&w, bystander->opened && w.accepted != victim);
  raw_send(fd, garbage[_i].bytes, garbage[_i].len);
  WAIT_FOR(&w, victim->closed || recv(fd, (char[64]){0}, 64, MSG_DONTWAIT) > 0);
  close(fd);
  WAIT_FOR(&w, victim->closed);
  ck_assert_int_eq(victim->error, SANDD_NET_LOST);
  ck_assert_uint_eq(victim->in_count, 0);
  peer_send(bystander, "still here", 10);
  WAIT_FOR(&w, w.accepted->in_count == 1);
  world_stop(&w);
}
END_TEST

START_TEST(every_close_code_that_a_peer_may_send_arrives) {
  static const uint16_t codes[] = {1000, 1001, 1002, 1003, 1007, 1011, 3000, 4000, 4043, 4999};
  for (unsigned i = 0; i < sizeof codes / sizeof *codes; i++) {
    uint8_t frame[32], payload[5] = {(uint8_t)(codes[i] >> 8), (uint8_t)codes[i], 'b', 'y', 'e'};
    world w;
    int fd = open_raw(&w);
    raw_send(fd, frame, raw_frame(frame, 0x88, payload, 5));
    WAIT_FOR(&w, w.accepted->closed);
    ck_assert_uint_eq(w.accepted->ws_code, codes[i]);
    ck_assert_str_eq(w.accepted->text, "bye");
    ck_assert_int_eq(w.accepted->error, 0);
    ck_assert(w.accepted->by_peer);
    close(fd);
    world_stop(&w);
  }
}
END_TEST

START_TEST(a_close_frame_without_a_code_is_1005) {
  uint8_t frame[32];
  world w;
  int fd = open_raw(&w);
  raw_send(fd, frame, raw_frame(frame, 0x88, NULL, 0));
  WAIT_FOR(&w, w.accepted->closed);
  ck_assert_uint_eq(w.accepted->ws_code, 1005);
  ck_assert_int_eq(w.accepted->error, 0);
  close(fd);
  world_stop(&w);
}
END_TEST

START_TEST(a_peer_that_does_not_answer_a_close_frame_is_left_after_five_seconds) {
  world w;
  int fd = open_raw(&w);
  uint64_t began = now_ms();
  sandd_conn_close(w.accepted->conn, 4000, "go");
  WAIT_FOR(&w, w.accepted->closed);
  ck_assert_int_eq(w.accepted->error, SANDD_NET_TIMEOUT);
  ck_assert_uint_eq(w.accepted->ws_code, 4000);
  ck_assert_uint_ge(now_ms() - began, 4500);
  close(fd);
  world_stop(&w);
}
END_TEST

START_TEST(a_peer_that_stops_reading_stops_the_pulling_and_can_be_closed) {
  world w;
  int fd = open_raw(&w), small = 4096;
  setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
  w.accepted->endless = true;
  w.accepted->endless_len = 65536;
  sandd_conn_wake(w.accepted->conn);
  for (int i = 0; i < 50; i++) {
    sandd_net_turn(w.net, 10);
  }
  w.accepted->endless = false;
  uint8_t frame[64];
  /* It still hears. */
  raw_send(fd, frame, raw_frame(frame, 0x82, "hello", 5));
  WAIT_FOR(&w, w.accepted->in_count == 1);
  sandd_conn_close(w.accepted->conn, 4000, NULL);
  WAIT_FOR(&w, w.accepted->closed);
  ck_assert_int_eq(w.accepted->error, SANDD_NET_TIMEOUT);
  close(fd);
  world_stop(&w);
}
END_TEST

START_TEST(an_upgrade_without_the_subprotocol_is_refused_with_400) {
  static const char *const offers[] = {"", "Sec-WebSocket-Protocol: chat\r\n",
                                       "Sec-WebSocket-Protocol: sandd.v2, chat\r\n"};
  char answer[1024] = "";
  world w;
  world_start(&w);
  world_listen(&w, (sandd_listen_config){0});
  int fd = raw_connect(sandd_listener_port(w.listener));
  raw_upgrade(fd, offers[_i]);
  WAIT_FOR(&w, recv(fd, answer, sizeof answer - 1, MSG_DONTWAIT) > 0);
  ck_assert_msg(!strncmp(answer, "HTTP/1.1 400", 12), "%s", answer);
  ck_assert_ptr_nonnull(strstr(w.log, "subprotocol sandd.v1 was not offered"));
  ck_assert_uint_eq(w.accepted_count, 0);
  close(fd);
  world_stop(&w);
}
END_TEST

START_TEST(the_subprotocol_may_be_one_of_several) {
  char answer[1024] = "";
  world w;
  world_start(&w);
  world_listen(&w, (sandd_listen_config){0});
  int fd = raw_connect(sandd_listener_port(w.listener));
  raw_upgrade(fd, "Sec-WebSocket-Protocol: sandd.v2, sandd.v1\r\nSec-WebSocket-Extensions: permessage-deflate\r\n");
  WAIT_FOR(&w, recv(fd, answer, sizeof answer - 1, MSG_DONTWAIT) > 0);
  ck_assert_msg(!strncmp(answer, "HTTP/1.1 101", 12), "%s", answer);
  ck_assert_ptr_null(strstr(answer, "deflate"));
  close(fd);
  world_stop(&w);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("input");
  TCase *tests = tcase_create("input");
  tcase_set_timeout(tests, 60);
  tcase_add_loop_test(tests, a_message_may_come_in_any_pieces, 0, sizeof steps / sizeof *steps);
  tcase_add_test(tests, a_thousand_fragments_make_one_message);
  tcase_add_test(tests, the_first_bytes_may_come_with_the_request);
  tcase_add_loop_test(tests, a_text_message_closes_with_1003_and_names_the_old_daemon, 0, 2);
  tcase_add_test(tests, a_later_text_message_is_no_old_daemon);
  tcase_add_loop_test(tests, an_announced_size_above_the_limit_closes_before_it_comes, 0, 2);
  tcase_add_test(tests, fragments_above_the_limit_close_with_1009);
  tcase_add_loop_test(tests, garbage_ends_the_connection_and_nothing_else, 0, 7);
  tcase_add_test(tests, every_close_code_that_a_peer_may_send_arrives);
  tcase_add_test(tests, a_close_frame_without_a_code_is_1005);
  tcase_add_test(tests, a_peer_that_does_not_answer_a_close_frame_is_left_after_five_seconds);
  tcase_add_test(tests, a_peer_that_stops_reading_stops_the_pulling_and_can_be_closed);
  tcase_add_loop_test(tests, an_upgrade_without_the_subprotocol_is_refused_with_400, 0, 3);
  tcase_add_test(tests, the_subprotocol_may_be_one_of_several);
  suite_add_tcase(suite, tests);
  return run_suite(suite);
}
