// SPDX-License-Identifier: MIT
/* The edges of a link's and a session's life that the other files pass by: who closes, what is told, what is forgotten. */
#include "pair.h"

#include <stdio.h>

static uint8_t buf[1 << 20];

/* A Hello of the fixture's daemon with another resume, fed to a new link of the server. What it answers: a StatusCode of
 * Goodbye, or 0 for Welcome. */
static int answer_to_resume(pair *p, const char *spoil) {
  pair_cut(p);
  for (int at = 0; at < 2; at++)
    ck_assert_int_eq(sandd_link_new(&p->link[at], p->endpoint[at], p->now), 0);
  size_t len = pair_pull(p, DAEMON, buf, sizeof buf);
  Sandd__V1__Packet *packet = sandd__v1__packet__unpack(NULL, len, buf);
  Sandd__V1__Hello *hello = packet->frames[0]->hello;
  ck_assert_ptr_nonnull(hello->resume);
  if (!strcmp(spoil, "secret"))
    hello->resume->secret.data[5] ^= 1;
  if (!strcmp(spoil, "short secret"))
    hello->resume->secret.len--;
  if (!strcmp(spoil, "no secret"))
    hello->resume->secret.len = 0;
  if (!strcmp(spoil, "seq above"))
    hello->resume->last_seq += 1;
  if (!strcmp(spoil, "seq below"))
    hello->resume->last_seq -= 1;
  if (!strcmp(spoil, "attempt"))
    hello->attempt = 1;
  if (!strcmp(spoil, "session"))
    hello->resume->session_id.data[5] ^= 1;
  if (!strcmp(spoil, "instance"))
    hello->instance_id[0] ^= 1;
  if (!strcmp(spoil, "daemon"))
    hello->daemon_id[0] ^= 1;
  len = sandd__v1__packet__pack(packet, buf);
  sandd__v1__packet__free_unpacked(packet, NULL);
  ck_assert_int_eq(sandd_link_feed(p->link[SERVER], buf, len, p->now), 0);
  pair_drain(p, SERVER);
  len = pair_pull(p, SERVER, buf, sizeof buf);
  packet = sandd__v1__packet__unpack(NULL, len, buf);
  const Frame *frame = packet->frames[0];
  int status = frame->body_case == BODY(GOODBYE) ? (int)frame->goodbye->status->code : 0;
  if (!status)
    ck_assert_int_eq(frame->body_case, BODY(WELCOME));
  sandd__v1__packet__free_unpacked(packet, NULL);
  return status;
}

START_TEST(hello_from_a_copied_machine_takes_nothing_over) {
  static const char *const spoils[] = {"secret",    "short secret", "no secret", "seq above",
                                       "seq below", "attempt",      "instance",  "daemon"};
  for (size_t i = 0; i < sizeof spoils / sizeof spoils[0]; i++) {
    pair *p = pair_new(0);
    sandd_stream *there, *here = pair_exec(p, &there); /* so that there are seqs */
    pair_wait(p, 100 * MS);
    sandd_session *session = pair_session(p, SERVER);
    ck_assert_msg(answer_to_resume(p, spoils[i]) == STATUS(CLONE), "a wrong %s is let in", spoils[i]);
    ck_assert_ptr_eq(pair_session(p, SERVER), session);
    ck_assert_ptr_eq(sandd_stream_session(here), session);
    pair_forget(p);
    pair_connect(p); /* the original, as if nothing had been */
    ck_assert(pair_event(p, SERVER, SANDD_EVENT_SESSION_UP)->event.resumed);
    sandd_stream_release(here, p->now);
    sandd_stream_release(there, p->now);
    pair_free(p);
  }
}
END_TEST

START_TEST(unknown_session_counts_as_a_hello_without_a_secret) {
  pair *p = pair_new(0);
  ck_assert_int_eq(answer_to_resume(p, "session"), 0);
  pair_free(p);
}
END_TEST

/* The server was set back to an older state: it has seen less than it acked, or more than was sent. */
START_TEST(daemon_gives_up_a_session_whose_server_is_ahead) {
  pair *p = pair_new(0);
  sandd_stream *there, *here = pair_exec(p, &there);
  pair_cut(p);
  for (int at = 0; at < 2; at++)
    ck_assert_int_eq(sandd_link_new(&p->link[at], p->endpoint[at], p->now), 0);
  size_t len = pair_pull(p, DAEMON, buf, sizeof buf);
  ck_assert_int_eq(pair_feed(p, SERVER, buf, len), 0);
  len = pair_pull(p, SERVER, buf, sizeof buf);
  Sandd__V1__Packet *packet = sandd__v1__packet__unpack(NULL, len, buf);
  packet->frames[0]->welcome->last_seq += 7;
  len = sandd__v1__packet__pack(packet, buf);
  sandd__v1__packet__free_unpacked(packet, NULL);
  pair_feed(p, DAEMON, buf, len);
  ck_assert_ptr_null(pair_session(p, DAEMON));
  ck_assert_int_eq(pair_event(p, DAEMON, SANDD_EVENT_STREAM_ENDED)->event.status, STATUS(SESSION_LOST));
  pair_forget(p);
  pair_connect(p);
  ck_assert(!pair_event(p, DAEMON, SANDD_EVENT_SESSION_UP)->event.resumed);
  sandd_stream_release(here, p->now);
  sandd_stream_release(there, p->now);
  pair_free(p);
}
END_TEST

START_TEST(dead_link_returns_its_error_for_ever) {
  pair *p = pair_new(0);
  ck_assert_int_eq(sandd_link_feed(p->link[SERVER], (const uint8_t *)"\xff", 1, p->now), SANDD_E_PROTOCOL);
  for (int i = 0; i < 3; i++) {
    size_t len = 1;
    ck_assert_int_eq(sandd_link_feed(p->link[SERVER], (const uint8_t *)"", 0, p->now), SANDD_E_PROTOCOL);
    ck_assert_int_le(sandd_link_pull(p->link[SERVER], buf, sizeof buf, &len, p->now), 0);
    ck_assert_uint_eq(len, 0);
    sandd_link_tick(p->link[SERVER], p->now);
    sandd_link_received(p->link[SERVER], p->now);
  }
  ck_assert_uint_eq(sandd_link_deadline(p->link[SERVER]), UINT64_MAX);
  pair_free(p);
}
END_TEST

START_TEST(text_message_ends_the_session) {
  pair *p = pair_new(0);
  sandd_link_fail(p->link[SERVER], STATUS(BAD_MESSAGE), "a text message", p->now);
  uint16_t code;
  const char *text;
  ck_assert(sandd_link_closing(p->link[SERVER], &code, &text));
  ck_assert_uint_eq(code, sandd_status_close_code(STATUS(BAD_MESSAGE)));
  ck_assert_str_eq(text, "a text message");
  pair_drain(p, SERVER);
  ck_assert_int_eq(pair_event(p, SERVER, SANDD_EVENT_SESSION_LOST)->event.status, STATUS(BAD_MESSAGE));
  pair_free(p);
}
END_TEST

/* A long reason is cut between characters: a Close frame has room for 123 bytes of UTF-8. */
START_TEST(close_text_is_cut_between_characters) {
  char text[300];
  for (int i = 0; i < 100; i++)
    memcpy(text + 2 * i, "\xc3\xa4", 2);
  text[200] = 0;
  const char *got;
  uint16_t code;
  pair *p = pair_new(0);
  sandd_link_fail(p->link[SERVER], STATUS(BAD_MESSAGE), text, p->now);
  ck_assert(sandd_link_closing(p->link[SERVER], &code, &got));
  ck_assert_uint_eq(strlen(got), 122);
  pair_free(p);
}
END_TEST

START_TEST(peers_close_for_an_error_of_ours_ends_the_session) {
  static const struct {
    uint16_t code;
    bool ends;
  } codes[] = {{1000, false}, {1001, false}, {1006, false}, {1003, true},  {1007, true}, {1009, true},
               {4032, true},  {4041, false}, {4039, false}, {4040, false}, {3000, false}};
  for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
    pair *p = pair_new(0);
    sandd_link_closed_by_peer(p->link[DAEMON], codes[i].code, p->now);
    sandd_link_free(p->link[DAEMON], p->now);
    p->link[DAEMON] = NULL;
    pair_drain(p, DAEMON);
    ck_assert_msg((pair_session(p, DAEMON) == NULL) == codes[i].ends, "close code %u", codes[i].code);
    pair_free(p);
  }
}
END_TEST

START_TEST(session_tells_away_and_up_in_order) {
  pair *p = pair_new(0);
  pair_forget(p);
  for (int i = 0; i < 3; i++) {
    pair_cut(p);
    pair_connect(p);
  }
  for (int at = 0; at < 2; at++) {
    bool up = true;
    for (size_t i = 0; i < p->n_events[at]; i++) {
      sandd_event_type type = p->events[at][i].event.type;
      if (type != SANDD_EVENT_SESSION_UP && type != SANDD_EVENT_SESSION_AWAY)
        continue;
      ck_assert_int_eq(type == SANDD_EVENT_SESSION_UP, !up);
      up = !up;
    }
    ck_assert(up);
    ck_assert_uint_eq(pair_count(p, at, SANDD_EVENT_SESSION_AWAY), 3);
  }
  pair_free(p);
}
END_TEST

START_TEST(session_that_was_never_confirmed_is_forgotten_soon) {
  pair *p = pair_new(.apart = true);
  for (int at = 0; at < 2; at++)
    ck_assert_int_eq(sandd_link_new(&p->link[at], p->endpoint[at], p->now), 0);
  size_t len = pair_pull(p, DAEMON, buf, sizeof buf);
  ck_assert_int_eq(pair_feed(p, SERVER, buf, len), 0);
  sandd_usage u;
  sandd_endpoint_usage(p->endpoint[SERVER], &u);
  ck_assert_uint_eq(u.sessions, 1);
  pair_cut(p);
  pair_wait(p, 21 * SECOND);
  sandd_endpoint_usage(p->endpoint[SERVER], &u);
  ck_assert_uint_eq(u.sessions, 0);
  ck_assert_uint_eq(p->n_events[SERVER], 0); /* it was never shown */
  pair_free(p);
}
END_TEST

/* A daemon whose first Welcome was lost is not made to wait for a probe of itself. */
START_TEST(unconfirmed_session_is_replaced_at_once_by_its_own_instance) {
  pair *p = pair_new(.apart = true);
  sandd_link *first;
  ck_assert_int_eq(sandd_link_new(&first, p->endpoint[SERVER], p->now), 0);
  ck_assert_int_eq(sandd_link_new(&p->link[DAEMON], p->endpoint[DAEMON], p->now), 0);
  size_t len = pair_pull(p, DAEMON, buf, sizeof buf);
  ck_assert_int_eq(sandd_link_feed(first, buf, len, p->now), 0);
  pair_drain(p, SERVER);
  pair_connect(p);
  ck_assert_ptr_nonnull(pair_session(p, SERVER));
  uint16_t code;
  const char *text;
  ck_assert(sandd_link_closing(first, &code, &text));
  sandd_link_free(first, p->now);
  sandd_usage u;
  sandd_endpoint_usage(p->endpoint[SERVER], &u);
  ck_assert_uint_eq(u.sessions, 1);
  pair_free(p);
}
END_TEST

START_TEST(ready_link_is_named_once_until_it_is_dry) {
  pair *p = pair_new(0);
  while (sandd_endpoint_next_ready(p->endpoint[SERVER])) {
  }
  sandd_stream *stream;
  ck_assert_int_eq(sandd_stream_new(&stream, pair_session(p, SERVER)), 0);
  ck_assert_int_eq(pair_open(p, stream, "", 0), 0);
  ck_assert_ptr_eq(sandd_endpoint_next_ready(p->endpoint[SERVER]), p->link[SERVER]);
  ck_assert_ptr_null(sandd_endpoint_next_ready(p->endpoint[SERVER]));
  while (pair_pull(p, SERVER, buf, sizeof buf)) {
  }
  sandd_stream_release(stream, p->now); /* its Reset */
  ck_assert_ptr_eq(sandd_endpoint_next_ready(p->endpoint[SERVER]), p->link[SERVER]);
  pair_free(p);
}
END_TEST

START_TEST(events_that_were_not_drained_refuse_the_next_packet) {
  pair *p = pair_new(0);
  Frame beat = craft(0, 0, BODY(HEARTBEAT));
  Sandd__V1__Packet packet = SANDD__V1__PACKET__INIT;
  Frame *frames = &beat;
  packet.n_frames = 1;
  packet.frames = &frames;
  size_t len = sandd__v1__packet__pack(&packet, buf);
  ck_assert_int_eq(sandd_link_feed(p->link[SERVER], buf, len, p->now), 0);
  ck_assert_int_eq(sandd_link_feed(p->link[SERVER], buf, len, p->now), SANDD_E_STATE);
  pair_drain(p, SERVER);
  ck_assert_int_eq(sandd_link_feed(p->link[SERVER], buf, len, p->now), 0);
  pair_drain(p, SERVER);
  pair_free(p);
}
END_TEST

/* Many daemons, in any order: each finds its own session. */
START_TEST(thousand_daemons_have_a_session_each) {
  enum { N = 1000 };
  static sandd_endpoint *daemons[N];
  static sandd_link *links[N][2];
  pair *p = pair_new(.apart = true);
  sandd_event event;
  char id[32];
  for (int i = 0; i < N; i++) {
    snprintf(id, sizeof id, "worker-%d", i);
    ck_assert_int_eq(pair_endpoint(p, DAEMON, id, &daemons[i]), 0);
    ck_assert_int_eq(sandd_link_new(&links[i][SERVER], p->endpoint[SERVER], p->now), 0);
    ck_assert_int_eq(sandd_link_new(&links[i][DAEMON], daemons[i], p->now), 0);
    for (bool moved = true; moved;) {
      moved = false;
      for (int at = 0; at < 2; at++) {
        size_t len;
        ck_assert_int_eq(sandd_link_pull(links[i][at], buf, sizeof buf, &len, p->now), 0);
        if (!len)
          continue;
        moved = true;
        ck_assert_int_eq(sandd_link_feed(links[i][!at], buf, len, p->now), 0);
        sandd_endpoint *to = at == SERVER ? daemons[i] : p->endpoint[SERVER];
        while (sandd_endpoint_next_event(to, &event, p->now) == 1) {
        }
      }
    }
  }
  sandd_usage u;
  sandd_endpoint_usage(p->endpoint[SERVER], &u);
  ck_assert_uint_eq(u.sessions_connected, N);
  for (int i = N - 1; i >= 0; i--) {
    snprintf(id, sizeof id, "worker-%d", i);
    ck_assert_ptr_eq(sandd_session_link(sandd_endpoint_find(p->endpoint[SERVER], id)), links[i][SERVER]);
  }
  ck_assert_ptr_null(sandd_endpoint_find(p->endpoint[SERVER], "worker-1000"));
  for (int i = 0; i < N; i++) {
    sandd_link_free(links[i][SERVER], p->now);
    sandd_link_free(links[i][DAEMON], p->now);
    while (sandd_endpoint_next_event(p->endpoint[SERVER], &event, p->now) == 1) {
    }
    sandd_endpoint_free(daemons[i]);
  }
  pair_free(p);
}
END_TEST

Suite *suite(void) {
  Suite *s = suite_create("links");
  TCase *t = tcase_create("links");
  tcase_add_test(t, hello_from_a_copied_machine_takes_nothing_over);
  tcase_add_test(t, unknown_session_counts_as_a_hello_without_a_secret);
  tcase_add_test(t, daemon_gives_up_a_session_whose_server_is_ahead);
  tcase_add_test(t, dead_link_returns_its_error_for_ever);
  tcase_add_test(t, text_message_ends_the_session);
  tcase_add_test(t, close_text_is_cut_between_characters);
  tcase_add_test(t, peers_close_for_an_error_of_ours_ends_the_session);
  tcase_add_test(t, session_tells_away_and_up_in_order);
  tcase_add_test(t, session_that_was_never_confirmed_is_forgotten_soon);
  tcase_add_test(t, unconfirmed_session_is_replaced_at_once_by_its_own_instance);
  tcase_add_test(t, ready_link_is_named_once_until_it_is_dry);
  tcase_add_test(t, events_that_were_not_drained_refuse_the_next_packet);
  tcase_add_test(t, thousand_daemons_have_a_session_each);
  suite_add_tcase(s, t);
  return s;
}
