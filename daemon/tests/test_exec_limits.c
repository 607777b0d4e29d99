// SPDX-License-Identifier: MIT
// Timeouts, caps, drains and signals of commands on a real daemon.
#include <stdio.h>

#include "peer.h"
#include "suite.h"

#define LIST(...)    ((const char *const[]){__VA_ARGS__, NULL})
#define REASON(name) SANDD__V1__EXIT_REASON__EXIT_REASON_##name
#define SCOPE(name)  SANDD__V1__SIGNAL_SCOPE__SIGNAL_SCOPE_##name

START_TEST(a_timeout_ends_the_whole_tree) {
  peer *p = PEER(0);
  call *c =
      RUN(p, .sh = "setsid sleep 1000 & (sleep 1000; true) & echo ready; wait", .timeout_ms = 300, .id = "tree-1");
  call_wait(c);
  ck_assert_int_eq(c->reason, REASON(DEADLINE));
  ck_assert_str_eq(c->exit_signal, "TERM");
  ck_assert_str_eq(call_text(c, 2), "ready\n");
  ck_assert_int_ge(c->wall_ns, 300000000);
  UNTIL(p, peer_processes("tree-1") == 0);
  call_free(c);
  peer_free(p);
}
END_TEST

START_TEST(what_ignores_the_term_is_killed_after_the_grace) {
  peer *p = PEER(0);
  call *c = RUN(p, .sh = "trap '' TERM; echo ready; while :; do sleep 0.05; done", .timeout_ms = 200, .grace_ms = 300);
  call_wait(c);
  ck_assert_int_eq(c->reason, REASON(DEADLINE));
  ck_assert_str_eq(c->exit_signal, "KILL");
  ck_assert_int_ge(c->wall_ns, 500000000);
  ck_assert_int_lt(c->wall_ns, 3000000000);
  call_free(c);
  peer_free(p);
}
END_TEST

START_TEST(a_silent_command_is_ended_by_the_idle_timeout_and_a_speaking_one_is_not) {
  peer *p = PEER(0);
  call *silent = RUN(p, .sh = "echo begin; sleep 100", .idle_ms = 300);
  call *speaking = RUN(p, .sh = "for i in 1 2 3 4 5 6; do echo $i; sleep 0.15; done", .idle_ms = 600);
  call_wait(silent);
  call_wait(speaking);
  ck_assert_int_eq(silent->reason, REASON(IDLE));
  ck_assert_str_eq(call_text(silent, 2), "begin\n");
  ck_assert_int_eq(speaking->reason, REASON(OWN));
  ck_assert_str_eq(call_text(speaking, 2), "1\n2\n3\n4\n5\n6\n");
  call_free(silent);
  call_free(speaking);
  peer_free(p);
}
END_TEST

START_TEST(a_capped_output_has_its_head_a_counted_gap_and_its_tail) {
  peer *p = PEER(0);
  call *c = RUN(p, .sh = "seq 1 100000; echo small >&2", .capped = true, .head = 4, .tail = 7);
  call_wait(c);
  ck_assert_int_eq(c->exit_code, 0);
  ck_assert_str_eq(call_text(c, 2), "1\n2\n100000\n");
  ck_assert_int_eq(c->skipped[2], 588895 - 11);
  ck_assert_str_eq(call_text(c, 3), "small\n");
  ck_assert_int_eq(c->skipped[3], 0);
  ck_assert(!c->drain_limit[2]);
  call_free(c);
  peer_free(p);
}
END_TEST

START_TEST(an_output_that_fits_the_cap_is_whole_and_a_cap_of_nothing_drops_all) {
  peer *p = PEER(0);
  call *c = RUN(p, .sh = "printf 12345", .capped = true, .head = 2, .tail = 3);
  call *none = RUN(p, .sh = "printf 12345", .capped = true);
  call_wait(c);
  call_wait(none);
  ck_assert_str_eq(call_text(c, 2), "12345");
  ck_assert_int_eq(c->skipped[2], 0);
  ck_assert_str_eq(call_text(none, 2), "");
  ck_assert_int_eq(none->skipped[2], 5);
  call_free(c);
  call_free(none);
  peer_free(p);
}
END_TEST

START_TEST(a_capped_command_never_waits_for_its_reader) {
  peer *p = PEER(0);
  call *c =
      RUN(p, .sh = "head -c 50000000 /dev/zero; printf end", .capped = true, .head = 1000, .tail = 3, .unread = true);
  peer_until(p, &c->exited, "the exit");
  ck_assert_int_eq(c->exit_code, 0);
  call_read(c);
  call_wait(c);
  ck_assert_int_eq(c->out[2].len, 1003);
  ck_assert_int_eq(c->skipped[2], 50000000 - 1000);
  call_free(c);
  peer_free(p);
}
END_TEST

START_TEST(a_reader_that_stops_stops_the_command_and_loses_nothing) {
  peer *p = PEER(0);
  enum { SIZE = 30 * 1000 * 1000 };
  call *c = RUN(p, .sh = "head -c 30000000 /dev/zero; echo done >&2", .unread = true, .idle_ms = 400);
  peer_until(p, &c->started, "the start");
  uint64_t until = peer_now() + 1200000; // longer than the idle timeout: a process that nobody reads is not idle
  UNTIL(p, peer_now() > until);
  ck_assert(!c->exited);
  ck_assert_int_eq(peer_processes(c->exec_id) > 0, 1);
  call_read(c);
  call_wait(c);
  ck_assert_int_eq(c->reason, REASON(OWN));
  ck_assert_int_eq(c->out[2].len, SIZE);
  ck_assert_str_eq(call_text(c, 3), "done\n");
  call_free(c);
  peer_free(p);
}
END_TEST

START_TEST(the_exit_is_told_at_once_and_the_end_when_the_pipes_were_silent_for_two_seconds) {
  peer *p = PEER(0);
  uint64_t begin = peer_now();
  call *c = RUN(p, .sh = "echo one; (sleep 0.5; echo two; sleep 1000) & exit 4", .id = "drain-1");
  peer_until(p, &c->exited, "the exit");
  ck_assert_int_lt(peer_now() - begin, 500000);
  ck_assert_int_eq(c->exit_code, 4);
  ck_assert(!c->ended);
  call_wait(c);
  ck_assert_int_ge(peer_now() - begin, 2000000);
  ck_assert_int_eq(c->status, SANDD_CODE(OK));
  ck_assert_str_eq(call_text(c, 2), "one\ntwo\n");
  ck_assert(c->drain_limit[2] && c->drain_limit[3]);
  // what was left behind lives on, and can still write
  ck_assert_int_gt(peer_processes("drain-1"), 0);
  call_free(c);
  peer_free(p);
}
END_TEST

START_TEST(what_a_command_leaves_behind_may_write_on_after_the_end) {
  peer *p = PEER(0);
  char command[200];
  snprintf(command, sizeof(command),
           "(sleep 2.5; head -c 300000 /dev/zero && echo written > %s/proof; sleep 0.1) & echo x", p->folder);
  call *c = RUN(p, .sh = command);
  call_wait(c);
  ck_assert(c->drain_limit[2]);
  call_free(c);
  char proof[128];
  snprintf(proof, sizeof(proof), "test -s %s/proof", p->folder);
  UNTIL(p, call_run(p, &(run){.sh = proof}, NULL) == 0);
  peer_free(p);
}
END_TEST

START_TEST(a_background_process_without_the_pipes_does_not_delay_the_end) {
  peer *p = PEER(0);
  uint64_t begin = peer_now();
  call *c = RUN(p, .sh = "sleep 1000 >/dev/null 2>&1 & echo x", .id = "bg-1");
  call_wait(c);
  ck_assert_int_lt(peer_now() - begin, 1500000);
  ck_assert(!c->drain_limit[2]);
  ck_assert_int_eq(peer_processes("bg-1"), 1);
  call_free(c);
  peer_free(p);
  ck_assert_int_eq(peer_processes("bg-1"), 0); // the daemon left nothing behind
}
END_TEST

START_TEST(signals_reach_the_process_or_its_tree) {
  peer *p = PEER(0);
  call *c = RUN(p, .sh = "trap 'echo got-usr1' USR1; echo ready; while :; do sleep 0.05; done");
  UNTIL(p, strstr(call_text(c, 2), "ready"));
  call_signal(c, "USR1", SCOPE(PROCESS));
  UNTIL(p, strstr(call_text(c, 2), "got-usr1"));
  call_signal(c, "KILL", SCOPE(TREE));
  call_wait(c);
  ck_assert_str_eq(c->exit_signal, "KILL");
  ck_assert_int_eq(c->reason, REASON(OWN));
  call_free(c);
  peer_free(p);
}
END_TEST

START_TEST(a_signal_sent_with_the_opening_reaches_the_command) {
  peer *p = PEER(0);
  call *c = RUN(p, .argv = LIST("sleep", "1000"));
  call_signal(c, "INT", SCOPE(PROCESS));
  call_wait(c);
  ck_assert_str_eq(c->exit_signal, "INT");
  call_free(c);
  peer_free(p);
}
END_TEST

START_TEST(an_unknown_signal_resets_the_stream_and_ends_the_command) {
  peer *p = PEER(0);
  call *c = RUN(p, .sh = "echo ready; sleep 1000", .id = "sig-1");
  UNTIL(p, c->out[2].len > 0);
  call_signal(c, "NOSUCH", SCOPE(PROCESS));
  call_wait(c);
  ck_assert(c->by_reset);
  ck_assert_int_eq(c->status, SANDD_CODE(INVALID_ARGUMENT));
  UNTIL(p, peer_processes("sig-1") == 0);
  call_free(c);
  peer_free(p);
}
END_TEST

START_TEST(more_than_64_signals_before_the_start_are_refused) {
  peer *p = PEER(0);
  ck_assert_int_eq(kill(peer_inner(p), SIGSTOP), 0); // so that opening and signals are read in one turn of its loop
  call *c = RUN(p, .sh = "sleep 1000", .id = "sig-2");
  for (int i = 0; i < 65; i++) {
    call_signal(c, "WINCH", SCOPE(PROCESS));
  }
  uint64_t until = peer_now() + 100000;
  UNTIL(p, peer_now() > until);
  ck_assert_int_eq(kill(peer_inner(p), SIGCONT), 0);
  call_wait(c);
  ck_assert(c->by_reset && !c->started);
  ck_assert_int_eq(c->status, SANDD_CODE(RESOURCE_EXHAUSTED));
  UNTIL(p, peer_processes("sig-2") == 0);
  call_free(c);
  peer_free(p);
}
END_TEST

START_TEST(a_short_command_is_answered_in_one_packet) {
  peer *p = PEER(.arguments = LIST("--log-level", "trace"));
  bool found = false;
  for (int i = 0; i < 300 && !found; i++) { // on a busy machine some take longer than the daemon waits
    call_run(p, &(run){.sh = "echo x"}, NULL);
    char *log = peer_log(p);
    for (char *rest = NULL, *line = strtok_r(log, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
      found = found || (strstr(line, "ExecStarted") && strstr(line, "Data stdout") && strstr(line, "ExecExited") &&
                        strstr(line, "End OK"));
    }
    free(log);
  }
  ck_assert(found);
  peer_free(p);
}
END_TEST

START_TEST(a_reset_by_the_holder_ends_the_tree) {
  peer *p = PEER(0);
  call *c = RUN(p, .sh = "setsid sleep 1000 & echo ready; wait", .id = "reset-1");
  UNTIL(p, c->out[2].len > 0);
  call_reset(c);
  UNTIL(p, peer_processes("reset-1") == 0);
  call_free(c);
  peer_free(p);
}
END_TEST

SUITE("exec-limits", 60, a_timeout_ends_the_whole_tree, what_ignores_the_term_is_killed_after_the_grace,
      a_silent_command_is_ended_by_the_idle_timeout_and_a_speaking_one_is_not,
      a_capped_output_has_its_head_a_counted_gap_and_its_tail,
      an_output_that_fits_the_cap_is_whole_and_a_cap_of_nothing_drops_all, a_capped_command_never_waits_for_its_reader,
      a_reader_that_stops_stops_the_command_and_loses_nothing,
      the_exit_is_told_at_once_and_the_end_when_the_pipes_were_silent_for_two_seconds,
      what_a_command_leaves_behind_may_write_on_after_the_end,
      a_background_process_without_the_pipes_does_not_delay_the_end, signals_reach_the_process_or_its_tree,
      a_signal_sent_with_the_opening_reaches_the_command, an_unknown_signal_resets_the_stream_and_ends_the_command,
      more_than_64_signals_before_the_start_are_refused, a_short_command_is_answered_in_one_packet,
      a_reset_by_the_holder_ends_the_tree)
