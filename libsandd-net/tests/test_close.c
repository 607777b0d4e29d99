// SPDX-License-Identifier: MIT
/* How connections end, and what both sides are told. */
#include <string.h>
#include <unistd.h>

#include "support.h"

static void open_pair(world *w, bool secure) {
  world_start(w);
  sandd_listen_config listen = {0};
  if (secure) {
    listen.cert_file = certificate("server.pem");
    listen.key_file = certificate("server.key");
  }
  world_listen(w, listen);
  peer *p = world_dial(w, (sandd_dial_config){.url = world_url(w, secure ? "wss" : "ws"), .insecure = secure});
  WAIT_FOR(w, p->closed || (p->opened && w->accepted && w->accepted->opened));
  ck_assert_msg(p->opened, "%s", p->text);
}

/* _i: bit 0 TLS, bit 1 who closes. */
START_TEST(close_codes_and_reasons_arrive_exactly) {
  static const uint16_t codes[] = {1000, 1001, 1002, 1003, 1008, 1009, 1011, 3000, 4000, 4001, 4043, 4999};
  for (unsigned i = 0; i < sizeof codes / sizeof *codes; i++) {
    world w;
    open_pair(&w, _i & 1);
    peer *from = _i & 2 ? w.accepted : w.dialled, *to = _i & 2 ? w.dialled : w.accepted;
    sandd_conn_close(from->conn, codes[i], "a reason");
    WAIT_FOR(&w, from->closed && to->closed);
    ck_assert_msg(!from->error && !to->error, "%s / %s", from->text, to->text);
    ck_assert_uint_eq(from->ws_code, codes[i]);
    ck_assert_uint_eq(to->ws_code, codes[i]);
    ck_assert(to->by_peer && !from->by_peer);
    ck_assert_str_eq(to->text, "a reason");
    world_stop(&w);
  }
}
END_TEST

START_TEST(what_was_pulled_goes_out_before_the_close_frame) {
  world w;
  open_pair(&w, _i & 1);
  peer *from = _i & 2 ? w.accepted : w.dialled, *to = _i & 2 ? w.dialled : w.accepted;
  sandd_conn_set_max_message(to->conn, 1024 * 1024);
  peer_send_fill(from, 1024 * 1024, 1); /* more than the socket takes at once */
  while (from->out) {
    sandd_net_turn(w.net, 10);
  }
  sandd_conn_close(from->conn, 4001, NULL);
  WAIT_FOR(&w, from->closed && to->closed);
  ck_assert_uint_eq(to->in_count, 1);
  ck_assert(message_is_fill(to->in, 1024 * 1024, 1));
  ck_assert_uint_eq(to->ws_code, 4001);
  world_stop(&w);
}
END_TEST

START_TEST(an_abort_is_a_loss_for_the_other_side) {
  world w;
  open_pair(&w, _i & 1);
  peer *from = _i & 2 ? w.accepted : w.dialled, *to = _i & 2 ? w.dialled : w.accepted;
  sandd_conn_abort(from->conn);
  sandd_conn_abort(from->conn);
  sandd_conn_close(from->conn, 1000, NULL);
  WAIT_FOR(&w, from->closed && to->closed);
  ck_assert_int_eq(from->error, SANDD_NET_ABORTED);
  ck_assert_int_eq(to->error, SANDD_NET_LOST);
  ck_assert_uint_eq(to->ws_code, 0);
  world_stop(&w);
}
END_TEST

START_TEST(both_sides_may_close_at_once) {
  world w;
  open_pair(&w, _i & 1);
  sandd_conn_close(w.dialled->conn, 4001, NULL);
  sandd_conn_close(w.accepted->conn, 4002, NULL);
  WAIT_FOR(&w, w.dialled->closed && w.accepted->closed);
  world_stop(&w);
}
END_TEST

START_TEST(a_message_above_the_limit_closes_with_1009) {
  world w;
  open_pair(&w, _i & 1);
  peer *from = _i & 2 ? w.accepted : w.dialled, *to = _i & 2 ? w.dialled : w.accepted;
  sandd_conn_set_max_message(to->conn, 1000);
  peer_send_fill(from, 1000, 1);
  peer_send_fill(from, 1001, 2);
  peer_send_fill(from, 10, 3);
  WAIT_FOR(&w, from->closed && to->closed);
  ck_assert_int_eq(to->error, SANDD_NET_TOO_BIG);
  ck_assert_uint_eq(to->ws_code, 1009);
  ck_assert_uint_eq(to->in_count, 1);
  ck_assert_uint_eq(from->ws_code, 1009);
  ck_assert(from->by_peer);
  world_stop(&w);
}
END_TEST

START_TEST(the_limit_of_a_new_connection_is_64_kib_and_can_be_raised) {
  world w;
  open_pair(&w, false);
  peer_send_fill(w.dialled, 64 * 1024, 1);
  WAIT_FOR(&w, w.accepted->in_count == 1);
  sandd_conn_set_max_message(w.accepted->conn, 128 * 1024);
  peer_send_fill(w.dialled, 128 * 1024, 2);
  WAIT_FOR(&w, w.accepted->in_count == 2);
  peer_send_fill(w.dialled, 128 * 1024 + 1, 3);
  WAIT_FOR(&w, w.accepted->closed);
  ck_assert_int_eq(w.accepted->error, SANDD_NET_TOO_BIG);
  world_stop(&w);
}
END_TEST

START_TEST(a_freed_listener_aborts_its_connections_and_leaves_others) {
  world w;
  open_pair(&w, false);
  sandd_listener *first = w.listener;
  world_listen(&w, (sandd_listen_config){0});
  peer *old = w.dialled, *old_accepted = w.accepted;
  peer *p = world_dial(&w, (sandd_dial_config){0});
  WAIT_FOR(&w, p->opened && w.accepted_count == 2);
  sandd_listener_free(first);
  WAIT_FOR(&w, old->closed && old_accepted->closed);
  ck_assert_int_eq(old_accepted->error, SANDD_NET_ABORTED);
  peer_send(p, "x", 1);
  WAIT_FOR(&w, w.accepted->in_count == 1);
  world_stop(&w);
}
END_TEST

START_TEST(free_ends_everything_that_is_under_way) {
  int before = open_descriptors();
  for (int turns = 0; turns < 8; turns++) {
    world w;
    world_start(&w);
    world_listen(&w,
                 (sandd_listen_config){.cert_file = certificate("server.pem"), .key_file = certificate("server.key")});
    for (int i = 0; i < 5; i++) {
      world_dial(&w, (sandd_dial_config){.url = world_url(&w, "wss"), .insecure = true});
    }
    peer_dial_url(&w, "ws://127.0.0.1:1");
    peer_dial_url(&w, "ws://no-such-host.invalid");
    int raw = raw_connect(sandd_listener_port(w.listener));
    for (int t = 0; t < turns * turns; t++) {
      sandd_net_turn(w.net, 1);
    }
    for (peer *p = w.dialled; p; p = p->next) {
      if (p->opened && !p->closed) {
        peer_send_fill(p, 100000, 1);
      }
    }
    world_stop(&w);
    close(raw);
    ck_assert_int_le(open_descriptors(), before + 4); /* the resolver's pool of threads belongs to the process */
  }
}
END_TEST

int main(void) {
  Suite *suite = suite_create("close");
  TCase *tests = tcase_create("close");
  tcase_set_timeout(tests, 60);
  tcase_add_loop_test(tests, close_codes_and_reasons_arrive_exactly, 0, 4);
  tcase_add_loop_test(tests, what_was_pulled_goes_out_before_the_close_frame, 0, 4);
  tcase_add_loop_test(tests, an_abort_is_a_loss_for_the_other_side, 0, 4);
  tcase_add_loop_test(tests, both_sides_may_close_at_once, 0, 2);
  tcase_add_loop_test(tests, a_message_above_the_limit_closes_with_1009, 0, 4);
  tcase_add_test(tests, the_limit_of_a_new_connection_is_64_kib_and_can_be_raised);
  tcase_add_test(tests, a_freed_listener_aborts_its_connections_and_leaves_others);
  tcase_add_test(tests, free_ends_everything_that_is_under_way);
  suite_add_tcase(suite, tests);
  return run_suite(suite);
}
