// SPDX-License-Identifier: MIT
/* What a reader says of its position, and statuses that a version to come may send. */
#include "pair.h"

/* The server writes stdin of an answered exec; windows are said by hand. */
typedef struct fixture {
  pair *p;
  sandd_stream *here, *there;
  sandd_ring *ring;
} fixture;

static fixture begin(void) {
  static uint8_t buf[1 << 20];
  fixture f = {0};
  f.p = pair_new(0);
  f.here = pair_exec(f.p, &f.there);
  ck_assert_int_eq(sandd_ring_new(&f.ring, f.p->endpoint[SERVER], pair_session(f.p, SERVER), NULL), 0);
  ck_assert_int_eq(sandd_stream_write(f.here, CHANNEL(STDIN), f.ring, 0, 0, SANDD_READER_HOLDS), 0);
  ck_assert_int_eq(sandd_ring_write(f.ring, (const uint8_t *)"0123456789", 10), 10);
  Frame window = craft_window(1, CHANNEL(STDIN), 0, 0, 6);
  ck_assert_int_eq(pair_say(f.p, SERVER, 1, 1, &window), 0);
  ck_assert_uint_gt(pair_pull(f.p, SERVER, buf, sizeof buf), 0); /* six bytes */
  window = craft_window(1, CHANNEL(STDIN), 4, 2, 6);
  ck_assert_int_eq(pair_say(f.p, SERVER, 1, 1, &window), 0);
  ck_assert_uint_eq(sandd_ring_consumed(f.ring), 2);
  return f;
}

static void end(fixture *f) {
  sandd_stream_release(f->here, f->p->now);
  sandd_stream_release(f->there, f->p->now);
  sandd_ring_free(f->ring);
  pair_free(f->p);
}

static const struct {
  const char *name;
  uint64_t next, consumed, limit;
} wrong[] = {
    {"next goes back", 3, 2, 6},
    {"consumed goes back", 4, 1, 6},
    {"limit goes back", 4, 2, 5},
    {"consumed above next", 4, 5, 6},
    {"next above what was sent", 7, 2, 10},
    {"limit above 2^62", 4, 2, (1ull << 62) + 1},
    {"all above", UINT64_MAX, UINT64_MAX, UINT64_MAX},
};

START_TEST(window_that_can_not_be_ends_the_session) {
  fixture f = begin();
  Frame window = craft_window(1, CHANNEL(STDIN), wrong[_i].next, wrong[_i].consumed, wrong[_i].limit);
  ck_assert_msg(pair_say(f.p, SERVER, 1, 1, &window) < 0, "%s", wrong[_i].name);
  ck_assert_uint_eq(pair_closing(f.p, SERVER), 4000 + STATUS(PROTOCOL_ERROR));
  ck_assert_int_eq(pair_event(f.p, SERVER, SANDD_EVENT_STREAM_ENDED)->event.status, STATUS(SESSION_LOST));
  end(&f);
}
END_TEST

START_TEST(window_that_is_repeated_changes_nothing) {
  fixture f = begin();
  Frame window = craft_window(1, CHANNEL(STDIN), 4, 2, 6);
  for (int i = 0; i < 3; i++)
    ck_assert_int_eq(pair_say(f.p, SERVER, 1, 1, &window), 0);
  static uint8_t buf[1 << 20];
  ck_assert_uint_eq(pair_pull(f.p, SERVER, buf, sizeof buf), 0);
  ck_assert_uint_eq(sandd_ring_consumed(f.ring), 2);
  end(&f);
}
END_TEST

START_TEST(window_of_a_channel_that_nobody_writes_is_ignored) {
  fixture f = begin();
  Frame window = craft_window(1, CHANNEL(TO_OPENER), 0, 0, 100);
  ck_assert_int_eq(pair_say(f.p, SERVER, 1, 1, &window), 0);
  end(&f);
}
END_TEST

/* The new holder of stdin begins at what was accepted; what was written to the process is less. */
START_TEST(window_may_say_less_than_the_start_of_a_taken_over_channel) {
  static uint8_t buf[1 << 20];
  pair *p = pair_new(0);
  sandd_ring *ring;
  sandd_stream *there, *here = pair_exec(p, &there);
  sandd_ring_config config = {.size = sizeof config, .base = 400};
  ck_assert_int_eq(sandd_ring_new(&ring, p->endpoint[SERVER], pair_session(p, SERVER), &config), 0);
  ck_assert_int_eq(sandd_stream_write(here, CHANNEL(STDIN), ring, 400, 0, SANDD_READER_HOLDS), 0);
  ck_assert_int_eq(sandd_ring_write(ring, (const uint8_t *)"abc", 3), 3);
  Frame window = craft_window(1, CHANNEL(STDIN), 400, 1, 402);
  ck_assert_int_eq(pair_say(p, SERVER, 1, 1, &window), 0);
  ck_assert_uint_eq(sandd_ring_consumed(ring), 400);
  ck_assert_uint_gt(pair_pull(p, SERVER, buf, sizeof buf), 0);
  window = craft_window(1, CHANNEL(STDIN), 402, 401, 410);
  ck_assert_int_eq(pair_say(p, SERVER, 1, 1, &window), 0);
  ck_assert_uint_eq(sandd_ring_consumed(ring), 401);
  sandd_stream_release(here, p->now);
  sandd_stream_release(there, p->now);
  sandd_ring_free(ring);
  pair_free(p);
}
END_TEST

START_TEST(status_that_is_missing_or_unknown_is_no_success) {
  for (int i = 0; i < 6; i++) {
    fixture f = begin();
    pair_forget(f.p);
    Frame frame = craft_status(2, 1, i % 2 ? BODY(END) : BODY(RESET), i / 2 == 0 ? 0 : 9999);
    if (i / 2 == 2)
      frame.end->status = NULL; /* the same place in End and Reset */
    ck_assert_int_eq(pair_say(f.p, SERVER, 1, 1, &frame), 0);
    const recorded *r = pair_event(f.p, SERVER, SANDD_EVENT_STREAM_ENDED);
    ck_assert_ptr_nonnull(r);
    ck_assert_int_ne(r->event.status, STATUS(OK));
    ck_assert_str_eq(sandd_status_name(9999), "UNKNOWN");
    end(&f);
  }
}
END_TEST

START_TEST(channel_end_below_what_was_received_ends_the_session) {
  pair *p = pair_new(0);
  sandd_inbox *in;
  sandd_stream *there, *here = pair_exec(p, &there);
  ck_assert_int_eq(sandd_inbox_new(&in, p->endpoint[SERVER], pair_session(p, SERVER), false), 0);
  ck_assert_int_ge(sandd_stream_read(here, CHANNEL(STDERR), in, true, p->now), 4096);
  Frame frames[] = {craft_data(1, CHANNEL(STDERR), 0, "abc", 3), craft(2, 1, BODY(CHANNEL_END))};
  frames[1].channel_end->channel = (Sandd__V1__ChannelId)CHANNEL(STDERR);
  frames[1].channel_end->final_offset = 2;
  frames[1].channel_end->reason = SANDD__V1__CHANNEL_END_REASON__CHANNEL_END_REASON_EOF;
  ck_assert_int_lt(pair_say(p, SERVER, 1, 2, frames), 0);
  ck_assert_uint_eq(pair_closing(p, SERVER), 4000 + STATUS(PROTOCOL_ERROR));
  sandd_stream_release(here, p->now);
  sandd_stream_release(there, p->now);
  sandd_inbox_free(in);
  pair_free(p);
}
END_TEST

START_TEST(bytes_after_the_channels_end_end_the_session) {
  pair *p = pair_new(0);
  sandd_inbox *in;
  sandd_stream *there, *here = pair_exec(p, &there);
  ck_assert_int_eq(sandd_inbox_new(&in, p->endpoint[SERVER], pair_session(p, SERVER), false), 0);
  ck_assert_int_ge(sandd_stream_read(here, CHANNEL(STDERR), in, true, p->now), 4096);
  Frame frames[] = {craft(2, 1, BODY(CHANNEL_END)), craft_data(1, CHANNEL(STDERR), 0, "abc", 3)};
  frames[0].channel_end->channel = (Sandd__V1__ChannelId)CHANNEL(STDERR);
  frames[0].channel_end->final_offset = 2;
  frames[0].channel_end->reason = SANDD__V1__CHANNEL_END_REASON__CHANNEL_END_REASON_DRAIN_LIMIT;
  ck_assert_int_eq(pair_say(p, SERVER, 1, 1, frames), 0); /* it may overtake the last bytes */
  bool drain = false;
  ck_assert(sandd_inbox_final(in, NULL, &drain));
  ck_assert(drain);
  ck_assert_int_lt(pair_say(p, SERVER, 1, 1, frames + 1), 0);
  sandd_stream_release(here, p->now);
  sandd_stream_release(there, p->now);
  sandd_inbox_free(in);
  pair_free(p);
}
END_TEST

START_TEST(small_stream_is_not_delayed_by_a_large_one) {
  static uint8_t bytes[3 << 20], buf[1 << 20];
  pair *p = pair_new(.window_bytes = 4 << 20);
  sandd_stream *here[2], *there[2];
  sandd_inbox *in[2];
  sandd_ring *ring[2];
  for (int i = 0; i < 2; i++) {
    ck_assert_int_eq(sandd_inbox_new(&in[i], p->endpoint[SERVER], pair_session(p, SERVER), false), 0);
    ck_assert_int_eq(sandd_ring_new(&ring[i], p->endpoint[DAEMON], NULL, NULL), 0);
    ck_assert_int_eq(sandd_stream_new(&here[i], pair_session(p, SERVER)), 0);
    int64_t grant = sandd_stream_read(here[i], CHANNEL(STDOUT), in[i], true, p->now);
    ck_assert_int_eq(pair_open(p, here[i], "", grant), 0);
    pair_pump(p);
    there[i] = pair_event(p, DAEMON, SANDD_EVENT_STREAM_OPENED)->event.stream;
    ck_assert_int_eq(sandd_stream_write(there[i], CHANNEL(STDOUT), ring[i], 0, (uint64_t)grant, SANDD_READER_HOLDS), 0);
    ck_assert_int_eq(pair_answer(p, there[i]), 0);
    pair_pump(p);
  }
  ck_assert_int_eq(sandd_ring_write(ring[0], bytes, sizeof bytes), sizeof bytes);
  size_t first = pair_pull(p, DAEMON, buf, sizeof buf);
  ck_assert_int_eq(pair_feed(p, SERVER, buf, first), 0);
  ck_assert_int_eq(sandd_ring_write(ring[1], bytes, 100), 100);
  for (int i = 0; i < 2; i++) { /* it is in the next packet or in the one after it */
    size_t len = pair_pull(p, DAEMON, buf, sizeof buf);
    ck_assert_uint_le(len, 2 * 65536 + 1000);
    ck_assert_int_eq(pair_feed(p, SERVER, buf, len), 0);
  }
  ck_assert_uint_eq(sandd_inbox_bytes(in[1]), 100);
  for (int i = 0; i < 2; i++) {
    sandd_stream_release(here[i], p->now);
    sandd_stream_release(there[i], p->now);
    sandd_inbox_free(in[i]);
    sandd_ring_free(ring[i]);
  }
  pair_free(p);
}
END_TEST

START_TEST(channel_is_not_silenced_by_another_of_its_stream) {
  static uint8_t bytes[3 << 20], buf[1 << 20];
  pair *p = pair_new(.window_bytes = 4 << 20);
  sandd_inbox *in[2];
  sandd_ring *ring[2];
  sandd_stream *there, *here;
  ck_assert_int_eq(sandd_stream_new(&here, pair_session(p, SERVER)), 0);
  int64_t grant = 0;
  for (int i = 0; i < 2; i++) {
    ck_assert_int_eq(sandd_inbox_new(&in[i], p->endpoint[SERVER], pair_session(p, SERVER), false), 0);
    ck_assert_int_eq(sandd_ring_new(&ring[i], p->endpoint[DAEMON], NULL, NULL), 0);
    grant = sandd_stream_read(here, CHANNEL(STDOUT) + i, in[i], true, p->now);
  }
  ck_assert_int_eq(pair_open(p, here, "", grant), 0);
  pair_pump(p);
  there = pair_event(p, DAEMON, SANDD_EVENT_STREAM_OPENED)->event.stream;
  for (int i = 0; i < 2; i++)
    ck_assert_int_eq(sandd_stream_write(there, CHANNEL(STDOUT) + i, ring[i], 0, (uint64_t)grant, SANDD_READER_HOLDS),
                     0);
  ck_assert_int_eq(pair_answer(p, there), 0);
  pair_pump(p);
  ck_assert_int_eq(sandd_ring_write(ring[0], bytes, sizeof bytes), sizeof bytes);
  ck_assert_int_eq(sandd_ring_write(ring[1], bytes, 100), 100);
  for (int i = 0; i < 2; i++) {
    size_t len = pair_pull(p, DAEMON, buf, sizeof buf);
    ck_assert_int_eq(pair_feed(p, SERVER, buf, len), 0);
  }
  ck_assert_uint_eq(sandd_inbox_bytes(in[1]), 100);
  sandd_stream_release(here, p->now);
  sandd_stream_release(there, p->now);
  for (int i = 0; i < 2; i++) {
    sandd_inbox_free(in[i]);
    sandd_ring_free(ring[i]);
  }
  pair_free(p);
}
END_TEST

Suite *suite(void) {
  Suite *s = suite_create("windows");
  TCase *t = tcase_create("windows");
  tcase_add_loop_test(t, window_that_can_not_be_ends_the_session, 0, (int)(sizeof wrong / sizeof wrong[0]));
  tcase_add_test(t, window_that_is_repeated_changes_nothing);
  tcase_add_test(t, window_of_a_channel_that_nobody_writes_is_ignored);
  tcase_add_test(t, window_may_say_less_than_the_start_of_a_taken_over_channel);
  tcase_add_test(t, status_that_is_missing_or_unknown_is_no_success);
  tcase_add_test(t, channel_end_below_what_was_received_ends_the_session);
  tcase_add_test(t, bytes_after_the_channels_end_end_the_session);
  tcase_add_test(t, small_stream_is_not_delayed_by_a_large_one);
  tcase_add_test(t, channel_is_not_silenced_by_another_of_its_stream);
  suite_add_tcase(s, t);
  return s;
}
