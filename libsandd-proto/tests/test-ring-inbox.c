// SPDX-License-Identifier: MIT
/* Rings and inboxes by themselves: room, budgets, holes, limits. */
#include "pair.h"

static pair *apart(void) {
  return pair_new(.apart = true, .rings = 4, .ring_budget = 4 * 4096 + 10000, .keep_budget = 8192,
                  .limits = {{.channels = 4, .streams = 4}, {.channels = 4, .streams = 4}},
                  .recv_budget = 4 * 4096 + 10000);
}

static sandd_ring *ring(pair *p, const sandd_ring_config *config) {
  sandd_ring *r;
  ck_assert_int_eq(sandd_ring_new(&r, p->endpoint[DAEMON], NULL, config), 0);
  return r;
}

START_TEST(each_ring_has_4_kib_whatever_the_others_hold) {
  static uint8_t bytes[100000];
  pair *p = apart();
  sandd_ring *r[4], *fifth;
  for (int i = 0; i < 4; i++)
    r[i] = ring(p, NULL);
  ck_assert_int_eq(sandd_ring_new(&fifth, p->endpoint[DAEMON], NULL, NULL), SANDD_E_LIMIT);
  ck_assert_uint_eq(sandd_ring_room(r[0]), 4096 + 10000);
  ck_assert_int_eq(sandd_ring_write(r[0], bytes, sizeof bytes), 4096 + 10000);
  ck_assert_uint_eq(sandd_ring_room(r[0]), 0);
  for (int i = 1; i < 4; i++)
    ck_assert_int_eq(sandd_ring_write(r[i], bytes, sizeof bytes), 4096);
  sandd_usage u;
  sandd_endpoint_usage(p->endpoint[DAEMON], &u);
  ck_assert_uint_eq(u.ring_bytes, 4 * 4096 + 10000);
  sandd_ring_free(r[0]); /* its share goes to one that waits */
  ck_assert_uint_eq(sandd_ring_room(r[1]), 10000);
  for (int i = 1; i < 4; i++)
    sandd_ring_free(r[i]);
  pair_free(p);
}
END_TEST

START_TEST(ring_that_waits_is_told_of_room) {
  static uint8_t bytes[100000];
  pair *p = apart();
  sandd_ring *a = ring(p, NULL), *b = ring(p, NULL);
  sandd_ring_write(a, bytes, sizeof bytes);
  sandd_ring_write(b, bytes, sizeof bytes);
  ck_assert_uint_eq(sandd_ring_room(b), 0);
  sandd_ring_free(a);
  pair_drain(p, DAEMON);
  const recorded *r = pair_event(p, DAEMON, SANDD_EVENT_RING_WRITABLE);
  ck_assert_ptr_nonnull(r);
  ck_assert_ptr_eq(r->event.ring, b);
  sandd_ring_free(b);
  pair_free(p);
}
END_TEST

START_TEST(ring_has_a_bound_of_its_own) {
  static uint8_t bytes[10000];
  pair *p = apart();
  sandd_ring *r = ring(p, &(sandd_ring_config){.size = sizeof(sandd_ring_config), .max_bytes = 1000, .base = 77});
  ck_assert_uint_eq(sandd_ring_base(r), 77);
  ck_assert_int_eq(sandd_ring_write(r, bytes, sizeof bytes), 1000);
  ck_assert_uint_eq(sandd_ring_end(r), 1077);
  sandd_ring_free(r);
  pair_free(p);
}
END_TEST

START_TEST(ring_without_a_reader_blocks_or_drops) {
  static uint8_t bytes[3000];
  pair *p = apart();
  sandd_ring *blocks = ring(p, NULL);
  sandd_ring *drops =
      ring(p, &(sandd_ring_config){.size = sizeof(sandd_ring_config), .drop_unread = true, .keep_bytes = 4000});
  for (int i = 0; i < 100; i++) {
    sandd_ring_write(blocks, bytes, sizeof bytes);
    ck_assert_int_eq(sandd_ring_write(drops, bytes, sizeof bytes), sizeof bytes);
  }
  ck_assert_uint_eq(sandd_ring_room(blocks), 0);
  ck_assert_uint_eq(sandd_ring_end(drops), 300000);
  ck_assert_uint_ge(sandd_ring_end(drops) - sandd_ring_base(drops), 4000);
  ck_assert_uint_le(sandd_ring_end(drops) - sandd_ring_base(drops), 4096);
  sandd_usage u;
  sandd_endpoint_usage(p->endpoint[DAEMON], &u);
  ck_assert_uint_le(u.keep_bytes, 8192 + 4096);
  sandd_ring_free(blocks);
  sandd_ring_free(drops);
  sandd_endpoint_usage(p->endpoint[DAEMON], &u);
  ck_assert_uint_eq(u.keep_bytes + u.ring_bytes, 0);
  pair_free(p);
}
END_TEST

START_TEST(finished_ring_takes_nothing) {
  pair *p = apart();
  sandd_ring *r = ring(p, NULL);
  ck_assert_int_eq(sandd_ring_write(r, (const uint8_t *)"abc", 3), 3);
  ck_assert(!sandd_ring_finished(r));
  sandd_ring_finish(r);
  ck_assert(sandd_ring_finished(r));
  ck_assert_int_eq(sandd_ring_write(r, (const uint8_t *)"d", 1), SANDD_E_STATE);
  ck_assert_int_eq(sandd_ring_skip(r, 1), SANDD_E_STATE);
  ck_assert_uint_eq(sandd_ring_end(r), 3);
  sandd_ring_free(r);
  pair_free(p);
}
END_TEST

START_TEST(skip_takes_no_room) {
  pair *p = apart();
  sandd_ring *r = ring(p, NULL);
  size_t room = sandd_ring_room(r);
  ck_assert_int_eq(sandd_ring_skip(r, 1ull << 40), 0);
  ck_assert_uint_eq(sandd_ring_room(r), room);
  ck_assert_int_eq(sandd_ring_skip(r, 1ull << 62), SANDD_E_INVALID);
  ck_assert_uint_eq(sandd_ring_end(r), 1ull << 40);
  sandd_ring_free(r);
  pair_free(p);
}
END_TEST

START_TEST(dropped_backlog_frees_its_room) {
  static uint8_t bytes[14096];
  pair *p = apart();
  sandd_ring *r = ring(p, NULL);
  ck_assert_int_eq(sandd_ring_write(r, bytes, sizeof bytes), sizeof bytes);
  ck_assert_int_eq(sandd_ring_drop_backlog(r, 96), 0);
  ck_assert_uint_eq(sandd_ring_room(r), 14000);
  ck_assert_uint_eq(sandd_ring_end(r), 14096);
  for (int i = 0; i < 50; i++) { /* holes that touch become one: memory does not grow */
    ck_assert_int_gt(sandd_ring_write(r, bytes, 1000), 0);
    ck_assert_int_eq(sandd_ring_drop_backlog(r, 10), 0);
  }
  ck_assert_uint_lt(p->memory[DAEMON].bytes, 100000);
  sandd_ring_free(r);
  pair_free(p);
}
END_TEST

START_TEST(channels_that_are_read_are_limited) {
  pair *p = apart();
  sandd_inbox *in[4], *fifth;
  for (int i = 0; i < 4; i++)
    ck_assert_int_eq(sandd_inbox_new(&in[i], p->endpoint[DAEMON], NULL, false), 0);
  ck_assert_int_eq(sandd_inbox_new(&fifth, p->endpoint[DAEMON], NULL, false), SANDD_E_LIMIT);
  sandd_inbox_free(in[0]);
  ck_assert_int_eq(sandd_inbox_new(&in[0], p->endpoint[DAEMON], NULL, false), 0);
  for (int i = 0; i < 4; i++)
    sandd_inbox_free(in[i]);
  pair_free(p);
}
END_TEST

START_TEST(fresh_inbox_is_empty) {
  const uint8_t *data;
  uint64_t len;
  uint8_t out[4];
  pair *p = apart();
  sandd_inbox *in;
  ck_assert_int_eq(sandd_inbox_new(&in, p->endpoint[DAEMON], NULL, false), 0);
  ck_assert_int_eq(sandd_inbox_peek(in, &data, &len), SANDD_INBOX_EMPTY);
  ck_assert_uint_eq(sandd_inbox_take(in, out, sizeof out, p->now), 0);
  sandd_inbox_consume(in, 5, p->now);
  ck_assert_uint_eq(sandd_inbox_consumed(in), 0);
  ck_assert(!sandd_inbox_final(in, NULL, NULL));
  sandd_inbox_free(in);
  sandd_inbox_free(NULL);
  sandd_ring_free(NULL);
  sandd_stream_release(NULL, 0);
  sandd_link_free(NULL, 0);
  sandd_endpoint_free(NULL);
  pair_free(p);
}
END_TEST

/* Four readers, each with a large window wished for: all credit together stays within the budget. */
START_TEST(credit_of_all_channels_stays_within_the_budget) {
  pair *p =
      pair_new(.limits = {{.channels = 4}, {.channels = 4}}, .recv_budget = 4 * 4096 + 10000, .window_bytes = 1 << 20);
  sandd_stream *s[4];
  sandd_inbox *in[4];
  uint64_t sum = 0;
  for (int i = 0; i < 4; i++) {
    ck_assert_int_eq(sandd_inbox_new(&in[i], p->endpoint[SERVER], pair_session(p, SERVER), false), 0);
    ck_assert_int_eq(sandd_stream_new(&s[i], pair_session(p, SERVER)), 0);
    int64_t grant = sandd_stream_read(s[i], CHANNEL(STDOUT), in[i], true, p->now);
    ck_assert_int_ge(grant, 4096);
    sum += (uint64_t)grant;
  }
  ck_assert_uint_eq(sum, 4 * 4096 + 10000);
  sandd_usage u;
  sandd_endpoint_usage(p->endpoint[SERVER], &u);
  ck_assert_uint_eq(u.recv_granted, sum);
  for (int i = 0; i < 4; i++) {
    sandd_stream_release(s[i], p->now);
    sandd_inbox_free(in[i]);
  }
  pair_free(p);
}
END_TEST

START_TEST(budget_below_its_minimum_is_refused) {
  pair *p = pair_new(.apart = true);
  sandd_endpoint *e;
  p->options = (options){.limits = {{.channels = 10}, {.channels = 10}}, .recv_budget = 10 * 4096 - 1};
  ck_assert_int_eq(pair_endpoint(p, SERVER, NULL, &e), SANDD_E_INVALID);
  p->options = (options){.rings = 10, .ring_budget = 10 * 4096 - 1};
  ck_assert_int_eq(pair_endpoint(p, SERVER, NULL, &e), SANDD_E_INVALID);
  p->options = (options){0};
  ck_assert_int_eq(pair_endpoint(p, DAEMON, NULL, &e), SANDD_E_INVALID);
  ck_assert_int_eq(pair_endpoint(p, DAEMON, "two words", &e), SANDD_E_INVALID);
  pair_free(p);
}
END_TEST

START_TEST(windows_grow_when_they_are_what_holds_the_writer) {
  static uint8_t bytes[65536];
  pair *p = pair_new(.window_bytes = 16384);
  sandd_inbox *in;
  sandd_ring *r = ring(p, NULL);
  sandd_stream *there, *here;
  ck_assert_int_eq(sandd_inbox_new(&in, p->endpoint[SERVER], pair_session(p, SERVER), false), 0);
  ck_assert_int_eq(sandd_stream_new(&here, pair_session(p, SERVER)), 0);
  int64_t grant = sandd_stream_read(here, CHANNEL(STDOUT), in, true, p->now);
  ck_assert_int_eq(pair_open(p, here, "", grant), 0);
  pair_pump(p);
  there = pair_event(p, DAEMON, SANDD_EVENT_STREAM_OPENED)->event.stream;
  ck_assert_int_eq(sandd_stream_write(there, CHANNEL(STDOUT), r, 0, (uint64_t)grant, SANDD_READER_HOLDS), 0);
  ck_assert_int_eq(pair_answer(p, there), 0);
  pair_pump(p);
  for (int i = 0; i < 200; i++) {
    sandd_ring_write(r, bytes, sizeof bytes);
    pair_pump(p);
    while (sandd_inbox_take(in, bytes, sizeof bytes, p->now)) {
    }
    p->now += 100;
    pair_pump(p);
    pair_forget(p);
  }
  sandd_usage u;
  sandd_endpoint_usage(p->endpoint[SERVER], &u);
  ck_assert_uint_ge(u.recv_granted, 16 * 16384);
  ck_assert_uint_le(u.recv_granted, 33 * 16384);
  sandd_stream_release(here, p->now);
  sandd_stream_release(there, p->now);
  sandd_inbox_free(in);
  sandd_ring_free(r);
  pair_free(p);
}
END_TEST

Suite *suite(void) {
  Suite *s = suite_create("ring and inbox");
  TCase *t = tcase_create("ring and inbox");
  tcase_add_test(t, each_ring_has_4_kib_whatever_the_others_hold);
  tcase_add_test(t, ring_that_waits_is_told_of_room);
  tcase_add_test(t, ring_has_a_bound_of_its_own);
  tcase_add_test(t, ring_without_a_reader_blocks_or_drops);
  tcase_add_test(t, finished_ring_takes_nothing);
  tcase_add_test(t, skip_takes_no_room);
  tcase_add_test(t, dropped_backlog_frees_its_room);
  tcase_add_test(t, channels_that_are_read_are_limited);
  tcase_add_test(t, fresh_inbox_is_empty);
  tcase_add_test(t, credit_of_all_channels_stays_within_the_budget);
  tcase_add_test(t, budget_below_its_minimum_is_refused);
  tcase_add_test(t, windows_grow_when_they_are_what_holds_the_writer);
  suite_add_tcase(s, t);
  return s;
}
