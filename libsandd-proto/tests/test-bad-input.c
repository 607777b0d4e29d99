// SPDX-License-Identifier: MIT
/* What a peer may not send: the connection closes with the right code, the session ends, nothing else happens. */
#include "pair.h"

/* The server under test believes that frames[] came from its daemon, which has an open, answered exec on stream 1. */
typedef struct fixture {
  pair *p;
  sandd_stream *stream, *there;
  sandd_inbox *inbox;
  uint64_t limit, seq;
} fixture;

static fixture begin(void) {
  fixture f = {.p = pair_new(.window_bytes = 65536)};
  ck_assert_int_eq(sandd_inbox_new(&f.inbox, f.p->endpoint[SERVER], pair_session(f.p, SERVER), false), 0);
  ck_assert_int_eq(sandd_stream_new(&f.stream, pair_session(f.p, SERVER)), 0);
  f.limit = (uint64_t)sandd_stream_read(f.stream, CHANNEL(STDOUT), f.inbox, true, f.p->now);
  ck_assert_int_eq(pair_open(f.p, f.stream, "", (int64_t)f.limit), 0);
  pair_pump(f.p);
  f.there = pair_event(f.p, DAEMON, SANDD_EVENT_STREAM_OPENED)->event.stream;
  ck_assert_int_eq(pair_answer(f.p, f.there), 0);
  pair_pump(f.p);
  f.seq = 2; /* the next one of the daemon */
  pair_forget(f.p);
  return f;
}

static void end(fixture *f) {
  sandd_stream_release(f->stream, f->p->now);
  sandd_stream_release(f->there, f->p->now);
  sandd_inbox_free(f->inbox);
  pair_free(f->p);
}

static void expect_closed(fixture *f, uint16_t code) {
  ck_assert_uint_eq(pair_closing(f->p, SERVER), code);
  ck_assert_ptr_null(pair_session(f->p, SERVER));
  ck_assert_int_eq(pair_event(f->p, SERVER, SANDD_EVENT_STREAM_ENDED)->event.status, STATUS(SESSION_LOST));
  ck_assert_ptr_nonnull(pair_event(f->p, SERVER, SANDD_EVENT_SESSION_LOST));
  Frame again = craft(0, 0, BODY(HEARTBEAT)); /* dead: every later call says so */
  ck_assert_int_lt(pair_say(f->p, SERVER, 0, 1, &again), 0);
}

static Frame open_frame(uint64_t seq, uint64_t id) {
  static Sandd__V1__ExecSpec spec = SANDD__V1__EXEC_SPEC__INIT;
  Frame frame = craft(seq, id, BODY(EXEC_OPEN));
  frame.exec_open->spec = &spec;
  return frame;
}

/* Each gives frames that break one rule. */
static Frame gap_in_control(fixture *f) {
  return craft(f->seq + 1, 1, BODY(EXEC_EXITED));
}
static Frame control_without_seq(fixture *f) {
  (void)f;
  return craft(0, 1, BODY(EXEC_EXITED));
}
static Frame control_without_stream(fixture *f) {
  return craft(f->seq, 0, BODY(EXEC_EXITED));
}
static Frame data_with_seq(fixture *f) {
  Frame frame = craft_data(1, CHANNEL(STDOUT), 0, "x", 1);
  frame.seq = f->seq;
  return frame;
}
static Frame data_without_stream(fixture *f) {
  (void)f;
  return craft_data(0, CHANNEL(STDOUT), 0, "x", 1);
}
static Frame link_frame_with_stream(fixture *f) {
  (void)f;
  return craft(0, 1, BODY(HEARTBEAT));
}
static Frame link_frame_with_seq(fixture *f) {
  return craft(f->seq, 0, BODY(HEARTBEAT));
}
static Frame second_hello(fixture *f) {
  Frame frame = craft(0, 0, BODY(HELLO));
  (void)f;
  frame.hello->daemon_id = frame.hello->instance_id = (char *)(uintptr_t)"d";
  return frame;
}
static Frame welcome_to_a_server(fixture *f) {
  (void)f;
  return craft(0, 0, BODY(WELCOME));
}
static Frame reply_to_no_stamp(fixture *f) {
  Frame frame = craft(0, 0, BODY(HEARTBEAT_REPLY));
  frame.heartbeat_reply->stamp = f->p->now + 1000 * SECOND;
  return frame;
}
static Frame data_gap(fixture *f) {
  (void)f;
  return craft_data(1, CHANNEL(STDOUT), 1, "x", 1);
}
static Frame data_empty(fixture *f) {
  (void)f;
  return craft_data(1, CHANNEL(STDOUT), 0, "", 0);
}
static Frame data_beyond_credit(fixture *f) {
  static uint8_t bytes[200000];
  return craft_data(1, CHANNEL(STDOUT), 0, bytes, (size_t)f->limit + 1);
}
static Frame data_above_highest_offset(fixture *f) {
  (void)f;
  return craft_data(1, CHANNEL(STDOUT), (1ull << 62) + 1, "x", 1);
}
static Frame data_of_no_channel(fixture *f) {
  (void)f;
  return craft_data(1, 0, 0, "x", 1);
}
static Frame data_of_unknown_channel(fixture *f) {
  (void)f;
  return craft_data(1, 77, 0, "x", 1);
}
static Frame skip_gap(fixture *f) {
  (void)f;
  return craft_skip(1, CHANNEL(STDOUT), 1, 2);
}
static Frame skip_empty(fixture *f) {
  (void)f;
  return craft_skip(1, CHANNEL(STDOUT), 0, 0);
}
static Frame skip_above_highest_offset(fixture *f) {
  (void)f;
  return craft_skip(1, CHANNEL(STDOUT), 0, UINT64_MAX);
}
static Frame data_of_stream_never_opened(fixture *f) {
  (void)f;
  return craft_data(3, CHANNEL(STDOUT), 0, "x", 1);
}
static Frame data_of_own_stream_never_opened(fixture *f) {
  (void)f;
  return craft_data(2, CHANNEL(STDOUT), 0, "x", 1);
}
static Frame control_of_stream_never_opened(fixture *f) {
  return craft(f->seq, 4, BODY(EXEC_EXITED));
}
static Frame opening_with_an_id_of_ours(fixture *f) {
  return open_frame(f->seq, 5);
}
static Frame channel_end_without_reason(fixture *f) {
  Frame frame = craft(f->seq, 1, BODY(CHANNEL_END));
  frame.channel_end->channel = (Sandd__V1__ChannelId)CHANNEL(STDOUT);
  return frame;
}
static Frame channel_end_above_highest_offset(fixture *f) {
  Frame frame = channel_end_without_reason(f);
  frame.channel_end->reason = SANDD__V1__CHANNEL_END_REASON__CHANNEL_END_REASON_EOF;
  frame.channel_end->final_offset = (1ull << 62) + 1;
  return frame;
}
static Frame string_without_utf8(fixture *f) {
  Frame frame = craft(f->seq, 1, BODY(EXEC_EXITED));
  frame.exec_exited->outcome_case = SANDD__V1__EXEC_EXITED__OUTCOME_SIGNAL;
  frame.exec_exited->signal = (char *)(uintptr_t)"K\xc0\xaeLL"; /* an overlong dot */
  return frame;
}

static const struct {
  const char *name;
  Frame (*make)(fixture *f);
  int status;
} cases[] = {
#define CASE(f, status) {#f, f, STATUS(status)}
    CASE(gap_in_control, PROTOCOL_ERROR),
    CASE(control_without_seq, PROTOCOL_ERROR),
    CASE(control_without_stream, PROTOCOL_ERROR),
    CASE(data_with_seq, PROTOCOL_ERROR),
    CASE(data_without_stream, PROTOCOL_ERROR),
    CASE(link_frame_with_stream, PROTOCOL_ERROR),
    CASE(link_frame_with_seq, PROTOCOL_ERROR),
    CASE(second_hello, PROTOCOL_ERROR),
    CASE(welcome_to_a_server, PROTOCOL_ERROR),
    CASE(reply_to_no_stamp, PROTOCOL_ERROR),
    CASE(data_gap, PROTOCOL_ERROR),
    CASE(data_empty, PROTOCOL_ERROR),
    CASE(data_beyond_credit, PROTOCOL_ERROR),
    CASE(data_above_highest_offset, PROTOCOL_ERROR),
    CASE(data_of_no_channel, PROTOCOL_ERROR),
    CASE(data_of_unknown_channel, PROTOCOL_ERROR),
    CASE(skip_gap, PROTOCOL_ERROR),
    CASE(skip_empty, PROTOCOL_ERROR),
    CASE(skip_above_highest_offset, PROTOCOL_ERROR),
    CASE(data_of_stream_never_opened, PROTOCOL_ERROR),
    CASE(data_of_own_stream_never_opened, PROTOCOL_ERROR),
    CASE(control_of_stream_never_opened, PROTOCOL_ERROR),
    CASE(opening_with_an_id_of_ours, PROTOCOL_ERROR),
    CASE(channel_end_without_reason, PROTOCOL_ERROR),
    CASE(channel_end_above_highest_offset, PROTOCOL_ERROR),
    CASE(string_without_utf8, BAD_MESSAGE),
};

START_TEST(frame_that_breaks_a_rule_ends_the_session) {
  fixture f = begin();
  Frame frame = cases[_i].make(&f);
  ck_assert_msg(pair_say(f.p, SERVER, 1, 1, &frame) < 0, "%s is taken", cases[_i].name);
  uint16_t code = sandd_status_close_code(cases[_i].status);
  ck_assert_msg(pair_closing(f.p, SERVER) == code, "%s closes with %u", cases[_i].name, pair_closing(f.p, SERVER));
  expect_closed(&f, code);
  end(&f);
}
END_TEST

START_TEST(ack_of_what_was_never_sent_ends_the_session) {
  fixture f = begin();
  ck_assert_int_eq(pair_say(f.p, SERVER, 99, 0, NULL), SANDD_E_PROTOCOL);
  expect_closed(&f, 4000 + STATUS(PROTOCOL_ERROR));
  end(&f);
}
END_TEST

START_TEST(second_end_ends_the_session) {
  fixture f = begin();
  Frame ends[] = {craft_status(f.seq, 1, BODY(END), STATUS(OK)), craft_status(f.seq + 1, 1, BODY(END), STATUS(OK))};
  ck_assert_int_eq(pair_say(f.p, SERVER, 1, 1, &ends[0]), 0);
  int error = pair_say(f.p, SERVER, 1, 1, &ends[1]);
  /* The first one has ended the stream at both sides, if its own End was sent; then the second is of a finished stream. */
  ck_assert(error == 0 || pair_closing(f.p, SERVER) == 4000 + STATUS(PROTOCOL_ERROR));
  end(&f);
}
END_TEST

START_TEST(end_before_the_answer_ends_the_session) {
  pair *p = pair_new(0);
  sandd_stream *stream;
  ck_assert_int_eq(sandd_stream_new(&stream, pair_session(p, SERVER)), 0);
  ck_assert_int_eq(pair_open(p, stream, "", 0), 0);
  static uint8_t buf[1 << 20];
  ck_assert_uint_gt(pair_pull(p, SERVER, buf, sizeof buf), 0);
  Frame frame = craft_status(1, 1, BODY(END), STATUS(OK));
  ck_assert_int_lt(pair_say(p, SERVER, 1, 1, &frame), 0);
  ck_assert_uint_eq(pair_closing(p, SERVER), 4000 + STATUS(PROTOCOL_ERROR));
  sandd_stream_release(stream, p->now);
  pair_free(p);
}
END_TEST

/* The other way round: what a server may not send to a daemon. */
START_TEST(daemon_judges_its_server_too) {
  for (int i = 0; i < 3; i++) {
    pair *p = pair_new(0);
    Frame frame = i == 0 ? craft(0, 0, BODY(WELCOME)) : i == 1 ? craft(1, 1, BODY(SIGNAL)) : open_frame(1, 2);
    ck_assert_int_lt(pair_say(p, DAEMON, 0, 1, &frame), 0);
    ck_assert_uint_eq(pair_closing(p, DAEMON), 4000 + STATUS(PROTOCOL_ERROR));
    ck_assert_int_eq(pair_event(p, DAEMON, SANDD_EVENT_SESSION_LOST)->event.status, STATUS(PROTOCOL_ERROR));
    pair_free(p);
  }
}
END_TEST

START_TEST(no_frame_is_taken_before_hello) {
  pair *p = pair_new(.apart = true);
  ck_assert_int_eq(sandd_link_new(&p->link[SERVER], p->endpoint[SERVER], p->now), 0);
  Frame frame = craft(0, 0, BODY(HEARTBEAT));
  ck_assert_int_lt(pair_say(p, SERVER, 0, 1, &frame), 0);
  ck_assert_uint_eq(pair_closing(p, SERVER), 4000 + STATUS(PROTOCOL_ERROR));
  pair_free(p);
}
END_TEST

START_TEST(garbage_closes_with_1007) {
  fixture f = begin();
  ck_assert_int_lt(pair_feed(f.p, SERVER, (const uint8_t *)"\xff\xff\xff\xff{\"type\":\"hello\"}", 21), 0);
  expect_closed(&f, 1007);
  end(&f);
}
END_TEST

START_TEST(message_above_the_limit_closes_with_1009) {
  static uint8_t big[(1 << 20) + 1];
  fixture f = begin();
  ck_assert_uint_eq(sandd_link_feed_cap(f.p->link[SERVER]), 1 << 20);
  ck_assert_int_eq(pair_feed(f.p, SERVER, big, sizeof big), SANDD_E_TOO_LARGE);
  expect_closed(&f, 1009);
  end(&f);
}
END_TEST

START_TEST(first_message_above_64_kib_closes_with_1009) {
  static uint8_t big[65537];
  pair *p = pair_new(.apart = true);
  ck_assert_int_eq(sandd_link_new(&p->link[SERVER], p->endpoint[SERVER], p->now), 0);
  ck_assert_uint_eq(sandd_link_feed_cap(p->link[SERVER]), 65536);
  ck_assert_int_lt(pair_feed(p, SERVER, big, sizeof big), 0);
  ck_assert_uint_eq(pair_closing(p, SERVER), 1009);
  pair_free(p);
}
END_TEST

/* 1 MiB of unknown fields of two bytes: unpacking them naively costs 47 MB. */
START_TEST(flood_of_tiny_fields_stays_within_the_arena) {
  static uint8_t flood[1 << 20];
  for (size_t i = 0; i + 1 < sizeof flood; i += 2)
    flood[i] = 15 << 3, flood[i + 1] = 1;
  fixture f = begin();
  f.p->memory[SERVER].most_bytes = f.p->memory[SERVER].bytes;
  size_t before = f.p->memory[SERVER].bytes;
  pair_feed(f.p, SERVER, flood, sizeof flood);
  ck_assert_uint_le(f.p->memory[SERVER].most_bytes - before, 2 * (1 << 20) + 65536 + 16384);
  ck_assert_uint_eq(pair_closing(f.p, SERVER), 1009);
  end(&f);
}
END_TEST

START_TEST(flood_of_empty_frames_stays_within_the_arena) {
  static uint8_t flood[1 << 20];
  for (size_t i = 0; i + 1 < sizeof flood; i += 2)
    flood[i] = 2 << 3 | 2, flood[i + 1] = 0;
  fixture f = begin();
  f.p->memory[SERVER].most_bytes = f.p->memory[SERVER].bytes;
  size_t before = f.p->memory[SERVER].bytes;
  pair_feed(f.p, SERVER, flood, sizeof flood);
  ck_assert_uint_le(f.p->memory[SERVER].most_bytes - before, 2 * (1 << 20) + 65536 + 16384);
  end(&f);
}
END_TEST

/* -- bodies of versions to come ------------------------------------------------------------------------------------- */

/* A frame whose body has a number that this schema reserves. */
static int say_unknown(fixture *f, uint64_t seq, uint64_t id) {
  uint8_t frame[32], packet[40];
  size_t n = 0;
  if (seq)
    frame[n++] = 1 << 3, frame[n++] = (uint8_t)seq;
  if (id)
    frame[n++] = 2 << 3, frame[n++] = (uint8_t)id;
  frame[n++] = ((300 << 3 | 2) & 127) | 128, frame[n++] = (300 << 3 | 2) >> 7;
  frame[n++] = 0;
  packet[0] = 1 << 3, packet[1] = 1; /* ack 1 */
  packet[2] = 2 << 3 | 2, packet[3] = (uint8_t)n;
  memcpy(packet + 4, frame, n);
  return pair_feed(f->p, SERVER, packet, n + 4);
}

/* The statuses of the Resets that the server now sends for a stream. */
static int reset_said(fixture *f, uint64_t id) {
  static uint8_t buf[1 << 20];
  int found = 0;
  size_t len;
  while ((len = pair_pull(f->p, SERVER, buf, sizeof buf))) {
    Sandd__V1__Packet *packet = sandd__v1__packet__unpack(NULL, len, buf);
    for (size_t i = 0; i < packet->n_frames; i++)
      if (packet->frames[i]->body_case == BODY(RESET) && packet->frames[i]->stream_id == id)
        found = (int)packet->frames[i]->reset->status->code;
    sandd__v1__packet__free_unpacked(packet, NULL);
  }
  return found;
}

START_TEST(unknown_body_without_seq_and_stream_is_ignored) {
  fixture f = begin();
  ck_assert_int_eq(say_unknown(&f, 0, 0), 0);
  ck_assert_uint_eq(pair_closing(f.p, SERVER), 0);
  end(&f);
}
END_TEST

START_TEST(unknown_body_on_a_stream_resets_it) {
  for (int numbered = 0; numbered < 2; numbered++) {
    fixture f = begin();
    ck_assert_int_eq(say_unknown(&f, numbered ? f.seq : 0, 1), 0);
    ck_assert_int_eq(reset_said(&f, 1), STATUS(UNIMPLEMENTED));
    ck_assert_ptr_nonnull(pair_session(f.p, SERVER));
    end(&f);
  }
}
END_TEST

START_TEST(unknown_body_is_counted_and_acked) {
  fixture f = begin();
  ck_assert_int_eq(say_unknown(&f, f.seq, 0), 0);
  Frame next = craft(f.seq + 1, 1, BODY(EXEC_EXITED));
  ck_assert_int_eq(pair_say(f.p, SERVER, 1, 1, &next), 0);
  ck_assert_ptr_nonnull(pair_event(f.p, SERVER, SANDD_EVENT_STREAM_FRAME));
  end(&f);
}
END_TEST

START_TEST(unknown_opening_raises_the_highest_id_and_is_refused) {
  fixture f = begin();
  ck_assert_int_eq(say_unknown(&f, f.seq, 6), 0);
  ck_assert_int_eq(reset_said(&f, 6), STATUS(UNIMPLEMENTED));
  Frame late = open_frame(f.seq + 1, 4); /* below it now */
  ck_assert_int_lt(pair_say(f.p, SERVER, 1, 1, &late), 0);
  end(&f);
}
END_TEST

START_TEST(frame_seen_before_is_dropped) {
  fixture f = begin();
  Frame exited = craft(f.seq, 1, BODY(EXEC_EXITED));
  for (int i = 0; i < 3; i++)
    ck_assert_int_eq(pair_say(f.p, SERVER, 1, 1, &exited), 0);
  ck_assert_uint_eq(pair_count(f.p, SERVER, SANDD_EVENT_STREAM_FRAME), 1);
  end(&f);
}
END_TEST

START_TEST(overlapping_data_is_trimmed) {
  fixture f = begin();
  uint8_t got[16];
  Frame data[] = {craft_data(1, CHANNEL(STDOUT), 0, "abcd", 4), craft_data(1, CHANNEL(STDOUT), 1, "bc", 2),
                  craft_data(1, CHANNEL(STDOUT), 2, "cdef", 4), craft_skip(1, CHANNEL(STDOUT), 3, 6)};
  ck_assert_int_eq(pair_say(f.p, SERVER, 1, 4, data), 0);
  ck_assert_uint_eq(sandd_inbox_take(f.inbox, got, sizeof got, f.p->now), 6);
  ck_assert_mem_eq(got, "abcdef", 6);
  ck_assert_uint_eq(sandd_inbox_next(f.inbox), 6);
  end(&f);
}
END_TEST

/* Resume {} : every field of it absent. */
START_TEST(empty_resume_begins_a_new_session) {
  pair *p = pair_new(.apart = true);
  ck_assert_int_eq(sandd_link_new(&p->link[SERVER], p->endpoint[SERVER], p->now), 0);
  Frame hello = craft(0, 0, BODY(HELLO));
  Sandd__V1__Resume resume = SANDD__V1__RESUME__INIT;
  uint32_t version = 1;
  hello.hello->n_versions = 1;
  hello.hello->versions = &version;
  hello.hello->daemon_id = hello.hello->instance_id = (char *)(uintptr_t)"d";
  hello.hello->attempt = 1;
  hello.hello->resume = &resume;
  ck_assert_int_eq(pair_say(p, SERVER, 0, 1, &hello), 0);
  ck_assert_ptr_nonnull(sandd_link_session(p->link[SERVER]));
  pair_free(p);
}
END_TEST

/* Carriers make buffers of the size that the peer says it takes. */
START_TEST(peer_that_takes_huge_messages_does_not_make_ours_huge) {
  pair *p = pair_new(.limits = {[DAEMON] = {.message_bytes = 1ull << 50}});
  ck_assert_uint_eq(sandd_link_pull_cap(p->link[SERVER]), 1 << 20);
  pair_free(p);
}
END_TEST

START_TEST(peer_that_takes_only_tiny_messages_gets_64_kib) {
  pair *p = pair_new(.limits = {[DAEMON] = {.message_bytes = 1}});
  ck_assert_uint_eq(sandd_link_pull_cap(p->link[SERVER]), 65536);
  pair_free(p);
}
END_TEST

START_TEST(stream_above_the_limit_is_refused) {
  pair *p = pair_new(.limits = {[SERVER] = {.streams = 1}});
  Frame opens[] = {open_frame(1, 2), open_frame(2, 4)};
  ck_assert_int_eq(pair_say(p, SERVER, 0, 2, opens), 0);
  ck_assert_uint_eq(pair_count(p, SERVER, SANDD_EVENT_STREAM_OPENED), 1);
  fixture f = {.p = p};
  ck_assert_int_eq(reset_said(&f, 4), STATUS(RESOURCE_EXHAUSTED));
  sandd_stream_release(pair_event(p, SERVER, SANDD_EVENT_STREAM_OPENED)->event.stream, p->now);
  pair_free(p);
}
END_TEST

Suite *suite(void) {
  Suite *s = suite_create("bad input");
  TCase *t = tcase_create("bad input");
  tcase_add_loop_test(t, frame_that_breaks_a_rule_ends_the_session, 0, (int)(sizeof cases / sizeof cases[0]));
  tcase_add_test(t, ack_of_what_was_never_sent_ends_the_session);
  tcase_add_test(t, second_end_ends_the_session);
  tcase_add_test(t, end_before_the_answer_ends_the_session);
  tcase_add_test(t, daemon_judges_its_server_too);
  tcase_add_test(t, no_frame_is_taken_before_hello);
  tcase_add_test(t, garbage_closes_with_1007);
  tcase_add_test(t, message_above_the_limit_closes_with_1009);
  tcase_add_test(t, first_message_above_64_kib_closes_with_1009);
  tcase_add_test(t, flood_of_tiny_fields_stays_within_the_arena);
  tcase_add_test(t, flood_of_empty_frames_stays_within_the_arena);
  tcase_add_test(t, unknown_body_without_seq_and_stream_is_ignored);
  tcase_add_test(t, unknown_body_on_a_stream_resets_it);
  tcase_add_test(t, unknown_body_is_counted_and_acked);
  tcase_add_test(t, unknown_opening_raises_the_highest_id_and_is_refused);
  tcase_add_test(t, frame_seen_before_is_dropped);
  tcase_add_test(t, overlapping_data_is_trimmed);
  tcase_add_test(t, empty_resume_begins_a_new_session);
  tcase_add_test(t, peer_that_takes_huge_messages_does_not_make_ours_huge);
  tcase_add_test(t, peer_that_takes_only_tiny_messages_gets_64_kib);
  tcase_add_test(t, stream_above_the_limit_is_refused);
  suite_add_tcase(s, t);
  return s;
}
