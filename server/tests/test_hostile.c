// SPDX-License-Identifier: MIT
// Bad input: the connection ends with the documented code, and nobody else notices.
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "raw.h"
#include "support.h"

#define PROTOCOL_ERROR 4032
#define B(name)        SANDD__V1__FRAME__BODY_##name

static sandd_server *server;
static test_peer *peer;
static atomic_bool stop;
static pthread_t bystander;

/* A neighbour at work all the time: each of its commands must succeed. */
static void *work(void *user) {
  size_t *done = user;
  do {
    sandd_exec *exec = open_line(server, "echo unharmed", .collect = true);
    sandd_exec_result r = end_of(exec);
    ck_assert_int_eq(r.status, 1);
    sandd_exec_free(exec);
    ++*done;
  } while (!atomic_load(&stop));
  return NULL;
}

static size_t worked;

static void setup(void) {
  server = start_server();
  peer = test_peer_start(.port = sandd_server_port(server));
  ck_assert_int_eq(sandd_server_wait_daemon(server, "worker", TEN_SECONDS), 0);
  ck_assert_int_eq(pthread_create(&bystander, NULL, work, &worked), 0);
}

static void teardown(void) {
  atomic_store(&stop, true);
  pthread_join(bystander, NULL);
  ck_assert_uint_gt(worked, 0);
  ck_assert_uint_eq(stats_of(server).sessions_total > 0, 1);
  WAIT_FOR(stats_of(server).connections == 1); /* the neighbour's, and no other */
  ck_assert_uint_eq(stats_of(server).resumes_total, 0);
  ck_assert_uint_eq(stats_of(server).recv_bytes, 0);
  test_peer_stop(peer);
  sandd_server_free(server);
}

static int fresh(void) {
  return raw_connect(sandd_server_port(server));
}

/* A daemon that is up: Hello, Welcome, and the frame that confirms. */
static int up(const char *id) {
  int fd = fresh();
  raw_up(fd, id);
  ck_assert_int_eq(sandd_server_wait_daemon(server, id, TEN_SECONDS), 0);
  return fd;
}

START_TEST(garbage_before_hello_is_1007) {
  int fd = fresh();
  raw_send(fd, RAW_BINARY, "\xff\xff\xff\xff garbage", 12);
  ck_assert_uint_eq(raw_end(fd), 1007);
}
END_TEST

START_TEST(garbage_after_hello_is_1007_and_ends_the_session) {
  int fd = up("evil");
  raw_send(fd, RAW_BINARY, "\x12\x7f", 2);
  ck_assert_uint_eq(raw_end(fd), 1007);
  sandd_daemon_list *list;
  ck_assert_int_eq(sandd_server_daemon(server, "evil", &list), SANDD_E_NOT_FOUND);
}
END_TEST

START_TEST(a_text_message_is_1003) {
  int fd = fresh();
  raw_send(fd, RAW_TEXT, "{\"type\":\"register\"}", 19);
  ck_assert_uint_eq(raw_end(fd), 1003);
  fd = up("evil");
  raw_send(fd, RAW_TEXT, "hello", 5);
  ck_assert_uint_eq(raw_end(fd), 1003);
}
END_TEST

START_TEST(a_first_message_above_64_kib_is_1009) {
  int fd = fresh();
  char *big = calloc(1, 65537);
  raw_send(fd, RAW_BINARY, big, 65537);
  ck_assert_uint_eq(raw_end(fd), 1009);
  free(big);
}
END_TEST

START_TEST(a_later_message_above_the_limit_is_1009) {
  int fd = up("evil");
  char *big = calloc(1, (1 << 20) + 1);
  raw_send(fd, RAW_BINARY, big, (1 << 20) + 1);
  ck_assert_uint_eq(raw_end(fd), 1009);
  free(big);
}
END_TEST

START_TEST(a_message_of_tiny_fields_costs_no_memory) {
  int fd = up("evil");
  uint8_t *many = malloc(1000000);
  for (size_t i = 0; i < 1000000; i += 2) {
    many[i] = 0x78; /* an unknown field 15 of one byte */
    many[i + 1] = 1;
  }
  raw_send(fd, RAW_BINARY, many, 1000000);
  ck_assert_uint_eq(raw_end(fd), 1009);
  for (size_t i = 0; i < 1000000; i += 2) {
    many[i] = 0x12; /* an empty frame */
    many[i + 1] = 0;
  }
  fd = up("evil2");
  raw_send(fd, RAW_BINARY, many, 1000000);
  ck_assert_uint_eq(raw_end(fd), 1009);
  free(many);
}
END_TEST

START_TEST(a_second_hello_is_a_protocol_error) {
  int fd = up("evil");
  raw_hello(fd, "evil", 1);
  ck_assert_uint_eq(raw_end(fd), PROTOCOL_ERROR);
}
END_TEST

START_TEST(something_else_than_hello_first_is_a_protocol_error) {
  int fd = fresh();
  Sandd__V1__Frame frame = SANDD__V1__FRAME__INIT;
  Sandd__V1__Heartbeat beat = SANDD__V1__HEARTBEAT__INIT;
  frame.body_case = B(HEARTBEAT);
  frame.heartbeat = &beat;
  raw_frame(fd, 0, &frame);
  ck_assert_uint_eq(raw_end(fd), PROTOCOL_ERROR);
}
END_TEST

START_TEST(an_unknown_version_gets_goodbye) {
  int fd = fresh();
  raw_hello(fd, "future", 99);
  Sandd__V1__Frame *frame;
  Sandd__V1__Packet *packet = raw_await(fd, B(GOODBYE), &frame);
  ck_assert_int_eq(frame->goodbye->status->code, 33);
  sandd__v1__packet__free_unpacked(packet, NULL);
  ck_assert_uint_eq(raw_end(fd), 1000);
}
END_TEST

/* One frame to a server whose session is up and has no stream. */
typedef struct single {
  const char *what;
  uint64_t ack, seq, stream;
  int body;
} single;

static const single singles[] = {
    {"a gap in the numbers", 0, 5, 1, B(EXEC_EXITED)},
    {"an ack of what was never sent", 7, 0, 0, B(HEARTBEAT)},
    {"a control frame of an unknown stream", 0, 1, 77, B(EXEC_EXITED)},
    {"data of an unknown stream", 0, 0, 77, B(DATA)},
    {"a window of an unknown stream", 0, 0, 77, B(WINDOW)},
    {"a numbered link frame", 0, 1, 0, B(HEARTBEAT)},
    {"a control frame without a number", 0, 0, 1, B(EXEC_EXITED)},
    {"an exec that the daemon opens", 0, 1, 2, B(EXEC_OPEN)},
    {"a Welcome from a daemon", 0, 0, 0, B(WELCOME)},
    {"an End of nothing", 0, 1, 1, B(END)},
};

START_TEST(a_frame_that_breaks_a_rule_is_a_protocol_error) {
  const single *s = &singles[_i];
  int fd = up("evil");
  Sandd__V1__Heartbeat beat = SANDD__V1__HEARTBEAT__INIT;
  Sandd__V1__ExecExited exited = SANDD__V1__EXEC_EXITED__INIT;
  Sandd__V1__ExecOpen open = SANDD__V1__EXEC_OPEN__INIT;
  Sandd__V1__Welcome welcome = SANDD__V1__WELCOME__INIT;
  Sandd__V1__End end = SANDD__V1__END__INIT;
  Sandd__V1__Status ok = SANDD__V1__STATUS__INIT;
  Sandd__V1__Data data = SANDD__V1__DATA__INIT;
  Sandd__V1__Window window = SANDD__V1__WINDOW__INIT;
  ok.code = 1;
  end.status = &ok;
  data.channel = window.channel = 2;
  data.bytes = (ProtobufCBinaryData){1, (uint8_t *)(uintptr_t)"x"};
  Sandd__V1__Frame frame = SANDD__V1__FRAME__INIT;
  frame.seq = s->seq;
  frame.stream_id = s->stream;
  frame.body_case = (Sandd__V1__Frame__BodyCase)s->body;
  switch (s->body) {
  case B(HEARTBEAT): frame.heartbeat = &beat; break;
  case B(EXEC_EXITED): frame.exec_exited = &exited; break;
  case B(EXEC_OPEN): frame.exec_open = &open; break;
  case B(WELCOME): frame.welcome = &welcome; break;
  case B(END): frame.end = &end; break;
  case B(DATA): frame.data = &data; break;
  default: frame.window = &window;
  }
  raw_frame(fd, s->ack, &frame);
  unsigned code = raw_end(fd);
  ck_assert_msg(code == PROTOCOL_ERROR, "%s: %u", s->what, code);
}
END_TEST

/* ---- lies about a stream: the server has a command on "evil", which answers it and then breaks a rule ---- */

typedef enum lie { OVERRUN, GAP, BACK, TWICE, EMPTY, BEYOND_END, FAR, WINDOW_BACK, WINDOW_FAR, LIES } lie;

static void answer(int fd, uint64_t stream) {
  Sandd__V1__ExecStarted started = SANDD__V1__EXEC_STARTED__INIT;
  Sandd__V1__OutputState outputs[2];
  Sandd__V1__KeptRange kept[2];
  Sandd__V1__OutputState *list[2] = {&outputs[0], &outputs[1]};
  Sandd__V1__StdinState in = SANDD__V1__STDIN_STATE__INIT;
  for (int i = 0; i < 2; i++) {
    sandd__v1__output_state__init(&outputs[i]);
    sandd__v1__kept_range__init(&kept[i]);
    kept[i].channel = (Sandd__V1__ChannelId)(2 + i);
    outputs[i].kept = &kept[i];
  }
  started.exec_id = started.instance = (char *)(uintptr_t)"evil";
  started.state = 1;
  started.outputs = list;
  started.n_outputs = 2;
  started.stdin = &in;
  Sandd__V1__Frame frame = SANDD__V1__FRAME__INIT;
  frame.seq = 1;
  frame.stream_id = stream;
  frame.body_case = B(EXEC_STARTED);
  frame.exec_started = &started;
  raw_frame(fd, 1, &frame);
}

static void send_data(int fd, uint64_t stream, uint64_t offset, size_t len) {
  static uint8_t bytes[65536];
  Sandd__V1__Data data = SANDD__V1__DATA__INIT;
  Sandd__V1__Frame frame = SANDD__V1__FRAME__INIT;
  data.channel = 2;
  data.offset = offset;
  data.bytes = (ProtobufCBinaryData){len, bytes};
  frame.stream_id = stream;
  frame.body_case = B(DATA);
  frame.data = &data;
  raw_frame(fd, 1, &frame);
}

static void send_window(int fd, uint64_t stream, uint64_t next, uint64_t limit) {
  Sandd__V1__Window window = SANDD__V1__WINDOW__INIT;
  Sandd__V1__Frame frame = SANDD__V1__FRAME__INIT;
  window.channel = 1;
  window.next = window.consumed = next;
  window.limit = limit;
  frame.stream_id = stream;
  frame.body_case = B(WINDOW);
  frame.window = &window;
  raw_frame(fd, 1, &frame);
}

static void send_channel_end(int fd, uint64_t stream, uint64_t seq, uint64_t final) {
  Sandd__V1__ChannelEnd end = SANDD__V1__CHANNEL_END__INIT;
  Sandd__V1__Frame frame = SANDD__V1__FRAME__INIT;
  end.channel = 2;
  end.final_offset = final;
  end.reason = 1;
  frame.seq = seq;
  frame.stream_id = stream;
  frame.body_case = B(CHANNEL_END);
  frame.channel_end = &end;
  raw_frame(fd, 1, &frame);
}

START_TEST(a_daemon_that_lies_about_a_stream_is_cut_off) {
  int fd = up("evil");
  sandd_exec_config config = {
      .size = sizeof config, .daemon_id = "evil", .shell_line = {"x", 1}, .stdin_mode = SANDD_EXEC_STDIN_STREAM};
  sandd_exec *exec = open_with(server, config);
  Sandd__V1__Frame *opening;
  Sandd__V1__Packet *packet = raw_await(fd, B(EXEC_OPEN), &opening);
  uint64_t stream = opening->stream_id, grant = opening->exec_open->starts[0]->grant;
  sandd__v1__packet__free_unpacked(packet, NULL);
  answer(fd, stream);
  switch (_i) {
  case OVERRUN:
    for (uint64_t at = 0; at <= grant; at += 65536)
      send_data(fd, stream, at, 65536);
    break;
  case GAP: send_data(fd, stream, 1, 1); break;
  case BACK: /* an overlap is no lie, however often: it is trimmed */
    send_data(fd, stream, 0, 10);
    send_data(fd, stream, 0, 10);
    send_data(fd, stream, 12, 1);
    break;
  case TWICE:
    send_channel_end(fd, stream, 2, 0);
    send_channel_end(fd, stream, 3, 0);
    break;
  case EMPTY: send_data(fd, stream, 0, 0); break;
  case BEYOND_END:
    send_channel_end(fd, stream, 2, 5);
    send_data(fd, stream, 0, 6);
    break;
  case FAR: send_data(fd, stream, 1ull << 63, 1); break;
  case WINDOW_BACK:
    send_window(fd, stream, 0, 1000);
    send_window(fd, stream, 0, 999);
    break;
  default: send_window(fd, stream, 5000, 6000);
  }
  ck_assert_uint_eq(raw_end(fd), PROTOCOL_ERROR);
  sandd_exec_result r = end_of(exec);
  ck_assert_int_eq(r.status, 36);
  ck_assert(r.started && r.may_have_run);
  sandd_exec_free(exec);
}
END_TEST

START_TEST(a_frame_from_the_future_is_ignored_or_refused) {
  int fd = up("evil");
  /* ack 0; a frame with body 300 (length 0), no seq, no stream; then a heartbeat that is answered */
  static const uint8_t future[] = {0x12, 0x03, 0xe2, 0x12, 0x00, 0x12, 0x04, 0x32, 0x02, 0x08, 0x09};
  raw_send(fd, RAW_BINARY, future, sizeof future);
  Sandd__V1__Frame *frame;
  Sandd__V1__Packet *packet;
  for (;;) {
    packet = raw_await(fd, B(HEARTBEAT_REPLY), &frame);
    bool mine = frame->heartbeat_reply->stamp == 9;
    sandd__v1__packet__free_unpacked(packet, NULL);
    if (mine)
      break;
  }
  /* seq 1, stream 2, body 300: an opening that is refused */
  static const uint8_t opening[] = {0x12, 0x07, 0x08, 0x01, 0x10, 0x02, 0xe2, 0x12, 0x00};
  raw_send(fd, RAW_BINARY, opening, sizeof opening);
  packet = raw_await(fd, B(RESET), &frame);
  ck_assert_uint_eq(frame->stream_id, 2);
  ck_assert_int_eq(frame->reset->status->code, 11);
  sandd__v1__packet__free_unpacked(packet, NULL);
  close(fd);
  WAIT_FOR(sandd_server_daemon_count(server) == 1);
}
END_TEST

START_TEST(a_clone_is_told_and_takes_nothing_over) {
  int fd = up("evil"), clone = fresh();
  raw_hello(clone, "evil", 1); /* the same instance, at an attempt that has been */
  Sandd__V1__Frame *frame;
  Sandd__V1__Packet *packet = raw_await(clone, B(GOODBYE), &frame);
  ck_assert_int_eq(frame->goodbye->status->code, 34);
  sandd__v1__packet__free_unpacked(packet, NULL);
  ck_assert_uint_eq(raw_end(clone), 1000);
  ck_assert_uint_eq(sandd_server_daemon_count(server), 2);
  close(fd);
}
END_TEST

START_TEST(a_peer_that_falls_silent_is_dropped_after_three_heartbeats_and_no_other) {
  sandd_server *quick = start_server(.heartbeat_ms = 100);
  int fd = raw_connect(sandd_server_port(quick));
  test_peer *lively = test_peer_start(.port = sandd_server_port(quick), .id = "lively");
  ck_assert_int_eq(sandd_server_wait_daemon(quick, "lively", TEN_SECONDS), 0);
  ck_assert_int_ge(sandd_server_events_fd(quick), 0);
  raw_up(fd, "evil");
  ck_assert_int_eq(sandd_server_wait_daemon(quick, "evil", TEN_SECONDS), 0);
  WAIT_FOR(sandd_server_daemon_count(quick) == 1);
  ck_assert_uint_eq(raw_end(fd), 0); /* dropped without a Close: nobody would answer it */
  sandd_daemon_event event = {.size = sizeof event};
  while (sandd_server_next_daemon_event(quick, &event) != SANDD_DAEMON_DISCONNECTED)
    ck_assert_str_ne(event.id, "");
  ck_assert_str_eq(event.id, "evil");
  ck_assert_uint_eq(stats_of(quick).away, 1);
  ck_assert_uint_eq(test_peer_dials(lively), 1);
  test_peer_stop(lively);
  sandd_server_free(quick);
}
END_TEST

START_TEST(a_silent_peer_hears_nothing_and_is_closed_with_4039) {
  int fd = fresh();
  struct pollfd p = {.fd = fd, .events = POLLIN};
  ck_assert_int_eq(poll(&p, 1, 300), 0);
  ck_assert_uint_eq(raw_end(fd), 4039);
}
END_TEST

START_TEST(a_peer_that_sends_a_byte_at_a_time_is_no_error) {
  int fd = fresh();
  static const uint8_t text[] = "slow";
  uint8_t frame[] = {0x82, 0x84, 0, 0, 0, 0, text[0], text[1], text[2], text[3]};
  for (size_t i = 0; i < sizeof frame - 1; i++) {
    ck_assert_int_eq(send(fd, frame + i, 1, MSG_NOSIGNAL), 1);
    pause_a_little();
  }
  struct pollfd p = {.fd = fd, .events = POLLIN};
  ck_assert_int_eq(poll(&p, 1, 50), 0);
  ck_assert_int_eq(send(fd, frame + sizeof frame - 1, 1, MSG_NOSIGNAL), 1);
  ck_assert_uint_eq(raw_end(fd), 1007);
}
END_TEST

static long resident_kib(void) {
  FILE *file = fopen("/proc/self/statm", "r");
  long size, resident;
  ck_assert_int_eq(fscanf(file, "%ld %ld", &size, &resident), 2);
  fclose(file);
  return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

START_TEST(a_thousand_bad_connections_leave_memory_flat) {
  char *big = calloc(1, 60000);
  long before = 0;
  for (int i = 0; i < 1000; i++) {
    if (i == 200)
      before = resident_kib();
    int fd = fresh();
    if (i % 2)
      raw_send(fd, RAW_BINARY, big, 60000);
    else
      raw_hello(fd, "evil", 77);
    raw_end(fd);
  }
  free(big);
  long grown = resident_kib() - before;
  if (!getenv("SANDD_SANITIZER"))
    ck_assert_msg(grown < 2048, "grew by %ld KiB", grown);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("hostile");
  TCase *tc = tcase_create("hostile");
  tcase_set_timeout(tc, 60);
  tcase_add_checked_fixture(tc, setup, teardown);
  tcase_add_test(tc, garbage_before_hello_is_1007);
  tcase_add_test(tc, garbage_after_hello_is_1007_and_ends_the_session);
  tcase_add_test(tc, a_text_message_is_1003);
  tcase_add_test(tc, a_first_message_above_64_kib_is_1009);
  tcase_add_test(tc, a_later_message_above_the_limit_is_1009);
  tcase_add_test(tc, a_message_of_tiny_fields_costs_no_memory);
  tcase_add_test(tc, a_second_hello_is_a_protocol_error);
  tcase_add_test(tc, something_else_than_hello_first_is_a_protocol_error);
  tcase_add_test(tc, an_unknown_version_gets_goodbye);
  tcase_add_loop_test(tc, a_frame_that_breaks_a_rule_is_a_protocol_error, 0, sizeof singles / sizeof *singles);
  tcase_add_loop_test(tc, a_daemon_that_lies_about_a_stream_is_cut_off, 0, LIES);
  tcase_add_test(tc, a_frame_from_the_future_is_ignored_or_refused);
  tcase_add_test(tc, a_clone_is_told_and_takes_nothing_over);
  tcase_add_test(tc, a_peer_that_falls_silent_is_dropped_after_three_heartbeats_and_no_other);
  tcase_add_test(tc, a_silent_peer_hears_nothing_and_is_closed_with_4039);
  tcase_add_test(tc, a_peer_that_sends_a_byte_at_a_time_is_no_error);
  tcase_add_test(tc, a_thousand_bad_connections_leave_memory_flat);
  suite_add_tcase(suite, tc);
  SRunner *runner = srunner_create(suite);
  srunner_run_all(runner, CK_ENV);
  int failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
