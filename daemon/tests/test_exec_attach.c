// SPDX-License-Identifier: MIT
// Exec ids: who starts, who attaches, from where, and who holds.
#include <stdio.h>

#include "peer.h"
#include "suite.h"

#define MODE(name)  SANDD__V1__EXEC_MODE__EXEC_MODE_##name
#define ROLE(name)  SANDD__V1__EXEC_ROLE__EXEC_ROLE_##name
#define AT(name)    SANDD__V1__START_AT__START_AT_##name
#define STATE(name) SANDD__V1__EXEC_STATE__EXEC_STATE_##name

static void expect_refused(call *c, int status, const char *says) {
  call_wait(c);
  ck_assert_msg(c->status == status && c->by_reset && !c->started, "status %d: %s", c->status, c->text);
  ck_assert_msg(strstr(c->text, says) != NULL, "\"%s\" does not say \"%s\"", c->text, says);
  call_free(c);
}

START_TEST(an_id_starts_once_and_the_same_spec_attaches) {
  peer *p = PEER(0);
  call *first = RUN(p, .sh = "echo $$; cat", .id = "one", .stdin_stream = true);
  UNTIL(p, first->out[2].len > 0);
  expect_refused(RUN(p, .sh = "echo $$; cat", .id = "one", .stdin_stream = true), SANDD_CODE(ALREADY_EXISTS), "one");
  expect_refused(RUN(p, .sh = "other", .id = "one", .mode = MODE(ATTACH_OR_START)), SANDD_CODE(ALREADY_EXISTS),
                 "another spec");
  call *second = RUN(p, .sh = "echo $$; cat", .id = "one", .stdin_stream = true, .mode = MODE(ATTACH_OR_START));
  UNTIL(p, second->started && second->out[2].len > 0);
  ck_assert(second->attached);
  ck_assert_int_eq(second->pid, first->pid);
  ck_assert_str_eq(call_text(second, 2), call_text(first, 2));
  call_wait(first);
  ck_assert(first->by_reset);
  ck_assert_int_eq(first->status, SANDD_CODE(TAKEN_OVER));
  call_close_stdin(second);
  call_wait(second);
  ck_assert_int_eq(second->exit_code, 0);
  call_free(first);
  call_free(second);
  peer_free(p);
}
END_TEST

START_TEST(two_openings_at_once_run_one_command) {
  peer *p = PEER(0);
  char command[200];
  snprintf(command, sizeof(command), "echo run >> %s/proof; cat", p->folder);
  call *a = RUN(p, .sh = command, .id = "twice", .mode = MODE(ATTACH_OR_START), .stdin_stream = true);
  call *b = RUN(p, .sh = command, .id = "twice", .mode = MODE(ATTACH_OR_START), .stdin_stream = true);
  peer_until(p, &b->started, "the second start");
  call_wait(a);
  ck_assert_int_eq(a->status, SANDD_CODE(TAKEN_OVER));
  call_close_stdin(b);
  call_wait(b);
  ck_assert_int_eq(b->exit_code, 0);
  snprintf(command, sizeof(command), "cat %s/proof", p->folder);
  char *out = NULL;
  call_run(p, &(run){.sh = command}, &out);
  ck_assert_str_eq(out, "run\n");
  free(out);
  call_free(a);
  call_free(b);
  peer_free(p);
}
END_TEST

START_TEST(a_finished_exec_can_be_attached_to_for_its_output_and_end) {
  peer *p = PEER(0);
  ck_assert_int_eq(call_run(p, &(run){.sh = "echo out; echo err >&2; exit 7", .id = "done"}, NULL), 7);
  for (int i = 0; i < 2; i++) {
    call *c = RUN(p, .id = "done", .mode = MODE(ATTACH), .spec_none = true);
    call_wait(c);
    ck_assert_int_eq(c->status, SANDD_CODE(OK));
    ck_assert_int_eq(c->state, STATE(CLOSED));
    ck_assert(c->attached);
    ck_assert_int_eq(c->exit_code, 7);
    ck_assert_str_eq(call_text(c, 2), "out\n");
    ck_assert_str_eq(call_text(c, 3), "err\n");
    ck_assert_str_eq(c->order, "SXOO.");
    call_free(c);
  }
  expect_refused(RUN(p, .sh = "true", .id = "done"), SANDD_CODE(ALREADY_EXISTS), "done");
  peer_free(p);
}
END_TEST

START_TEST(an_id_without_output_can_be_attached_to_as_well) {
  peer *p = PEER(0);
  ck_assert_int_eq(call_run(p, &(run){.sh = "exit 5", .id = "quiet"}, NULL), 5);
  for (int i = 0; i < 2; i++) {
    ck_assert_int_eq(call_run(p, &(run){.id = "quiet", .mode = MODE(ATTACH), .spec_none = true}, NULL), 5);
  }
  peer_free(p);
}
END_TEST

START_TEST(an_unnamed_exec_is_forgotten_with_its_stream) {
  peer *p = PEER(0);
  call *c = RUN(p, .sh = "echo x");
  call_wait(c);
  char id[132];
  snprintf(id, sizeof(id), "%s", c->exec_id);
  call_free(c);
  expect_refused(RUN(p, .id = id, .mode = MODE(ATTACH)), SANDD_CODE(NOT_FOUND), id);
  peer_free(p);
}
END_TEST

START_TEST(offsets_are_refused_below_the_kept_range_and_above_the_end) {
  peer *p = PEER(0);
  ck_assert_int_eq(
      call_run(p, &(run){.sh = "head -c 100000 /dev/zero; printf 0123456789", .id = "kept", .keep_bytes = 10}, NULL),
      0);
  call *earliest = RUN(p, .id = "kept", .mode = MODE(ATTACH));
  call_wait(earliest);
  uint64_t from = earliest->kept_from[2];
  ck_assert_int_eq(earliest->start[2], from);
  ck_assert_int_eq(earliest->kept_to[2], 100010);
  ck_assert(from > 0 && from <= 100000);
  ck_assert_int_eq(earliest->out[2].len, 100010 - from);
  call_free(earliest);
  call *c =
      RUN(p, .id = "kept", .mode = MODE(ATTACH), .has_start[0] = true, .at[0] = AT(OFFSET), .offset[0] = from - 1);
  call_wait(c);
  ck_assert_int_eq(c->status, SANDD_CODE(OUT_OF_RANGE));
  ck_assert_int_eq(c->earliest, from);
  call_free(c);
  expect_refused(
      RUN(p, .id = "kept", .mode = MODE(ATTACH), .has_start[0] = true, .at[0] = AT(OFFSET), .offset[0] = 100011),
      SANDD_CODE(INVALID_ARGUMENT), "100010");
  c = RUN(p, .id = "kept", .mode = MODE(ATTACH), .has_start[0] = true, .at[0] = AT(OFFSET), .offset[0] = 100005);
  call_wait(c);
  ck_assert_str_eq(call_text(c, 2), "56789");
  call_free(c);
  c = RUN(p, .id = "kept", .mode = MODE(ATTACH), .has_start[0] = true, .at[0] = AT(NEWEST));
  call_wait(c);
  ck_assert_int_eq(c->out[2].len, 0);
  call_free(c);
  peer_free(p);
}
END_TEST

START_TEST(a_new_holder_goes_on_with_stdin_where_the_daemon_accepted_it) {
  peer *p = PEER(0);
  call *first = RUN(p, .sh = "cat", .id = "in", .stdin_stream = true);
  peer_until(p, &first->started, "the start");
  call_write(first, "abc", 3);
  UNTIL(p, first->out[2].len == 3);
  call *second = RUN(p, .sh = "cat", .id = "in", .stdin_stream = true, .mode = MODE(ATTACH_OR_START),
                     .has_start[0] = true, .at[0] = AT(OFFSET), .offset[0] = 3);
  peer_until(p, &second->started, "the attach");
  ck_assert_int_eq(second->stdin_accepted, 3);
  ck_assert_int_eq(second->stdin_written, 3);
  ck_assert(!second->stdin_closed);
  ck_assert_int_eq(second->start[2], 3);
  call_free(first);
  call_free(second);
  UNTIL(p, peer_processes("in") == 0); // whoever held it gave it up
  peer_free(p);
}
END_TEST

START_TEST(a_watcher_reads_and_holds_nothing_up) {
  peer *p = PEER(0);
  call *c = RUN(p, .sh = "echo ready; read line; head -c 20000000 /dev/zero; echo end", .id = "watched",
                .stdin_stream = true);
  UNTIL(p, c->out[2].len == 6);
  call *w = RUN(p, .id = "watched", .mode = MODE(ATTACH), .role = ROLE(WATCH), .unread = true);
  peer_until(p, &w->started, "the watcher");
  ck_assert_int_eq(w->state, STATE(RUNNING));
  call_write(c, "\n", 1);
  call_wait(c);
  ck_assert_int_eq(c->exit_code, 0);
  ck_assert_int_eq(c->out[2].len, 6 + 20000000 + 4);
  call_read(w);
  call_wait(w);
  ck_assert_int_eq(w->status, SANDD_CODE(OK));
  ck_assert_int_gt(w->skipped[2], 0);
  ck_assert_int_eq(w->out[2].len + w->skipped[2], 6 + 20000000 + 4);
  ck_assert_str_eq((const char *)w->out[2].data + w->out[2].len - 4, "end\n");
  call_free(c);
  call_free(w);
  peer_free(p);
}
END_TEST

START_TEST(a_watcher_may_not_signal_and_its_reset_harms_nobody) {
  peer *p = PEER(0);
  call *c = RUN(p, .sh = "cat; echo end", .id = "w2", .stdin_stream = true);
  peer_until(p, &c->started, "the start");
  call *w = RUN(p, .id = "w2", .mode = MODE(ATTACH), .role = ROLE(WATCH));
  peer_until(p, &w->started, "the watcher");
  call_signal(w, "KILL", 0);
  call_wait(w);
  ck_assert_int_eq(w->status, SANDD_CODE(FAILED_PRECONDITION));
  call_free(w);
  w = RUN(p, .id = "w2", .mode = MODE(ATTACH), .role = ROLE(WATCH));
  peer_until(p, &w->started, "the second watcher");
  call_reset(w);
  call_close_stdin(c);
  call_wait(c);
  ck_assert_int_eq(c->exit_code, 0);
  call_free(w);
  call_free(c);
  peer_free(p);
}
END_TEST

START_TEST(only_a_terminal_can_be_shared) {
  peer *p = PEER(0);
  ck_assert_int_eq(call_run(p, &(run){.sh = "true", .id = "share"}, NULL), 0);
  expect_refused(RUN(p, .id = "share", .mode = MODE(ATTACH), .role = ROLE(SHARE)), SANDD_CODE(FAILED_PRECONDITION),
                 "terminal");
  peer_free(p);
}
END_TEST

START_TEST(detach_leaves_it_running_and_another_attaches_later) {
  peer *p = PEER(0);
  char command[200];
  snprintf(command, sizeof(command), "echo a; until test -e %s/go; do sleep 0.05; done; echo b; exit 6", p->folder);
  call *c = RUN(p, .sh = command, .id = "det", .keep = true);
  UNTIL(p, c->out[2].len == 2);
  call_detach(c);
  call_wait(c);
  ck_assert(!c->by_reset);
  ck_assert_int_eq(c->status, SANDD_CODE(OK));
  ck_assert(!c->exited);
  call_free(c);
  snprintf(command, sizeof(command), "touch %s/go", p->folder);
  call_run(p, &(run){.sh = command}, NULL);
  c = RUN(p, .id = "det", .mode = MODE(ATTACH));
  call_wait(c);
  ck_assert_int_eq(c->exit_code, 6);
  ck_assert_str_eq(call_text(c, 2), "a\nb\n");
  call_free(c);
  peer_free(p);
}
END_TEST

START_TEST(with_keep_a_reset_does_not_end_it_and_unread_output_drops_its_oldest) {
  peer *p = PEER(0);
  call *c = RUN(p, .sh = "read line; head -c 3000000 /dev/zero; echo end", .id = "keep", .keep = true,
                .stdin_stream = true, .keep_bytes = 100000);
  peer_until(p, &c->started, "the start");
  call_write(c, "\n", 1);
  UNTIL(p, c->out[2].len > 0);
  call_reset(c);
  call_free(c);
  UNTIL(p, peer_processes("keep") == 0);
  c = RUN(p, .id = "keep", .mode = MODE(ATTACH));
  call_wait(c);
  ck_assert_int_eq(c->status, SANDD_CODE(OK));
  ck_assert_int_eq(c->exit_code, 0);
  ck_assert_int_eq(c->start[2], c->kept_from[2]);
  ck_assert_int_le(c->kept_to[2], 3000004); // some of it may have been in the pipe still
  ck_assert_int_eq(c->start[2] + c->out[2].len, 3000004);
  ck_assert_int_ge(c->out[2].len, 100000);
  call_free(c);
  peer_free(p);
}
END_TEST

START_TEST(with_keep_a_command_that_its_reader_blocked_goes_on_without_one) {
  peer *p = PEER(0);
  call *c = RUN(p, .sh = "head -c 30000000 /dev/zero; echo end", .id = "freed", .keep = true, .unread = true);
  peer_until(p, &c->started, "the start");
  uint64_t until = peer_now() + 500000;
  UNTIL(p, peer_now() > until);
  ck_assert_int_gt(peer_processes("freed"), 0);
  call_reset(c);
  call_free(c);
  UNTIL(p, peer_processes("freed") == 0);
  c = RUN(p, .id = "freed", .mode = MODE(ATTACH));
  call_wait(c);
  ck_assert_int_eq(c->exit_code, 0);
  ck_assert_int_eq(c->start[2] + c->out[2].len, 30000004);
  ck_assert_int_eq(memcmp(c->out[2].data + c->out[2].len - 4, "end\n", 4), 0);
  call_free(c);
  peer_free(p);
}
END_TEST

START_TEST(with_block_unread_nothing_is_lost_while_nobody_reads) {
  peer *p = PEER(0);
  call *c = RUN(p, .sh = "read line; head -c 20000000 /dev/zero; echo end", .id = "block", .keep = true,
                .stdin_stream = true, .block_unread = true);
  peer_until(p, &c->started, "the start");
  call_write(c, "\n", 1);
  call_detach(c);
  call_wait(c);
  uint64_t got = c->out[2].len;
  call_free(c);
  uint64_t until = peer_now() + 300000;
  UNTIL(p, peer_now() > until);
  ck_assert_int_gt(peer_processes("block"), 0);
  c = RUN(p, .id = "block", .mode = MODE(ATTACH), .has_start[0] = true, .at[0] = AT(OFFSET), .offset[0] = got);
  call_wait(c);
  ck_assert_msg(c->status == SANDD_CODE(OK), "%s", c->text);
  ck_assert_int_eq(c->skipped[2], 0);
  ck_assert_int_eq(got + c->out[2].len, 20000004);
  call_free(c);
  peer_free(p);
}
END_TEST

START_TEST(another_instance_and_an_old_first_try_are_unknown_outcomes) {
  static const char *const arguments[] = {"--retention", "100", NULL};
  peer *p = PEER(.arguments = arguments, .session_retention_us = 10000000);
  expect_refused(RUN(p, .sh = "true", .id = "i", .instance = "somebody-else", .mode = MODE(ATTACH_OR_START)),
                 SANDD_CODE(FAILED_PRECONDITION), "somebody-else");
  expect_refused(RUN(p, .sh = "true", .id = "i", .age_ns = 80000000000, .mode = MODE(ATTACH_OR_START)),
                 SANDD_CODE(FAILED_PRECONDITION), "outcome unknown");
  ck_assert_int_eq(
      call_run(p, &(run){.sh = "exit 3", .id = "i", .age_ns = 79000000000, .mode = MODE(ATTACH_OR_START)}, NULL), 3);
  // one that is known answers, however old the first try
  ck_assert_int_eq(
      call_run(p, &(run){.sh = "exit 3", .id = "i", .age_ns = 99000000000, .mode = MODE(ATTACH_OR_START)}, NULL), 3);
  peer_free(p);
}
END_TEST

START_TEST(a_finished_exec_is_forgotten_after_the_retention) {
  static const char *const arguments[] = {"--retention", "0.4", NULL};
  peer *p = PEER(.arguments = arguments);
  ck_assert_int_eq(call_run(p, &(run){.sh = "exit 3", .id = "gone"}, NULL), 3);
  ck_assert_int_eq(call_run(p, &(run){.id = "gone", .mode = MODE(ATTACH)}, NULL), 3);
  uint64_t deadline = peer_now() + PEER_PATIENCE_US;
  for (bool gone = false; !gone;) {
    ck_assert_int_lt(peer_now(), deadline);
    uint64_t next = peer_now() + 450000;
    UNTIL(p, peer_now() > next);
    call *c = RUN(p, .id = "gone", .mode = MODE(ATTACH));
    call_wait(c);
    gone = c->status == SANDD_CODE(NOT_FOUND);
    call_free(c);
  }
  ck_assert_int_eq(call_run(p, &(run){.sh = "exit 4", .id = "gone"}, NULL), 4);
  peer_free(p);
}
END_TEST

START_TEST(output_that_nobody_reads_ends_after_the_retention_with_a_drain_limit) {
  static const char *const arguments[] = {"--retention", "0.5", NULL};
  peer *p = PEER(.arguments = arguments);
  call *c = RUN(p, .sh = "setsid head -c 30000000 /dev/zero & exec 1>&- ; exit 2", .unread = true);
  peer_until(p, &c->exited, "the exit");
  uint64_t until = peer_now() + 1500000;
  UNTIL(p, peer_now() > until);
  call_read(c);
  call_wait(c);
  ck_assert_int_eq(c->status, SANDD_CODE(OK));
  ck_assert_int_eq(c->exit_code, 2);
  ck_assert(c->drain_limit[2]);
  ck_assert_int_lt(c->out[2].len, 30000000);
  call_free(c);
  peer_free(p);
}
END_TEST

SUITE("exec-attach", 60, an_id_starts_once_and_the_same_spec_attaches, two_openings_at_once_run_one_command,
      a_finished_exec_can_be_attached_to_for_its_output_and_end, an_id_without_output_can_be_attached_to_as_well,
      an_unnamed_exec_is_forgotten_with_its_stream, offsets_are_refused_below_the_kept_range_and_above_the_end,
      a_new_holder_goes_on_with_stdin_where_the_daemon_accepted_it, a_watcher_reads_and_holds_nothing_up,
      a_watcher_may_not_signal_and_its_reset_harms_nobody, only_a_terminal_can_be_shared,
      detach_leaves_it_running_and_another_attaches_later,
      with_keep_a_reset_does_not_end_it_and_unread_output_drops_its_oldest,
      with_keep_a_command_that_its_reader_blocked_goes_on_without_one,
      with_block_unread_nothing_is_lost_while_nobody_reads, another_instance_and_an_old_first_try_are_unknown_outcomes,
      a_finished_exec_is_forgotten_after_the_retention,
      output_that_nobody_reads_ends_after_the_retention_with_a_drain_limit)
