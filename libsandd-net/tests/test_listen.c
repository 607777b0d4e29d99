// SPDX-License-Identifier: MIT
/* Ports, addresses, plain GETs, many connections, and nothing left behind. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

static int try_listen(world *w, const char *host, unsigned port, sandd_listener **out, char *text, size_t size) {
  sandd_listen_config config = {
      .size = sizeof config, .host = host, .port = port, .handler = &accept_handler, .user = w};
  return sandd_listen(w->net, &config, out, text, size);
}

START_TEST(every_kind_of_host_can_be_listened_on) {
  static const struct {
    const char *host, *address, *dial;
  } hosts[] = {
      {"127.0.0.1", "127.0.0.1:", "127.0.0.1"},
      {"::1", "[::1]:", "[::1]"},
      {"localhost", "", "localhost"},
      {"0.0.0.0", "0.0.0.0:", "127.0.0.1"},
      {"::", "[::]:", "[::1]"},
      {NULL, "", "127.0.0.1"},
      {NULL, "", "[::1]"},
      {"", "", "localhost"},
  };
  char text[256] = "", url[64];
  world w;
  world_start(&w);
  ck_assert_msg(!try_listen(&w, hosts[_i].host, 0, &w.listener, text, sizeof text), "%s", text);
  unsigned port = sandd_listener_port(w.listener);
  ck_assert_uint_gt(port, 0);
  ck_assert_msg(!strncmp(sandd_listener_address(w.listener), hosts[_i].address, strlen(hosts[_i].address)), "%s",
                sandd_listener_address(w.listener));
  snprintf(url, sizeof url, "ws://%s:%u", hosts[_i].dial, port);
  peer *p = peer_dial_url(&w, url);
  WAIT_FOR(&w, p->opened && w.accepted_count == 1);
  ck_assert_ptr_nonnull(strchr(sandd_conn_peer(w.accepted->conn), ':'));
  world_stop(&w);
}
END_TEST

START_TEST(a_port_in_use_is_an_error_and_stays_with_its_owner) {
  char text[256] = "";
  sandd_listener *second = NULL;
  world w, other;
  world_start(&w);
  world_start(&other);
  world_listen(&w, (sandd_listen_config){0});
  unsigned port = sandd_listener_port(w.listener);
  ck_assert_int_eq(try_listen(&w, "127.0.0.1", port, &second, text, sizeof text), SANDD_NET_ADDRESS_IN_USE);
  ck_assert_ptr_nonnull(strstr(text, "in use"));
  ck_assert_int_eq(try_listen(&other, "127.0.0.1", port, &second, text, sizeof text), SANDD_NET_ADDRESS_IN_USE);
  ck_assert_int_eq(try_listen(&other, "localhost", port, &second, text, sizeof text), SANDD_NET_ADDRESS_IN_USE);
  ck_assert_int_eq(try_listen(&other, NULL, port, &second, text, sizeof text), SANDD_NET_ADDRESS_IN_USE);
  ck_assert_ptr_null(second);
  peer *p = peer_dial_url(&w, world_url(&w, "ws"));
  WAIT_FOR(&w, p->opened);
  world_stop(&other);
  world_stop(&w);
}
END_TEST

START_TEST(bad_hosts_and_options_are_errors_with_a_sentence) {
  static const struct {
    const char *host;
    unsigned port;
    int error;
  } cases[] = {
      {"no-such-host.invalid", 0, SANDD_NET_ADDRESS},
      {"192.0.2.1", 0, SANDD_NET_ADDRESS},
      {"127.0.0.1", 65536, SANDD_NET_INVALID},
  };
  world w;
  world_start(&w);
  for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
    char text[256] = "";
    sandd_listener *listener = NULL;
    ck_assert_int_eq(try_listen(&w, cases[i].host, cases[i].port, &listener, text, sizeof text), cases[i].error);
    ck_assert(*text && !listener);
  }
  world_stop(&w);
}
END_TEST

START_TEST(a_privileged_port_is_a_permission_error) {
  int status;
  pid_t child = fork();
  if (!child) {
    char text[256] = "";
    sandd_listener *listener = NULL;
    world w;
    world_start(&w);
    if (!getuid() && setuid(65534)) {
      _exit(2);
    }
    int rc = try_listen(&w, "127.0.0.1", 1, &listener, text, sizeof text);
    _exit(rc == SANDD_NET_PERMISSION && strstr(text, "privileged") ? 0 : 1);
  }
  waitpid(child, &status, 0);
  ck_assert_int_eq(status, 0);
}
END_TEST

START_TEST(twenty_listeners_in_turn_have_one_port) {
  unsigned port = 0;
  int before = -1;
  for (int i = 0; i < 20; i++) {
    world w;
    world_start(&w);
    world_listen(&w, (sandd_listen_config){.port = port,
                                           .cert_file = _i ? certificate("server.pem") : NULL,
                                           .key_file = _i ? certificate("server.key") : NULL});
    port = sandd_listener_port(w.listener);
    peer *p = world_dial(&w, (sandd_dial_config){.url = world_url(&w, _i ? "wss" : "ws"), .insecure = _i});
    WAIT_FOR(&w, p->opened && w.accepted_count == 1);
    if (i % 2) { /* the server's side closes first and has the port in TIME_WAIT */
      sandd_conn_close(w.accepted->conn, 1001, NULL);
      WAIT_FOR(&w, p->closed);
    }
    world_stop(&w);
    /* The first loop of a process opens libuv's pipe for signals, which stays. */
    ck_assert(before < 0 || open_descriptors() == before);
    before = open_descriptors();
  }
}
END_TEST

START_TEST(twenty_listeners_in_turn_on_one_net_free_their_port_at_once) {
  unsigned port = 0;
  world w;
  world_start(&w);
  for (int i = 0; i < 20; i++) {
    world_listen(&w, (sandd_listen_config){.port = port});
    port = sandd_listener_port(w.listener);
    peer *p = peer_dial_url(&w, world_url(&w, "ws"));
    WAIT_FOR(&w, p->opened);
    sandd_listener_free(w.listener);
  }
  world_stop(&w);
}
END_TEST

static bool answer_http(void *user, const char *path, sandd_http_answer *answer) {
  world *w = user;
  (void)w;
  if (!strcmp(path, "/healthz")) {
    answer->body = "OK";
    answer->body_len = 2;
  } else if (!strcmp(path, "/stats")) {
    static char big[300000];
    memset(big, 'j', sizeof big);
    answer->content_type = "application/json";
    answer->body = big;
    answer->body_len = sizeof big;
  } else {
    return false;
  }
  return true;
}

static size_t get(world *w, const char *request, char *answer, size_t size) {
  size_t have = 0;
  int fd = raw_connect(sandd_listener_port(w->listener));
  raw_send(fd, request, strlen(request));
  ssize_t n = -1;
  WAIT_FOR(w, (n = recv(fd, answer + have, size - 1 - have, MSG_DONTWAIT), have += n > 0 ? (size_t)n : 0, n == 0));
  answer[have] = 0;
  close(fd);
  return have;
}

START_TEST(plain_gets_are_answered) {
  static char answer[400000];
  world w;
  world_start(&w);
  world_listen(&w, (sandd_listen_config){.http = answer_http});
  get(&w, "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", answer, sizeof answer);
  ck_assert_msg(!strncmp(answer, "HTTP/1.1 200 OK", 15) && strstr(answer, "\r\n\r\nOK"), "%s", answer);
  get(&w, "GET /healthz HTTP/1.0\r\n\r\n", answer, sizeof answer);
  ck_assert_msg(strstr(answer, "\r\n\r\nOK"), "%s", answer);
  get(&w, "GET /healthz?x=1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", answer, sizeof answer);
  ck_assert_msg(strstr(answer, "\r\n\r\nOK"), "%s", answer);
  size_t n = get(&w, "GET /stats HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", answer, sizeof answer);
  ck_assert_ptr_nonnull(strstr(answer, "Content-Type: application/json"));
  ck_assert_uint_eq(n, 300000 + (size_t)(strstr(answer, "\r\n\r\n") + 4 - answer));
  get(&w, "GET /nope HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", answer, sizeof answer);
  ck_assert_msg(!strncmp(answer, "HTTP/1.1 404", 12), "%s", answer);
  get(&w, "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", answer, sizeof answer);
  ck_assert_msg(!strncmp(answer, "HTTP/1.1 426", 12), "%s", answer);
  get(&w, "POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc", answer,
      sizeof answer);
  ck_assert_msg(strncmp(answer, "HTTP/1.1 200", 12), "%s", answer);
  get(&w, "utter garbage\r\n\r\n", answer, sizeof answer);
  get(&w,
      "GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: "
      "AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n",
      answer, sizeof answer);
  ck_assert_msg(strncmp(answer, "HTTP/1.1 101", 12), "%s", answer);
  ck_assert_uint_eq(w.accepted_count, 0);
  world_stop(&w);
}
END_TEST

START_TEST(two_hundred_connections_live_side_by_side) {
  enum { COUNT = 200 };
  peer *peers[COUNT];
  world w;
  world_start(&w);
  w.echo = true;
  world_listen(&w, (sandd_listen_config){.cert_file = _i ? certificate("server.pem") : NULL,
                                         .key_file = _i ? certificate("server.key") : NULL});
  for (int i = 0; i < COUNT; i++) {
    peers[i] = world_dial(&w, (sandd_dial_config){.url = world_url(&w, _i ? "wss" : "ws"), .insecure = _i});
    peer_send_fill(peers[i], 1000 + (size_t)i, (uint8_t)i);
  }
  for (int i = 0; i < COUNT; i++) {
    WAIT_FOR(&w, peers[i]->in_count == 1 || peers[i]->closed);
    ck_assert_msg(!peers[i]->closed, "%s", peers[i]->text);
    ck_assert(message_is_fill(peers[i]->in, 1000 + (size_t)i, (uint8_t)i));
  }
  ck_assert_uint_eq(w.accepted_count, COUNT);
  world_stop(&w);
}
END_TEST

START_TEST(running_out_of_descriptors_is_told_and_passes) {
  struct rlimit old, tight;
  world w;
  world_start(&w);
  world_listen(&w, (sandd_listen_config){0});
  getrlimit(RLIMIT_NOFILE, &old);
  int next = dup(0);
  close(next);
  tight = old;
  tight.rlim_cur = (rlim_t)next + 1; /* for the client's end alone */
  setrlimit(RLIMIT_NOFILE, &tight);
  int fd = raw_connect(sandd_listener_port(w.listener));
  raw_upgrade(fd, "Sec-WebSocket-Protocol: sandd.v1\r\n");
  WAIT_FOR(&w, strstr(w.log, "cannot accept"));
  setrlimit(RLIMIT_NOFILE, &old);
  WAIT_FOR(&w, w.accepted_count == 1);
  close(fd);
  world_stop(&w);
}
END_TEST

START_TEST(more_connections_than_fd_limit_are_turned_away_and_the_others_stay) {
  enum { COUNT = 12 };
  peer *peers[COUNT];
  unsigned open = 0, closed = 0;
  world w;
  world server;
  world_start(&w);
  memset(&server, 0, sizeof server);
  sandd_net_config config = {.size = sizeof config, .fd_limit = 4};
  ck_assert_int_eq(sandd_net_new(&server.net, &config), 0);
  world_listen(&server, (sandd_listen_config){.cert_file = _i ? certificate("server.pem") : NULL,
                                              .key_file = _i ? certificate("server.key") : NULL});
  for (int i = 0; i < COUNT; i++) {
    peers[i] = world_dial(&w, (sandd_dial_config){.url = world_url(&server, _i ? "wss" : "ws"), .insecure = _i});
  }
  for (uint64_t give_up = now_ms() + 10000; open + closed < COUNT;) {
    ck_assert_msg(now_ms() < give_up, "%u open, %u closed", open, closed);
    sandd_net_turn(w.net, 1);
    sandd_net_turn(server.net, 1);
    open = closed = 0;
    for (int i = 0; i < COUNT; i++) {
      open += peers[i]->opened;
      closed += peers[i]->closed && !peers[i]->opened;
    }
  }
  ck_assert(open >= 3 && open < COUNT);
  world_stop(&w);
  world_stop(&server);
}
END_TEST

static void *run_one(void *secure) {
  world *w = malloc(sizeof *w);
  for (int round = 0; round < 5; round++) {
    world_start(w);
    w->echo = true;
    world_listen(w, (sandd_listen_config){.cert_file = secure ? certificate("server.pem") : NULL,
                                          .key_file = secure ? certificate("server.key") : NULL});
    char url[64];
    snprintf(url, sizeof url, "%s://%s", secure ? "wss" : "ws", sandd_listener_address(w->listener));
    peer *p = world_dial(w, (sandd_dial_config){.url = url, .insecure = secure != NULL});
    for (int i = 0; i < 100; i++) {
      peer_send_fill(p, 5000, (uint8_t)i);
    }
    WAIT_FOR(w, p->in_count == 100);
    world_stop(w);
  }
  free(w);
  return NULL;
}

START_TEST(eight_nets_run_on_eight_threads) {
  pthread_t threads[8];
  for (int i = 0; i < 8; i++) {
    ck_assert_int_eq(pthread_create(&threads[i], NULL, run_one, i % 2 ? &threads[i] : NULL), 0);
  }
  for (int i = 0; i < 8; i++) {
    pthread_join(threads[i], NULL);
  }
}
END_TEST

static void *run_loop(void *net) {
  sandd_net_run(net);
  return NULL;
}

START_TEST(stop_from_another_thread_ends_run_and_is_not_lost) {
  pthread_t thread;
  sandd_net *net = NULL;
  ck_assert_int_eq(sandd_net_new(&net, NULL), 0);
  sandd_net_stop(net); /* before run */
  sandd_net_run(net);
  pthread_create(&thread, NULL, run_loop, net);
  sandd_net_stop(net);
  pthread_join(thread, NULL);
  sandd_net_free(net);
  sandd_net_free(NULL);
}
END_TEST

/* Descriptors that could hurt a parent: sockets and epoll instances. */
static int harmful_descriptors(void) {
  int count = 0;
  for (int fd = 0; fd < 1024; fd++) {
    char path[48], what[64] = "";
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (readlink(path, what, sizeof what - 1) > 0) {
      count += !strncmp(what, "socket:", 7) || !strcmp(what, "anon_inode:[eventpoll]");
    }
  }
  return count;
}

START_TEST(a_forked_child_can_drop_it_without_hurting_its_parent) {
  int status;
  int before = harmful_descriptors();
  world w;
  world_start(&w);
  world_listen(&w, (sandd_listen_config){0});
  peer *p = peer_dial_url(&w, world_url(&w, "ws"));
  WAIT_FOR(&w, p->opened && w.accepted_count == 1);
  pid_t child = fork();
  if (!child) {
    sandd_net_abandon(w.net);
    /* Left are things like libuv's pipe for signals, which is the process's, and libwebsockets' /dev/urandom. */
    _exit(harmful_descriptors() == before ? 0 : 1);
  }
  waitpid(child, &status, 0);
  ck_assert_int_eq(status, 0);
  peer_send(p, "after the fork", 14);
  WAIT_FOR(&w, w.accepted->in_count == 1);
  peer *late = peer_dial_url(&w, world_url(&w, "ws"));
  WAIT_FOR(&w, late->opened);
  world_stop(&w);
}
END_TEST

START_TEST(nothing_is_printed_and_no_descriptor_stays) {
  int out[2], status;
  char text[64];
  ck_assert_int_eq(pipe(out), 0);
  pid_t child = fork();
  if (!child) {
    dup2(out[1], 1);
    dup2(out[1], 2);
    close(out[0]);
    close(out[1]);
    sandd_net *net = NULL;
    sandd_net_new(&net, NULL); /* libuv's pipe for signals, of the process */
    sandd_net_free(net);
    int before = open_descriptors();
    sandd_listener *listener = NULL;
    sandd_listen_config config = {.size = sizeof config,
                                  .host = "127.0.0.1",
                                  .cert_file = certificate("server.pem"),
                                  .key_file = certificate("server.key"),
                                  .handler = &(sandd_conn_handler){0}};
    if (sandd_net_new(&net, NULL) || sandd_listen(net, &config, &listener, NULL, 0)) {
      _exit(2);
    }
    int fd = raw_connect(sandd_listener_port(listener));
    send(fd, "garbage\r\n\r\n", 11, MSG_NOSIGNAL);
    for (int i = 0; i < 10; i++) {
      sandd_net_turn(net, 10);
    }
    close(fd);
    sandd_net_free(net);
    _exit(open_descriptors() == before ? 0 : 3);
  }
  close(out[1]);
  ck_assert_int_eq(read(out[0], text, sizeof text), 0);
  close(out[0]);
  waitpid(child, &status, 0);
  ck_assert_int_eq(status, 0);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("listen");
  TCase *tests = tcase_create("listen");
  tcase_set_timeout(tests, 60);
  tcase_add_loop_test(tests, every_kind_of_host_can_be_listened_on, 0, 8);
  tcase_add_test(tests, a_port_in_use_is_an_error_and_stays_with_its_owner);
  tcase_add_test(tests, bad_hosts_and_options_are_errors_with_a_sentence);
  tcase_add_test(tests, a_privileged_port_is_a_permission_error);
  tcase_add_loop_test(tests, twenty_listeners_in_turn_have_one_port, 0, 2);
  tcase_add_test(tests, twenty_listeners_in_turn_on_one_net_free_their_port_at_once);
  tcase_add_test(tests, plain_gets_are_answered);
  tcase_add_loop_test(tests, two_hundred_connections_live_side_by_side, 0, 2);
  tcase_add_test(tests, running_out_of_descriptors_is_told_and_passes);
  tcase_add_loop_test(tests, more_connections_than_fd_limit_are_turned_away_and_the_others_stay, 0, 2);
  tcase_add_test(tests, eight_nets_run_on_eight_threads);
  tcase_add_test(tests, stop_from_another_thread_ends_run_and_is_not_lost);
  tcase_add_test(tests, a_forked_child_can_drop_it_without_hurting_its_parent);
  tcase_add_test(tests, nothing_is_printed_and_no_descriptor_stays);
  suite_add_tcase(suite, tests);
  return run_suite(suite);
}
