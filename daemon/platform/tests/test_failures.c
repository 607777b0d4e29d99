// SPDX-License-Identifier: MIT
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/platform/tests/run.h"

static char dir[64];

static void setup(void) {
  strcpy(dir, "/tmp/sandd-test-XXXXXX");
  ck_assert_ptr_nonnull(mkdtemp(dir));
  run_setup();
}

static void teardown(void) {
  run_teardown();
  ck_assert_int_eq(rmdir(dir), 0);
}

static const char *write_file(const char *name, const char *text, mode_t mode) {
  static char path[128];
  snprintf(path, sizeof(path), "%s/%s", dir, name);
  FILE *f = fopen(path, "we");
  fputs(text, f);
  fclose(f);
  chmod(path, mode);
  return path;
}

static void fails(run *r, int kind, sandd_platform_at at, const char *name, const char *message) {
  ck_assert(r->failed);
  ck_assert_int_eq(r->error.kind, kind);
  ck_assert_int_eq(r->error.at, at);
  ck_assert_str_eq(r->error.errno_name, name);
  ck_assert_msg(strstr(r->error.message, message) != NULL, "'%s' does not say '%s'", r->error.message, message);
  run_free(r);
}

START_TEST(a_missing_program_is_not_found) {
  fails(RUN(.argv = ARGV("no-such-thing")), SANDD_PLATFORM_NOT_FOUND, SANDD_PLATFORM_AT_PROGRAM, "ENOENT",
        "no such program: no-such-thing");
  fails(RUN(.argv = ARGV("/no/such\x01thing")), SANDD_PLATFORM_NOT_FOUND, SANDD_PLATFORM_AT_PROGRAM, "ENOENT",
        "no such program: /no/such\\x01thing");
  fails(RUN(.argv = ARGV("/dev/null/x")), SANDD_PLATFORM_NOT_FOUND, SANDD_PLATFORM_AT_PROGRAM, "ENOTDIR",
        "no such program");
  fails(RUN(.argv = ARGV("")), SANDD_PLATFORM_NOT_FOUND, SANDD_PLATFORM_AT_PROGRAM, "ENOENT", "no such program");
}
END_TEST

START_TEST(a_failed_start_is_told_at_once) {
  uint64_t fastest = UINT64_MAX;
  for (int i = 0; i < 50; i++) {
    uint64_t begin = uv_hrtime();
    run *r = run_begin((run_options){.argv = ARGV("/no/such/thing")});
    while (!r->failed)
      uv_run(loop, UV_RUN_ONCE);
    uint64_t took = uv_hrtime() - begin;
    fastest = took < fastest ? took : fastest;
    run_free(r);
  }
  const char *slowness = getenv("CK_TIMEOUT_MULTIPLIER");
  ck_assert_uint_lt(fastest, 1000000u * (uint64_t)(slowness != NULL ? atoi(slowness) : 1)); // before any timer
}
END_TEST

START_TEST(a_file_that_is_no_program_is_denied) {
  const char *path = write_file("plain", "x", 0644);
  fails(RUN(.argv = ARGV(path)), SANDD_PLATFORM_PERMISSION_DENIED, SANDD_PLATFORM_AT_PROGRAM, "EACCES", "plain");
  unlink(path);
  fails(RUN(.argv = ARGV("/tmp")), SANDD_PLATFORM_PERMISSION_DENIED, SANDD_PLATFORM_AT_PROGRAM, "EACCES", "/tmp");
}
END_TEST

START_TEST(a_denied_file_early_in_the_path_hides_nothing_later) {
  const char *path = write_file("true", "x", 0644);
  char value[100];
  snprintf(value, sizeof(value), "%s:/bin", dir);
  sandd_env_entry env = {{"PATH", 4}, {value, strlen(value)}};
  run *r = RUN(.argv = ARGV("true"), .env = &env, .env_count = 1);
  ck_assert(r->started);
  run_free(r);
  env.value.len = strlen(dir);
  fails(RUN(.argv = ARGV("true"), .env = &env, .env_count = 1), SANDD_PLATFORM_PERMISSION_DENIED,
        SANDD_PLATFORM_AT_PROGRAM, "EACCES", "true");
  unlink(path);
}
END_TEST

START_TEST(the_childs_own_path_is_searched) {
  const char *path = write_file("only-here", "#!/bin/sh\necho found $1\n", 0755);
  sandd_env_entry env = {{"PATH", 4}, {dir, strlen(dir)}};
  run *r = RUN(.argv = ARGV("only-here", "it"), .env = &env, .env_count = 1);
  ck_assert(r->started);
  ck_assert_str_eq(r->out_bytes, "found it\n");
  run_free(r);
  unlink(path);
}
END_TEST

START_TEST(a_script_without_a_first_line_runs_in_the_shell) {
  const char *path = write_file("bare", "echo \"$0 $1\"\n", 0755);
  run *r = RUN(.argv = ARGV(path, "arg"));
  ck_assert(r->started);
  char want[200];
  snprintf(want, sizeof(want), "%s arg\n", path);
  ck_assert_str_eq(r->out_bytes, want);
  run_free(r);
  unlink(path);
}
END_TEST

START_TEST(a_missing_interpreter_is_told_apart) {
  const char *path = write_file("script", "#!/no/such/interpreter\n", 0755);
  fails(RUN(.argv = ARGV(path)), SANDD_PLATFORM_NOT_FOUND, SANDD_PLATFORM_AT_PROGRAM, "ENOENT", "interpreter");
  unlink(path);
}
END_TEST

START_TEST(arguments_that_are_too_long_are_invalid) {
  size_t len = 4 << 20;
  char *huge = malloc(len + 1);
  memset(huge, 'x', len);
  huge[len] = 0;
  fails(RUN(.argv = ARGV("echo", huge)), SANDD_PLATFORM_INVALID, SANDD_PLATFORM_AT_PROGRAM, "E2BIG", "too long");
  free(huge);
}
END_TEST

START_TEST(a_zero_byte_is_invalid) {
  fails(RUN(.raw_argv = {{"echo", 4}, {"a\0b", 3}}), SANDD_PLATFORM_INVALID, SANDD_PLATFORM_AT_REQUEST, "",
        "zero byte");
  sandd_env_entry env = {{"A=B", 3}, {"x", 1}};
  fails(RUN(.argv = ARGV("true"), .env = &env, .env_count = 1), SANDD_PLATFORM_INVALID, SANDD_PLATFORM_AT_REQUEST, "",
        "variable");
}
END_TEST

START_TEST(the_working_directory_is_entered) {
  run *r = RUN(.argv = ARGV("pwd"), .cwd = dir);
  ck_assert_int_eq(strncmp(r->out_bytes, dir, strlen(dir)), 0);
  run_free(r);
}
END_TEST

START_TEST(a_working_directory_that_fails_says_how) {
  fails(RUN(.argv = ARGV("pwd"), .cwd = "/no/such"), SANDD_PLATFORM_NOT_FOUND, SANDD_PLATFORM_AT_CWD, "ENOENT",
        "working directory /no/such: no such directory");
  fails(RUN(.argv = ARGV("pwd"), .cwd = "/dev/null"), SANDD_PLATFORM_INVALID, SANDD_PLATFORM_AT_CWD, "ENOTDIR",
        "working directory /dev/null: not a directory");
}
END_TEST

START_TEST(an_unknown_user_is_not_found) {
  fails(RUN(.argv = ARGV("true"), .user = "no-such-user"), SANDD_PLATFORM_NOT_FOUND, SANDD_PLATFORM_AT_USER, "",
        "no such user: no-such-user");
}
END_TEST

START_TEST(root_may_become_another_user) {
  if (getuid() != 0)
    return;
  run *r = RUN(.line = "id -un; id -G; echo $USER $LOGNAME; pwd", .user = "nobody", .cwd = "/");
  ck_assert_msg(r->started, "%s", r->error.message);
  ck_assert_str_eq(r->out_bytes, "nobody\n65534\nnobody nobody\n/\n");
  run_free(r);
  r = RUN(.line = "id -u; id -g; id -G; pwd; echo $HOME", .has_uid = true, .uid = 54321);
  ck_assert_msg(r->started, "%s", r->error.message);
  ck_assert_str_eq(r->out_bytes, "54321\n54321\n54321\n/\n/\n");
  run_free(r);
  chmod(dir, 0700);
  fails(RUN(.argv = ARGV("true"), .user = "nobody", .cwd = dir), SANDD_PLATFORM_PERMISSION_DENIED,
        SANDD_PLATFORM_AT_CWD, "EACCES", "permission denied");
}
END_TEST

START_TEST(nobody_may_not_become_root) {
  if (getuid() == 0) {
    // The test itself goes over to nobody; the directory is then gone for it, but not the fork that runs it.
    ck_assert_int_eq(setgid(65534), 0);
    ck_assert_int_eq(setuid(65534), 0);
  }
  fails(RUN(.argv = ARGV("true"), .has_uid = true, .uid = 0), SANDD_PLATFORM_PERMISSION_DENIED, SANDD_PLATFORM_AT_USER,
        "EPERM", "may not run commands as another user");
}
END_TEST

START_TEST(no_descriptor_left_is_a_lack_of_resources) {
  int fds[30000], count = 0;
  while (count < 30000 && (fds[count] = dup(0)) >= 0)
    count++;
  run *r = run_begin((run_options){.argv = ARGV("true")});
  ck_assert(r->failed);
  ck_assert_int_eq(r->error.kind, SANDD_PLATFORM_RESOURCE);
  ck_assert_str_eq(r->error.errno_name, "EMFILE");
  while (count > 0)
    close(fds[--count]);
  run_free(r);
  r = RUN(.argv = ARGV("true"));
  ck_assert(r->started);
  run_free(r);
}
END_TEST

static Suite *suite(const char *name) {
  Suite *s = suite_create(name);
  TCase *t = tcase_create("failures"), *u = tcase_create("as nobody");
  tcase_add_checked_fixture(t, setup, teardown);
  tcase_add_checked_fixture(u, run_setup, run_teardown);
  tcase_set_timeout(t, 60);
  tcase_add_test(t, a_missing_program_is_not_found);
  tcase_add_test(t, a_failed_start_is_told_at_once);
  tcase_add_test(t, a_file_that_is_no_program_is_denied);
  tcase_add_test(t, a_denied_file_early_in_the_path_hides_nothing_later);
  tcase_add_test(t, the_childs_own_path_is_searched);
  tcase_add_test(t, a_script_without_a_first_line_runs_in_the_shell);
  tcase_add_test(t, a_missing_interpreter_is_told_apart);
  tcase_add_test(t, arguments_that_are_too_long_are_invalid);
  tcase_add_test(t, a_zero_byte_is_invalid);
  tcase_add_test(t, the_working_directory_is_entered);
  tcase_add_test(t, a_working_directory_that_fails_says_how);
  tcase_add_test(t, an_unknown_user_is_not_found);
  tcase_add_test(t, root_may_become_another_user);
  tcase_add_test(t, no_descriptor_left_is_a_lack_of_resources);
  tcase_add_test(u, nobody_may_not_become_root);
  suite_add_tcase(s, t);
  suite_add_tcase(s, u);
  return s;
}

int main(void) {
  int failed = 0;
  for (int adopt = 0; adopt < 2; adopt++) {
    run_adopt = adopt;
    SRunner *runner = srunner_create(suite(adopt ? "failures, adopting" : "failures"));
    srunner_run_all(runner, CK_NORMAL);
    failed += srunner_ntests_failed(runner);
    srunner_free(runner);
  }
  return failed == 0 ? 0 : 1;
}
