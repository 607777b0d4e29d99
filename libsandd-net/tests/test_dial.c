// SPDX-License-Identifier: MIT
/* What a dial reports when it does not work out. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support.h"

static peer *dial_until_closed(world *w, sandd_dial_config config) {
  peer *p = world_dial(w, config);
  WAIT_FOR(w, p->closed);
  ck_assert(!p->opened);
  return p;
}

#define ck_assert_error(p, code, part) \
  ck_assert_msg((p)->error == (code) && strstr((p)->text, part), "%s: %s", sandd_net_error_name((p)->error), (p)->text)

START_TEST(a_bad_url_is_told_by_dial_itself) {
  static const char *const urls[][2] = {
      {"http://localhost/", "ws://"},
      {"localhost:8765", "ws://"},
      {"ws://", "no host"},
      {"ws://:80", "no host"},
      {"ws://h:0", "port"},
      {"ws://h:65536", "port"},
      {"ws://h:8x", "port"},
      {"ws://h:", "port"},
      {"ws://::1/", "[ ]"},
      {"ws://[::1", "without ]"},
      {"ws://[zz]/", "no IPv6 address"},
      {"ws://[::1]x", "after ]"},
      {"ws://u:p@h/", "user name"},
      {"ws://h/#x", "fragment"},
      {"ws://h/a b", "percent"},
      {"ws://h/\r\nX: y", "percent"},
  };
  world w;
  world_start(&w);
  for (unsigned i = 0; i < sizeof urls / sizeof *urls; i++) {
    char text[256] = "";
    sandd_conn *conn = NULL;
    sandd_dial_config config = {.size = sizeof config, .url = urls[i][0], .handler = &peer_handler};
    ck_assert_int_eq(sandd_dial(w.net, &config, &conn, text, sizeof text), SANDD_NET_INVALID);
    ck_assert_msg(strstr(text, urls[i][1]), "%s: %s", urls[i][0], text);
    ck_assert_ptr_null(conn);
  }
  world_stop(&w);
}
END_TEST

START_TEST(options_that_make_no_sense_are_told_by_dial_itself) {
  sandd_dial_config configs[] = {
      {.url = "ws://h", .token = ""},
      {.url = "ws://h", .token = "a b"},
      {.url = "ws://h", .token = "a\r\nX-Evil: 1"},
      {.url = "ws://h", .insecure = true},
      {.url = "ws://h", .ca_file = certificate("ca.pem")},
      {.url = "wss://h", .cert_file = certificate("client.pem")},
  };
  world w;
  world_start(&w);
  for (unsigned i = 0; i < sizeof configs / sizeof *configs; i++) {
    char text[256] = "";
    configs[i].size = sizeof *configs;
    configs[i].handler = &peer_handler;
    ck_assert_int_eq(sandd_dial(w.net, &configs[i], NULL, text, sizeof text), SANDD_NET_INVALID);
    ck_assert(*text);
  }
  world_stop(&w);
}
END_TEST

START_TEST(certificate_files_that_do_not_work_are_told_by_dial_itself) {
  sandd_dial_config configs[] = {
      {.ca_file = "/nonexistent/ca.pem"},
      {.ca_file = certificate("garbage.pem")},
      {.cert_file = certificate("garbage.pem"), .key_file = certificate("client.key")},
      {.cert_file = certificate("client.pem"), .key_file = certificate("server.key")},
  };
  world w;
  world_start(&w);
  for (unsigned i = 0; i < sizeof configs / sizeof *configs; i++) {
    char text[256] = "";
    configs[i].size = sizeof *configs;
    configs[i].url = "wss://localhost:1";
    configs[i].handler = &peer_handler;
    ck_assert_int_eq(sandd_dial(w.net, &configs[i], NULL, text, sizeof text), SANDD_NET_CERTIFICATE);
    ck_assert(*text);
  }
  world_stop(&w);
}
END_TEST

static unsigned free_port(void) {
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t len = sizeof at;
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  bind(fd, (struct sockaddr *)&at, sizeof at);
  getsockname(fd, (struct sockaddr *)&at, &len);
  close(fd);
  return ntohs(at.sin_port);
}

START_TEST(nobody_there_is_refused) {
  char url[64];
  world w;
  world_start(&w);
  snprintf(url, sizeof url, "%s://localhost:%u", _i ? "wss" : "ws", free_port());
  int before = open_descriptors();
  for (int i = 0; i < 20; i++) {
    peer *p = dial_until_closed(&w, (sandd_dial_config){.url = url});
    ck_assert_error(p, SANDD_NET_REFUSED, "Connection refused");
  }
  sandd_net_turn(w.net, 1);
  ck_assert_int_le(open_descriptors(), before + 24); /* the loop's own, made at the first dial */
  world_stop(&w);
}
END_TEST

START_TEST(a_connect_that_fails_at_once_is_unreachable) {
  world w;
  world_start(&w);
  /* Port 1 of the IPv4 broadcast address: EACCES or ENETUNREACH from connect itself. */
  for (int i = 0; i < 20; i++) {
    peer *p = dial_until_closed(&w, (sandd_dial_config){.url = "ws://255.255.255.255:1"});
    ck_assert_error(p, SANDD_NET_UNREACHABLE, "cannot connect");
  }
  world_stop(&w);
}
END_TEST

START_TEST(a_name_that_does_not_exist_is_a_resolve_error) {
  world w;
  world_start(&w);
  peer *p = dial_until_closed(&w, (sandd_dial_config){.url = "ws://no-such-host.invalid:1"});
  ck_assert_error(p, SANDD_NET_RESOLVE, "no-such-host.invalid does not resolve");
  world_stop(&w);
}
END_TEST

START_TEST(localhost_is_tried_on_every_address) {
  world w;
  char url[64];
  world_start(&w);
  world_listen(&w, (sandd_listen_config){.host = _i ? "::1" : "127.0.0.1"});
  snprintf(url, sizeof url, "ws://localhost:%u", sandd_listener_port(w.listener));
  peer *p = peer_dial_url(&w, url);
  WAIT_FOR(&w, p->opened || p->closed);
  ck_assert_msg(p->opened, "%s", p->text);
  ck_assert_ptr_nonnull(strstr(sandd_conn_peer(p->conn), _i ? "[::1]:" : "127.0.0.1:"));
  world_stop(&w);
}
END_TEST

START_TEST(a_missing_or_wrong_token_is_unauthorized) {
  static const char *const tokens[] = {NULL, "wrong", "secret2", "secre"};
  world w;
  world_start(&w);
  world_listen(&w, (sandd_listen_config){.token = "secret"});
  for (unsigned i = 0; i < sizeof tokens / sizeof *tokens; i++) {
    peer *p = dial_until_closed(&w, (sandd_dial_config){.token = tokens[i]});
    ck_assert_error(p, SANDD_NET_UNAUTHORIZED, "401");
  }
  peer *p = world_dial(&w, (sandd_dial_config){.token = "secret"});
  WAIT_FOR(&w, p->opened || p->closed);
  ck_assert(p->opened);
  ck_assert_ptr_null(strstr(w.log, "secret"));
  ck_assert_uint_eq(w.accepted_count, 1);
  world_stop(&w);
}
END_TEST

START_TEST(a_token_can_be_replaced_while_listening) {
  world w;
  world_start(&w);
  world_listen(&w, (sandd_listen_config){.token = "old"});
  ck_assert_int_eq(sandd_listener_set_token(w.listener, "new"), 0);
  ck_assert_int_eq(sandd_listener_set_token(w.listener, "n w"), SANDD_NET_INVALID);
  dial_until_closed(&w, (sandd_dial_config){.token = "old"});
  peer *p = world_dial(&w, (sandd_dial_config){.token = "new"});
  WAIT_FOR(&w, p->opened);
  ck_assert_int_eq(sandd_listener_set_token(w.listener, NULL), 0);
  p = world_dial(&w, (sandd_dial_config){0});
  WAIT_FOR(&w, p->opened);
  world_stop(&w);
}
END_TEST

START_TEST(another_path_is_a_handshake_error_with_its_status) {
  world w;
  char url[128];
  world_start(&w);
  world_listen(&w, (sandd_listen_config){0});
  snprintf(url, sizeof url, "%s/other", world_url(&w, "ws"));
  peer *p = dial_until_closed(&w, (sandd_dial_config){.url = url});
  ck_assert_error(p, SANDD_NET_HANDSHAKE, "HTTP 404");
  world_stop(&w);
}
END_TEST

/* A server that says one thing and closes. */
static void serve_once(world *w, const char *answer, int error, const char *part) {
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t len = sizeof at;
  char url[64], request[4096];
  int listening = socket(AF_INET, SOCK_STREAM, 0);
  ck_assert(!bind(listening, (struct sockaddr *)&at, sizeof at) && !listen(listening, 1));
  getsockname(listening, (struct sockaddr *)&at, &len);
  snprintf(url, sizeof url, "ws://127.0.0.1:%u", ntohs(at.sin_port));
  peer *p = peer_dial_url(w, url);
  sandd_net_turn(w->net, 100);
  int fd = accept(listening, NULL, NULL);
  ssize_t got = 0;
  while (got <= 0 || !memmem(request, (size_t)got, "\r\n\r\n", 4)) {
    sandd_net_turn(w->net, 1);
    got = recv(fd, request, sizeof request, MSG_DONTWAIT | MSG_PEEK);
  }
  recv(fd, request, sizeof request, 0);
  send(fd, answer, strlen(answer), MSG_NOSIGNAL);
  shutdown(fd, SHUT_WR);
  WAIT_FOR(w, p->closed);
  ck_assert_error(p, error, part);
  close(fd);
  close(listening);
}

START_TEST(answers_that_are_no_upgrade_are_told_apart) {
  world w;
  world_start(&w);
  serve_once(&w, "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", SANDD_NET_HANDSHAKE, "HTTP 503");
  serve_once(&w, "HTTP/1.1 302 Found\r\nLocation: ws://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", SANDD_NET_HANDSHAKE,
             "HTTP 302");
  serve_once(&w, "HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n", SANDD_NET_UNAUTHORIZED, "401");
  serve_once(&w,
             "HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             "Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\nSec-WebSocket-Protocol: sandd.v1\r\n\r\n",
             SANDD_NET_HANDSHAKE, "");
  serve_once(&w, "SSH-2.0-OpenSSH_9.2\r\n", SANDD_NET_HANDSHAKE, "");
  serve_once(&w, "", SANDD_NET_HANDSHAKE, "");
  world_stop(&w);
}
END_TEST

START_TEST(a_silent_server_is_a_timeout) {
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t len = sizeof at;
  char url[64];
  world w;
  world_start(&w);
  int listening = socket(AF_INET, SOCK_STREAM, 0);
  ck_assert(!bind(listening, (struct sockaddr *)&at, sizeof at) && !listen(listening, 1));
  getsockname(listening, (struct sockaddr *)&at, &len);
  snprintf(url, sizeof url, "%s://127.0.0.1:%u", _i ? "wss" : "ws", ntohs(at.sin_port));
  peer *p = dial_until_closed(&w, (sandd_dial_config){.url = url, .connect_timeout_ms = 200});
  ck_assert_error(p, SANDD_NET_TIMEOUT, _i ? "TLS handshake within 200 ms" : "WebSocket handshake within 200 ms");
  close(listening);
  world_stop(&w);
}
END_TEST

START_TEST(an_aborted_dial_ends_as_aborted_at_any_moment) {
  static const char *const urls[] = {"ws://127.0.0.1:1", "ws://no-such-host.invalid", "ws://192.0.2.1:9",
                                     "wss://127.0.0.1:1"};
  for (int turns = 0; turns < 4; turns++) {
    world w;
    world_start(&w);
    world_listen(&w, (sandd_listen_config){0});
    for (unsigned i = 0; i <= sizeof urls / sizeof *urls; i++) {
      peer *p = peer_dial_url(&w, i ? urls[i - 1] : world_url(&w, "ws"));
      for (int t = 0; t < turns; t++) {
        sandd_net_turn(w.net, 0);
      }
      if (p->conn) {
        sandd_conn_abort(p->conn);
        WAIT_FOR(&w, p->closed);
        /* unless it had failed already and was only to be told */
        ck_assert(p->error == SANDD_NET_ABORTED ||
                  (turns && p->error <= SANDD_NET_RESOLVE && p->error > SANDD_NET_TIMEOUT));
      }
    }
    world_stop(&w);
  }
}
END_TEST

int main(void) {
  Suite *suite = suite_create("dial");
  TCase *tests = tcase_create("dial");
  tcase_set_timeout(tests, 60);
  tcase_add_test(tests, a_bad_url_is_told_by_dial_itself);
  tcase_add_test(tests, options_that_make_no_sense_are_told_by_dial_itself);
  tcase_add_test(tests, certificate_files_that_do_not_work_are_told_by_dial_itself);
  tcase_add_loop_test(tests, nobody_there_is_refused, 0, 2);
  tcase_add_test(tests, a_connect_that_fails_at_once_is_unreachable);
  tcase_add_test(tests, a_name_that_does_not_exist_is_a_resolve_error);
  tcase_add_loop_test(tests, localhost_is_tried_on_every_address, 0, 2);
  tcase_add_test(tests, a_missing_or_wrong_token_is_unauthorized);
  tcase_add_test(tests, a_token_can_be_replaced_while_listening);
  tcase_add_test(tests, another_path_is_a_handshake_error_with_its_status);
  tcase_add_test(tests, answers_that_are_no_upgrade_are_told_apart);
  tcase_add_loop_test(tests, a_silent_server_is_a_timeout, 0, 2);
  tcase_add_test(tests, an_aborted_dial_ends_as_aborted_at_any_moment);
  suite_add_tcase(suite, tests);
  return run_suite(suite);
}
