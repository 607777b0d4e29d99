// SPDX-License-Identifier: MIT
// Execs end to end over a real socket, with the test peer as daemon.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

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

static void output_is(sandd_exec *exec, int channel, const char *text) {
  const uint8_t *data;
  size_t len, skip_at;
  ck_assert_int_eq(sandd_exec_output(exec, channel, &data, &len, &skip_at), 0);
  ck_assert_uint_eq(len, strlen(text));
  ck_assert_mem_eq(data, text, len);
  ck_assert_uint_eq(skip_at, len);
}

START_TEST(a_collected_command_gives_its_output_and_exit_code) {
  sandd_exec *exec = open_line(server, "echo hello", .collect = true);
  sandd_exec_result r = end_of(exec);
  ck_assert_int_eq(r.error, 0);
  ck_assert_int_eq(r.status, 1);
  ck_assert(r.started && r.exited && r.ended && !r.truncated && r.may_have_run);
  ck_assert_uint_eq(r.exit_code, 0);
  ck_assert_str_eq(r.signal, "");
  ck_assert_uint_eq(r.pid, 4711);
  output_is(exec, SANDD_STDOUT, "hello");
  output_is(exec, SANDD_STDERR, "");
  sandd_exec_free(exec);
}
END_TEST

START_TEST(an_exit_code_and_stderr_arrive) {
  sandd_exec *exec = open_line(server, "exit 7", .collect = true);
  ck_assert_uint_eq(end_of(exec).exit_code, 7);
  sandd_exec_free(exec);
  exec = open_line(server, "err oops", .collect = true);
  end_of(exec);
  output_is(exec, SANDD_STDERR, "oops");
  sandd_exec_free(exec);
}
END_TEST

START_TEST(a_failed_start_is_a_status_and_certainly_did_not_run) {
  sandd_exec *exec = open_line(server, "fail ENOENT", .collect = true);
  sandd_exec_result r = end_of(exec);
  ck_assert_int_eq(r.status, 5);
  ck_assert_str_eq(r.errno_name, "ENOENT");
  ck_assert_str_eq(r.text, "refused");
  ck_assert(!r.started && !r.may_have_run && !r.exited);
  sandd_exec_free(exec);
}
END_TEST

START_TEST(an_end_without_an_exit_is_no_success) {
  sandd_exec *exec = open_line(server, "nothing", .collect = true);
  sandd_exec_result r = end_of(exec);
  ck_assert_int_eq(r.status, 12);
  ck_assert(r.truncated && !r.exited);
  sandd_exec_free(exec);
}
END_TEST

START_TEST(a_streamed_megabyte_comes_whole_and_in_order) {
  sandd_exec *exec = open_line(server, "count 9000000");
  char *data;
  size_t len;
  ck_assert_int_eq(read_all(exec, SANDD_STDOUT, &data, &len), SANDD_READ_END);
  ck_assert_uint_eq(len, 9000000);
  for (size_t i = 0; i < len; i++)
    if ((uint8_t)data[i] != i % 251)
      ck_abort_msg("wrong byte at %zu", i);
  free(data);
  ck_assert_int_eq(end_of(exec).status, 1);
  sandd_exec_free(exec);
}
END_TEST

START_TEST(output_above_the_bound_is_truncated_and_does_not_block_the_command) {
  sandd_exec *exec = open_line(server, "count 3000000", .collect = true, .max_output = 100000);
  sandd_exec_result r = end_of(exec);
  ck_assert(r.truncated && r.exited);
  ck_assert_uint_eq(r.stdout_skipped, 2900000);
  const uint8_t *data;
  size_t len, skip_at;
  ck_assert_int_eq(sandd_exec_output(exec, SANDD_STDOUT, &data, &len, &skip_at), 0);
  ck_assert_uint_eq(len, 100000);
  sandd_exec_free(exec);
}
END_TEST

START_TEST(input_goes_inline_or_streamed_by_its_size) {
  static const size_t sizes[] = {0, 1, 65536, 65537, 3000000};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    char *input = malloc(sizes[i] + 1);
    for (size_t at = 0; at < sizes[i]; at++)
      input[at] = (char)(at * 7);
    sandd_exec *exec =
        open_line(server, "cat", .collect = true, .stdin_mode = SANDD_EXEC_STDIN_INPUT, .input = {input, sizes[i]});
    ck_assert_int_eq(end_of(exec).status, 1);
    const uint8_t *data;
    size_t len;
    ck_assert_int_eq(sandd_exec_output(exec, SANDD_STDOUT, &data, &len, NULL), 0);
    ck_assert_uint_eq(len, sizes[i]);
    ck_assert(memcmp(data, input, len) == 0);
    sandd_exec_free(exec);
    free(input);
  }
}
END_TEST

START_TEST(stdin_is_written_read_back_and_closed) {
  sandd_exec *exec = open_line(server, "cat", .stdin_mode = SANDD_EXEC_STDIN_STREAM);
  char buf[64];
  uint64_t len;
  for (int i = 0; i < 100; i++) {
    int n = snprintf(buf, sizeof buf, "line %d\n", i);
    ck_assert_int_eq(sandd_exec_write(exec, buf, (size_t)n, TEN_SECONDS), n);
    char back[64];
    ck_assert_int_eq(sandd_exec_read(exec, SANDD_STDOUT, back, sizeof back, &len, TEN_SECONDS), SANDD_READ_DATA);
    ck_assert_uint_eq(len, n);
    ck_assert_mem_eq(back, buf, len);
  }
  ck_assert_int_eq(sandd_exec_read(exec, SANDD_STDOUT, buf, sizeof buf, &len, 0), SANDD_E_TIMEOUT);
  ck_assert_int_eq(sandd_exec_close_stdin(exec), 0);
  ck_assert_int_eq(sandd_exec_close_stdin(exec), 0);
  ck_assert_int_eq(sandd_exec_read(exec, SANDD_STDOUT, buf, sizeof buf, &len, TEN_SECONDS), SANDD_READ_END);
  ck_assert_int_eq(end_of(exec).status, 1);
  ck_assert_int_eq((int)sandd_exec_write(exec, "x", 1, 0), SANDD_E_CLOSED);
  sandd_exec_free(exec);
}
END_TEST

START_TEST(a_reader_that_stops_holds_the_writer) {
  sandd_exec *exec = open_line(server, "count 200000000");
  ck_assert_int_gt(sandd_exec_wait(exec, SANDD_EXEC_READABLE, TEN_SECONDS), 0);
  pause_a_little();
  ck_assert_uint_le(stats_of(server).recv_bytes, 1 << 20);
  sandd_exec_free(exec);
  WAIT_FOR(test_peer_resets(peer) == 1);
}
END_TEST

START_TEST(a_signal_ends_it_and_has_a_name) {
  sandd_exec *exec = open_line(server, "hang");
  ck_assert_int_gt(sandd_exec_wait(exec, SANDD_EXEC_STARTED, TEN_SECONDS), 0);
  ck_assert_int_eq(sandd_exec_wait(exec, SANDD_EXEC_EXITED, 1), SANDD_E_TIMEOUT);
  ck_assert_int_eq(sandd_exec_signal(exec, "TERM", SANDD_SIGNAL_TREE), 0);
  sandd_exec_result r = end_of(exec);
  ck_assert_str_eq(r.signal, "TERM");
  ck_assert_int_eq(sandd_exec_signal(exec, "TERM", SANDD_SIGNAL_TREE), 0);
  ck_assert_int_eq(sandd_exec_signal(exec, "nonsense!", 1), SANDD_E_INVALID);
  sandd_exec_free(exec);
}
END_TEST

START_TEST(a_cancel_ends_it_here_at_once_and_over_there) {
  sandd_exec *exec = open_line(server, "hang");
  ck_assert_int_gt(sandd_exec_wait(exec, SANDD_EXEC_STARTED, TEN_SECONDS), 0);
  ck_assert_int_eq(sandd_exec_cancel(exec), 0);
  sandd_exec_result r = end_of(exec);
  ck_assert_int_eq(r.status, 2);
  ck_assert_int_eq(r.error, 0);
  WAIT_FOR(test_peer_resets(peer) == 1);
  sandd_exec_free(exec);
}
END_TEST

START_TEST(a_detached_command_is_not_reset) {
  sandd_exec *exec = open_line(server, "hang");
  ck_assert_int_eq(sandd_exec_detach(exec), 0);
  sandd_exec_result r = end_of(exec);
  ck_assert(r.detached && !r.exited && r.status == 1);
  sandd_exec_free(exec);
  ck_assert_uint_eq(test_peer_resets(peer), 0);
}
END_TEST

static void *many(void *user) {
  size_t *failures = user;
  for (int i = 0; i < 100; i++) {
    char line[64];
    int n = snprintf(line, sizeof line, "echo %p %d", user, i);
    sandd_exec *exec = open_line(server, line, .collect = true, .timeout_ns = 10000000000);
    const uint8_t *data;
    size_t len;
    int rc = sandd_exec_wait(exec, SANDD_EXEC_ENDED, TEN_SECONDS);
    if (rc <= 0 || sandd_exec_output(exec, SANDD_STDOUT, &data, &len, NULL) != 0 || len != (size_t)n - 5 ||
        memcmp(data, line + 5, len) != 0)
      ++*failures;
    sandd_exec_free(exec);
  }
  return NULL;
}

START_TEST(sixty_four_threads_may_call_one_server) {
  pthread_t threads[64];
  size_t failures[64] = {0};
  for (int i = 0; i < 64; i++)
    ck_assert_int_eq(pthread_create(&threads[i], NULL, many, &failures[i]), 0);
  for (int i = 0; i < 64; i++) {
    pthread_join(threads[i], NULL);
    ck_assert_uint_eq(failures[i], 0);
  }
}
END_TEST

START_TEST(what_the_daemon_can_not_do_is_told_before_anything_is_sent) {
  test_peer *plain = test_peer_start(.port = sandd_server_port(server), .id = "plain", .without_user = true);
  ck_assert_int_eq(sandd_server_wait_daemon(server, "plain", TEN_SECONDS), 0);
  sandd_exec *exec;
  sandd_failure failure;
  sandd_exec_config config = {
      .size = sizeof config, .daemon_id = "plain", .shell_line = {"hang", 4}, .user_name = "nobody"};
  ck_assert_int_eq(sandd_exec_open(&exec, server, &config, &failure), SANDD_E_UNSUPPORTED);
  ck_assert_str_eq(failure.text, "daemon plain can't run as another user: needs root");
  ck_assert_ptr_null(exec);
  config.user_name = NULL;
  config.pty_rows = config.pty_cols = 10;
  ck_assert_int_eq(sandd_exec_open(&exec, server, &config, &failure), SANDD_E_UNSUPPORTED);
  ck_assert_str_eq(failure.text, "daemon plain can't run a command on a terminal: its version does not offer it");
  test_peer_stop(plain);
}
END_TEST

START_TEST(arguments_that_make_no_sense_are_refused_with_a_sentence) {
  sandd_bytes good = {"a", 1}, zero = {"a\0b", 3};
  sandd_env_var bad_env = {.name = {"A=B", 3}, .value = {"", 0}};
  sandd_exec_config base = {.size = sizeof base, .daemon_id = "worker"};
  sandd_exec_config cases[12];
  for (size_t i = 0; i < 12; i++)
    cases[i] = base;
  cases[1].argv = &good, cases[1].n_argv = 1, cases[1].shell_line = good;
  cases[2].shell_line = zero;
  cases[3].argv = &zero, cases[3].n_argv = 1;
  cases[4].shell_line = good, cases[4].env = &bad_env, cases[4].n_env = 1;
  cases[5].shell_line = good, cases[5].cwd = zero;
  cases[6].shell_line = good, cases[6].exec_id = "with space";
  cases[7].mode = SANDD_EXEC_ATTACH;
  cases[8].shell_line = good, cases[8].timeout_ns = -1;
  cases[9].shell_line = good, cases[9].pty_rows = 5;
  cases[10].shell_line = good, cases[10].user_name = "\xff";
  cases[11].shell_line = good, cases[11].input = good, cases[11].stdin_mode = SANDD_EXEC_STDIN_STREAM;
  for (size_t i = 0; i < 12; i++) {
    sandd_exec *exec;
    sandd_failure failure = {0};
    ck_assert_int_eq(sandd_exec_open(&exec, server, &cases[i], &failure), SANDD_E_INVALID);
    ck_assert_str_ne(failure.text, "");
  }
}
END_TEST

int main(void) {
  Suite *suite = suite_create("exec");
  TCase *tc = tcase_create("exec");
  tcase_set_timeout(tc, 60);
  tcase_add_checked_fixture(tc, setup, teardown);
  tcase_add_test(tc, a_collected_command_gives_its_output_and_exit_code);
  tcase_add_test(tc, an_exit_code_and_stderr_arrive);
  tcase_add_test(tc, a_failed_start_is_a_status_and_certainly_did_not_run);
  tcase_add_test(tc, an_end_without_an_exit_is_no_success);
  tcase_add_test(tc, a_streamed_megabyte_comes_whole_and_in_order);
  tcase_add_test(tc, output_above_the_bound_is_truncated_and_does_not_block_the_command);
  tcase_add_test(tc, input_goes_inline_or_streamed_by_its_size);
  tcase_add_test(tc, stdin_is_written_read_back_and_closed);
  tcase_add_test(tc, a_reader_that_stops_holds_the_writer);
  tcase_add_test(tc, a_signal_ends_it_and_has_a_name);
  tcase_add_test(tc, a_cancel_ends_it_here_at_once_and_over_there);
  tcase_add_test(tc, a_detached_command_is_not_reset);
  tcase_add_test(tc, sixty_four_threads_may_call_one_server);
  tcase_add_test(tc, what_the_daemon_can_not_do_is_told_before_anything_is_sent);
  tcase_add_test(tc, arguments_that_make_no_sense_are_refused_with_a_sentence);
  suite_add_tcase(suite, tc);
  SRunner *runner = srunner_create(suite);
  srunner_run_all(runner, CK_ENV);
  int failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
