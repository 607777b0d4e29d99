// SPDX-License-Identifier: MIT
/* A stream's life: opened, answered or refused, ended or reset from either side, in both orders. */
#include "pair.h"

static const sandd_status ok = {.code = STATUS(OK)}, cancelled = {.code = STATUS(CANCELLED)};

static int ended(pair *p, int at) {
  const recorded *r = pair_event(p, at, SANDD_EVENT_STREAM_ENDED);
  return r ? r->event.status : 0;
}

static void release(pair *p, sandd_stream *a, sandd_stream *b) {
  for (int at = 0; at < 2; at++) {
    sandd_usage u;
    sandd_endpoint_usage(p->endpoint[at], &u);
    ck_assert_uint_eq(u.streams, 0);
    ck_assert_uint_eq(pair_count(p, at, SANDD_EVENT_STREAM_ENDED), pair_count(p, at, SANDD_EVENT_STREAM_CLOSED));
  }
  sandd_stream_release(a, p->now);
  sandd_stream_release(b, p->now);
  pair_free(p);
}

START_TEST(ids_are_odd_from_the_server_and_even_from_the_daemon) {
  pair *p = pair_new(0);
  sandd_stream *s[4];
  for (int i = 0; i < 4; i++) {
    ck_assert_int_eq(sandd_stream_new(&s[i], pair_session(p, i / 2)), 0);
    ck_assert_uint_eq(sandd_stream_id(s[i]), 0);
    ck_assert_int_eq(pair_open(p, s[i], "", 0), 0);
  }
  const uint64_t ids[] = {1, 3, 2, 4};
  for (int i = 0; i < 4; i++)
    ck_assert_uint_eq(sandd_stream_id(s[i]), ids[i]);
  pair_pump(p);
  for (int at = 0; at < 2; at++)
    for (size_t i = 0; i < p->n_events[at]; i++)
      if (p->events[at][i].event.type == SANDD_EVENT_STREAM_OPENED)
        sandd_stream_release(p->events[at][i].event.stream, p->now);
  for (int i = 0; i < 4; i++)
    sandd_stream_release(s[i], p->now);
  pair_pump(p);
  pair_free(p);
}
END_TEST

START_TEST(end_is_answered_by_the_opener) {
  pair *p = pair_new(0);
  sandd_stream *there, *here = pair_exec(p, &there);
  ck_assert_int_eq(sandd_stream_end(there, &ok, p->now), 0);
  pair_wait(p, 100 * MS);
  ck_assert_int_eq(ended(p, SERVER), STATUS(OK));
  ck_assert_int_eq(ended(p, DAEMON), STATUS(OK));
  release(p, here, there);
}
END_TEST

START_TEST(opener_can_not_end_only_reset) {
  pair *p = pair_new(0);
  sandd_stream *there, *here = pair_exec(p, &there);
  ck_assert_int_eq(sandd_stream_end(here, &ok, p->now), SANDD_E_STATE);
  ck_assert_int_eq(sandd_stream_reset(here, &cancelled, p->now), 0);
  pair_wait(p, 100 * MS);
  ck_assert_int_eq(ended(p, DAEMON), STATUS(CANCELLED));
  ck_assert(pair_event(p, DAEMON, SANDD_EVENT_STREAM_ENDED)->event.by_reset);
  ck_assert_int_eq(ended(p, SERVER), STATUS(CANCELLED)); /* the answer to it */
  ck_assert(!pair_event(p, SERVER, SANDD_EVENT_STREAM_ENDED)->event.by_reset);
  release(p, here, there);
}
END_TEST

START_TEST(refusal_is_one_reset_with_its_status) {
  pair *p = pair_new(0);
  sandd_stream *here;
  ck_assert_int_eq(sandd_stream_new(&here, pair_session(p, SERVER)), 0);
  ck_assert_int_eq(pair_open(p, here, "", 0), 0);
  pair_pump(p);
  sandd_stream *there = pair_event(p, DAEMON, SANDD_EVENT_STREAM_OPENED)->event.stream;
  sandd_status status = {.code = STATUS(OUT_OF_RANGE),
                         .text = "gone",
                         .errno_name = "ENOENT",
                         .kept_channel = 2,
                         .kept_earliest = 42,
                         .kept_end = 50};
  ck_assert_int_eq(sandd_stream_reset(there, &status, p->now), 0);
  pair_wait(p, 100 * MS);
  const recorded *r = pair_event(p, SERVER, SANDD_EVENT_STREAM_ENDED);
  ck_assert_int_eq(r->event.status, STATUS(OUT_OF_RANGE));
  ck_assert_str_eq(r->text, "gone");
  ck_assert_uint_eq(r->event.earliest_offset, 42);
  release(p, here, there);
}
END_TEST

/* Reset and End, Reset and Reset, crossing on the wire; the connection may go before either arrives. */
START_TEST(ends_that_cross_are_one_end_on_each_side) {
  static uint8_t buf[2][1 << 20];
  for (int i = 0; i < 8; i++) {
    pair *p = pair_new(0);
    sandd_stream *there, *here = pair_exec(p, &there);
    bool both_reset = i & 1, cut = i & 2, server_first = i & 4;
    ck_assert_int_eq(sandd_stream_reset(here, &cancelled, p->now), 0);
    ck_assert_int_eq(both_reset ? sandd_stream_reset(there, &cancelled, p->now) : sandd_stream_end(there, &ok, p->now),
                     0);
    size_t len[2] = {pair_pull(p, SERVER, buf[SERVER], sizeof buf[0]),
                     pair_pull(p, DAEMON, buf[DAEMON], sizeof buf[0])};
    if (cut) {
      pair_cut(p);
      pair_connect(p);
    } else {
      int first = server_first ? DAEMON : SERVER;
      ck_assert_int_eq(pair_feed(p, first, buf[!first], len[!first]), 0);
      ck_assert_int_eq(pair_feed(p, !first, buf[first], len[first]), 0);
    }
    pair_wait(p, 100 * MS);
    ck_assert_uint_eq(pair_count(p, SERVER, SANDD_EVENT_STREAM_ENDED), 1);
    ck_assert_uint_eq(pair_count(p, DAEMON, SANDD_EVENT_STREAM_ENDED), 1);
    ck_assert_int_eq(ended(p, DAEMON), STATUS(CANCELLED));
    ck_assert_ptr_nonnull(pair_session(p, SERVER));
    release(p, here, there);
  }
}
END_TEST

START_TEST(reset_before_the_answer_is_harmless) {
  pair *p = pair_new(0);
  sandd_stream *here;
  ck_assert_int_eq(sandd_stream_new(&here, pair_session(p, SERVER)), 0);
  ck_assert_int_eq(pair_open(p, here, "", 0), 0);
  static uint8_t buf[1 << 20];
  size_t len = pair_pull(p, SERVER, buf, sizeof buf);
  sandd_stream_release(here, p->now); /* which resets it */
  ck_assert_int_eq(pair_feed(p, DAEMON, buf, len), 0);
  sandd_stream *there = pair_event(p, DAEMON, SANDD_EVENT_STREAM_OPENED)->event.stream;
  sandd_inbox *in;
  ck_assert_int_eq(sandd_inbox_new(&in, p->endpoint[DAEMON], NULL, true), 0);
  ck_assert_int_ge(sandd_stream_read(there, CHANNEL(STDIN), in, true, p->now), 0); /* a Window follows the answer */
  ck_assert_int_eq(pair_answer(p, there), 0);
  pair_wait(p, 100 * MS);
  ck_assert_ptr_nonnull(pair_session(p, SERVER));
  ck_assert_int_eq(ended(p, DAEMON), STATUS(CANCELLED));
  ck_assert_uint_eq(pair_count(p, SERVER, SANDD_EVENT_STREAM_FRAME), 0);
  sandd_inbox_free(in);
  release(p, NULL, there);
}
END_TEST

START_TEST(opening_that_was_never_sent_is_forgotten) {
  pair *p = pair_new(0);
  sandd_stream *here;
  ck_assert_int_eq(sandd_stream_new(&here, pair_session(p, SERVER)), 0);
  sandd_stream_release(here, p->now);
  p->packets[SERVER] = 0;
  pair_pump(p);
  ck_assert_uint_eq(p->packets[SERVER], 0);
  pair_free(p);
}
END_TEST

START_TEST(first_frame_opens_or_answers) {
  pair *p = pair_new(0);
  sandd_stream *here;
  Frame signal = craft(0, 0, BODY(SIGNAL)), end = craft_status(0, 0, BODY(END), STATUS(OK)),
        beat = craft(0, 0, BODY(HEARTBEAT));
  ck_assert_int_eq(sandd_stream_new(&here, pair_session(p, SERVER)), 0);
  ck_assert_int_eq(sandd_stream_send(here, &signal, p->now), SANDD_E_STATE);
  ck_assert_int_eq(sandd_stream_send(here, &end, p->now), SANDD_E_INVALID);
  ck_assert_int_eq(sandd_stream_send(here, &beat, p->now), SANDD_E_INVALID);
  ck_assert_int_eq(pair_open(p, here, "", 0), 0);
  ck_assert_int_eq(pair_open(p, here, "", 0), SANDD_E_STATE);
  sandd_stream_release(here, p->now);
  pair_pump(p);
  sandd_stream_release(pair_event(p, DAEMON, SANDD_EVENT_STREAM_OPENED)->event.stream, p->now);
  pair_free(p);
}
END_TEST

START_TEST(frames_arrive_once_and_in_order_over_cuts) {
  pair *p = pair_new(0);
  sandd_stream *there, *here = pair_exec(p, &there);
  pair_forget(p);
  static uint8_t buf[1 << 20];
  for (int i = 0; i < 60; i++) {
    Frame signal = craft(0, 0, BODY(SIGNAL));
    signal.signal->name = (char *)(uintptr_t)"INT";
    ck_assert_int_eq(sandd_stream_send(here, &signal, p->now), 0);
    if (i % 5 == 1)
      pair_pull(p, SERVER, buf, sizeof buf); /* lost */
    if (i % 5 == 2)
      pair_cut(p);
    if (i % 5 == 4)
      pair_connect(p);
  }
  pair_pump(p);
  uint64_t seq = 0;
  unsigned n = 0;
  for (size_t i = 0; i < p->n_events[DAEMON]; i++) {
    const recorded *r = &p->events[DAEMON][i];
    if (r->event.type != SANDD_EVENT_STREAM_FRAME)
      continue;
    if (seq)
      ck_assert_uint_eq(r->seq, seq + 1);
    seq = r->seq;
    n++;
  }
  ck_assert_uint_eq(n, 60);
  sandd_stream_release(here, p->now);
  sandd_stream_release(there, p->now);
  pair_free(p);
}
END_TEST

START_TEST(resize_that_waits_is_replaced) {
  pair *p = pair_new(0);
  sandd_stream *there, *here = pair_exec(p, &there);
  pair_forget(p);
  for (unsigned i = 1; i <= 100; i++) {
    Frame resize = craft(0, 0, BODY(RESIZE));
    resize.resize->rows = i;
    ck_assert_int_eq(sandd_stream_send(here, &resize, p->now), 0);
  }
  pair_pump(p);
  ck_assert_uint_eq(pair_count(p, DAEMON, SANDD_EVENT_STREAM_FRAME), 1);
  sandd_stream_release(here, p->now);
  sandd_stream_release(there, p->now);
  pair_free(p);
}
END_TEST

START_TEST(what_waits_on_a_stream_is_bounded) {
  pair *p = pair_new(0);
  sandd_stream *there, *here = pair_exec(p, &there);
  pair_cut(p);
  char name[1001];
  memset(name, 'A', 1000);
  name[1000] = 0;
  int error = 0;
  unsigned n = 0;
  for (; !error && n < 1000; n++) {
    Frame signal = craft(0, 0, BODY(SIGNAL));
    signal.signal->name = name;
    error = sandd_stream_send(here, &signal, p->now);
  }
  ck_assert_int_eq(error, SANDD_E_AGAIN);
  ck_assert_uint_lt(n, 100);
  ck_assert_int_eq(sandd_stream_reset(here, &cancelled, p->now), 0); /* always possible */
  pair_connect(p);
  pair_wait(p, 100 * MS);
  release(p, here, there);
}
END_TEST

START_TEST(unacked_control_is_bounded_and_goes_on_with_acks) {
  static uint8_t buf[1 << 20];
  pair *p = pair_new(.limits = {[SERVER] = {.control_bytes = 500}});
  sandd_stream *there, *here = pair_exec(p, &there);
  pair_wait(p, 100 * MS);
  pair_forget(p);
  for (int i = 0; i < 100; i++) {
    Frame signal = craft(0, 0, BODY(SIGNAL));
    signal.signal->name = (char *)(uintptr_t)"INT";
    ck_assert_int_eq(sandd_stream_send(here, &signal, p->now), 0);
  }
  while (pair_pull(p, SERVER, buf, sizeof buf)) {
  }
  sandd_usage u;
  sandd_endpoint_usage(p->endpoint[SERVER], &u);
  ck_assert_uint_le(u.control_bytes, 500);
  ck_assert_uint_gt(u.control_bytes, 300);
  ck_assert_uint_gt(u.control_waiting, 1000);
  pair_cut(p);
  pair_connect(p);
  pair_wait(p, 2 * SECOND);
  ck_assert_uint_eq(pair_count(p, DAEMON, SANDD_EVENT_STREAM_FRAME), 100);
  sandd_stream_release(here, p->now);
  sandd_stream_release(there, p->now);
  pair_free(p);
}
END_TEST

START_TEST(own_streams_stop_at_the_peers_limit) {
  pair *p = pair_new(.limits = {[DAEMON] = {.streams = 2}});
  sandd_stream *s[3];
  for (int i = 0; i < 2; i++)
    ck_assert_int_eq(sandd_stream_new(&s[i], pair_session(p, SERVER)), 0);
  ck_assert_int_eq(sandd_stream_new(&s[2], pair_session(p, SERVER)), SANDD_E_LIMIT);
  sandd_stream_release(s[0], p->now);
  ck_assert_int_eq(sandd_stream_new(&s[2], pair_session(p, SERVER)), 0);
  sandd_stream_release(s[1], p->now);
  sandd_stream_release(s[2], p->now);
  pair_free(p);
}
END_TEST

START_TEST(stream_outlives_its_session_for_the_application) {
  pair *p = pair_new(0);
  sandd_stream *there, *here = pair_exec(p, &there);
  sandd_stream_set_user(here, p);
  sandd_session_goodbye(pair_session(p, SERVER), STATUS(SHUTTING_DOWN), "", 0, p->now);
  pair_pump(p);
  for (int at = 0; at < 2; at++) {
    ck_assert_int_eq(ended(p, at), STATUS(SESSION_LOST));
    const recorded *lost = pair_event(p, at, SANDD_EVENT_SESSION_LOST);
    ck_assert(lost > pair_event(p, at, SANDD_EVENT_STREAM_ENDED)); /* before it */
  }
  ck_assert_ptr_null(sandd_stream_session(here));
  ck_assert_ptr_eq(sandd_stream_user(here), p);
  Frame signal = craft(0, 0, BODY(SIGNAL));
  ck_assert_int_eq(sandd_stream_send(here, &signal, p->now), SANDD_E_CLOSED);
  ck_assert_int_eq(sandd_stream_reset(here, &cancelled, p->now), SANDD_E_CLOSED);
  release(p, here, there);
}
END_TEST

Suite *suite(void) {
  Suite *s = suite_create("streams");
  TCase *t = tcase_create("streams");
  tcase_add_test(t, ids_are_odd_from_the_server_and_even_from_the_daemon);
  tcase_add_test(t, end_is_answered_by_the_opener);
  tcase_add_test(t, opener_can_not_end_only_reset);
  tcase_add_test(t, refusal_is_one_reset_with_its_status);
  tcase_add_test(t, ends_that_cross_are_one_end_on_each_side);
  tcase_add_test(t, reset_before_the_answer_is_harmless);
  tcase_add_test(t, opening_that_was_never_sent_is_forgotten);
  tcase_add_test(t, first_frame_opens_or_answers);
  tcase_add_test(t, frames_arrive_once_and_in_order_over_cuts);
  tcase_add_test(t, resize_that_waits_is_replaced);
  tcase_add_test(t, what_waits_on_a_stream_is_bounded);
  tcase_add_test(t, unacked_control_is_bounded_and_goes_on_with_acks);
  tcase_add_test(t, own_streams_stop_at_the_peers_limit);
  tcase_add_test(t, stream_outlives_its_session_for_the_application);
  suite_add_tcase(s, t);
  return s;
}
