// SPDX-License-Identifier: MIT
/* What the library writes, byte for byte against what protoc writes; and every such packet replayed whole, cut off at
 * each byte, and with each bit flipped. */
#include "pair.h"

#include <stdio.h>

typedef struct golden {
  uint8_t *data;
  size_t len;
} golden;

static golden load(const char *name) {
  char path[512];
  golden g = {.data = malloc(4096)};
  snprintf(path, sizeof path, "%s/%s.bin", SANDD_GOLDEN_DIR, name);
  FILE *f = fopen(path, "rb");
  ck_assert_msg(f != NULL, "no %s", path);
  g.len = fread(g.data, 1, 4096, f);
  fclose(f);
  ck_assert_uint_lt(g.len, 4096);
  return g;
}

static int feed(pair *p, int to, const char *name) {
  golden g = load(name);
  int error = pair_feed(p, to, g.data, g.len);
  free(g.data);
  return error;
}

static void expect_pull(pair *p, int at, const char *name) {
  static uint8_t buf[1 << 20];
  golden g = load(name);
  size_t len = pair_pull(p, at, buf, sizeof buf);
  size_t same = 0;
  while (same < len && same < g.len && buf[same] == g.data[same])
    same++;
  ck_assert_msg(len == g.len && same == len, "%s: %zu bytes, protoc writes %zu, they differ from byte %zu", name, len,
                g.len, same);
  free(g.data);
}

/* A daemon on its own, whose server is the golden packets. */
static pair *daemon_alone(void) {
  pair *p = pair_new(.apart = true, .window_bytes = 1);
  ck_assert_int_eq(sandd_link_new(&p->link[DAEMON], p->endpoint[DAEMON], p->now), 0);
  return p;
}

typedef struct answer {
  sandd_stream *stream;
  sandd_inbox *in;
  sandd_ring *out;
} answer;

/* Answers the exec that the golden server opens. */
static answer answer_exec(pair *p) {
  answer a;
  a.stream = pair_event(p, DAEMON, SANDD_EVENT_STREAM_OPENED)->event.stream;
  ck_assert_int_eq(sandd_ring_new(&a.out, p->endpoint[DAEMON], NULL, NULL), 0);
  ck_assert_int_eq(sandd_inbox_new(&a.in, p->endpoint[DAEMON], NULL, true), 0);
  ck_assert_int_eq(sandd_ring_write(a.out, (const uint8_t *)"hello\n", 6), 6);
  ck_assert_int_ge(sandd_stream_read(a.stream, CHANNEL(STDIN), a.in, true, p->now), 4096);
  ck_assert_int_eq(sandd_stream_write(a.stream, CHANNEL(STDOUT), a.out, 0, 4096, SANDD_READER_HOLDS), 0);
  Frame started = craft(0, 0, BODY(EXEC_STARTED));
  Sandd__V1__StdinState in = SANDD__V1__STDIN_STATE__INIT;
  started.exec_started->exec_id = (char *)(uintptr_t)"x-1";
  started.exec_started->instance = (char *)(uintptr_t)"instance-1";
  started.exec_started->pid = 42;
  started.exec_started->state = SANDD__V1__EXEC_STATE__EXEC_STATE_RUNNING;
  started.exec_started->stdin = &in;
  ck_assert_int_eq(sandd_stream_send(a.stream, &started, p->now), 0);
  return a;
}

static void release(pair *p, answer *a) {
  sandd_stream_release(a->stream, p->now);
  sandd_ring_free(a->out);
  sandd_inbox_free(a->in);
}

START_TEST(daemon_writes_what_protoc_writes) {
  pair *p = daemon_alone();
  expect_pull(p, DAEMON, "hello");
  ck_assert_int_eq(feed(p, DAEMON, "welcome"), 0);
  expect_pull(p, DAEMON, "heartbeat");
  ck_assert_int_eq(feed(p, DAEMON, "heartbeat-777"), 0);
  expect_pull(p, DAEMON, "heartbeat-reply");
  ck_assert_int_eq(feed(p, DAEMON, "exec-open"), 0);
  answer a = answer_exec(p);
  expect_pull(p, DAEMON, "exec-answer");
  Frame exited = craft(0, 0, BODY(EXEC_EXITED));
  exited.exec_exited->outcome_case = SANDD__V1__EXEC_EXITED__OUTCOME_EXIT_CODE;
  exited.exec_exited->exit_code = 3;
  exited.exec_exited->reason = SANDD__V1__EXIT_REASON__EXIT_REASON_OWN;
  exited.exec_exited->wall_ns = 1000000;
  ck_assert_int_eq(sandd_stream_send(a.stream, &exited, p->now), 0);
  ck_assert_int_eq(sandd_ring_skip(a.out, 100), 0);
  sandd_ring_finish(a.out);
  ck_assert_int_eq(sandd_stream_finish(a.stream, CHANNEL(STDOUT), false, p->now), 0);
  ck_assert_int_eq(sandd_stream_end(a.stream, &(sandd_status){.code = STATUS(OK)}, p->now), 0);
  expect_pull(p, DAEMON, "exec-end");
  release(p, &a);
  pair_free(p);
}
END_TEST

START_TEST(daemon_that_comes_back_writes_what_protoc_writes) {
  pair *p = daemon_alone();
  expect_pull(p, DAEMON, "hello");
  ck_assert_int_eq(feed(p, DAEMON, "welcome"), 0);
  ck_assert_int_eq(feed(p, DAEMON, "exec-open"), 0);
  sandd_link_free(p->link[DAEMON], p->now);
  ck_assert_int_eq(sandd_link_new(&p->link[DAEMON], p->endpoint[DAEMON], p->now), 0);
  expect_pull(p, DAEMON, "hello-resume");
  sandd_stream_release(pair_event(p, DAEMON, SANDD_EVENT_STREAM_OPENED)->event.stream, p->now);
  pair_free(p);
}
END_TEST

START_TEST(ack_and_goodbye_are_what_protoc_writes) {
  pair *p = daemon_alone();
  expect_pull(p, DAEMON, "hello");
  ck_assert_int_eq(feed(p, DAEMON, "welcome"), 0);
  expect_pull(p, DAEMON, "heartbeat");
  ck_assert_int_eq(feed(p, DAEMON, "exec-open"), 0);
  p->now += 25 * MS;
  sandd_link_tick(p->link[DAEMON], p->now);
  expect_pull(p, DAEMON, "ack");
  sandd_session_goodbye(pair_session(p, DAEMON), STATUS(SHUTTING_DOWN), "stopping", 250 * MS, p->now);
  expect_pull(p, DAEMON, "goodbye");
  pair_drain(p, DAEMON);
  sandd_stream_release(pair_event(p, DAEMON, SANDD_EVENT_STREAM_OPENED)->event.stream, p->now);
  pair_free(p);
}
END_TEST

START_TEST(server_takes_what_protoc_writes) {
  pair *p = pair_new(.apart = true);
  ck_assert_int_eq(sandd_link_new(&p->link[SERVER], p->endpoint[SERVER], p->now), 0);
  ck_assert_int_eq(feed(p, SERVER, "hello"), 0);
  ck_assert_int_eq(feed(p, SERVER, "heartbeat"), 0);
  sandd_stream *stream;
  sandd_inbox *in;
  ck_assert_int_eq(sandd_stream_new(&stream, pair_session(p, SERVER)), 0);
  ck_assert_int_eq(sandd_inbox_new(&in, p->endpoint[SERVER], pair_session(p, SERVER), false), 0);
  ck_assert_int_ge(sandd_stream_read(stream, CHANNEL(STDOUT), in, true, p->now), 4096);
  ck_assert_int_eq(pair_open(p, stream, "", 4096), 0);
  static uint8_t buf[1 << 20];
  while (pair_pull(p, SERVER, buf, sizeof buf)) {
  }
  ck_assert_int_eq(feed(p, SERVER, "exec-answer"), 0);
  ck_assert_uint_eq(sandd_inbox_take(in, buf, 100, p->now), 6);
  ck_assert_mem_eq(buf, "hello\n", 6);
  ck_assert_int_eq(feed(p, SERVER, "exec-end"), 0);
  ck_assert_int_eq(pair_event(p, SERVER, SANDD_EVENT_STREAM_ENDED)->event.status, STATUS(OK));
  uint64_t len;
  ck_assert_int_eq(sandd_inbox_peek(in, NULL, &len), SANDD_INBOX_SKIP);
  ck_assert_uint_eq(len, 100);
  sandd_stream_release(stream, p->now);
  sandd_inbox_free(in);
  pair_free(p);
}
END_TEST

/* -- every packet, damaged -------------------------------------------------------------------------------------------- */

static const struct {
  const char *name;
  int to;
} received[] = {{"hello", SERVER},           {"hello-resume", SERVER}, {"welcome", DAEMON},   {"heartbeat", SERVER},
                {"heartbeat-reply", SERVER}, {"ack", SERVER},          {"exec-open", DAEMON}, {"exec-answer", SERVER},
                {"exec-end", SERVER},        {"goodbye", SERVER},      {"goodbye", DAEMON}};

static bool opens(const char *name) {
  return !strncmp(name, "hello", 5) || !strcmp(name, "welcome");
}

/* Feeds bytes to a fresh endpoint in the state in which such a packet comes; whatever they are, it must survive. */
static void survive(int i, const uint8_t *data, size_t len) {
  static uint8_t buf[1 << 20];
  int to = received[i].to;
  pair *p = pair_new(.apart = opens(received[i].name));
  sandd_stream *stream = NULL, *there = NULL;
  sandd_inbox *in = NULL;
  if (opens(received[i].name)) {
    ck_assert_int_eq(sandd_link_new(&p->link[to], p->endpoint[to], p->now), 0);
    pair_pull(p, to, buf, sizeof buf);
  } else if (to == SERVER) {
    ck_assert_int_eq(sandd_stream_new(&stream, pair_session(p, SERVER)), 0);
    ck_assert_int_eq(sandd_inbox_new(&in, p->endpoint[SERVER], pair_session(p, SERVER), false), 0);
    sandd_stream_read(stream, CHANNEL(STDOUT), in, true, p->now);
    ck_assert_int_eq(pair_open(p, stream, "", 4096), 0);
    while (pair_pull(p, SERVER, buf, sizeof buf)) {
    }
  }
  int error = pair_feed(p, to, data, len);
  ck_assert(error == 0 || error == SANDD_E_PROTOCOL || error == SANDD_E_TOO_LARGE || error == SANDD_E_CLOSED);
  uint16_t code = pair_closing(p, to);
  if (error == SANDD_E_PROTOCOL)
    ck_assert_msg(code >= 4000 || code == 1007 || code == 1009 || code == 1000, "%s: code %u", received[i].name, code);
  while (pair_pull(p, to, buf, sizeof buf)) {
  }
  p->now += SECOND;
  sandd_link_tick(p->link[to], p->now);
  pair_drain(p, to);
  for (size_t n = 0; n < p->n_events[to]; n++)
    if (p->events[to][n].event.type == SANDD_EVENT_STREAM_OPENED)
      there = p->events[to][n].event.stream;
  sandd_stream_release(there, p->now);
  sandd_stream_release(stream, p->now);
  sandd_inbox_free(in);
  pair_free(p);
}

START_TEST(packet_cut_off_at_any_byte_is_survived) {
  golden g = load(received[_i].name);
  for (size_t len = 0; len <= g.len; len++) {
    uint8_t *exact = malloc(len + 1); /* so that a sanitizer sees a read past the end */
    memcpy(exact, g.data, len);
    uint8_t *shrunk = realloc(exact, len ? len : 1);
    survive(_i, shrunk, len);
    free(shrunk);
  }
  free(g.data);
}
END_TEST

START_TEST(packet_with_any_bit_flipped_is_survived) {
  golden g = load(received[_i].name);
  for (size_t at = 0; at < g.len; at++)
    for (int bit = 0; bit < 8; bit++) {
      g.data[at] ^= (uint8_t)(1 << bit);
      survive(_i, g.data, g.len);
      g.data[at] ^= (uint8_t)(1 << bit);
    }
  free(g.data);
}
END_TEST

Suite *suite(void) {
  Suite *s = suite_create("golden");
  TCase *t = tcase_create("golden");
  tcase_set_timeout(t, 60);
  tcase_add_test(t, daemon_writes_what_protoc_writes);
  tcase_add_test(t, daemon_that_comes_back_writes_what_protoc_writes);
  tcase_add_test(t, ack_and_goodbye_are_what_protoc_writes);
  tcase_add_test(t, server_takes_what_protoc_writes);
  tcase_add_loop_test(t, packet_cut_off_at_any_byte_is_survived, 0, (int)(sizeof received / sizeof received[0]));
  tcase_add_loop_test(t, packet_with_any_bit_flipped_is_survived, 0, (int)(sizeof received / sizeof received[0]));
  suite_add_tcase(s, t);
  return s;
}
