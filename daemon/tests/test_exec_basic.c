// SPDX-License-Identifier: MIT
// Commands on a real daemon over loopback: what they are given, what they say, how they end.
#include <stdio.h>
#include <unistd.h>

#include "peer.h"
#include "suite.h"

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})

static void expect_output(peer *p, const run *what, const char *expected) {
  char *out = NULL;
  ck_assert_int_eq(call_run(p, what, &out), 0);
  ck_assert_str_eq(out, expected);
  free(out);
}
#define EXPECT(p, expected, ...) expect_output(p, &(run){__VA_ARGS__}, expected)

START_TEST(a_command_is_answered_with_its_output_and_exit_code) {
  peer *p = PEER(0);
  call *c = RUN(p, .sh = "echo out; echo err >&2; exit 3");
  call_wait(c);
  ck_assert_int_eq(c->status, SANDD_CODE(OK));
  ck_assert_int_eq(c->exit_code, 3);
  ck_assert_int_eq(c->reason, SANDD__V1__EXIT_REASON__EXIT_REASON_OWN);
  ck_assert_str_eq(call_text(c, 2), "out\n");
  ck_assert_str_eq(call_text(c, 3), "err\n");
  ck_assert_str_eq(c->order, "SXOO.");
  ck_assert_int_gt(c->pid, 0);
  ck_assert_int_gt(c->wall_ns, 0);
  ck_assert_int_eq(strlen(c->exec_id), 32);
  ck_assert(!c->attached && !c->has_stdin);
  call_free(c);
  peer_free(p);
}
END_TEST

START_TEST(exit_codes_127_and_255_are_the_programs_own) {
  peer *p = PEER(0);
  ck_assert_int_eq(call_run(p, &(run){.sh = "exit 127"}, NULL), 127);
  ck_assert_int_eq(call_run(p, &(run){.sh = "exit 255"}, NULL), 255);
  ck_assert_int_eq(call_run(p, &(run){.sh = "no-such-program-here 2>/dev/null"}, NULL), 127);
  peer_free(p);
}
END_TEST

START_TEST(death_by_a_signal_is_named) {
  peer *p = PEER(0);
  call *c = RUN(p, .sh = "kill -SEGV $$");
  call_wait(c);
  ck_assert_int_eq(c->status, SANDD_CODE(OK));
  ck_assert_str_eq(c->exit_signal, "SEGV");
  ck_assert_int_eq(c->exit_code, -1);
  ck_assert_int_eq(c->reason, SANDD__V1__EXIT_REASON__EXIT_REASON_OWN);
  call_free(c);
  peer_free(p);
}
END_TEST

START_TEST(arguments_environment_and_output_are_eight_bit_clean) {
  peer *p = PEER(0);
  EXPECT(p, "[a b][\xff\x01\n][]", .argv = LIST("printf", "[%s]", "a b", "\xff\x01\n", ""));
  EXPECT(p, "\xfe\xffz", .sh = "printf %s \"$V\"", .env = LIST("V=\xfe\xffz"));
  EXPECT(p, "", .sh = "");
  call *c = RUN(p, .sh = "printf 'a\\000b'");
  call_wait(c);
  ck_assert_int_eq(c->out[2].len, 3);
  ck_assert_mem_eq(c->out[2].data, "a\0b", 3);
  call_free(c);
  peer_free(p);
}
END_TEST

START_TEST(variables_are_added_or_replace_all_and_the_last_of_a_name_wins) {
  peer *p = PEER(.variables = LIST("FROM_DAEMON=yes"));
  EXPECT(p, "yes-2", .sh = "printf %s \"$FROM_DAEMON-$V\"", .env = LIST("V=1", "V=2"));
  EXPECT(p, "none-2", .sh = "printf %s \"${FROM_DAEMON-none}-$V\"", .env = LIST("V=2"), .replace_env = true);
  peer_free(p);
}
END_TEST

START_TEST(a_command_sees_no_variable_and_no_token_of_the_daemon) {
  char path[] = "/tmp/sandd-token-XXXXXX";
  int fd = mkstemp(path);
  ck_assert_int_eq(write(fd, "sesame\n", 7), 7);
  close(fd);
  char variable[64];
  snprintf(variable, sizeof(variable), "SANDD_TOKEN_FILE=%s", path);
  peer *p = PEER(.token = "sesame",
                 .variables = LIST(variable, "SANDD_LABELS=a=b", "SANDD_LOG_LEVEL=debug", "SERVER_URL=ws://nowhere"));
  char *out = NULL;
  ck_assert_int_eq(call_run(p, &(run){.sh = "env; cat /proc/$PPID/environ 2>/dev/null | grep -a sesame"}, &out), 1);
  ck_assert_ptr_null(strstr(out, "SANDD_TOKEN_FILE"));
  ck_assert_ptr_null(strstr(out, "SANDD_LABELS"));
  ck_assert_ptr_null(strstr(out, "sesame"));
  free(out);
  char *log = peer_log(p);
  ck_assert_ptr_null(strstr(log, "sesame"));
  free(log);
  peer_free(p);
  unlink(path);
}
END_TEST

START_TEST(the_working_directory_is_the_one_asked_for) {
  peer *p = PEER(0);
  EXPECT(p, "/usr\n", .sh = "pwd", .cwd = "/usr");
  peer_free(p);
}
END_TEST

START_TEST(merged_stderr_comes_in_the_order_of_writing) {
  peer *p = PEER(0);
  call *c = RUN(p, .sh = "echo 1; echo 2 >&2; echo 3", .merge = true);
  call_wait(c);
  ck_assert_str_eq(call_text(c, 2), "1\n2\n3\n");
  ck_assert_str_eq(c->order, "SXO.");
  call_free(c);
  peer_free(p);
}
END_TEST

START_TEST(stdin_is_empty_unless_asked_for) {
  peer *p = PEER(0);
  EXPECT(p, "", .sh = "cat");
  EXPECT(p, "in\nline", .sh = "cat", .stdin_inline = "in\nline");
  peer_free(p);
}
END_TEST

START_TEST(stdin_flows_to_the_command_and_ends_only_when_told) {
  peer *p = PEER(0);
  call *c = RUN(p, .sh = "cat; echo end", .stdin_stream = true);
  peer_until(p, &c->started, "the start");
  ck_assert(c->has_stdin && !c->stdin_closed);
  call_write(c, "one\n", 4);
  UNTIL(p, c->out[2].len == 4);
  call_write(c, "two\n", 4);
  UNTIL(p, c->out[2].len == 8);
  ck_assert(!c->exited);
  call_close_stdin(c);
  call_wait(c);
  ck_assert_str_eq(call_text(c, 2), "one\ntwo\nend\n");
  call_free(c);
  peer_free(p);
}
END_TEST

START_TEST(megabytes_go_through_a_command_unchanged) {
  peer *p = PEER(0);
  enum { SIZE = 5 * 1000 * 1000 };
  uint8_t *data = malloc(SIZE);
  for (size_t i = 0; i < SIZE; i++) {
    data[i] = (uint8_t)(i * 7 + i / 251);
  }
  call *c = RUN(p, .argv = LIST("cat"), .stdin_stream = true);
  call_write(c, data, SIZE);
  call_close_stdin(c);
  call_wait(c);
  ck_assert_int_eq(c->status, SANDD_CODE(OK));
  ck_assert_int_eq(c->out[2].len, SIZE);
  ck_assert_mem_eq(c->out[2].data, data, SIZE);
  free(data);
  call_free(c);
  peer_free(p);
}
END_TEST

START_TEST(a_command_that_closes_stdin_early_still_succeeds) {
  peer *p = PEER(0);
  call *c = RUN(p, .sh = "head -c 1; exec 0<&-; sleep 0.2; echo done", .stdin_stream = true);
  static const uint8_t data[1 << 20];
  call_write(c, "x", 1);
  call_write(c, data, sizeof(data));
  call_close_stdin(c);
  call_wait(c);
  ck_assert_int_eq(c->status, SANDD_CODE(OK));
  ck_assert_int_eq(c->exit_code, 0);
  ck_assert_str_eq(call_text(c, 2), "xdone\n");
  call_free(c);
  peer_free(p);
}
END_TEST

static void expect_refused(peer *p, const run *what, int status, const char *errno_name, const char *says) {
  call *c = call_new(p, what);
  call_wait(c);
  ck_assert_msg(c->status == status && c->by_reset && !c->started, "status %d, wanted %d: %s", c->status, status,
                c->text);
  ck_assert_str_eq(c->errno_name, errno_name);
  ck_assert_msg(strstr(c->text, says) != NULL, "\"%s\" does not say \"%s\"", c->text, says);
  call_free(c);
}
#define REFUSED(p, status, errno_name, says, ...) \
  expect_refused(p, &(run){__VA_ARGS__}, SANDD_CODE(status), errno_name, says)

START_TEST(what_can_not_be_started_is_refused_with_a_typed_status_and_leaves_no_id) {
  peer *p = PEER(0);
  REFUSED(p, NOT_FOUND, "ENOENT", "no-such-program", .argv = LIST("no-such-program"), .id = "a");
  REFUSED(p, NOT_FOUND, "ENOENT", "/no/such/dir", .sh = "true", .cwd = "/no/such/dir", .id = "a");
  REFUSED(p, NOT_FOUND, "", "nobody-by-that-name", .sh = "true", .user = "nobody-by-that-name", .id = "a");
  REFUSED(p, PERMISSION_DENIED, "EACCES", "/etc/passwd", .argv = LIST("/etc/passwd"), .id = "a");
  REFUSED(p, UNIMPLEMENTED, "", "terminals", .sh = "true", .pty = true, .id = "a");
  REFUSED(p, NOT_FOUND, "", "no exec a", .mode = SANDD__V1__EXEC_MODE__EXEC_MODE_ATTACH, .id = "a");
  ck_assert_int_eq(call_run(p, &(run){.sh = "true", .id = "a"}, NULL), 0);
  peer_free(p);
}
END_TEST

START_TEST(another_user_needs_root) {
  peer *p = PEER(0);
  if (geteuid() == 0) {
    EXPECT(p, "65534\n", .sh = "id -u", .has_uid = true, .uid = 65534, .cwd = "/");
  } else {
    REFUSED(p, PERMISSION_DENIED, "EPERM", "", .sh = "true", .has_uid = true, .uid = geteuid() + 1);
  }
  peer_free(p);
}
END_TEST

START_TEST(requests_that_make_no_sense_are_refused) {
  peer *p = PEER(0);
  REFUSED(p, INVALID_ARGUMENT, "", "no command", .id = "x");
  REFUSED(p, INVALID_ARGUMENT, "", "no spec", .spec_none = true);
  REFUSED(p, INVALID_ARGUMENT, "", "mode", .sh = "true", .mode = 9);
  REFUSED(p, INVALID_ARGUMENT, "", "role", .sh = "true", .role = 9);
  REFUSED(p, FAILED_PRECONDITION, "", "terminal", .sh = "true", .role = SANDD__V1__EXEC_ROLE__EXEC_ROLE_SHARE);
  peer_free(p);
}
END_TEST

START_TEST(a_command_has_three_descriptors) {
  peer *p = PEER(0);
  EXPECT(p, "0 1 2 3 ", .argv = LIST("sh", "-c", "for f in $(ls /proc/self/fd); do printf '%s ' $f; done"));
  peer_free(p);
}
END_TEST

static int count_descriptors(pid_t pid) {
  char command[96];
  int count = 0;
  snprintf(command, sizeof(command), "ls /proc/%d/fd 2>/dev/null | wc -l", pid);
  FILE *pipe = popen(command, "r");
  ck_assert_ptr_nonnull(pipe);
  ck_assert_int_eq(fscanf(pipe, "%d", &count), 1);
  pclose(pipe);
  return count;
}

START_TEST(many_commands_leave_no_descriptor_and_no_zombie) {
  peer *p = PEER(0);
  pid_t daemon = peer_inner(p);
  for (int i = 0; i < 20; i++) {
    call_run(p, &(run){.sh = "echo x", .stdin_stream = true}, NULL);
  }
  int before = count_descriptors(daemon);
  for (int i = 0; i < 60; i++) {
    call_run(p, &(run){.sh = "sleep 0 & echo x", .stdin_stream = i % 2}, NULL);
  }
  UNTIL(p, count_descriptors(daemon) <= before);
  EXPECT(p, "0\n", .sh = "cat /proc/[0-9]*/stat 2>/dev/null | awk -v d=$PPID '$3 == \"Z\" && $4 == d' | wc -l");
  peer_free(p);
}
END_TEST

static uint64_t run_a_thousand(peer *p) {
  enum { COUNT = 1000 };
  static call *calls[COUNT];
  uint64_t begin = peer_now();
  for (int i = 0; i < COUNT; i++) {
    calls[i] = RUN(p, .argv = LIST("sleep", "1"));
  }
  for (int i = 0; i < COUNT; i++) {
    call_wait(calls[i]);
    ck_assert_int_eq(calls[i]->exit_code, 0);
  }
  uint64_t took = peer_now() - begin;
  for (int i = 0; i < COUNT; i++) {
    call_free(calls[i]);
  }
  return took;
}

START_TEST(a_thousand_commands_at_once_do_not_wait_for_each_other) {
  peer *p = PEER(0);
  const char *multiplier = getenv("CK_TIMEOUT_MULTIPLIER");
  uint64_t slower = multiplier && atoi(multiplier) > 1 ? (uint64_t)atoi(multiplier) : 1;
  uint64_t took = UINT64_MAX;
  for (int i = 0; i < 4 && took >= 3000000 * slower; i++) { // other tests may have the machine just now
    took = run_a_thousand(p);
  }
  ck_assert_msg(took < 3000000 * slower, "took %.2f s", (double)took / 1e6);
  peer_free(p);
}
END_TEST

SUITE("exec-basic", 60, a_command_is_answered_with_its_output_and_exit_code,
      exit_codes_127_and_255_are_the_programs_own, death_by_a_signal_is_named,
      arguments_environment_and_output_are_eight_bit_clean,
      variables_are_added_or_replace_all_and_the_last_of_a_name_wins,
      a_command_sees_no_variable_and_no_token_of_the_daemon, the_working_directory_is_the_one_asked_for,
      merged_stderr_comes_in_the_order_of_writing, stdin_is_empty_unless_asked_for,
      stdin_flows_to_the_command_and_ends_only_when_told, megabytes_go_through_a_command_unchanged,
      a_command_that_closes_stdin_early_still_succeeds,
      what_can_not_be_started_is_refused_with_a_typed_status_and_leaves_no_id, another_user_needs_root,
      requests_that_make_no_sense_are_refused, a_command_has_three_descriptors,
      many_commands_leave_no_descriptor_and_no_zombie, a_thousand_commands_at_once_do_not_wait_for_each_other)
