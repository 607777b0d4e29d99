// SPDX-License-Identifier: MIT
/* A peer that makes us answer, and never takes the answers: memory stays flat, and the session ends with the right code. */
#include "pair.h"

static Frame open_frame(uint64_t seq, uint64_t id) {
  static Sandd__V1__ExecSpec spec = SANDD__V1__EXEC_SPEC__INIT;
  Frame frame = craft(seq, id, BODY(EXEC_OPEN));
  frame.exec_open->spec = &spec;
  return frame;
}

static void release_opened(pair *p, int at, const sandd_event *event) {
  (void)at;
  if (event->type == SANDD_EVENT_STREAM_OPENED)
    sandd_stream_release(event->stream, p->now);
}

/* Feeds frames made by next(n) until the session ends, and looks at the memory on the way. */
static void flood(size_t (*next)(uint64_t *seq, uint64_t n, Frame *out), options o) {
  pair *p = pair_make(&o);
  p->on_event = release_opened;
  size_t before = p->memory[SERVER].bytes;
  p->memory[SERVER].most_bytes = before;
  uint64_t seq = 0;
  for (uint64_t n = 0; n < 100000 && !pair_closing(p, SERVER); n++) {
    Frame frames[4];
    size_t count = next(&seq, n, frames);
    pair_say(p, SERVER, 0, count, frames);
    pair_forget(p);
  }
  ck_assert_msg(pair_closing(p, SERVER) == 4000 + STATUS(RESOURCE_EXHAUSTED), "code %u", pair_closing(p, SERVER));
  ck_assert_uint_lt(p->memory[SERVER].most_bytes - before, 2 << 20);
  ck_assert_ptr_null(pair_session(p, SERVER));
  pair_free(p);
}

static size_t refused_opening(uint64_t *seq, uint64_t n, Frame *out) {
  out[0] = open_frame(++*seq, 2 * n + 2);
  return 1;
}

static size_t opened_and_reset(uint64_t *seq, uint64_t n, Frame *out) {
  out[0] = open_frame(++*seq, 2 * n + 2);
  out[1] = craft_status(++*seq, 2 * n + 2, BODY(RESET), STATUS(CANCELLED));
  return 2;
}

START_TEST(openings_above_the_limit_end_the_session_in_time) {
  flood(refused_opening, (options){.limits = {[SERVER] = {.streams = 1}}});
}
END_TEST

START_TEST(streams_that_are_opened_and_reset_for_ever_end_the_session_in_time) {
  flood(opened_and_reset, (options){.heartbeat_us = 0});
}
END_TEST

START_TEST(heartbeats_without_end_are_answered_with_the_newest) {
  pair *p = pair_new(0);
  size_t before = p->memory[SERVER].bytes;
  for (uint64_t i = 1; i <= 100000; i++) {
    Frame beat = craft(0, 0, BODY(HEARTBEAT));
    beat.heartbeat->stamp = i;
    ck_assert_int_eq(pair_say(p, SERVER, 0, 1, &beat), 0);
  }
  ck_assert_uint_le(p->memory[SERVER].bytes, before + 16384);
  pair_free(p);
}
END_TEST

/* A daemon of this library does nothing of the kind, however quickly it works. */
START_TEST(quick_peer_is_no_flood) {
  pair *p = pair_new(.limits = {[DAEMON] = {.streams = 1024}});
  p->on_event = release_opened; /* refuses each at once */
  for (int round = 0; round < 20; round++) {
    sandd_stream *s[1024];
    for (int i = 0; i < 1024; i++) {
      ck_assert_int_eq(sandd_stream_new(&s[i], pair_session(p, SERVER)), 0);
      ck_assert_int_eq(pair_open(p, s[i], "", 0), 0);
      if (i % 200 == 0)
        pair_forget(p);
    }
    for (int at = 0; at < 2; at++)
      p->n_events[at] = 0;
    for (int i = 0; i < 1024; i++) {
      sandd_stream_release(s[i], p->now);
      if (i % 100 == 0) {
        pair_pump(p);
        pair_forget(p);
      }
    }
    pair_wait(p, 50 * MS);
    pair_forget(p);
    ck_assert_ptr_nonnull(pair_session(p, SERVER));
    ck_assert_ptr_nonnull(pair_session(p, DAEMON));
  }
  pair_free(p);
}
END_TEST

/* Hello with all the labels that it may have is larger than the first message may be: said at once, not by silence. */
START_TEST(labels_that_do_not_fit_into_hello_are_refused) {
  static char value[1025], keys[64][129];
  sandd_label labels[64];
  memset(value, 'v', 1024);
  for (int i = 0; i < 64; i++) {
    memset(keys[i], 'a' + i % 26, 128);
    keys[i][0] = (char)('0' + i);
    labels[i] = (sandd_label){keys[i], value};
  }
  pair *p = pair_new(.apart = true);
  sandd_endpoint *e;
  p->options.labels = labels;
  p->options.n_labels = 64;
  ck_assert_int_eq(pair_endpoint(p, DAEMON, "worker-2", &e), SANDD_E_INVALID);
  p->options.n_labels = 50;
  ck_assert_int_eq(pair_endpoint(p, DAEMON, "worker-2", &e), 0);
  sandd_endpoint_free(e);
  pair_free(p);
}
END_TEST

Suite *suite(void) {
  Suite *s = suite_create("floods");
  TCase *t = tcase_create("floods");
  tcase_set_timeout(t, 30);
  tcase_add_test(t, openings_above_the_limit_end_the_session_in_time);
  tcase_add_test(t, streams_that_are_opened_and_reset_for_ever_end_the_session_in_time);
  tcase_add_test(t, heartbeats_without_end_are_answered_with_the_newest);
  tcase_add_test(t, quick_peer_is_no_flood);
  tcase_add_test(t, labels_that_do_not_fit_into_hello_are_refused);
  suite_add_tcase(s, t);
  return s;
}
