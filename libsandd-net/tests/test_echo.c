// SPDX-License-Identifier: MIT
/* Messages in both directions, plain and with TLS. */
#include <stdlib.h>
#include <string.h>

#include "support.h"

static sandd_listen_config tls_listen(void) {
  return (sandd_listen_config){.cert_file = certificate("server.pem"), .key_file = certificate("server.key")};
}

static void open_pair(world *w, bool secure) {
  world_start(w);
  sandd_listen_config listen = secure ? tls_listen() : (sandd_listen_config){0};
  listen.max_first_message = 2 * 1024 * 1024;
  world_listen(w, listen);
  peer *p = world_dial(w, (sandd_dial_config){.url = world_url(w, secure ? "wss" : "ws"),
                                              .ca_file = secure ? certificate("ca.pem") : NULL,
                                              .max_message = 2 * 1024 * 1024});
  WAIT_FOR(w, p->closed || (p->opened && w->accepted && w->accepted->opened));
  ck_assert_msg(p->opened, "%d %s", p->error, p->text);
}

START_TEST(messages_of_every_size_come_back_whole) {
  static const size_t sizes[] = {1, 2, 125, 126, 127, 1000, 4095, 4096, 4097, 65535, 65536, 65537, 200000, 1048576};
  const unsigned count = sizeof sizes / sizeof *sizes;
  world w;
  w.echo = false;
  open_pair(&w, _i);
  w.accepted->echo = true;
  for (unsigned i = 0; i < count; i++) {
    peer_send_fill(w.dialled, sizes[i], (uint8_t)i);
  }
  WAIT_FOR(&w, w.dialled->in_count == count);
  message *there = w.accepted->in, *back = w.dialled->in;
  for (unsigned i = 0; i < count; i++, there = there->next, back = back->next) {
    ck_assert(message_is_fill(there, sizes[i], (uint8_t)i));
    ck_assert(message_is_fill(back, sizes[i], (uint8_t)i));
  }
  ck_assert_uint_ge(w.dialled->received, count);
  world_stop(&w);
}
END_TEST

START_TEST(ten_thousand_queued_messages_keep_their_order) {
  world w;
  open_pair(&w, _i);
  for (uint32_t i = 0; i < 10000; i++) {
    peer_send(w.dialled, &i, sizeof i);
    peer_send(w.accepted, &i, sizeof i);
  }
  WAIT_FOR(&w, w.dialled->in_count == 10000 && w.accepted->in_count == 10000);
  message *a = w.dialled->in, *b = w.accepted->in;
  for (uint32_t i = 0; i < 10000; i++, a = a->next, b = b->next) {
    ck_assert(!memcmp(a->data, &i, sizeof i) && !memcmp(b->data, &i, sizeof i));
  }
  world_stop(&w);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("echo");
  TCase *tests = tcase_create("echo");
  tcase_set_timeout(tests, 60);
  tcase_add_loop_test(tests, messages_of_every_size_come_back_whole, 0, 2);
  tcase_add_loop_test(tests, ten_thousand_queued_messages_keep_their_order, 0, 2);
  suite_add_tcase(suite, tests);
  return run_suite(suite);
}
