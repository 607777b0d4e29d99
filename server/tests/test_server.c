// SPDX-License-Identifier: MIT
// A server's life: listening and its errors, HTTP, tokens, the end, forks, log and events.
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "support.h"

static double seconds(void) {
  struct timespec ts;
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static int fails_with(sandd_server_config config, sandd_failure *failure) {
  sandd_server *server;
  config.size = sizeof config;
  int rc = sandd_server_new(&server, &config, failure);
  ck_assert_ptr_null(server);
  return rc;
}

START_TEST(a_port_in_use_is_an_error_that_names_it) {
  sandd_server *server = start_server();
  sandd_failure failure = {0};
  char port[16];
  snprintf(port, sizeof port, "%d", sandd_server_port(server));
  ck_assert_int_eq(fails_with((sandd_server_config){.host = "127.0.0.1", .port = sandd_server_port(server)}, &failure),
                   SANDD_E_ADDRESS);
  ck_assert_str_eq(failure.errno_name, "EADDRINUSE");
  ck_assert_ptr_nonnull(strstr(failure.text, port));
  sandd_server_free(server);
}
END_TEST

START_TEST(bad_hosts_ports_and_certificates_are_errors) {
  sandd_failure failure = {0};
  ck_assert_int_eq(fails_with((sandd_server_config){.host = "192.0.2.1"}, &failure), SANDD_E_ADDRESS);
  ck_assert_str_eq(failure.errno_name, "EADDRNOTAVAIL");
  ck_assert_int_eq(fails_with((sandd_server_config){.host = "no such host"}, &failure), SANDD_E_ADDRESS);
  ck_assert_int_eq(fails_with((sandd_server_config){.host = "127.0.0.1", .port = 70000}, &failure), SANDD_E_INVALID);
  ck_assert_int_eq(fails_with((sandd_server_config){.host = "127.0.0.1", .tls_cert = "/no/cert"}, &failure),
                   SANDD_E_INVALID);
  ck_assert_int_eq(
      fails_with((sandd_server_config){.host = "127.0.0.1", .tls_cert = "/no/cert", .tls_key = "/no/key"}, &failure),
      SANDD_E_TLS);
  ck_assert_ptr_nonnull(strstr(failure.text, "/no/cert"));
}
END_TEST

START_TEST(a_privileged_port_is_an_error_for_ordinary_users) {
  pid_t child = fork();
  if (child == 0) {
    if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0))
      _exit(1);
    sandd_server *server;
    sandd_failure failure = {0};
    sandd_server_config config = {.size = sizeof config, .host = "127.0.0.1", .port = 1};
    int rc = sandd_server_new(&server, &config, &failure);
    /* Where the kernel lets everybody have low ports there is nothing to see. */
    _exit(rc == 0 || (rc == SANDD_E_ADDRESS && !strcmp(failure.errno_name, "EACCES")) ? 0 : 2);
  }
  int status;
  waitpid(child, &status, 0);
  ck_assert_int_eq(status, 0);
}
END_TEST

START_TEST(twenty_servers_on_one_port_in_turn_leave_nothing_behind) {
  sandd_server *server = start_server();
  int port = sandd_server_port(server);
  sandd_server_free(server);
  int before = open_descriptors();
  for (int i = 0; i < 20; i++) {
    server = start_server(.port = port);
    test_peer *peer = test_peer_start(.port = port);
    ck_assert_int_eq(sandd_server_wait_daemon(server, "worker", TEN_SECONDS), 0);
    double start = seconds();
    sandd_server_free(server);
    ck_assert(seconds() - start < 1.0);
    test_peer_stop(peer);
  }
  ck_assert_int_eq(open_descriptors(), before);
}
END_TEST

static int connect_to(int port) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  struct timeval limit = {10, 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
  return fd;
}

static void ask(int port, const char *request, char *answer, size_t cap) {
  int fd = connect_to(port);
  ck_assert_int_eq(send(fd, request, strlen(request), 0), (ssize_t)strlen(request));
  size_t len = 0;
  ssize_t n;
  while (len < cap - 1 && (n = recv(fd, answer + len, cap - 1 - len, 0)) > 0)
    len += (size_t)n;
  answer[len] = 0;
  close(fd);
}

START_TEST(health_and_stats_are_answered_over_http) {
  sandd_server *server = start_server();
  int port = sandd_server_port(server);
  test_peer *peer = test_peer_start(.port = port);
  ck_assert_int_eq(sandd_server_wait_daemon(server, "worker", TEN_SECONDS), 0);
  char answer[4096];
  ask(port, "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", answer, sizeof answer);
  ck_assert_ptr_nonnull(strstr(answer, " 200 "));
  ck_assert_ptr_nonnull(strstr(answer, "\r\n\r\nOK"));
  ask(port, "GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", answer, sizeof answer);
  ck_assert_ptr_nonnull(strstr(answer, " 200 "));
  ask(port, "GET /stats HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", answer, sizeof answer);
  ck_assert_ptr_nonnull(strstr(answer, "application/json"));
  ck_assert_ptr_nonnull(strstr(answer, "\"total_daemons\":1"));
  ck_assert_ptr_nonnull(strstr(answer, "\"by_platform\":{\"linux\":1}"));
  ask(port, "GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", answer, sizeof answer);
  ck_assert_ptr_nonnull(strstr(answer, " 404 "));
  test_peer_stop(peer);
  sandd_server_free(server);
}
END_TEST

START_TEST(a_wrong_token_is_refused_and_appears_in_no_log) {
  sandd_server *server = start_server(.token = "the-secret", .log_level = SANDD_LOG_TRACE);
  int fd = sandd_server_log_fd(server);
  ck_assert_int_ge(fd, 0);
  test_peer *wrong = test_peer_start(.port = sandd_server_port(server), .id = "wrong", .token = "the-secret-not");
  test_peer *none = test_peer_start(.port = sandd_server_port(server), .id = "none");
  test_peer *right = test_peer_start(.port = sandd_server_port(server), .id = "right", .token = "the-secret");
  ck_assert_int_eq(sandd_server_wait_daemon(server, "right", TEN_SECONDS), 0);
  WAIT_FOR(test_peer_refused(wrong) != 0 && test_peer_refused(none) != 0);
  ck_assert_uint_eq(sandd_server_daemon_count(server), 1);
  char line[4096];
  int level, lines = 0;
  while ((level = sandd_server_next_log(server, line, sizeof line)) > 0) {
    lines++;
    ck_assert_ptr_null(strstr(line, "the-secret"));
  }
  ck_assert_int_gt(lines, 3);
  test_peer_stop(wrong);
  test_peer_stop(none);
  test_peer_stop(right);
  sandd_server_free(server);
}
END_TEST

typedef struct waiting {
  sandd_server *server;
  sandd_exec *exec;
  int what, rc;
} waiting;

static void *wait_for_something(void *user) {
  waiting *w = user;
  char buf[16];
  uint64_t len;
  switch (w->what) {
  case 0: w->rc = sandd_server_wait_daemon(w->server, "nobody", -1); break;
  case 1: w->rc = sandd_exec_wait(w->exec, SANDD_EXEC_ENDED, -1); break;
  default: w->rc = sandd_exec_read(w->exec, SANDD_STDOUT, buf, sizeof buf, &len, -1);
  }
  return NULL;
}

START_TEST(a_close_ends_every_wait_and_what_is_left_says_closed) {
  sandd_server *server = start_server();
  int events = sandd_server_events_fd(server), log = sandd_server_log_fd(server);
  test_peer *peer = test_peer_start(.port = sandd_server_port(server));
  ck_assert_int_eq(sandd_server_wait_daemon(server, "worker", TEN_SECONDS), 0);
  sandd_exec *exec = open_line(server, "hang");
  sandd_waitset *set;
  ck_assert_int_eq(sandd_waitset_new(&set, server), 0);
  waiting waits[3];
  pthread_t threads[3];
  for (int i = 0; i < 3; i++) {
    waits[i] = (waiting){server, exec, i, 0};
    pthread_create(&threads[i], NULL, wait_for_something, &waits[i]);
  }
  pause_a_little();
  sandd_server_close(server);
  sandd_server_close(server);
  for (int i = 0; i < 3; i++) {
    pthread_join(threads[i], NULL);
    ck_assert_int_eq(waits[i].rc, SANDD_E_CLOSED);
  }
  sandd_exec_result r = {.size = sizeof r};
  ck_assert_int_eq(sandd_exec_get_result(exec, &r), 0);
  ck_assert_int_eq(r.error, SANDD_E_CLOSED);
  ck_assert(r.ended && r.may_have_run);
  ck_assert_int_eq(sandd_exec_cancel(exec), 0);
  ck_assert_int_eq((int)sandd_exec_write(exec, "x", 1, -1), SANDD_E_CLOSED);
  sandd_ready ready;
  ck_assert_int_eq(sandd_waitset_next(set, &ready, 1, -1), SANDD_E_CLOSED);
  ck_assert_uint_eq(sandd_server_daemon_count(server), 0);
  sandd_daemon_list *list;
  ck_assert_int_eq(sandd_server_daemons(server, NULL, 0, &list), SANDD_E_CLOSED);
  struct pollfd fds[2] = {{.fd = events, .events = POLLIN}, {.fd = log, .events = POLLIN}};
  ck_assert_int_eq(poll(fds, 2, 0), 2);
  sandd_daemon_event event = {.size = sizeof event};
  int last;
  while ((last = sandd_server_next_daemon_event(server, &event)) > 0)
    continue;
  ck_assert_int_eq(last, SANDD_E_CLOSED);
  char line[256];
  while ((last = sandd_server_next_log(server, line, sizeof line)) > 0)
    continue;
  ck_assert_int_eq(last, SANDD_E_CLOSED);
  sandd_server_free(server);
  sandd_exec_free(exec);
  sandd_waitset_free(set);
  test_peer_stop(peer);
}
END_TEST

static void on_alarm(int signal) {
  (void)signal;
}

START_TEST(a_signal_interrupts_a_wait_which_can_go_on) {
  sandd_server *server = start_server();
  test_peer *peer = test_peer_start(.port = sandd_server_port(server));
  ck_assert_int_eq(sandd_server_wait_daemon(server, "worker", TEN_SECONDS), 0);
  sandd_exec *exec = open_line(server, "hang", .collect = true);
  struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
  sigaction(SIGALRM, &action, NULL);
  struct timespec at = {0, 20000000};
  timer_t timer;
  struct sigevent how = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};
  timer_create(CLOCK_MONOTONIC, &how, &timer);
  timer_settime(timer, 0, &(struct itimerspec){.it_value = at}, NULL);
  double start = seconds();
  ck_assert_int_eq(sandd_exec_wait(exec, SANDD_EXEC_ENDED, TEN_SECONDS), SANDD_E_INTR);
  ck_assert(seconds() - start < 5);
  timer_settime(timer, 0, &(struct itimerspec){.it_value = at}, NULL);
  ck_assert_int_eq(sandd_server_wait_daemon(server, "nobody", TEN_SECONDS), SANDD_E_INTR);
  timer_delete(timer);
  ck_assert_int_eq(sandd_exec_signal(exec, "KILL", SANDD_SIGNAL_TREE), 0);
  ck_assert_str_eq(end_of(exec).signal, "KILL");
  sandd_exec_free(exec);
  test_peer_stop(peer);
  sandd_server_free(server);
}
END_TEST

START_TEST(in_a_forked_child_handles_are_dead_and_the_port_is_not_held) {
  sandd_server *server = start_server();
  int port = sandd_server_port(server);
  test_peer *peer = test_peer_start(.port = port);
  ck_assert_int_eq(sandd_server_wait_daemon(server, "worker", TEN_SECONDS), 0);
  sandd_exec *exec = open_line(server, "hang");
  int hold[2];
  ck_assert_int_eq(pipe(hold), 0);
  pid_t child = fork();
  if (child == 0) {
    close(hold[1]);
    bool good = sandd_exec_wait(exec, SANDD_EXEC_ENDED, -1) == SANDD_E_CLOSED &&
                sandd_server_wait_daemon(server, "worker", -1) == SANDD_E_CLOSED &&
                sandd_server_daemon_count(server) == 0;
    sandd_exec_free(exec);
    sandd_server_free(server);
    char byte;
    ssize_t n = read(hold[0], &byte, 1); /* lives on until the parent has seen that the port is free */
    _exit(good && n == 0 ? 0 : 1);
  }
  close(hold[0]);
  ck_assert_int_eq(sandd_exec_signal(exec, "KILL", SANDD_SIGNAL_TREE), 0);
  ck_assert_str_eq(end_of(exec).signal, "KILL");
  sandd_exec_free(exec);
  sandd_server_free(server);
  test_peer_stop(peer);
  server = NULL;
  WAIT_FOR(({
    sandd_server_config config = {.size = sizeof config, .host = "127.0.0.1", .port = port};
    sandd_server_new(&server, &config, NULL) == 0;
  }));
  sandd_server_free(server);
  close(hold[1]);
  int status;
  waitpid(child, &status, 0);
  ck_assert_int_eq(status, 0);
}
END_TEST

static void next_is(sandd_server *server, int type, bool resumed, const char *id) {
  struct pollfd fd = {.fd = sandd_server_events_fd(server), .events = POLLIN};
  ck_assert_int_eq(poll(&fd, 1, TEN_SECONDS), 1);
  sandd_daemon_event event = {.size = sizeof event};
  ck_assert_int_eq(sandd_server_next_daemon_event(server, &event), type);
  ck_assert_str_eq(event.id, id);
  ck_assert_int_eq(event.resumed, resumed);
  ck_assert_str_ne(event.instance, "");
}

START_TEST(events_tell_of_connects_cuts_and_returns_in_order) {
  sandd_server *server = start_server();
  test_peer *peer = test_peer_start(.port = sandd_server_port(server));
  ck_assert_int_eq(sandd_server_wait_daemon(server, "worker", TEN_SECONDS), 0);
  next_is(server, SANDD_DAEMON_CONNECTED, false, "worker"); /* was there before anybody asked */
  test_peer_cut(peer);
  next_is(server, SANDD_DAEMON_DISCONNECTED, false, "worker");
  next_is(server, SANDD_DAEMON_CONNECTED, true, "worker");
  test_peer_stop(peer);
  next_is(server, SANDD_DAEMON_DISCONNECTED, false, "worker");
  peer = test_peer_start(.port = sandd_server_port(server));
  /* A new instance: the session of the old one is over when it is confirmed. */
  next_is(server, SANDD_DAEMON_GONE, false, "worker");
  next_is(server, SANDD_DAEMON_CONNECTED, false, "worker");
  sandd_daemon_event event = {.size = sizeof event};
  ck_assert_int_eq(sandd_server_next_daemon_event(server, &event), SANDD_DAEMON_NONE);
  struct pollfd fd = {.fd = sandd_server_events_fd(server), .events = POLLIN};
  ck_assert_int_eq(poll(&fd, 1, 0), 0);
  test_peer_stop(peer);
  sandd_server_free(server);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("server");
  TCase *tc = tcase_create("server");
  tcase_set_timeout(tc, 60);
  tcase_add_test(tc, a_port_in_use_is_an_error_that_names_it);
  tcase_add_test(tc, bad_hosts_ports_and_certificates_are_errors);
  tcase_add_test(tc, a_privileged_port_is_an_error_for_ordinary_users);
  tcase_add_test(tc, twenty_servers_on_one_port_in_turn_leave_nothing_behind);
  tcase_add_test(tc, health_and_stats_are_answered_over_http);
  tcase_add_test(tc, a_wrong_token_is_refused_and_appears_in_no_log);
  tcase_add_test(tc, a_close_ends_every_wait_and_what_is_left_says_closed);
  tcase_add_test(tc, a_signal_interrupts_a_wait_which_can_go_on);
  tcase_add_test(tc, in_a_forked_child_handles_are_dead_and_the_port_is_not_held);
  tcase_add_test(tc, events_tell_of_connects_cuts_and_returns_in_order);
  suite_add_tcase(suite, tc);
  SRunner *runner = srunner_create(suite);
  srunner_run_all(runner, CK_ENV);
  int failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
