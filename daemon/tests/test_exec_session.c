// SPDX-License-Identifier: MIT
// What becomes of commands when connections, sessions, daemons and guards come to an end.
#include <stdio.h>
#include <sys/wait.h>

#include "peer.h"
#include "suite.h"

#define MODE(name)   SANDD__V1__EXEC_MODE__EXEC_MODE_##name
#define REASON(name) SANDD__V1__EXIT_REASON__EXIT_REASON_##name

START_TEST(a_cut_in_mid_output_loses_and_repeats_nothing) {
  peer *p = PEER(0);
  call *c = RUN(p, .sh = "seq 1 400000; exit 9");
  for (int i = 0; i < 3; i++) {
    size_t mark = c->out[2].len + 100000;
    UNTIL(p, c->out[2].len >= mark || c->ended);
    peer_cut(p);
    UNTIL(p, p->up);
    ck_assert(p->resumed);
  }
  call_wait(c);
  ck_assert_int_eq(c->status, SANDD_CODE(OK));
  ck_assert_int_eq(c->exit_code, 9);
  ck_assert_int_eq(c->out[2].len, 2688895);
  const char *at = call_text(c, 2);
  char line[16];
  for (int i = 1; i <= 400000; i++) {
    int len = snprintf(line, sizeof(line), "%d\n", i);
    ck_assert_int_eq(memcmp(at, line, (size_t)len), 0);
    at += len;
  }
  call_free(c);
  peer_free(p);
}
END_TEST

START_TEST(output_and_exit_of_the_time_without_a_connection_come_after_it) {
  peer *p = PEER(0);
  char command[200];
  snprintf(command, sizeof(command), "echo a; until test -e %s/go; do sleep 0.02; done; echo b; exit 5", p->folder);
  call *c = RUN(p, .sh = command, .timeout_ms = 15000);
  UNTIL(p, c->out[2].len == 2);
  pid_t daemon = peer_inner(p);
  ck_assert_int_eq(kill(daemon, SIGSTOP), 0); // so that it can't be back before the command is done
  peer_cut(p);
  snprintf(command, sizeof(command), "%s/go", p->folder);
  fclose(fopen(command, "w"));
  UNTIL(p, peer_processes(c->exec_id) == 0);
  ck_assert_int_eq(kill(daemon, SIGCONT), 0);
  call_wait(c);
  ck_assert_int_eq(c->exit_code, 5);
  ck_assert_str_eq(call_text(c, 2), "a\nb\n");
  call_free(c);
  peer_free(p);
}
END_TEST

START_TEST(a_timeout_counts_on_the_daemon_while_there_is_no_connection) {
  peer *p = PEER(0);
  call *c = RUN(p, .sh = "sleep 1000", .timeout_ms = 500, .id = "away-1");
  peer_until(p, &c->started, "the start");
  unsigned port = sandd_listener_port(p->listener);
  ck_assert_int_gt(port, 0);
  peer_cut(p);
  UNTIL(p, peer_processes("away-1") == 0);
  call_wait(c);
  ck_assert_int_eq(c->reason, REASON(DEADLINE));
  call_free(c);
  peer_free(p);
}
END_TEST

START_TEST(what_ended_in_time_while_the_daemon_did_not_run_is_no_timeout) {
  static const char *const arguments[] = {"--retention", "0.2", NULL};
  peer *p = PEER(.arguments = arguments);
  call *c = RUN(p, .sh = "echo a; sleep 0.2; echo b; exit 4", .timeout_ms = 600, .idle_ms = 500);
  peer_until(p, &c->started, "the start");
  ck_assert_int_eq(kill(peer_inner(p), SIGSTOP), 0);
  uint64_t until = peer_now() + 900000;
  UNTIL(p, peer_now() > until);
  ck_assert_int_eq(kill(peer_inner(p), SIGCONT), 0);
  call_wait(c);
  ck_assert_int_eq(c->reason, REASON(OWN));
  ck_assert_int_eq(c->exit_code, 4);
  ck_assert_str_eq(call_text(c, 2), "a\nb\n");
  ck_assert(!c->drain_limit[2]);
  call_free(c);
  peer_free(p);
}
END_TEST

START_TEST(a_lost_session_ends_what_is_not_to_be_kept) {
  peer *p = PEER(0);
  call *dies = RUN(p, .sh = "echo x; sleep 1000", .id = "dies");
  call *detached = RUN(p, .sh = "echo x; sleep 1000", .id = "detached");
  call *lives = RUN(p, .sh = "echo x; sleep 1000", .id = "lives", .keep = true);
  UNTIL(p, dies->out[2].len && detached->out[2].len && lives->out[2].len);
  call_detach(detached);
  call_wait(detached);
  sandd_session_goodbye(p->session, SANDD_CODE(SHUTTING_DOWN), "restart", 0, peer_now());
  UNTIL(p, p->ups == 2 && p->up);
  ck_assert(!p->resumed);
  ck_assert_int_eq(lives->status, SANDD_CODE(SESSION_LOST));
  UNTIL(p, peer_processes("dies") == 0 && peer_processes("detached") == 0);
  ck_assert_int_gt(peer_processes("lives"), 0);
  call_free(dies);
  call_free(detached);
  call_free(lives);
  call *c = RUN(p, .id = "dies", .mode = MODE(ATTACH));
  call_wait(c);
  ck_assert_int_eq(c->reason, REASON(CANCELLED));
  call_free(c);
  c = RUN(p, .id = "lives", .mode = MODE(ATTACH));
  UNTIL(p, c->out[2].len == 2);
  call_signal(c, "TERM", SANDD__V1__SIGNAL_SCOPE__SIGNAL_SCOPE_TREE);
  call_wait(c);
  ck_assert_str_eq(c->exit_signal, "TERM");
  call_free(c);
  peer_free(p);
}
END_TEST

START_TEST(a_stopping_daemon_ends_its_commands_says_why_and_says_goodbye) {
  peer *p = PEER(0);
  call *c = RUN(p, .sh = "setsid sleep 1000 & echo x; wait", .id = "stop-1", .keep = true);
  UNTIL(p, c->out[2].len > 0);
  uint64_t begin = peer_now();
  peer_signal(p, SIGTERM);
  UNTIL(p, p->daemon_ended);
  ck_assert_int_lt(peer_now() - begin, 1500000);
  ck_assert(WIFEXITED(p->daemon_status) && WEXITSTATUS(p->daemon_status) == 0);
  call_wait(c);
  ck_assert_int_eq(c->status, SANDD_CODE(OK));
  ck_assert(c->exited);
  ck_assert_int_eq(c->reason, REASON(DAEMON_STOPPING));
  ck_assert_str_eq(call_text(c, 2), "x\n");
  UNTIL(p, p->lost == 1);
  ck_assert_int_eq(p->goodbye_status, SANDD_CODE(SHUTTING_DOWN));
  ck_assert_int_eq(peer_processes("stop-1"), 0);
  call_free(c);
  peer_free(p);
}
END_TEST

START_TEST(a_stop_is_bounded_when_commands_ignore_the_term) {
  peer *p = PEER(0);
  call *c = RUN(p, .sh = "trap '' TERM; echo x; while :; do sleep 0.05; done", .id = "stop-2");
  UNTIL(p, c->out[2].len > 0);
  uint64_t begin = peer_now();
  peer_signal(p, SIGINT);
  UNTIL(p, p->daemon_ended);
  ck_assert_int_lt(peer_now() - begin, 3300000);
  ck_assert_int_eq(peer_processes("stop-2"), 0);
  ck_assert_int_eq(c->reason, REASON(DAEMON_STOPPING));
  ck_assert_str_eq(c->exit_signal, "KILL");
  call_free(c);
  peer_free(p);
}
END_TEST

START_TEST(a_second_signal_stops_at_once) {
  peer *p = PEER(0);
  call *c = RUN(p, .sh = "trap '' TERM; echo x; while :; do sleep 0.05; done", .id = "stop-3");
  UNTIL(p, c->out[2].len > 0);
  uint64_t begin = peer_now();
  peer_signal(p, SIGTERM);
  UNTIL(p, peer_now() - begin > 200000);
  peer_signal(p, SIGTERM);
  UNTIL(p, p->daemon_ended);
  ck_assert_int_lt(peer_now() - begin, 1300000);
  UNTIL(p, peer_processes("stop-3") == 0);
  call_free(c);
  peer_free(p);
}
END_TEST

START_TEST(a_stop_without_a_connection_is_quick) {
  peer *p = PEER(0);
  sandd_listener_free(p->listener);
  UNTIL(p, !p->up);
  uint64_t begin = peer_now();
  peer_signal(p, SIGHUP);
  UNTIL(p, p->daemon_ended);
  ck_assert_int_lt(peer_now() - begin, 1000000);
  ck_assert(WIFEXITED(p->daemon_status) && WEXITSTATUS(p->daemon_status) == 0);
  peer_free(p);
}
END_TEST

START_TEST(a_killed_daemon_leaves_no_command_behind) {
  peer *p = PEER(0);
  call *c = RUN(p, .sh = "setsid sleep 1000 & echo x; wait", .id = "killed-1", .keep = true);
  UNTIL(p, c->out[2].len > 0);
  ck_assert_int_eq(kill(peer_inner(p), SIGKILL), 0);
  UNTIL(p, p->daemon_ended);
  ck_assert_int_eq(peer_processes("killed-1"), 0);
  call_free(c);
  peer_free(p);
}
END_TEST

START_TEST(a_killed_guard_takes_daemon_and_commands_with_it) {
  peer *p = PEER(0);
  call *c = RUN(p, .sh = "setsid sleep 1000 & echo x; wait", .id = "killed-2");
  UNTIL(p, c->out[2].len > 0);
  pid_t inner = peer_inner(p);
  peer_signal(p, SIGKILL);
  UNTIL(p, p->daemon_ended && peer_processes("killed-2") == 0 && kill(inner, 0) != 0);
  call_free(c);
  peer_free(p);
}
END_TEST

SUITE("exec-session", 60, a_cut_in_mid_output_loses_and_repeats_nothing,
      output_and_exit_of_the_time_without_a_connection_come_after_it,
      a_timeout_counts_on_the_daemon_while_there_is_no_connection,
      what_ended_in_time_while_the_daemon_did_not_run_is_no_timeout, a_lost_session_ends_what_is_not_to_be_kept,
      a_stopping_daemon_ends_its_commands_says_why_and_says_goodbye, a_stop_is_bounded_when_commands_ignore_the_term,
      a_second_signal_stops_at_once, a_stop_without_a_connection_is_quick, a_killed_daemon_leaves_no_command_behind,
      a_killed_guard_takes_daemon_and_commands_with_it)
