// SPDX-License-Identifier: MIT
/* Who trusts whom, and what is said when they do not. */
#include <stdio.h>
#include <string.h>

#include "support.h"

static void tls_world(world *w, sandd_listen_config listen) {
  world_start(w);
  listen.cert_file = listen.cert_file ? listen.cert_file : certificate("server.pem");
  listen.key_file = listen.key_file ? listen.key_file : certificate("server.key");
  world_listen(w, listen);
}

static void expect(world *w, sandd_dial_config config, int error, const char *part) {
  config.url = config.url ? config.url : world_url(w, "wss");
  peer *p = world_dial(w, config);
  WAIT_FOR(w, p->opened || p->closed);
  ck_assert_msg(p->error == error && strstr(p->text, part), "wanted %s \"%s\", got %s: %s", sandd_net_error_name(error),
                part, sandd_net_error_name(p->error), p->text);
  ck_assert(p->opened == !error);
}

START_TEST(a_server_is_trusted_by_its_ca_alone) {
  world w;
  tls_world(&w, (sandd_listen_config){0});
  expect(&w, (sandd_dial_config){.ca_file = certificate("ca.pem")}, 0, "");
  expect(&w, (sandd_dial_config){.ca_file = certificate("other-ca.pem")}, SANDD_NET_TLS, "not trusted");
  expect(&w, (sandd_dial_config){0}, SANDD_NET_TLS, "not trusted");
  expect(&w, (sandd_dial_config){.insecure = true}, 0, "");
  world_stop(&w);
}
END_TEST

START_TEST(a_self_signed_server_needs_its_certificate_as_ca_or_insecure) {
  world w;
  tls_world(&w, (sandd_listen_config){.cert_file = certificate("self.pem"), .key_file = certificate("self.key")});
  expect(&w, (sandd_dial_config){0}, SANDD_NET_TLS, "self-signed certificate");
  expect(&w, (sandd_dial_config){.ca_file = certificate("self.pem")}, 0, "");
  expect(&w, (sandd_dial_config){.insecure = true}, 0, "");
  world_stop(&w);
}
END_TEST

START_TEST(the_name_in_the_certificate_counts) {
  world w;
  char url[64];
  const char *ca = certificate("ca.pem");
  tls_world(&w, (sandd_listen_config){.host = "127.0.0.1"});
  snprintf(url, sizeof url, "wss://localhost:%u", sandd_listener_port(w.listener));
  expect(&w, (sandd_dial_config){.url = url, .ca_file = ca}, 0, "");
  expect(&w, (sandd_dial_config){.ca_file = ca, .server_name = "name.test"}, 0, "");
  expect(&w, (sandd_dial_config){.ca_file = ca, .server_name = "127.0.0.1"}, 0, "");
  expect(&w, (sandd_dial_config){.ca_file = ca, .server_name = "other.test"}, SANDD_NET_TLS, "not for other.test");
  expect(&w, (sandd_dial_config){.ca_file = ca, .server_name = "127.0.0.2"}, SANDD_NET_TLS, "not for 127.0.0.2");
  expect(&w, (sandd_dial_config){.ca_file = ca, .server_name = "nobody.invalid"}, SANDD_NET_TLS, "not for");
  expect(&w, (sandd_dial_config){.ca_file = ca, .server_name = "other.test", .insecure = true}, 0, "");
  world_stop(&w);
}
END_TEST

START_TEST(an_ipv6_literal_is_checked_as_an_address) {
  world w;
  tls_world(&w, (sandd_listen_config){.host = "::1"});
  expect(&w, (sandd_dial_config){.ca_file = certificate("ca.pem")}, 0, "");
  world_stop(&w);
}
END_TEST

START_TEST(a_client_certificate_is_asked_for_when_there_is_a_client_ca) {
  world w;
  const char *ca = certificate("ca.pem");
  tls_world(&w, (sandd_listen_config){.client_ca_file = ca});
  expect(
      &w,
      (sandd_dial_config){.ca_file = ca, .cert_file = certificate("client.pem"), .key_file = certificate("client.key")},
      0, "");
  expect(&w, (sandd_dial_config){.ca_file = ca}, SANDD_NET_TLS, "certificate required");
  expect(&w,
         (sandd_dial_config){.ca_file = ca, .cert_file = certificate("self.pem"), .key_file = certificate("self.key")},
         SANDD_NET_TLS, "unknown");
  ck_assert_uint_eq(w.accepted_count, 1);
  world_stop(&w);
}
END_TEST

START_TEST(two_listeners_keep_their_own_certificates) {
  world w;
  sandd_listener *second = NULL;
  tls_world(&w, (sandd_listen_config){0});
  sandd_listen_config other = {.size = sizeof other,
                               .host = "127.0.0.1",
                               .cert_file = certificate("self.pem"),
                               .key_file = certificate("self.key"),
                               .handler = &accept_handler,
                               .user = &w};
  ck_assert_int_eq(sandd_listen(w.net, &other, &second, NULL, 0), 0);
  char url[64];
  snprintf(url, sizeof url, "wss://localhost:%u", sandd_listener_port(second));
  for (int i = 0; i < 2; i++) {
    expect(&w, (sandd_dial_config){.url = url, .ca_file = certificate("self.pem")}, 0, "");
    expect(&w, (sandd_dial_config){.ca_file = certificate("ca.pem")}, 0, "");
    expect(&w, (sandd_dial_config){.ca_file = certificate("self.pem")}, SANDD_NET_TLS, "not trusted");
  }
  world_stop(&w);
}
END_TEST

START_TEST(plain_and_tls_do_not_mix) {
  world w;
  char url[64];
  tls_world(&w, (sandd_listen_config){0});
  peer *p = world_dial(&w, (sandd_dial_config){.url = world_url(&w, "ws")});
  WAIT_FOR(&w, p->closed);
  ck_assert_int_eq(p->error, SANDD_NET_HANDSHAKE);
  world_stop(&w);
  world_start(&w);
  world_listen(&w, (sandd_listen_config){0});
  snprintf(url, sizeof url, "wss://localhost:%u", sandd_listener_port(w.listener));
  expect(&w, (sandd_dial_config){.url = url, .insecure = true}, SANDD_NET_TLS, "TLS handshake");
  world_stop(&w);
}
END_TEST

START_TEST(bad_certificate_files_of_a_listener_are_told) {
  const char *files[][3] = {
      {"/nonexistent/server.pem", certificate("server.key"), NULL},
      {certificate("server.pem"), "/nonexistent/server.key", NULL},
      {certificate("garbage.pem"), certificate("server.key"), NULL},
      {certificate("server.pem"), certificate("client.key"), NULL},
      {certificate("server.pem"), certificate("server.key"), certificate("garbage.pem")},
  };
  world w;
  world_start(&w);
  int before = open_descriptors();
  for (unsigned i = 0; i < sizeof files / sizeof *files; i++) {
    char text[256] = "";
    sandd_listener *listener = NULL;
    sandd_listen_config config = {.size = sizeof config,
                                  .host = "127.0.0.1",
                                  .cert_file = files[i][0],
                                  .key_file = files[i][1],
                                  .client_ca_file = files[i][2],
                                  .handler = &accept_handler};
    ck_assert_int_eq(sandd_listen(w.net, &config, &listener, text, sizeof text), SANDD_NET_CERTIFICATE);
    ck_assert(*text && !listener);
  }
  ck_assert_int_eq(open_descriptors(), before);
  world_stop(&w);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("tls");
  TCase *tests = tcase_create("tls");
  tcase_set_timeout(tests, 60);
  tcase_add_test(tests, a_server_is_trusted_by_its_ca_alone);
  tcase_add_test(tests, a_self_signed_server_needs_its_certificate_as_ca_or_insecure);
  tcase_add_test(tests, the_name_in_the_certificate_counts);
  tcase_add_test(tests, an_ipv6_literal_is_checked_as_an_address);
  tcase_add_test(tests, a_client_certificate_is_asked_for_when_there_is_a_client_ca);
  tcase_add_test(tests, two_listeners_keep_their_own_certificates);
  tcase_add_test(tests, plain_and_tls_do_not_mix);
  tcase_add_test(tests, bad_certificate_files_of_a_listener_are_told);
  suite_add_tcase(suite, tests);
  return run_suite(suite);
}
