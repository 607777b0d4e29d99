// SPDX-License-Identifier: MIT
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/platform/tests/marked.h"
#include "daemon/platform/tests/run.h"

typedef struct {
  const char *marker;
  unsigned count;
} expectation;

static bool has_count(void *data) {
  const expectation *e = data;
  unsigned now = marked_count(e->marker);
  return e->count > 0 ? now >= e->count : now == 0; // what grows may have passed it
}

static void await_count(const char *marker, unsigned count) {
  run_until_true(has_count, &(expectation){marker, count});
}

typedef struct {
  bool done;
  unsigned left;
} killed;

static void on_done(unsigned left, void *data) {
  killed *k = data;
  ck_assert(!k->done);
  k->done = true;
  k->left = left;
}

static void kill_and_wait(run *r, int64_t grace_ns) {
  killed k = {0};
  ck_assert_int_eq(sandd_process_kill_tree(r->process, grace_ns, on_done, &k), 0);
  run_until(&k.done);
  ck_assert_uint_eq(k.left, 0);
}

// Starts line, in which M stands for the marker as $M, and waits for so many marked processes.
static run *begin(const char *line, const char *marker, unsigned count) {
  sandd_env_entry env = {{"M", 1}, {marker, strlen(marker)}};
  run *r = run_begin((run_options){.line = line, .env = &env, .env_count = 1});
  run_until(&r->started);
  await_count(marker, count);
  return r;
}

START_TEST(a_kill_reaches_every_descendant) {
  char m[64];
  strcpy(m, marked_new());
  run *r = begin("sleep $M & (sleep $M & sleep $M) & sleep $M", m, 4);
  kill_and_wait(r, 0);
  ck_assert_uint_eq(marked_count(m), 0);
  run_finish(r);
  ck_assert_str_eq(r->exit.signal_name, "KILL");
  run_free(r);
}
END_TEST

// Starts a command that is known to run and to have a child, while the loop knows nothing of it yet.
static run *begin_unnoticed(const char *marker) {
  sandd_env_entry env = {{"M", 1}, {marker, strlen(marker)}};
  run *r = run_begin((run_options){.line = "sleep $M & sleep $M & wait", .env = &env, .env_count = 1});
  uint64_t deadline = uv_hrtime() + 20000000000u;
  while (marked_count(marker) < 2)
    ck_assert_msg(uv_hrtime() < deadline, "waited 20 s in vain");
  ck_assert(!r->started);
  return r;
}

START_TEST(a_start_that_is_given_up_leaves_no_tree) {
  char m[64];
  strcpy(m, marked_new());
  run_free(begin_unnoticed(m));
  await_count(m, 0);
}
END_TEST

START_TEST(a_look_may_tell_of_a_start_at_once) {
  char m[64];
  strcpy(m, marked_new());
  run *r = begin_unnoticed(m);
  sandd_process_look(r->process);
  ck_assert(!r->failed && (r->started || run_plain || !run_adopt));
  run_until(&r->started);
  kill_and_wait(r, 0);
  await_count(m, 0);
  run_finish(r);
  run_free(r);
}
END_TEST

START_TEST(a_kill_reaches_grandchildren_with_a_session_of_their_own) {
  char m[64];
  strcpy(m, marked_new());
  run *r = begin("setsid sh -c 'setsid sleep $M & sleep $M' & setsid -f sleep $M; sleep $M", m, 4);
  kill_and_wait(r, 0);
  ck_assert_uint_eq(marked_count(m), 0);
  run_finish(r);
  run_free(r);
}
END_TEST

START_TEST(a_kill_reaches_a_double_fork_after_the_leader_was_reaped) {
  char m[64];
  strcpy(m, marked_new());
  run *r = begin("(setsid sh -c 'sleep $M & sleep $M' </dev/null >/dev/null 2>&1 &) ; exit 0", m, 2);
  run_finish(r);
  ck_assert_uint_eq(marked_count(m), 2); // a normal exit leaves the background alone
  kill_and_wait(r, 0);
  ck_assert_uint_eq(marked_count(m), 0);
  run_free(r);
}
END_TEST

START_TEST(a_kill_by_exec_id_needs_no_process) {
  char m[64];
  strcpy(m, marked_new());
  sandd_env_entry env = {{"M", 1}, {m, strlen(m)}};
  run *r = RUN(.line = "sleep $M >/dev/null 2>&1 & exit 0", .env = &env, .env_count = 1, .exec_id = "an-id");
  await_count(m, 1);
  run_free(r);
  killed other = {0}, k = {0};
  ck_assert_int_eq(sandd_tree_kill(spawner, "an-id-", 0, on_done, &other), 0);
  run_until(&other.done);
  ck_assert_uint_eq(marked_count(m), 1);
  ck_assert_int_eq(sandd_tree_kill(spawner, "an-id", 0, on_done, &k), 0);
  run_until(&k.done);
  ck_assert_uint_eq(marked_count(m), 0);
}
END_TEST

START_TEST(an_adopted_orphan_is_no_zombie_and_dies_with_all) {
  if (!run_adopt)
    return;
  char m[64];
  strcpy(m, marked_new());
  sandd_env_entry env = {{"M", 1}, {m, strlen(m)}};
  run *r =
      RUN(.line = "(env -i setsid sleep $M >/dev/null 2>&1 &); (sleep 0.01 &); exit 0", .env = &env, .env_count = 1);
  run_free(r);
  await_count(m, 1);
  killed k = {0};
  ck_assert_int_eq(sandd_tree_kill_all(spawner, 0, on_done, &k), 0);
  run_until(&k.done);
  ck_assert_uint_eq(k.left, 0);
  ck_assert_uint_eq(marked_count(m), 0); // and teardown finds no child, dead or alive
}
END_TEST

START_TEST(another_daemons_command_of_the_same_id_is_left_alone) {
  char m[64];
  strcpy(m, marked_new());
  pid_t pid = fork();
  if (pid == 0) {
    setenv("SANDD_EXEC", "same", 1);
    setenv("SANDD_DAEMON", "another", 1);
    execlp("sleep", "sleep", m, (char *)NULL);
    _exit(127);
  }
  await_count(m, 1);
  killed k = {0};
  ck_assert_int_eq(sandd_tree_kill(spawner, "same", 0, on_done, &k), 0);
  run_until(&k.done);
  ck_assert_uint_eq(marked_count(m), 1);
  kill(pid, SIGKILL);
  waitpid(pid, NULL, 0);
}
END_TEST

START_TEST(who_ends_at_term_is_not_killed) {
  char m[64];
  strcpy(m, marked_new());
  run *r = begin("trap 'echo bye; exit 4' TERM; sleep $M & wait", m, 1);
  kill_and_wait(r, 15000000000);
  run_finish(r);
  ck_assert(!r->exit.signaled);
  ck_assert_uint_eq(r->exit.exit_code, 4);
  ck_assert_str_eq(r->out_bytes, "bye\n"); // once: TERM came once
  run_free(r);
}
END_TEST

START_TEST(who_ignores_term_is_killed_after_the_grace) {
  char m[64];
  strcpy(m, marked_new());
  run *r = begin("trap '' TERM; sleep $M & sleep $M", m, 2);
  kill_and_wait(r, 200000000);
  run_finish(r);
  ck_assert_str_eq(r->exit.signal_name, "KILL");
  ck_assert_int_ge(r->exit.wall_ns, 200000000);
  ck_assert_uint_eq(marked_count(m), 0);
  run_free(r);
}
END_TEST

START_TEST(a_second_kill_with_less_grace_hastens_the_first) {
  char m[64];
  strcpy(m, marked_new());
  run *r = begin("trap '' TERM; sleep $M & sleep $M", m, 2);
  killed first = {0};
  ck_assert_int_eq(sandd_process_kill_tree(r->process, INT64_MAX, on_done, &first), 0);
  kill_and_wait(r, 0);
  run_until(&first.done);
  ck_assert_uint_eq(first.left, 0);
  run_finish(r);
  run_free(r);
}
END_TEST

START_TEST(a_stopped_process_hears_term) {
  char m[64];
  strcpy(m, marked_new());
  run *r = begin("sh -c 'kill -STOP $$' $M & wait", m, 1);
  kill_and_wait(r, 15000000000);
  run_finish(r);
  ck_assert_str_eq(r->exit.signal_name, "TERM");
  run_free(r);
}
END_TEST

START_TEST(a_fork_bomb_is_stopped) {
  char m[64];
  strcpy(m, marked_new());
  // Grows for as long as it lives: each keeps making children that leave their session, at most 8 at once and each.
  run *r = begin(
      "f() { n=0; while :; do (setsid sh -c 'sleep $M' & sleep 0.001; exit) & n=$((n+1)); [ $n -gt 300 ] && break; "
      "done; sleep $M; }; f & f & sleep $M",
      m, 1);
  kill_and_wait(r, 0);
  await_count(m, 0);
  run_finish(r);
  run_free(r);
}
END_TEST

START_TEST(a_signal_to_the_tree_reaches_all_once) {
  char m[64];
  strcpy(m, marked_new());
  run *r =
      begin("trap 'echo one' USR1; sh -c 'trap \"echo two\" USR1; sleep $M & wait; wait' & sleep $M & wait; wait; wait",
            m, 2);
  ck_assert_int_eq(sandd_process_signal(r->process, "USR1", SANDD_SCOPE_TREE), 0);
  await_count(m, 0); // sleep dies of USR1
  kill_and_wait(r, 0);
  run_finish(r);
  ck_assert_ptr_nonnull(strstr(r->out_bytes, "one\n"));
  ck_assert_ptr_nonnull(strstr(r->out_bytes, "two\n"));
  ck_assert_uint_eq(r->out_len, 8);
  run_free(r);
}
END_TEST

START_TEST(all_commands_are_killed_at_once) {
  enum { COMMANDS = 40 };
  char m[64];
  strcpy(m, marked_new());
  sandd_env_entry env = {{"M", 1}, {m, strlen(m)}};
  run *r[COMMANDS];
  for (int i = 0; i < COMMANDS; i++)
    r[i] = run_begin((run_options){.line = "sleep $M & sleep $M", .env = &env, .env_count = 1});
  await_count(m, 2 * COMMANDS);
  killed k = {0};
  ck_assert_int_eq(sandd_tree_kill_all(spawner, 1000000000, on_done, &k), 0);
  run_until(&k.done);
  ck_assert_uint_eq(k.left, 0);
  ck_assert_uint_eq(marked_count(m), 0);
  for (int i = 0; i < COMMANDS; i++) {
    run_finish(r[i]);
    run_free(r[i]);
  }
}
END_TEST

static Suite *suite(const char *name) {
  Suite *s = suite_create(name);
  TCase *t = tcase_create("tree");
  tcase_add_checked_fixture(t, run_setup, run_teardown);
  tcase_set_timeout(t, 60);
  tcase_add_test(t, a_kill_reaches_every_descendant);
  tcase_add_test(t, a_start_that_is_given_up_leaves_no_tree);
  tcase_add_test(t, a_look_may_tell_of_a_start_at_once);
  tcase_add_test(t, a_kill_reaches_grandchildren_with_a_session_of_their_own);
  tcase_add_test(t, a_kill_reaches_a_double_fork_after_the_leader_was_reaped);
  tcase_add_test(t, a_kill_by_exec_id_needs_no_process);
  tcase_add_test(t, an_adopted_orphan_is_no_zombie_and_dies_with_all);
  tcase_add_test(t, another_daemons_command_of_the_same_id_is_left_alone);
  tcase_add_test(t, who_ends_at_term_is_not_killed);
  tcase_add_test(t, who_ignores_term_is_killed_after_the_grace);
  tcase_add_test(t, a_second_kill_with_less_grace_hastens_the_first);
  tcase_add_test(t, a_stopped_process_hears_term);
  tcase_add_test(t, a_fork_bomb_is_stopped);
  tcase_add_test(t, a_signal_to_the_tree_reaches_all_once);
  tcase_add_test(t, all_commands_are_killed_at_once);
  suite_add_tcase(s, t);
  return s;
}

int main(void) {
  int failed = 0;
  for (int mode = 0; mode < 4; mode++) {
    char name[64];
    run_plain = mode & 1;
    run_adopt = mode & 2;
    snprintf(name, sizeof(name), "tree%s%s", run_plain ? ", plain" : "", run_adopt ? ", adopting" : "");
    SRunner *runner = srunner_create(suite(name));
    srunner_run_all(runner, CK_NORMAL);
    failed += srunner_ntests_failed(runner);
    srunner_free(runner);
  }
  return failed == 0 ? 0 : 1;
}
