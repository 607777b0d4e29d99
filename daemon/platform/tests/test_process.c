// SPDX-License-Identifier: MIT
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/platform/tests/run.h"

START_TEST(output_and_exit_code_come_back) {
  run *r = RUN(.line = "echo out; echo err >&2; exit 3");
  ck_assert(r->started);
  ck_assert(!r->exit.signaled);
  ck_assert_uint_eq(r->exit.exit_code, 3);
  ck_assert_str_eq(r->out_bytes, "out\n");
  ck_assert_str_eq(r->err_bytes, "err\n");
  ck_assert_int_gt(r->exit.wall_ns, 0);
  ck_assert_uint_gt(r->exit.max_rss_bytes, 100000);
  run_free(r);
}
END_TEST

START_TEST(merged_stderr_comes_in_the_order_of_writing) {
  run *r = RUN(.line = "echo 1; echo 2 >&2; echo 3", .merge = true);
  ck_assert_str_eq(r->out_bytes, "1\n2\n3\n");
  ck_assert_ptr_null(r->err_bytes);
  run_free(r);
}
END_TEST

START_TEST(arguments_environment_and_output_are_8_bit_clean) {
  char all[256];
  for (int i = 1; i < 256; i++)
    all[i - 1] = (char)i;
  all[255] = 0;
  sandd_env_entry env = {{"X\xff", 2}, {all, 255}};
  run *r = RUN(.raw_argv = {{"printf", 6}, {"%s", 2}, {all, 255}}, .env = &env, .env_count = 1);
  ck_assert_uint_eq(r->out_len, 255);
  ck_assert(memcmp(r->out_bytes, all, 255) == 0);
  run_free(r);
  r = RUN(.argv = ARGV("env", "-0"), .env = &env, .env_count = 1);
  char want[300];
  memcpy(want, "X\xff=", 3);
  memcpy(want + 3, all, 256);
  bool found = false;
  for (size_t i = 0; i + 259 <= r->out_len; i++)
    found = found || memcmp(r->out_bytes + i, want, 259) == 0;
  ck_assert(found);
  run_free(r);
}
END_TEST

START_TEST(input_is_8_bit_clean_and_ends) {
  char input[100000];
  for (size_t i = 0; i < sizeof(input); i++)
    input[i] = (char)(i * 7 + i / 256);
  run *r = RUN(.argv = ARGV("cat"), .input = input, .input_len = sizeof(input));
  ck_assert_uint_eq(r->out_len, sizeof(input));
  ck_assert(memcmp(r->out_bytes, input, sizeof(input)) == 0);
  run_free(r);
}
END_TEST

START_TEST(without_stdin_it_reads_the_null_device) {
  run *r = RUN(.argv = ARGV("readlink", "/proc/self/fd/0"));
  ck_assert_str_eq(r->out_bytes, "/dev/null\n");
  run_free(r);
}
END_TEST

START_TEST(a_process_that_closes_stdin_is_told_and_not_fatal) {
  static char much[1 << 20];
  run *r = RUN(.line = "exec 0<&-; echo closed; exit 5", .input = much, .input_len = sizeof(much));
  ck_assert(r->stdin_broken);
  ck_assert_uint_eq(r->exit.exit_code, 5);
  ck_assert_str_eq(r->out_bytes, "closed\n");
  run_free(r);
}
END_TEST

START_TEST(death_by_signal_has_its_name) {
  run *r = RUN(.line = "kill -SEGV $$");
  ck_assert(r->exit.signaled);
  ck_assert_str_eq(r->exit.signal_name, "SEGV");
  run_free(r);
  r = RUN(.line = "kill -35 $$");
  ck_assert_str_eq(r->exit.signal_name, "RTMIN+1");
  run_free(r);
}
END_TEST

START_TEST(a_signal_reaches_the_process_by_name) {
  run *r = run_begin((run_options){.argv = ARGV("sleep", "1000")});
  run_until(&r->started);
  ck_assert_int_eq(sandd_process_signal(r->process, "NONSENSE", SANDD_SCOPE_PROCESS), SANDD_PLATFORM_INVALID);
  ck_assert_int_eq(sandd_process_signal(r->process, "USR1", SANDD_SCOPE_PROCESS), 0);
  run_finish(r);
  ck_assert_str_eq(r->exit.signal_name, "USR1");
  ck_assert_int_eq(sandd_process_signal(r->process, "USR1", SANDD_SCOPE_PROCESS), SANDD_PLATFORM_NOT_FOUND);
  run_free(r);
}
END_TEST

START_TEST(exit_127_is_no_failure_to_start) {
  run *r = RUN(.line = "exit 127");
  ck_assert(r->started);
  ck_assert_uint_eq(r->exit.exit_code, 127);
  run_free(r);
}
END_TEST

START_TEST(our_own_variables_are_not_inherited) {
  setenv("SANDD_TOKEN", "secret", 1);
  setenv("SERVER_URL", "ws://x", 1);
  setenv("DAEMON_ID", "x", 1);
  setenv("OTHER", "kept", 1);
  run *r = RUN(.argv = ARGV("env"), .exec_id = "the-id");
  ck_assert_ptr_null(strstr(r->out_bytes, "secret"));
  ck_assert_ptr_null(strstr(r->out_bytes, "SERVER_URL"));
  ck_assert_ptr_null(strstr(r->out_bytes, "DAEMON_ID"));
  ck_assert_ptr_nonnull(strstr(r->out_bytes, "OTHER=kept\n"));
  ck_assert_ptr_nonnull(strstr(r->out_bytes, "SANDD_EXEC=the-id\n"));
  run_free(r);
}
END_TEST

START_TEST(a_replaced_environment_is_all_there_is) {
  sandd_env_entry env[] = {{{"A", 1}, {"1", 1}}, {{"A", 1}, {"2", 1}}, {{"SANDD_EXEC", 10}, {"no", 2}}};
  run *r = RUN(.argv = ARGV("/usr/bin/env"), .env = env, .env_count = 3, .replace_env = true, .exec_id = "the-id");
  char want[200];
  snprintf(want, sizeof(want), "A=2\nSANDD_EXEC=the-id\nSANDD_DAEMON=%s\n", sandd_spawner_tag(spawner));
  ck_assert_str_eq(r->out_bytes, want);
  run_free(r);
}
END_TEST

START_TEST(a_process_without_output_keeps_the_loop_running) {
  run *r = run_begin((run_options){.line = "exec >&- 2>&-; sleep 0.1; exit 9"});
  uv_run(loop, UV_RUN_DEFAULT); // ends when nothing is left to wait for
  ck_assert(r->exited);
  ck_assert_uint_eq(r->exit.exit_code, 9);
  run_free(r);
}
END_TEST

START_TEST(freeing_at_once_leaves_nothing_behind) {
  run *r = run_begin((run_options){.argv = ARGV("sleep", "1000")});
  sandd_process_free(r->process);
  r->process = NULL;
  run_free(r);
}
END_TEST

static Suite *suite(const char *name) {
  Suite *s = suite_create(name);
  TCase *t = tcase_create("process");
  tcase_add_checked_fixture(t, run_setup, run_teardown);
  tcase_set_timeout(t, 60);
  tcase_add_test(t, output_and_exit_code_come_back);
  tcase_add_test(t, merged_stderr_comes_in_the_order_of_writing);
  tcase_add_test(t, arguments_environment_and_output_are_8_bit_clean);
  tcase_add_test(t, input_is_8_bit_clean_and_ends);
  tcase_add_test(t, without_stdin_it_reads_the_null_device);
  tcase_add_test(t, a_process_that_closes_stdin_is_told_and_not_fatal);
  tcase_add_test(t, death_by_signal_has_its_name);
  tcase_add_test(t, a_signal_reaches_the_process_by_name);
  tcase_add_test(t, exit_127_is_no_failure_to_start);
  tcase_add_test(t, our_own_variables_are_not_inherited);
  tcase_add_test(t, a_replaced_environment_is_all_there_is);
  tcase_add_test(t, a_process_without_output_keeps_the_loop_running);
  tcase_add_test(t, freeing_at_once_leaves_nothing_behind);
  suite_add_tcase(s, t);
  return s;
}

int main(void) {
  int failed = 0;
  for (int mode = 0; mode < 4; mode++) {
    char name[64];
    run_plain = mode & 1;
    run_adopt = mode & 2;
    snprintf(name, sizeof(name), "process%s%s", run_plain ? ", plain" : "", run_adopt ? ", adopting" : "");
    SRunner *runner = srunner_create(suite(name));
    srunner_run_all(runner, CK_NORMAL);
    failed += srunner_ntests_failed(runner);
    srunner_free(runner);
  }
  return failed == 0 ? 0 : 1;
}
