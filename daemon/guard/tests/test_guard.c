// SPDX-License-Identifier: MIT
#include <check.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "daemon/platform/tests/marked.h"

// Descendants of every kind: plain, in sessions of their own, double-forked, deaf to TERM, without an environment.
#define EVERY_KIND                                                                              \
  "sleep $M & setsid -f sleep $M; (setsid sh -c 'trap \"\" TERM HUP; sleep $M & sleep $M' &); " \
  "(env -i setsid sleep $M &); env -i sleep $M & trap '' TERM; sleep $M"
enum { KINDS = 7 };

typedef struct {
  pid_t pid, guard, daemon;
  FILE *out;
} guarded;

static char m[64];

static void setup(void) {
  prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); // who is lost by all comes here, and is not missed
  strcpy(m, marked_new());
  setenv("M", m, 1);
}

static void teardown(void) {
  ck_assert_uint_eq(marked_count(m), 0);
}

static guarded start(const char *const *argv, bool ignore_hup) {
  int fds[2];
  ck_assert_int_eq(pipe(fds), 0);
  guarded g = {.pid = fork()};
  if (g.pid == 0) {
    if (ignore_hup)
      signal(SIGHUP, SIG_IGN);
    dup2(fds[1], 1);
    close(fds[0]);
    close(fds[1]);
    execv(argv[0], (char **)(uintptr_t)argv);
    _exit(126);
  }
  close(fds[1]);
  g.out = fdopen(fds[0], "r");
  return g;
}

static long expect(guarded *g, const char *what) {
  char line[100];
  ck_assert_ptr_nonnull(fgets(line, sizeof(line), g->out));
  size_t len = strlen(what);
  ck_assert_msg(strncmp(line, what, len) == 0 && line[len] == ' ', "expected %s, got %s", what, line);
  return atol(line + len + 1);
}

static void await_count(unsigned count) {
  time_t deadline = time(NULL) + 20;
  while (count > 0 ? marked_count(m) < count : marked_count(m) > 0) {
    ck_assert_msg(time(NULL) < deadline, "%u are left", marked_count(m));
    nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
  }
}

static guarded start_command(const char *line, unsigned count) {
  guarded g = start((const char *const[]){GUARDED, line, NULL}, false);
  g.daemon = (pid_t)expect(&g, "daemon");
  g.guard = (pid_t)expect(&g, "guard");
  ck_assert_int_eq(g.guard, g.pid);
  expect(&g, "started");
  await_count(count);
  return g;
}

static int finish(guarded *g) {
  int status;
  ck_assert_int_eq(waitpid(g->pid, &status, 0), g->pid);
  fclose(g->out);
  return status;
}

START_TEST(exit_codes_pass_through) {
  static const char *const codes[] = {"0", "1", "42", "255"};
  for (int i = 0; i < 4; i++) {
    guarded g = start((const char *const[]){GUARDED, "--exit", codes[i], NULL}, false);
    int status = finish(&g);
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), atoi(codes[i]));
  }
}
END_TEST

START_TEST(death_by_signal_passes_through) {
  static const char *const numbers[] = {"6", "9", "11", "15"};
  for (int i = 0; i < 4; i++) {
    guarded g = start((const char *const[]){GUARDED, "--die", numbers[i], NULL}, false);
    int status = finish(&g);
    ck_assert(WIFSIGNALED(status));
    ck_assert_int_eq(WTERMSIG(status), atoi(numbers[i]));
  }
}
END_TEST

START_TEST(killing_the_daemon_leaves_nothing) {
  guarded g = start_command(EVERY_KIND, KINDS);
  kill(g.daemon, SIGKILL);
  int status = finish(&g); // the guard ends when all else has ended
  ck_assert_uint_eq(marked_count(m), 0);
  ck_assert(WIFSIGNALED(status));
  ck_assert_int_eq(WTERMSIG(status), SIGKILL);
}
END_TEST

START_TEST(killing_the_guard_leaves_nothing) {
  guarded g = start_command(EVERY_KIND, KINDS);
  kill(g.guard, SIGKILL);
  ck_assert_int_eq(expect(&g, "guard died"), 0);
  ck_assert_uint_eq(marked_count(m), 0);
  finish(&g);
  int status;
  ck_assert_int_eq(waitpid(g.daemon, &status, 0), g.daemon); // came to us
  ck_assert_int_eq(WEXITSTATUS(status), 9);
}
END_TEST

START_TEST(an_orderly_exit_leaves_nothing) {
  guarded g = start_command(EVERY_KIND, KINDS);
  kill(g.guard, SIGTERM);
  ck_assert_int_eq(expect(&g, "signal"), SIGTERM);
  int status = finish(&g);
  ck_assert_uint_eq(marked_count(m), 0);
  ck_assert_int_eq(WEXITSTATUS(status), 7);
}
END_TEST

START_TEST(a_fork_bomb_does_not_outlive_the_daemon) {
  guarded g = start_command("f() { for i in 1 2 3 4 5 6; do (setsid sh -c 'sleep 0.01; sleep $M' & sleep 0.01) & done; "
                            "sleep $M; }; f & f & f & sleep $M",
                            1);
  kill(g.daemon, SIGKILL);
  finish(&g);
  ck_assert_uint_eq(marked_count(m), 0);
}
END_TEST

START_TEST(signals_pass_through) {
  static const int numbers[] = {SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGQUIT, SIGWINCH, SIGCONT};
  guarded g = start_command("exec sleep $M", 1);
  for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
    kill(g.guard, numbers[i]);
    ck_assert_int_eq(expect(&g, "signal"), numbers[i]);
  }
  kill(g.guard, SIGALRM); // would end a process that did not expect it
  kill(g.guard, SIGTERM);
  ck_assert_int_eq(expect(&g, "signal"), SIGTERM);
  ck_assert_int_eq(WEXITSTATUS(finish(&g)), 7);
}
END_TEST

START_TEST(an_ignored_hangup_stays_ignored) {
  guarded g = start((const char *const[]){GUARDED, "exec sleep $M", NULL}, true);
  g.daemon = (pid_t)expect(&g, "daemon");
  g.guard = (pid_t)expect(&g, "guard");
  expect(&g, "started");
  kill(g.guard, SIGHUP);
  kill(g.guard, SIGUSR1);
  ck_assert_int_eq(expect(&g, "signal"), SIGUSR1); // no HUP before it
  kill(g.guard, SIGTERM);
  expect(&g, "signal");
  finish(&g);
}
END_TEST

static long status_field(pid_t pid, const char *name, const char *format) {
  char path[64], line[256];
  long value = -1;
  snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
  FILE *f = fopen(path, "r");
  while (f != NULL && fgets(line, sizeof(line), f) != NULL)
    if (strncmp(line, name, strlen(name)) == 0)
      sscanf(line + strlen(name), format, &value);
  if (f != NULL)
    fclose(f);
  return value;
}

START_TEST(the_guard_is_tiny_and_named_like_the_daemon) {
  guarded g = start_command("exec sleep $M", 1);
  // until it has become the small program, it is as big as the daemon
  for (time_t deadline = time(NULL) + 20; status_field(g.guard, "VmRSS:", "%ld") >= 1024; sched_yield())
    ck_assert_msg(time(NULL) < deadline, "the guard has %ld KiB", status_field(g.guard, "VmRSS:", "%ld"));
  ck_assert_int_gt(status_field(g.guard, "VmRSS:", "%ld"), 0);
  char path[64], line[256] = "";
  snprintf(path, sizeof(path), "/proc/%d/comm", (int)g.guard);
  FILE *f = fopen(path, "r");
  ck_assert_ptr_nonnull(fgets(line, sizeof(line), f));
  fclose(f);
  ck_assert_str_eq(line, "sandd\n");
  snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)g.guard);
  f = fopen(path, "r");
  ck_assert_uint_gt(fread(line, 1, sizeof(line), f), strlen(GUARDED));
  fclose(f);
  ck_assert_str_eq(line, GUARDED);
  kill(g.guard, SIGTERM);
  expect(&g, "signal");
  finish(&g);
}
END_TEST

static bool has_zombie(pid_t parent) {
  char command[200];
  snprintf(command, sizeof(command), "cat /proc/[0-9]*/stat 2>/dev/null | grep -q ') Z %d '", (int)parent);
  return system(command) == 0;
}

START_TEST(orphans_do_not_become_zombies) {
  guarded g = start_command("(sleep 0.01 & sleep 0.01 & exit) & (true & exit) & wait; exec sleep $M", 1);
  time_t deadline = time(NULL) + 20;
  while (has_zombie(g.daemon) || has_zombie(g.guard)) {
    ck_assert_msg(time(NULL) < deadline, "zombies are left");
    nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
  }
  kill(g.guard, SIGTERM);
  expect(&g, "signal");
  finish(&g);
}
END_TEST

static bool may_unshare(void) {
  return system("unshare --pid --fork --mount-proc true 2>/dev/null") == 0;
}

START_TEST(it_works_as_pid_1) {
  if (!may_unshare())
    return;
  const char *const argv[] = {"/usr/bin/unshare", "--pid", "--fork", "--mount-proc", GUARDED, EVERY_KIND, NULL};
  guarded g = start(argv, false);
  ck_assert_int_eq(expect(&g, "daemon"), 2);
  ck_assert_int_eq(expect(&g, "guard"), 1);
  expect(&g, "started");
  await_count(KINDS);
  char command[100];
  snprintf(command, sizeof(command), "kill -TERM $(cat /proc/%d/task/%d/children)", (int)g.pid, (int)g.pid);
  ck_assert_int_eq(system(command), 0);
  ck_assert_int_eq(expect(&g, "signal"), SIGTERM);
  int status = finish(&g);
  ck_assert_int_eq(WEXITSTATUS(status), 7);
  await_count(0);
  const char *const die[] = {"/usr/bin/unshare", "--pid", "--fork", "--mount-proc", GUARDED, "--die", "9", NULL};
  g = start(die, false);
  status = finish(&g);
  ck_assert_int_eq(WEXITSTATUS(status), 128 + 9);
}
END_TEST

START_TEST(it_works_where_memory_may_not_be_executed) {
  if (system("unshare --pid --fork --mount-proc sh -c 'echo 2 >/proc/sys/vm/memfd_noexec' 2>/dev/null") != 0)
    return;
  const char *const argv[] = {"/usr/bin/unshare",
                              "--pid",
                              "--fork",
                              "--mount-proc",
                              "sh",
                              "-c",
                              "echo 2 >/proc/sys/vm/memfd_noexec; exec \"$@\"",
                              "sh",
                              GUARDED,
                              EVERY_KIND,
                              NULL};
  guarded g = start(argv, false);
  expect(&g, "daemon");
  ck_assert_int_eq(expect(&g, "guard"), 1);
  expect(&g, "started");
  await_count(KINDS);
  char command[200];
  snprintf(command, sizeof(command), "kill -KILL $(cat /proc/$(tr -d ' ' </proc/%d/task/%d/children)/task/*/children)",
           (int)g.pid, (int)g.pid);
  ck_assert_int_eq(system(command), 0);
  ck_assert_int_eq(WEXITSTATUS(finish(&g)), 128 + SIGKILL);
  await_count(0);
}
END_TEST

int main(void) {
  Suite *s = suite_create("guard");
  TCase *t = tcase_create("guard");
  tcase_add_checked_fixture(t, setup, teardown);
  tcase_set_timeout(t, 60);
  tcase_add_test(t, exit_codes_pass_through);
  tcase_add_test(t, death_by_signal_passes_through);
  tcase_add_test(t, killing_the_daemon_leaves_nothing);
  tcase_add_test(t, killing_the_guard_leaves_nothing);
  tcase_add_test(t, an_orderly_exit_leaves_nothing);
  tcase_add_test(t, a_fork_bomb_does_not_outlive_the_daemon);
  tcase_add_test(t, signals_pass_through);
  tcase_add_test(t, an_ignored_hangup_stays_ignored);
  tcase_add_test(t, the_guard_is_tiny_and_named_like_the_daemon);
  tcase_add_test(t, orphans_do_not_become_zombies);
  tcase_add_test(t, it_works_as_pid_1);
  tcase_add_test(t, it_works_where_memory_may_not_be_executed);
  suite_add_tcase(s, t);
  SRunner *runner = srunner_create(s);
  srunner_run_all(runner, CK_NORMAL);
  int failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed == 0 ? 0 : 1;
}
