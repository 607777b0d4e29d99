// SPDX-License-Identifier: MIT
/* Signs of life, silence, and clocks that jump. */
#include "pair.h"

static pair *with_dead_peer(void) {
  return pair_new(.heartbeat_us = SECOND);
}

/* Only the server's own end: the daemon neither reads nor writes from here on. */
static void alone(pair *p, uint64_t us) {
  static uint8_t buf[1 << 20];
  uint64_t end = p->now + us;
  while (p->now < end) {
    uint64_t next = sandd_link_deadline(p->link[SERVER]);
    if (next > end) {
      p->now = end;
      break;
    }
    if (next > p->now)
      p->now = next;
    sandd_link_tick(p->link[SERVER], p->now);
    while (pair_pull(p, SERVER, buf, sizeof buf)) {
    }
    pair_drain(p, SERVER);
    if (pair_closing(p, SERVER))
      break;
  }
}

START_TEST(three_missed_heartbeats_end_the_connection_not_the_session) {
  pair *p = with_dead_peer();
  pair_forget(p);
  uint64_t before = p->now;
  alone(p, 10 * SECOND);
  ck_assert_uint_eq(pair_closing(p, SERVER), 1); /* dropped without a Close frame: nobody would read it */
  ck_assert_uint_ge(p->now - before, 3 * SECOND);
  ck_assert_uint_le(p->now - before, 4 * SECOND);
  ck_assert_ptr_nonnull(pair_event(p, SERVER, SANDD_EVENT_SESSION_AWAY));
  ck_assert_ptr_null(pair_event(p, SERVER, SANDD_EVENT_SESSION_LOST));
  pair_connect(p);
  ck_assert(pair_event(p, SERVER, SANDD_EVENT_SESSION_UP)->event.resumed);
  pair_free(p);
}
END_TEST

START_TEST(any_received_byte_counts_as_life) {
  pair *p = with_dead_peer();
  for (int i = 0; i < 20; i++) {
    alone(p, 2 * SECOND);
    sandd_link_received(p->link[SERVER], p->now); /* part of a message */
  }
  ck_assert_uint_eq(pair_closing(p, SERVER), 0);
  pair_free(p);
}
END_TEST

START_TEST(silence_is_judged_by_the_second_look) {
  pair *p = with_dead_peer();
  p->now += 3 * SECOND + MS;
  uint64_t at = p->now;
  sandd_link_tick(p->link[SERVER], at);
  ck_assert_uint_eq(pair_closing(p, SERVER), 0);
  sandd_link_received(p->link[SERVER], at); /* it lay in the socket */
  sandd_link_tick(p->link[SERVER], at);
  ck_assert_uint_eq(pair_closing(p, SERVER), 0);
  pair_free(p);
}
END_TEST

START_TEST(time_in_which_our_loop_did_not_run_does_not_count) {
  pair *p = with_dead_peer();
  p->now += 8 * SECOND; /* late, but no jump */
  sandd_link_tick(p->link[SERVER], p->now);
  sandd_link_tick(p->link[SERVER], p->now);
  ck_assert_uint_eq(pair_closing(p, SERVER), 0);
  alone(p, 5 * SECOND);
  ck_assert_uint_eq(pair_closing(p, SERVER), 1);
  pair_free(p);
}
END_TEST

/* The machine slept: what lies in the socket is old and proves nothing. */
START_TEST(after_a_clock_jump_only_the_echo_of_a_new_stamp_is_life) {
  pair *p = with_dead_peer();
  p->now += 3600 * SECOND;
  sandd_link_tick(p->link[SERVER], p->now);
  for (int i = 0; i < 3; i++) {
    p->now += SECOND;
    sandd_link_received(p->link[SERVER], p->now); /* buffered bytes */
    sandd_link_tick(p->link[SERVER], p->now);
  }
  alone(p, 2 * SECOND);
  ck_assert_uint_eq(pair_closing(p, SERVER), 1);
  pair_free(p);
}
END_TEST

START_TEST(living_peer_survives_a_clock_jump) {
  pair *p = with_dead_peer();
  p->now += 3600 * SECOND;
  for (int at = 0; at < 2; at++)
    sandd_link_tick(p->link[at], p->now);
  pair_pump(p);
  pair_wait(p, 20 * SECOND);
  for (int at = 0; at < 2; at++)
    ck_assert_uint_eq(pair_closing(p, at), 0);
  pair_free(p);
}
END_TEST

START_TEST(idle_connection_lives_on) {
  pair *p = with_dead_peer();
  p->packets[SERVER] = p->packets[DAEMON] = 0;
  pair_wait(p, 600 * SECOND);
  for (int at = 0; at < 2; at++) {
    ck_assert_uint_eq(pair_closing(p, at), 0);
    ck_assert_uint_le(p->packets[at], 2 * 600 + 10); /* a heartbeat and a reply each second */
  }
  pair_free(p);
}
END_TEST

START_TEST(smaller_wish_for_the_interval_wins) {
  pair *p = pair_new(.heartbeat_us = 7 * SECOND);
  uint64_t deadline = sandd_link_deadline(p->link[DAEMON]);
  ck_assert_uint_le(deadline, p->now + 7 * SECOND);
  ck_assert_uint_gt(deadline, p->now + 6 * SECOND);
  pair_free(p);
}
END_TEST

START_TEST(stamps_measure_the_round_trip) {
  static uint8_t buf[1 << 20];
  pair *p = with_dead_peer();
  p->now = sandd_link_deadline(p->link[SERVER]);
  sandd_link_tick(p->link[SERVER], p->now);
  size_t len = pair_pull(p, SERVER, buf, sizeof buf);
  ck_assert_uint_gt(len, 0);
  p->now += 30 * MS;
  ck_assert_int_eq(pair_feed(p, DAEMON, buf, len), 0);
  len = pair_pull(p, DAEMON, buf, sizeof buf);
  p->now += 12 * MS;
  ck_assert_int_eq(pair_feed(p, SERVER, buf, len), 0);
  ck_assert_uint_eq(sandd_link_round_trip_us(p->link[SERVER]), 42 * MS);
  pair_free(p);
}
END_TEST

START_TEST(ack_goes_alone_after_25_ms) {
  static uint8_t buf[1 << 20];
  pair *p = pair_new(0);
  sandd_stream *there, *stream = pair_exec(p, &there);
  pair_wait(p, 100 * MS);
  Frame exited = craft(0, 0, BODY(EXEC_EXITED));
  ck_assert_int_eq(sandd_stream_send(there, &exited, p->now), 0);
  size_t len = pair_pull(p, DAEMON, buf, sizeof buf);
  ck_assert_int_eq(pair_feed(p, SERVER, buf, len), 0);
  ck_assert_uint_eq(pair_pull(p, SERVER, buf, sizeof buf), 0);
  ck_assert_uint_eq(sandd_link_deadline(p->link[SERVER]), p->now + 25 * MS);
  p->now += 25 * MS;
  sandd_link_tick(p->link[SERVER], p->now);
  len = pair_pull(p, SERVER, buf, sizeof buf);
  ck_assert_uint_eq(len, 2);
  ck_assert_mem_eq(buf, "\x08\x02", 2); /* ack 2: ExecStarted and ExecExited */
  sandd_stream_release(stream, p->now);
  sandd_stream_release(there, p->now);
  pair_free(p);
}
END_TEST

Suite *suite(void) {
  Suite *s = suite_create("heartbeat");
  TCase *t = tcase_create("heartbeat");
  tcase_add_test(t, three_missed_heartbeats_end_the_connection_not_the_session);
  tcase_add_test(t, any_received_byte_counts_as_life);
  tcase_add_test(t, silence_is_judged_by_the_second_look);
  tcase_add_test(t, time_in_which_our_loop_did_not_run_does_not_count);
  tcase_add_test(t, after_a_clock_jump_only_the_echo_of_a_new_stamp_is_life);
  tcase_add_test(t, living_peer_survives_a_clock_jump);
  tcase_add_test(t, idle_connection_lives_on);
  tcase_add_test(t, smaller_wish_for_the_interval_wins);
  tcase_add_test(t, stamps_measure_the_round_trip);
  tcase_add_test(t, ack_goes_alone_after_25_ms);
  suite_add_tcase(s, t);
  return s;
}
