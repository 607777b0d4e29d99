// SPDX-License-Identifier: MIT
/* How a connection opens, and who may take a session over. */
#include "pair.h"

START_TEST(hello_and_welcome_make_a_session_on_both_sides) {
  pair *p = pair_new(0);
  for (int at = 0; at < 2; at++) {
    const recorded *up = pair_event(p, at, SANDD_EVENT_SESSION_UP);
    ck_assert_ptr_nonnull(up);
    ck_assert(!up->event.resumed);
    ck_assert_ptr_eq(up->event.session, pair_session(p, at));
    ck_assert_ptr_eq(sandd_session_link(up->event.session), p->link[at]);
  }
  const struct Sandd__V1__Hello *hello = sandd_session_hello(pair_session(p, SERVER));
  ck_assert_str_eq(hello->daemon_id, "worker-1");
  ck_assert_str_eq(hello->labels[0]->value, "test");
  ck_assert_ptr_null(hello->resume);
  const char *reason;
  ck_assert(sandd_session_peer_has(pair_session(p, SERVER), "exec", &reason));
  ck_assert(!sandd_session_peer_has(pair_session(p, SERVER), "exec.pty", &reason));
  ck_assert_str_eq(reason, "no terminals here");
  ck_assert(!sandd_session_peer_has(pair_session(p, DAEMON), "unheard-of", &reason));
  ck_assert_ptr_null(reason);
  pair_free(p);
}
END_TEST

START_TEST(server_says_nothing_before_hello) {
  static uint8_t buf[1 << 20];
  pair *p = pair_new(.apart = true);
  ck_assert_int_eq(sandd_link_new(&p->link[SERVER], p->endpoint[SERVER], p->now), 0);
  ck_assert_uint_eq(pair_pull(p, SERVER, buf, sizeof buf), 0);
  ck_assert_ptr_null(sandd_endpoint_next_ready(p->endpoint[SERVER]));
  pair_free(p);
}
END_TEST

START_TEST(session_is_shown_only_when_it_is_confirmed) {
  static uint8_t buf[1 << 20];
  pair *p = pair_new(.apart = true);
  for (int at = 0; at < 2; at++)
    ck_assert_int_eq(sandd_link_new(&p->link[at], p->endpoint[at], p->now), 0);
  size_t len = pair_pull(p, DAEMON, buf, sizeof buf);
  ck_assert_int_eq(pair_feed(p, SERVER, buf, len), 0);
  ck_assert_ptr_null(pair_session(p, SERVER));
  ck_assert_uint_eq(pair_count(p, SERVER, SANDD_EVENT_SESSION_UP), 0);
  pair_pump(p);
  ck_assert_ptr_nonnull(pair_session(p, SERVER));
  pair_free(p);
}
END_TEST

START_TEST(connection_without_hello_is_closed_after_ten_seconds) {
  pair *p = pair_new(.apart = true);
  ck_assert_int_eq(sandd_link_new(&p->link[SERVER], p->endpoint[SERVER], p->now), 0);
  pair_wait(p, 9 * SECOND);
  ck_assert_uint_eq(pair_closing(p, SERVER), 0);
  pair_wait(p, 2 * SECOND);
  ck_assert_uint_eq(pair_closing(p, SERVER), 4000 + STATUS(OPENING_TIMEOUT));
  pair_free(p);
}
END_TEST

START_TEST(daemon_without_welcome_gives_up_after_ten_seconds) {
  static uint8_t buf[1 << 20];
  pair *p = pair_new(.apart = true);
  ck_assert_int_eq(sandd_link_new(&p->link[DAEMON], p->endpoint[DAEMON], p->now), 0);
  ck_assert_uint_gt(pair_pull(p, DAEMON, buf, sizeof buf), 0);
  pair_wait(p, 11 * SECOND);
  ck_assert_uint_eq(pair_closing(p, DAEMON), 4000 + STATUS(OPENING_TIMEOUT));
  ck_assert_int_eq(pair_event(p, DAEMON, SANDD_EVENT_REFUSED)->event.status, STATUS(OPENING_TIMEOUT));
  pair_free(p);
}
END_TEST

START_TEST(resume_goes_on_with_the_session) {
  pair *p = pair_new(0);
  sandd_session *before[2] = {pair_session(p, SERVER), pair_session(p, DAEMON)};
  for (int i = 0; i < 5; i++) {
    pair_cut(p);
    ck_assert_ptr_null(sandd_session_link(before[SERVER]));
    pair_forget(p);
    pair_connect(p);
    for (int at = 0; at < 2; at++) {
      ck_assert(pair_event(p, at, SANDD_EVENT_SESSION_UP)->event.resumed);
      ck_assert_ptr_eq(pair_session(p, at), before[at]);
    }
  }
  pair_free(p);
}
END_TEST

/* The daemon keeps presenting an old secret when Welcomes are lost; any number of them. */
START_TEST(any_number_of_lost_welcomes_is_harmless) {
  static uint8_t buf[1 << 20];
  pair *p = pair_new(0);
  for (int i = 0; i < 4; i++) {
    pair_cut(p);
    for (int at = 0; at < 2; at++)
      ck_assert_int_eq(sandd_link_new(&p->link[at], p->endpoint[at], p->now), 0);
    size_t len = pair_pull(p, DAEMON, buf, sizeof buf);
    ck_assert_int_eq(pair_feed(p, SERVER, buf, len), 0);
    ck_assert_uint_gt(pair_pull(p, SERVER, buf, sizeof buf), 0); /* Welcome, which nobody gets */
  }
  pair_cut(p);
  pair_forget(p);
  pair_connect(p);
  ck_assert(pair_event(p, SERVER, SANDD_EVENT_SESSION_UP)->event.resumed);
  pair_free(p);
}
END_TEST

/* A Hello of this very instance that was under way when a newer one was accepted: its attempt is old. */
START_TEST(late_hello_is_told_to_go_and_takes_nothing) {
  static uint8_t late[1 << 20], buf[1 << 20];
  pair *p = pair_new(0);
  pair_cut(p);
  ck_assert_int_eq(sandd_link_new(&p->link[DAEMON], p->endpoint[DAEMON], p->now), 0);
  size_t late_len = pair_pull(p, DAEMON, late, sizeof late);
  pair_connect(p);
  sandd_session *session = pair_session(p, SERVER);
  sandd_link *good = p->link[SERVER];
  ck_assert_int_eq(sandd_link_new(&p->link[SERVER], p->endpoint[SERVER], p->now), 0);
  ck_assert_int_eq(pair_feed(p, SERVER, late, late_len), 0);
  size_t len = pair_pull(p, SERVER, buf, sizeof buf);
  Sandd__V1__Packet *packet = sandd__v1__packet__unpack(NULL, len, buf);
  ck_assert_int_eq(packet->frames[0]->body_case, BODY(GOODBYE));
  ck_assert_int_eq(packet->frames[0]->goodbye->status->code, STATUS(CLONE));
  sandd__v1__packet__free_unpacked(packet, NULL);
  ck_assert_ptr_eq(sandd_session_link(session), good);
  sandd_link_free(p->link[SERVER], p->now);
  p->link[SERVER] = good;
  pair_free(p);
}
END_TEST

/* What a daemon does when it hears Goodbye(CLONE): a new id, and no session. */
START_TEST(clone_takes_a_new_identity) {
  pair *p = pair_new(0);
  pair_cut(p);
  ck_assert_int_eq(sandd_link_new(&p->link[DAEMON], p->endpoint[DAEMON], p->now), 0);
  Frame goodbye = craft_status(0, 0, BODY(GOODBYE), STATUS(CLONE));
  pair_say(p, DAEMON, 0, 1, &goodbye);
  ck_assert_ptr_nonnull(pair_event(p, DAEMON, SANDD_EVENT_IDENTITY_CHANGED));
  const char *id = sandd_endpoint_daemon_id(p->endpoint[DAEMON]);
  ck_assert_msg(!strncmp(id, "worker-1+", 9) && strlen(id) == 13, "the new id is %s", id);
  ck_assert_str_ne(sandd_endpoint_instance_id(p->endpoint[DAEMON]), "instance-1");
  ck_assert_ptr_null(sandd_endpoint_session(p->endpoint[DAEMON]));
  pair_connect(p);
  ck_assert_ptr_nonnull(sandd_endpoint_find(p->endpoint[SERVER], id));
  pair_free(p);
}
END_TEST

static void second_machine(pair *p, sandd_endpoint **other, sandd_link **at_other, sandd_link **at_server) {
  static uint8_t buf[65536];
  size_t len;
  sandd_event event;
  ck_assert_int_eq(pair_endpoint(p, DAEMON, "worker-1", other), 0);
  ck_assert_int_eq(sandd_link_new(at_other, *other, p->now), 0);
  ck_assert_int_eq(sandd_link_pull(*at_other, buf, sizeof buf, &len, p->now), 0);
  ck_assert_int_eq(sandd_link_new(at_server, p->endpoint[SERVER], p->now), 0);
  /* another instance: the fixture's is the same for all */
  Sandd__V1__Packet *packet = sandd__v1__packet__unpack(NULL, len, buf);
  packet->frames[0]->hello->instance_id[0] = 'x';
  len = sandd__v1__packet__pack(packet, buf);
  sandd__v1__packet__free_unpacked(packet, NULL);
  ck_assert_int_eq(sandd_link_feed(*at_server, buf, len, p->now), 0);
  while (sandd_endpoint_next_event(p->endpoint[SERVER], &event, p->now) == 1) {
  }
}

START_TEST(second_daemon_of_an_id_is_refused_while_the_first_is_alive) {
  static uint8_t buf[1 << 20];
  size_t len;
  sandd_endpoint *other;
  sandd_link *at_other, *at_server;
  pair *p = pair_new(0);
  sandd_session *session = pair_session(p, SERVER);
  second_machine(p, &other, &at_other, &at_server);
  ck_assert_int_eq(sandd_link_pull(at_server, buf, sizeof buf, &len, p->now), 0);
  ck_assert_uint_eq(len, 0); /* it waits */
  pair_pump(p);              /* the probe and its reply */
  ck_assert_int_eq(sandd_link_pull(at_server, buf, sizeof buf, &len, p->now), 0);
  Sandd__V1__Packet *packet = sandd__v1__packet__unpack(NULL, len, buf);
  ck_assert_int_eq(packet->frames[0]->goodbye->status->code, STATUS(ALREADY_CONNECTED));
  sandd__v1__packet__free_unpacked(packet, NULL);
  ck_assert_ptr_eq(pair_session(p, SERVER), session);
  sandd_link_free(at_server, p->now);
  sandd_link_free(at_other, p->now);
  sandd_endpoint_free(other);
  pair_free(p);
}
END_TEST

START_TEST(second_daemon_of_an_id_waits_two_seconds_for_a_dead_first_one) {
  static uint8_t buf[1 << 20];
  size_t len;
  sandd_endpoint *other;
  sandd_link *at_other, *at_server;
  pair *p = pair_new(0);
  second_machine(p, &other, &at_other, &at_server);
  uint64_t until = sandd_endpoint_deadline(p->endpoint[SERVER]);
  ck_assert_uint_eq(until, p->now + 2 * SECOND);
  p->now = until - 1;
  sandd_endpoint_tick(p->endpoint[SERVER], p->now);
  sandd_link_pull(at_server, buf, sizeof buf, &len, p->now);
  ck_assert_uint_eq(len, 0);
  p->now = until;
  sandd_endpoint_tick(p->endpoint[SERVER], p->now);
  ck_assert_int_eq(sandd_link_pull(at_server, buf, sizeof buf, &len, p->now), 0);
  Sandd__V1__Packet *packet = sandd__v1__packet__unpack(NULL, len, buf);
  ck_assert_int_eq(packet->frames[0]->body_case, BODY(WELCOME));
  sandd__v1__packet__free_unpacked(packet, NULL);
  ck_assert_ptr_nonnull(pair_session(p, SERVER)); /* the first one's, until the new one is confirmed */
  sandd_link_free(at_server, p->now);
  sandd_link_free(at_other, p->now);
  sandd_endpoint_free(other);
  pair_free(p);
}
END_TEST

START_TEST(unspoken_version_is_refused) {
  static uint8_t buf[1 << 20];
  pair *p = pair_new(.apart = true);
  ck_assert_int_eq(sandd_link_new(&p->link[SERVER], p->endpoint[SERVER], p->now), 0);
  Frame hello = craft(0, 0, BODY(HELLO));
  uint32_t versions[] = {7, 8};
  hello.hello->n_versions = 2;
  hello.hello->versions = versions;
  hello.hello->daemon_id = hello.hello->instance_id = (char *)(uintptr_t)"d";
  hello.hello->attempt = 1;
  ck_assert_int_eq(pair_say(p, SERVER, 0, 1, &hello), 0);
  size_t len = pair_pull(p, SERVER, buf, sizeof buf);
  Sandd__V1__Packet *packet = sandd__v1__packet__unpack(NULL, len, buf);
  ck_assert_int_eq(packet->frames[0]->goodbye->status->code, STATUS(UNSUPPORTED_VERSION));
  sandd__v1__packet__free_unpacked(packet, NULL);
  pair_free(p);
}
END_TEST

START_TEST(goodbye_ends_the_session_on_both_sides) {
  for (int from = 0; from < 2; from++) {
    pair *p = pair_new(0);
    sandd_session_goodbye(pair_session(p, from), STATUS(SHUTTING_DOWN), "bye", 5 * MS, p->now);
    pair_pump(p);
    for (int at = 0; at < 2; at++) {
      ck_assert_int_eq(pair_event(p, at, SANDD_EVENT_SESSION_LOST)->event.status, STATUS(SHUTTING_DOWN));
      ck_assert_uint_eq(pair_closing(p, at), 1000);
      ck_assert_ptr_null(pair_session(p, at));
    }
    pair_forget(p);
    pair_connect(p);
    ck_assert(!pair_event(p, SERVER, SANDD_EVENT_SESSION_UP)->event.resumed);
    pair_free(p);
  }
}
END_TEST

START_TEST(goodbye_after_many_frames_is_understood) {
  pair *p = pair_new(0);
  sandd_stream *there, *stream = pair_exec(p, &there); /* so that acks are above 0 */
  sandd_session_goodbye(pair_session(p, SERVER), STATUS(SHUTTING_DOWN), "bye", 0, p->now);
  pair_pump(p);
  ck_assert_int_eq(p->feed_error[DAEMON], 0);
  ck_assert_int_eq(pair_event(p, DAEMON, SANDD_EVENT_STREAM_ENDED)->event.status, STATUS(SESSION_LOST));
  sandd_stream_release(stream, p->now);
  sandd_stream_release(there, p->now);
  pair_free(p);
}
END_TEST

START_TEST(session_without_connection_is_forgotten_by_the_daemon_first) {
  pair *p = pair_new(.session_retention_us = 60 * SECOND);
  pair_cut(p);
  pair_wait(p, 59 * SECOND);
  ck_assert_ptr_nonnull(pair_session(p, DAEMON));
  pair_wait(p, 2 * SECOND);
  ck_assert_ptr_null(pair_session(p, DAEMON));
  ck_assert_ptr_nonnull(pair_session(p, SERVER));
  pair_wait(p, 60 * SECOND);
  ck_assert_ptr_null(pair_session(p, SERVER));
  ck_assert_int_eq(pair_event(p, SERVER, SANDD_EVENT_SESSION_LOST)->event.status, STATUS(SESSION_LOST));
  pair_free(p);
}
END_TEST

/* The daemon's time passes while its Hello is on the way: Welcome(resumed) comes for what it has given up. */
START_TEST(session_given_up_while_hello_was_under_way_begins_anew) {
  static uint8_t buf[1 << 20];
  pair *p = pair_new(.session_retention_us = 5 * SECOND);
  pair_cut(p);
  pair_wait(p, 4 * SECOND);
  for (int at = 0; at < 2; at++)
    ck_assert_int_eq(sandd_link_new(&p->link[at], p->endpoint[at], p->now), 0);
  size_t len = pair_pull(p, DAEMON, buf, sizeof buf);
  p->now += 2 * SECOND;
  sandd_endpoint_tick(p->endpoint[DAEMON], p->now);
  pair_drain(p, DAEMON);
  ck_assert_int_eq(sandd_link_feed(p->link[SERVER], buf, len, p->now), 0);
  pair_pump(p);
  uint16_t code = pair_closing(p, DAEMON);
  ck_assert_msg(code == 0 || code == 1000, "the daemon blames the server: %u", code);
  pair_forget(p);
  pair_connect(p);
  ck_assert_ptr_nonnull(pair_event(p, DAEMON, SANDD_EVENT_SESSION_UP));
  pair_free(p);
}
END_TEST

START_TEST(restarted_server_means_a_new_session_and_lost_streams) {
  pair *p = pair_new(0);
  sandd_stream *there, *stream = pair_exec(p, &there);
  pair_cut(p);
  sandd_stream_release(stream, p->now);
  sandd_endpoint_free(p->endpoint[SERVER]);
  ck_assert_int_eq(pair_endpoint(p, SERVER, NULL, &p->endpoint[SERVER]), 0);
  pair_forget(p);
  pair_connect(p);
  ck_assert(!pair_event(p, DAEMON, SANDD_EVENT_SESSION_UP)->event.resumed);
  ck_assert_int_eq(pair_event(p, DAEMON, SANDD_EVENT_STREAM_ENDED)->event.status, STATUS(SESSION_LOST));
  ck_assert_ptr_nonnull(pair_event(p, DAEMON, SANDD_EVENT_SESSION_LOST));
  sandd_stream_release(there, p->now);
  pair_free(p);
}
END_TEST

START_TEST(daemon_takes_nothing_from_an_older_connection) {
  static uint8_t buf[1 << 20];
  pair *p = pair_new(0);
  sandd_link *old = p->link[DAEMON];
  sandd_stream *stream;
  ck_assert_int_eq(sandd_stream_new(&stream, pair_session(p, SERVER)), 0);
  ck_assert_int_eq(pair_open(p, stream, "", 0), 0);
  size_t len = pair_pull(p, SERVER, buf, sizeof buf);
  ck_assert_int_eq(sandd_link_new(&p->link[DAEMON], p->endpoint[DAEMON], p->now), 0);
  ck_assert_int_lt(sandd_link_feed(old, buf, len, p->now), 0);
  pair_drain(p, DAEMON);
  ck_assert_uint_eq(pair_count(p, DAEMON, SANDD_EVENT_STREAM_OPENED), 0);
  sandd_link_free(old, p->now);
  pair_connect(p);
  ck_assert_uint_eq(pair_count(p, DAEMON, SANDD_EVENT_STREAM_OPENED), 1); /* on the new one, once */
  sandd_stream_release(pair_event(p, DAEMON, SANDD_EVENT_STREAM_OPENED)->event.stream, p->now);
  sandd_stream_release(stream, p->now);
  pair_free(p);
}
END_TEST

Suite *suite(void) {
  Suite *s = suite_create("opening");
  TCase *t = tcase_create("opening");
  tcase_add_test(t, hello_and_welcome_make_a_session_on_both_sides);
  tcase_add_test(t, server_says_nothing_before_hello);
  tcase_add_test(t, session_is_shown_only_when_it_is_confirmed);
  tcase_add_test(t, connection_without_hello_is_closed_after_ten_seconds);
  tcase_add_test(t, daemon_without_welcome_gives_up_after_ten_seconds);
  tcase_add_test(t, resume_goes_on_with_the_session);
  tcase_add_test(t, any_number_of_lost_welcomes_is_harmless);
  tcase_add_test(t, late_hello_is_told_to_go_and_takes_nothing);
  tcase_add_test(t, clone_takes_a_new_identity);
  tcase_add_test(t, second_daemon_of_an_id_is_refused_while_the_first_is_alive);
  tcase_add_test(t, second_daemon_of_an_id_waits_two_seconds_for_a_dead_first_one);
  tcase_add_test(t, unspoken_version_is_refused);
  tcase_add_test(t, goodbye_ends_the_session_on_both_sides);
  tcase_add_test(t, goodbye_after_many_frames_is_understood);
  tcase_add_test(t, session_without_connection_is_forgotten_by_the_daemon_first);
  tcase_add_test(t, session_given_up_while_hello_was_under_way_begins_anew);
  tcase_add_test(t, restarted_server_means_a_new_session_and_lost_streams);
  tcase_add_test(t, daemon_takes_nothing_from_an_older_connection);
  suite_add_tcase(s, t);
  return s;
}
