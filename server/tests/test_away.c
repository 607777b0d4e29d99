// SPDX-License-Identifier: MIT
// Cuts, absence and return; who is who; waitsets.
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

#define ALREADY_CONNECTED 35

static sandd_server *server;
static test_peer *peer;

static void setup(void) {
  server = start_server();
  peer = test_peer_start(.port = sandd_server_port(server));
  ck_assert_int_eq(sandd_server_wait_daemon(server, "worker", TEN_SECONDS), 0);
}

static void teardown(void) {
  test_peer_stop(peer);
  sandd_server_free(server);
}

START_TEST(a_stream_survives_cuts_whole_and_in_order) {
  sandd_exec *exec = open_line(server, "count 30000000");
  static char buf[200000];
  uint64_t len, at = 0;
  int kind, reads = 0;
  while ((kind = sandd_exec_read(exec, SANDD_STDOUT, buf, sizeof buf, &len, TEN_SECONDS)) == SANDD_READ_DATA) {
    for (uint64_t i = 0; i < len; i++)
      if ((uint8_t)buf[i] != (at + i) % 251)
        ck_abort_msg("wrong byte at %llu", (unsigned long long)(at + i));
    at += len;
    if (++reads % 40 == 0)
      test_peer_cut(peer);
  }
  ck_assert_int_eq(kind, SANDD_READ_END);
  ck_assert_uint_eq(at, 30000000);
  ck_assert_int_eq(end_of(exec).status, 1);
  ck_assert_uint_gt(stats_of(server).resumes_total, 0);
  sandd_exec_free(exec);
}
END_TEST

START_TEST(commands_run_once_each_while_the_connection_is_cut_all_the_time) {
  for (int i = 0; i < 300; i++) {
    char line[32];
    int n = snprintf(line, sizeof line, "echo %d", i);
    sandd_exec *exec = open_line(server, line, .collect = true);
    if (i % 3 == 0)
      test_peer_cut(peer);
    sandd_exec_result r = end_of(exec);
    ck_assert_msg(r.status == 1 && r.error == 0, "%d: status %d error %d %s", i, r.status, r.error, r.text);
    const uint8_t *data;
    size_t len;
    sandd_exec_output(exec, SANDD_STDOUT, &data, &len, NULL);
    ck_assert_uint_eq(len, (size_t)n - 5);
    ck_assert_mem_eq(data, line + 5, len);
    sandd_exec_free(exec);
  }
}
END_TEST

static int open_fails(const char *id, int64_t wait_ms, sandd_failure *failure) {
  sandd_exec *exec;
  sandd_exec_config config = {.size = sizeof config, .daemon_id = id, .wait_ms = wait_ms, .shell_line = {"hang", 4}};
  return sandd_exec_open(&exec, server, &config, failure);
}

START_TEST(an_unknown_daemon_is_not_found_and_a_known_one_is_away) {
  sandd_failure failure = {0};
  ck_assert_int_eq(open_fails("nobody", 10000, &failure), SANDD_E_NOT_FOUND);
  ck_assert_str_eq(failure.text, "daemon nobody not found");
  test_peer_stop(peer);
  WAIT_FOR(sandd_server_daemon_count(server) == 0);
  ck_assert_int_eq(open_fails("worker", 0, &failure), SANDD_E_AWAY);
  ck_assert_int_gt(failure.away_since_ns, 1600000000000000000);
  sandd_daemon_list *list;
  ck_assert_int_eq(sandd_server_daemon(server, "worker", &list), SANDD_E_AWAY);
  ck_assert_int_eq(sandd_server_daemon(server, "nobody", &list), SANDD_E_NOT_FOUND);
  ck_assert_int_eq(sandd_server_wait_daemon(server, "worker", 1), SANDD_E_TIMEOUT);
  ck_assert_uint_eq(stats_of(server).away, 1);
  peer = test_peer_start(.port = sandd_server_port(server));
}
END_TEST

START_TEST(a_command_waits_for_the_return_of_its_daemon) {
  test_peer_stop(peer);
  WAIT_FOR(sandd_server_daemon_count(server) == 0);
  sandd_exec *first = open_line(server, "echo first", .collect = true);
  sandd_exec *second = open_line(server, "cat", .stdin_mode = SANDD_EXEC_STDIN_STREAM);
  sandd_exec_result r = {.size = sizeof r};
  ck_assert_int_eq(sandd_exec_get_result(first, &r), 0);
  ck_assert(r.away && !r.may_have_run && !r.ended);
  ck_assert_int_eq((int)sandd_exec_write(second, "x", 1, 0), SANDD_E_TIMEOUT);
  ck_assert_int_eq(sandd_exec_signal(second, "INT", 1), SANDD_E_STATE);
  peer = test_peer_start(.port = sandd_server_port(server));
  ck_assert_int_eq(end_of(first).status, 1);
  ck_assert_int_eq((int)sandd_exec_write(second, "x", 1, TEN_SECONDS), 1);
  ck_assert_int_eq(sandd_exec_close_stdin(second), 0);
  char *data;
  size_t len;
  ck_assert_int_eq(read_all(second, SANDD_STDOUT, &data, &len), SANDD_READ_END);
  ck_assert_uint_eq(len, 1);
  free(data);
  sandd_exec_free(first);
  sandd_exec_free(second);
}
END_TEST

START_TEST(a_daemon_that_does_not_return_in_time_is_away_and_nothing_has_run) {
  test_peer_stop(peer);
  WAIT_FOR(sandd_server_daemon_count(server) == 0);
  sandd_exec_config short_wait = {
      .size = sizeof short_wait, .daemon_id = "worker", .wait_ms = 30, .shell_line = {"hang", 4}};
  sandd_exec *exec = open_with(server, short_wait);
  sandd_exec_result r = end_of(exec);
  ck_assert_int_eq(r.error, SANDD_E_AWAY);
  ck_assert_int_eq(r.status, 13);
  ck_assert(!r.may_have_run);
  ck_assert_int_gt(r.away_since_ns, 1600000000000000000);
  sandd_exec_free(exec);
  exec = open_line(server, "echo x", .collect = true);
  sandd_exec_free(exec); /* while it waits */
  peer = test_peer_start(.port = sandd_server_port(server));
  ck_assert_int_eq(sandd_server_wait_daemon(server, "worker", TEN_SECONDS), 0);
}
END_TEST

START_TEST(a_command_whose_daemon_never_answers_ends_at_timeout_grace_and_five_seconds) {
  sandd_exec *exec = open_line(server, "hang", .collect = true, .timeout_ns = 1000000, .grace_ns = 1000000);
  ck_assert_int_gt(sandd_exec_wait(exec, SANDD_EXEC_STARTED, TEN_SECONDS), 0);
  test_peer_stop(peer);
  sandd_exec_result r = end_of(exec);
  ck_assert_int_eq(r.error, SANDD_E_TIMEOUT);
  ck_assert_int_eq(r.status, 4);
  ck_assert(r.started && r.may_have_run && !r.exited);
  sandd_exec_free(exec);
  peer = test_peer_start(.port = sandd_server_port(server));
}
END_TEST

START_TEST(a_restarted_daemon_loses_the_commands_of_its_former_self) {
  sandd_exec *exec = open_line(server, "hang", .collect = true);
  ck_assert_int_gt(sandd_exec_wait(exec, SANDD_EXEC_STARTED, TEN_SECONDS), 0);
  test_peer_stop(peer);
  peer = test_peer_start(.port = sandd_server_port(server));
  sandd_exec_result r = end_of(exec);
  ck_assert_int_eq(r.status, 36);
  ck_assert(r.may_have_run && !r.exited);
  sandd_exec_free(exec);
  ck_assert_int_eq(sandd_server_wait_daemon(server, "worker", TEN_SECONDS), 0);
  ck_assert_uint_eq(sandd_server_daemon_count(server), 1);
}
END_TEST

START_TEST(a_second_daemon_of_the_same_name_is_refused_while_the_first_lives) {
  test_peer *other = test_peer_start(.port = sandd_server_port(server), .no_redial = true);
  WAIT_FOR(test_peer_refused(other) == ALREADY_CONNECTED);
  ck_assert_uint_eq(sandd_server_daemon_count(server), 1);
  sandd_exec *exec = open_line(server, "echo still here", .collect = true);
  ck_assert_int_eq(end_of(exec).status, 1);
  sandd_exec_free(exec);
  test_peer_stop(other);
}
END_TEST

START_TEST(a_listing_says_who_is_there) {
  test_peer *db =
      test_peer_start(.port = sandd_server_port(server), .id = "a-database", .label = "db", .without_user = true);
  ck_assert_int_eq(sandd_server_wait_daemon(server, "a-database", TEN_SECONDS), 0);
  sandd_exec *exec = open_line(server, "hang");
  sandd_daemon_list *list;
  ck_assert_int_eq(sandd_server_daemons(server, NULL, 0, &list), 0);
  ck_assert_uint_eq(sandd_daemon_list_count(list), 2);
  const sandd_daemon_info *info = sandd_daemon_list_get(list, 0);
  ck_assert_str_eq(info->id, "a-database");
  ck_assert_str_eq(info->os, "linux");
  ck_assert_str_eq(info->arch, "x86_64");
  ck_assert_str_eq(info->hostname, "testhost");
  ck_assert_str_eq(info->software, "test-peer 1");
  ck_assert_uint_eq(info->n_labels, 1);
  ck_assert_str_eq(info->labels[0].key, "role");
  ck_assert_str_eq(info->labels[0].value, "db");
  ck_assert_uint_eq(info->n_capabilities, 3);
  ck_assert_ptr_null(info->capabilities[0].off_reason);
  ck_assert_str_eq(info->capabilities[2].off_reason, "needs root");
  ck_assert_ptr_nonnull(strstr(info->address, "127.0.0.1:"));
  ck_assert_uint_eq(info->streams, 0);
  ck_assert_int_gt(info->connected_since_ns, 1600000000000000000);
  ck_assert_uint_eq(sandd_daemon_list_get(list, 1)->streams, 1);
  ck_assert_ptr_null(sandd_daemon_list_get(list, 2));
  sandd_daemon_list_free(list);
  sandd_daemon_label labels[2] = {{"role", "db"}, {"role", "web"}};
  ck_assert_int_eq(sandd_server_daemons(server, labels, 1, &list), 0);
  ck_assert_uint_eq(sandd_daemon_list_count(list), 1);
  sandd_daemon_list_free(list);
  ck_assert_int_eq(sandd_server_daemons(server, labels, 2, &list), 0);
  ck_assert_uint_eq(sandd_daemon_list_count(list), 0);
  sandd_daemon_list_free(list);
  sandd_exec_free(exec);
  test_peer_stop(db);
}
END_TEST

START_TEST(one_thread_drives_a_thousand_commands_through_a_waitset) {
  sandd_waitset *set;
  ck_assert_int_eq(sandd_waitset_new(&set, server), 0);
  static sandd_exec *execs[1000];
  for (size_t i = 0; i < 1000; i++) {
    execs[i] = open_line(server, "hang");
    ck_assert_int_eq(sandd_waitset_add(set, execs[i], SANDD_EXEC_STARTED, (void *)i), 0);
  }
  sandd_ready ready[64];
  size_t started = 0, ended = 0;
  bool seen[1000] = {false};
  while (ended < 1000) {
    int n = sandd_waitset_next(set, ready, 64, TEN_SECONDS);
    ck_assert_int_gt(n, 0);
    for (int i = 0; i < n; i++) {
      size_t index = (size_t)ready[i].user;
      ck_assert_ptr_eq(ready[i].exec, execs[index]);
      if (ready[i].bits & SANDD_EXEC_ENDED) {
        ended++;
        sandd_exec_free(execs[index]);
      } else if (!seen[index]) {
        seen[index] = true;
        started++;
        ck_assert_int_eq(sandd_exec_signal(execs[index], "TERM", 1), 0);
      }
    }
  }
  ck_assert_uint_eq(started, 1000);
  struct pollfd fd = {.fd = sandd_waitset_fd(set), .events = POLLIN};
  ck_assert_int_eq(sandd_waitset_next(set, ready, 64, 0), SANDD_E_TIMEOUT);
  ck_assert_int_eq(poll(&fd, 1, 0), 0);
  sandd_waitset_free(set);
  WAIT_FOR(stats_of(server).streams == 0);
}
END_TEST

START_TEST(a_descriptor_is_readable_until_it_was_polled) {
  sandd_exec *exec = open_line(server, "cat", .stdin_mode = SANDD_EXEC_STDIN_STREAM);
  ck_assert_int_gt(sandd_exec_wait(exec, SANDD_EXEC_STARTED, TEN_SECONDS), 0);
  struct pollfd fd = {.fd = sandd_exec_fd(exec, SANDD_EXEC_READABLE), .events = POLLIN};
  ck_assert_int_eq(poll(&fd, 1, 0), 0);
  ck_assert_int_eq((int)sandd_exec_write(exec, "abc", 3, TEN_SECONDS), 3);
  ck_assert_int_eq(poll(&fd, 1, TEN_SECONDS), 1);
  ck_assert_int_eq(poll(&fd, 1, 0), 1);
  ck_assert(sandd_exec_poll(exec) & SANDD_EXEC_READABLE);
  ck_assert_int_eq(poll(&fd, 1, 0), 0);
  ck_assert_int_eq(sandd_exec_discard(exec, SANDD_STDOUT), 0);
  ck_assert_int_eq(sandd_exec_close_stdin(exec), 0);
  WAIT_FOR(poll(&fd, 1, TEN_SECONDS) == 1 && (sandd_exec_poll(exec) & SANDD_EXEC_ENDED));
  ck_assert_int_eq(end_of(exec).status, 1);
  sandd_exec_free(exec);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("away");
  TCase *tc = tcase_create("away");
  tcase_set_timeout(tc, 60);
  tcase_add_checked_fixture(tc, setup, teardown);
  tcase_add_test(tc, a_stream_survives_cuts_whole_and_in_order);
  tcase_add_test(tc, commands_run_once_each_while_the_connection_is_cut_all_the_time);
  tcase_add_test(tc, an_unknown_daemon_is_not_found_and_a_known_one_is_away);
  tcase_add_test(tc, a_command_waits_for_the_return_of_its_daemon);
  tcase_add_test(tc, a_daemon_that_does_not_return_in_time_is_away_and_nothing_has_run);
  tcase_add_test(tc, a_command_whose_daemon_never_answers_ends_at_timeout_grace_and_five_seconds);
  tcase_add_test(tc, a_restarted_daemon_loses_the_commands_of_its_former_self);
  tcase_add_test(tc, a_second_daemon_of_the_same_name_is_refused_while_the_first_lives);
  tcase_add_test(tc, a_listing_says_who_is_there);
  tcase_add_test(tc, one_thread_drives_a_thousand_commands_through_a_waitset);
  tcase_add_test(tc, a_descriptor_is_readable_until_it_was_polled);
  suite_add_tcase(suite, tc);
  SRunner *runner = srunner_create(suite);
  srunner_run_all(runner, CK_ENV);
  int failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
