// SPDX-License-Identifier: MIT
// What a command gets from us, and what it must not get.
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/platform/system.h"
#include "daemon/platform/tests/run.h"

static void nothing(int number) {
  (void)number;
}

START_TEST(no_descriptor_leaks_into_a_command) {
  int fds[20];
  for (int i = 0; i < 20; i++)
    fds[i] = open("/dev/null", O_RDONLY); // on purpose without close-on-exec
  run *waiting = run_begin((run_options){.line = "cat; sleep 1000", .keep_stdin = true});
  run *r = RUN(.argv = ARGV("ls", "/proc/self/fd"));
  ck_assert_str_eq(r->out_bytes, "0\n1\n2\n3\n"); // 3 is the directory that ls reads
  run_free(r);
  for (int i = 0; i < 20; i++)
    close(fds[i]);
  run_until(&waiting->started);
  sandd_process_signal(waiting->process, "KILL", SANDD_SCOPE_FOREGROUND);
  run_finish(waiting);
  run_free(waiting);
}
END_TEST

START_TEST(signals_are_as_in_a_new_world) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  sigaddset(&set, SIGRTMAX);
  sigprocmask(SIG_BLOCK, &set, NULL);
  signal(SIGHUP, SIG_IGN);
  signal(SIGRTMIN, SIG_IGN);
  sandd_spawner_free(spawner);
  sandd_spawner_config config = {.size = sizeof(config), .loop = loop, .adopt = run_adopt};
  ck_assert_int_eq(sandd_spawner_new(&spawner, &config), 0);
  signal(SIGUSR2, nothing); // handlers may come later
  run *r = RUN(.argv = ARGV("cat", "/proc/self/status"));
  ck_assert_ptr_nonnull(strstr(r->out_bytes, "SigBlk:\t0000000000000000\n"));
  ck_assert_ptr_nonnull(strstr(r->out_bytes, "SigIgn:\t0000000000000000\n"));
  ck_assert_ptr_nonnull(strstr(r->out_bytes, "SigCgt:\t0000000000000000\n"));
  run_free(r);
  sigset_t now;
  sigprocmask(SIG_SETMASK, NULL, &now);
  ck_assert(sigismember(&now, SIGUSR1) && sigismember(&now, SIGRTMAX) && !sigismember(&now, SIGTERM));
}
END_TEST

START_TEST(the_descriptor_limit_is_ours_alone) {
  struct rlimit limit;
  ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
  limit.rlim_cur = 123;
  ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
  ck_assert_uint_eq(sandd_platform_raise_fd_limit(), limit.rlim_max);
  ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
  ck_assert_uint_eq(limit.rlim_cur, limit.rlim_max);
  run *r = RUN(.line = "ulimit -Sn");
  ck_assert_str_eq(r->out_bytes, "123\n");
  run_free(r);
}
END_TEST

START_TEST(a_command_leads_its_own_session_and_group) {
  run *r = RUN(.line = "echo $$; cut -d' ' -f5,6 /proc/$$/stat");
  int pid, group, session;
  ck_assert_int_eq(sscanf(r->out_bytes, "%d %d %d", &pid, &group, &session), 3);
  ck_assert_int_eq(group, pid);
  ck_assert_int_eq(session, pid);
  ck_assert_uint_eq(sandd_process_id(r->process), (uint64_t)pid);
  run_free(r);
}
END_TEST

static bool has_byte(void *data) {
  char byte;
  size_t got;
  return sandd_pipe_read(data, &byte, 1, &got) == 0;
}

START_TEST(a_reader_that_stops_blocks_the_process_and_loses_nothing) {
  run *r = run_begin((run_options){.line = "head -c 3000000 /dev/zero; echo end"});
  run_until(&r->started);
  sandd_pipe *out = r->out;
  sandd_pipe_stop(out);
  run *other = RUN(.argv = ARGV("true")); // the loop runs on
  run_free(other);
  ck_assert(!r->exited);
  run_until_true(has_byte, out);
  sandd_process_signal(r->process, "KILL", SANDD_SCOPE_FOREGROUND);
  run_until(&r->exited);
  ck_assert_str_eq(r->exit.signal_name, "KILL"); // it was still writing
  sandd_pipe_close(out);
  r->out = NULL;
  run_finish(r);
  run_free(r);
}
END_TEST

START_TEST(a_drained_pipe_holds_nobody_up) {
  run *r = run_begin((run_options){.line = "head -c 3000000 /dev/zero && exit 6"});
  run_until(&r->started);
  sandd_pipe_drain(r->out);
  r->out = NULL;
  run_finish(r);
  ck_assert_uint_eq(r->exit.exit_code, 6);
  run_free(r);
}
END_TEST

START_TEST(a_program_that_hangs_at_its_start_stops_nobody) {
  char path[] = "/tmp/sandd-lease-XXXXXX";
  int fd = mkstemp(path);
  ck_assert_int_ge(write(fd, "#!/bin/cat\nhung\n", 16), 16);
  fchmod(fd, 0755);
  close(fd);
  signal(SIGIO, SIG_IGN);
  fd = open(path, O_RDWR | O_CLOEXEC);
  if (fcntl(fd, F_SETLEASE, F_WRLCK) != 0) { // whoever opens the file waits until we let go
    close(fd);
    unlink(path);
    return;
  }
  run *given_up = run_begin((run_options){.argv = ARGV(path)});
  run *hung = run_begin((run_options){.argv = ARGV(path)});
  for (int i = 0; i < 5; i++) {
    run *r = RUN(.argv = ARGV("cat"), .input = "x"); // its stdin ends: the hung children hold no copy of it
    ck_assert_str_eq(r->out_bytes, "x");
    run_free(r);
  }
  ck_assert(!hung->started && !hung->failed);
  run_free(given_up);
  run *stays = RUN(.argv = ARGV("true"));
  run_free(stays);
  ck_assert(!hung->started && !hung->failed);
  close(fd); // and with it the lease
  run_finish(hung);
  ck_assert_str_eq(hung->out_bytes, "#!/bin/cat\nhung\n");
  run_free(hung);
  unlink(path);
}
END_TEST

START_TEST(a_thousand_commands_run_at_once) {
  enum { COMMANDS = 1000 };
  sandd_platform_raise_fd_limit();
  static run *r[COMMANDS];
  int64_t begin = sandd_platform_boottime_ns();
  for (int i = 0; i < COMMANDS; i++)
    r[i] = run_begin((run_options){.argv = ARGV("sleep", "1")});
  int ended = 0;
  for (int i = 0; i < COMMANDS; i++) {
    run_finish(r[i]);
    ck_assert_msg(r[i]->exited, "%s", r[i]->error.message);
    ended += !r[i]->exit.signaled && r[i]->exit.exit_code == 0;
    run_free(r[i]);
  }
  ck_assert_int_eq(ended, COMMANDS);
  printf("%d commands of 1 s each took %.2f s\n", COMMANDS, (double)(sandd_platform_boottime_ns() - begin) / 1e9);
}
END_TEST

START_TEST(a_terminal_is_one) {
  sandd_pty_config pty = {.rows = 33, .cols = 77};
  run *r = RUN(.line = "test -t 0 && test -t 1 && test -t 2 && stty size && echo $TERM && tty", .pty = &pty,
               .keep_stdin = true);
  ck_assert_int_eq(strncmp(r->out_bytes, "33 77\r\nxterm-256color\r\n/dev/pts/", 32), 0);
  ck_assert_uint_eq(r->exit.exit_code, 0);
  run_free(r);
  r = run_begin((run_options){.line = "trap 'stty size; exit' WINCH; echo ready; while :; do sleep 0.01; done",
                              .pty = &pty,
                              .keep_stdin = true});
  run_until(&r->started);
  while (r->out_len == 0)
    uv_run(loop, UV_RUN_ONCE);
  ck_assert_int_eq(sandd_process_resize(r->process, 5, 6), 0);
  run_finish(r);
  ck_assert_ptr_nonnull(strstr(r->out_bytes, "5 6\r\n"));
  run_free(r);
}
END_TEST

START_TEST(a_command_of_the_same_user_cannot_read_our_environment) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return;
#endif
  if (getuid() == 0) {
    ck_assert_int_eq(setgid(65534), 0);
    ck_assert_int_eq(setuid(65534), 0);
  }
  ck_assert(sandd_platform_harden());
  run *r = RUN(.line = "cat /proc/$PPID/environ || exit 8");
  ck_assert(r->started);
  ck_assert_uint_eq(r->exit.exit_code, 8);
  ck_assert_ptr_nonnull(strstr(r->err_bytes, "ermission denied"));
  run_free(r);
  r = RUN(.argv = ARGV("cat", "/proc/self/environ")); // the command itself is as usual
  ck_assert_uint_eq(r->exit.exit_code, 0);
  run_free(r);
}
END_TEST

START_TEST(names_of_signals_go_both_ways) {
  char name[16];
  for (int n = 1; n <= SIGRTMAX; n++)
    if (n < 32 || n >= SIGRTMIN)
      ck_assert_int_eq(sandd_platform_signal_number(sandd_platform_signal_name(n, name, sizeof(name))), n);
  ck_assert_int_eq(sandd_platform_signal_number("RTMAX-1"), SIGRTMAX - 1);
  static const char *const none[] = {"",        "SIGTERM", "term",     "9",      "RTMIN+99",
                                     "RTMIN-1", "RTMIN+",  "RTMIN+1x", "RTMAX+1"};
  for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
    ck_assert_int_eq(sandd_platform_signal_number(none[i]), 0);
  for (const char *const *p = sandd_platform_signal_names(); *p != NULL; p++)
    ck_assert_int_gt(sandd_platform_signal_number(*p), 0);
}
END_TEST

START_TEST(the_machine_has_a_name) {
  sandd_platform_info info;
  sandd_platform_get_info(&info);
  ck_assert_str_eq(info.os, "linux");
  ck_assert(info.arch[0] != 0 && info.release[0] != 0 && info.hostname[0] != 0);
}
END_TEST

static Suite *suite(const char *name) {
  Suite *s = suite_create(name);
  TCase *t = tcase_create("hygiene");
  tcase_add_checked_fixture(t, run_setup, run_teardown);
  tcase_set_timeout(t, 60);
  tcase_add_test(t, no_descriptor_leaks_into_a_command);
  tcase_add_test(t, signals_are_as_in_a_new_world);
  tcase_add_test(t, the_descriptor_limit_is_ours_alone);
  tcase_add_test(t, a_command_leads_its_own_session_and_group);
  tcase_add_test(t, a_reader_that_stops_blocks_the_process_and_loses_nothing);
  tcase_add_test(t, a_drained_pipe_holds_nobody_up);
  tcase_add_test(t, a_program_that_hangs_at_its_start_stops_nobody);
  tcase_add_test(t, a_thousand_commands_run_at_once);
  tcase_add_test(t, a_terminal_is_one);
  tcase_add_test(t, a_command_of_the_same_user_cannot_read_our_environment);
  tcase_add_test(t, names_of_signals_go_both_ways);
  tcase_add_test(t, the_machine_has_a_name);
  suite_add_tcase(s, t);
  return s;
}

int main(void) {
  int failed = 0;
  for (int adopt = 0; adopt < 2; adopt++) {
    run_adopt = adopt;
    SRunner *runner = srunner_create(suite(adopt ? "hygiene, adopting" : "hygiene"));
    srunner_run_all(runner, CK_NORMAL);
    failed += srunner_ntests_failed(runner);
    srunner_free(runner);
  }
  return failed == 0 ? 0 : 1;
}
