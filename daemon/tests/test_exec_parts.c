// SPDX-License-Identifier: MIT
// The parts of exec that need no process: the table's rules, requests, timers, tails, digests, tokens.
#include <stdio.h>
#include <unistd.h>

#include "digest.h"
#include "exec_request.h"
#include "exec_table.h"
#include "exec_tail.h"
#include "suite.h"
#include "timers.h"
#include "token.h"

#define MODE(name) SANDD__V1__EXEC_MODE__EXEC_MODE_##name

/* An opening that is fine, to be spoilt. */
typedef struct request {
  Sandd__V1__ExecOpen open;
  Sandd__V1__ExecSpec spec;
  Sandd__V1__Argv argv;
  ProtobufCBinaryData args[2];
  Sandd__V1__EnvVar env, *env_list[1];
  Sandd__V1__ChannelStart start[2], *start_list[2];
  Sandd__V1__User user;
  Sandd__V1__OutputCap cap;
  Sandd__V1__Pty pty;
} request;

static ProtobufCBinaryData bin(const char *data, size_t len) {
  return (ProtobufCBinaryData){.data = (uint8_t *)data, .len = len};
}

static void make(request *r) {
  memset(r, 0, sizeof(*r));
  sandd__v1__exec_open__init(&r->open);
  sandd__v1__exec_spec__init(&r->spec);
  sandd__v1__argv__init(&r->argv);
  sandd__v1__env_var__init(&r->env);
  sandd__v1__user__init(&r->user);
  sandd__v1__output_cap__init(&r->cap);
  sandd__v1__pty__init(&r->pty);
  for (int i = 0; i < 2; i++) {
    sandd__v1__channel_start__init(&r->start[i]);
    r->start[i].channel = (Sandd__V1__ChannelId)(2 + i);
    r->start_list[i] = &r->start[i];
  }
  r->args[0] = bin("true", 4);
  r->args[1] = bin("x", 1);
  r->argv.args = r->args;
  r->argv.n_args = 2;
  r->spec.command_case = SANDD__V1__EXEC_SPEC__COMMAND_ARGV;
  r->spec.argv = &r->argv;
  r->env.name = bin("N", 1);
  r->env.value = bin("v", 1);
  r->env_list[0] = &r->env;
  r->spec.env = r->env_list;
  r->spec.n_env = 1;
  r->open.mode = MODE(START);
  r->open.role = SANDD__V1__EXEC_ROLE__EXEC_ROLE_HOLD;
  r->open.exec_id = (char *)"id";
  r->open.spec = &r->spec;
  r->open.starts = r->start_list;
  r->open.n_starts = 2;
}

static void expect(request *r, int code, const char *says) {
  sandd_fault fault = {0};
  bool ok = sandd_exec_request_check(&r->open, 100, &fault);
  ck_assert_int_eq(ok, code == 0);
  ck_assert_int_eq(fault.code, code);
  ck_assert_msg(strstr(fault.text, says) != NULL, "\"%s\" does not say \"%s\"", fault.text, says);
}

#define BAD(says, ...)                              \
  do {                                              \
    request r;                                      \
    make(&r);                                       \
    __VA_ARGS__;                                    \
    expect(&r, SANDD_CODE(INVALID_ARGUMENT), says); \
  } while (0)

START_TEST(a_good_request_passes) {
  request r;
  make(&r);
  expect(&r, 0, "");
  r.open.exec_id = (char *)"";
  expect(&r, 0, "");
  r.spec.command_case = SANDD__V1__EXEC_SPEC__COMMAND_SHELL_LINE;
  r.spec.shell_line = bin("", 0);
  expect(&r, 0, "");
}
END_TEST

START_TEST(each_mistake_of_a_request_is_refused_with_a_sentence) {
  static char long_id[131];
  memset(long_id, 'x', 129);
  static uint8_t bytes[101];
  BAD("mode", r.open.mode = 0);
  BAD("mode", r.open.mode = 4);
  BAD("role", r.open.role = 0);
  BAD("role", r.open.role = 4);
  BAD("age_ns", r.open.age_ns = -1);
  BAD("exec_id is needed", r.open.exec_id = (char *)"", r.open.mode = MODE(ATTACH_OR_START));
  BAD("exec_id is needed", r.open.exec_id = (char *)"", r.open.mode = MODE(ATTACH));
  BAD("at most 128", r.open.exec_id = long_id);
  BAD("printable", r.open.exec_id = (char *)"a\n");
  BAD("printable", r.open.exec_id = (char *)"\xc3\xa4");
  BAD("no output", r.start[0].channel = 1);
  BAD("no output", r.start[0].channel = 99);
  BAD("twice", r.start[0].channel = 3);
  BAD("ChannelStart.at", r.start[1].at = 3);
  BAD("no spec", r.open.spec = NULL);
  BAD("no command", r.spec.command_case = SANDD__V1__EXEC_SPEC__COMMAND__NOT_SET);
  BAD("no program", r.argv.n_args = 0);
  BAD("no program", r.args[0].len = 0);
  BAD("argument 1", r.args[1] = bin("a\0b", 3));
  BAD("shell_line", r.spec.command_case = SANDD__V1__EXEC_SPEC__COMMAND_SHELL_LINE, r.spec.shell_line = bin("a\0", 2));
  BAD("empty name", r.env.name.len = 0);
  BAD("'='", r.env.name = bin("a=b", 3));
  BAD("'='", r.env.name = bin("a\0b", 3));
  BAD("value of environment", r.env.value = bin("\0", 1));
  BAD("cwd", r.spec.cwd = bin("/\0", 2));
  BAD("nobody", r.spec.user = &r.user);
  BAD("user's name", r.spec.user = &r.user, r.user.who_case = SANDD__V1__USER__WHO_NAME, r.user.name = (char *)"");
  BAD("stdin_mode", r.spec.stdin_mode = 4);
  BAD("not INLINE", r.spec.stdin_inline = bin("x", 1));
  BAD("at most 100", r.spec.stdin_mode = 3, r.spec.stdin_inline = bin((char *)bytes, 101));
  BAD("negative", r.spec.timeout_ns = -1);
  BAD("negative", r.spec.grace_ns = -1);
  BAD("negative", r.spec.idle_timeout_ns = -1);
  BAD("16 MiB", r.spec.output_cap = &r.cap, r.cap.tail_bytes = (16 << 20) + 1);
  BAD("on_session_lost", r.spec.on_session_lost = 3);
  BAD("256 MiB", r.spec.keep_bytes = (UINT64_C(256) << 20) + 1);
  BAD("rows", r.spec.pty = &r.pty);
  request r;
  make(&r);
  r.spec.pty = &r.pty;
  r.pty.rows = r.pty.cols = 24;
  expect(&r, SANDD_CODE(UNIMPLEMENTED), "exec.pty");
}
END_TEST

START_TEST(attach_needs_no_spec) {
  request r;
  make(&r);
  r.open.mode = MODE(ATTACH);
  r.open.spec = NULL;
  expect(&r, 0, "");
}
END_TEST

#define SECOND_US UINT64_C(1000000)
#define SECOND_NS INT64_C(1000000000)

static sandd_exec_decision decide(sandd_exec_table *table, request *r, sandd_digest spec, sandd_fault *fault) {
  sandd_exec_entry *found = NULL;
  sandd_exec_question question = {.open = &r->open,
                                  .spec = spec,
                                  .instance = (char *)"this",
                                  .exec_retention_us = 100 * SECOND_US,
                                  .session_retention_us = 10 * SECOND_US};
  *fault = (sandd_fault){0};
  sandd_exec_decision decision = sandd_exec_decide(table, &question, &found, fault);
  ck_assert_int_eq(decision == SANDD_EXEC_ATTACH, found != NULL);
  ck_assert_int_eq(decision == SANDD_EXEC_REFUSE, fault->code != 0);
  return decision;
}

START_TEST(the_mode_decides_about_an_id_that_exists) {
  sandd_exec_table table;
  sandd_exec_entry entry = {.id = (char *)"id", .spec = {1, 2}, .retained = true};
  sandd_fault fault;
  request r;
  make(&r);
  ck_assert_int_eq(sandd_exec_table_init(&table, 10), 0);
  ck_assert_int_eq(decide(&table, &r, entry.spec, &fault), SANDD_EXEC_START);
  sandd_exec_table_add(&table, &entry);
  ck_assert_int_eq(decide(&table, &r, entry.spec, &fault), SANDD_EXEC_REFUSE);
  ck_assert_int_eq(fault.code, SANDD_CODE(ALREADY_EXISTS));
  r.open.mode = MODE(ATTACH_OR_START);
  ck_assert_int_eq(decide(&table, &r, entry.spec, &fault), SANDD_EXEC_ATTACH);
  ck_assert_int_eq(decide(&table, &r, (sandd_digest){1, 3}, &fault), SANDD_EXEC_REFUSE);
  ck_assert_int_eq(fault.code, SANDD_CODE(ALREADY_EXISTS));
  r.open.mode = MODE(ATTACH);
  ck_assert_int_eq(decide(&table, &r, (sandd_digest){0}, &fault), SANDD_EXEC_ATTACH);
  sandd_exec_table_remove(&table, &entry);
  ck_assert_int_eq(decide(&table, &r, (sandd_digest){0}, &fault), SANDD_EXEC_REFUSE);
  ck_assert_int_eq(fault.code, SANDD_CODE(NOT_FOUND));
  sandd_exec_table_free(&table);
}
END_TEST

START_TEST(another_instance_is_an_unknown_outcome_that_names_both) {
  sandd_exec_table table;
  sandd_fault fault;
  request r;
  make(&r);
  ck_assert_int_eq(sandd_exec_table_init(&table, 10), 0);
  for (int mode = MODE(START); mode <= (int)MODE(ATTACH); mode++) {
    r.open.mode = (Sandd__V1__ExecMode)mode;
    r.open.instance = (char *)"other";
    ck_assert_int_eq(decide(&table, &r, (sandd_digest){0}, &fault), SANDD_EXEC_REFUSE);
    ck_assert_int_eq(fault.code, SANDD_CODE(FAILED_PRECONDITION));
    ck_assert(strstr(fault.text, "outcome unknown") && strstr(fault.text, "other") && strstr(fault.text, "this"));
  }
  r.open.mode = MODE(START);
  r.open.instance = (char *)"this";
  ck_assert_int_eq(decide(&table, &r, (sandd_digest){0}, &fault), SANDD_EXEC_START);
  sandd_exec_table_free(&table);
}
END_TEST

START_TEST(an_unknown_id_is_started_only_while_its_end_could_not_be_forgotten) {
  sandd_exec_table table;
  sandd_fault fault;
  request r;
  make(&r);
  ck_assert_int_eq(sandd_exec_table_init(&table, 10), 0);
  r.open.mode = MODE(ATTACH_OR_START);
  r.open.age_ns = 80 * SECOND_NS - 1; // 100 s less twice 10 s
  ck_assert_int_eq(decide(&table, &r, (sandd_digest){0}, &fault), SANDD_EXEC_START);
  r.open.age_ns = 80 * SECOND_NS;
  ck_assert_int_eq(decide(&table, &r, (sandd_digest){0}, &fault), SANDD_EXEC_REFUSE);
  ck_assert_int_eq(fault.code, SANDD_CODE(FAILED_PRECONDITION));
  r.open.age_ns = INT64_MAX;
  ck_assert_int_eq(decide(&table, &r, (sandd_digest){0}, &fault), SANDD_EXEC_REFUSE);
  r.open.mode = MODE(START);
  r.open.exec_id = (char *)"";
  ck_assert_int_eq(decide(&table, &r, (sandd_digest){0}, &fault), SANDD_EXEC_START);
  sandd_exec_table_free(&table);
}
END_TEST

START_TEST(a_full_table_refuses_new_ids_and_evicts_none) {
  enum { COUNT = 500 };
  static sandd_exec_entry entries[COUNT + 1];
  static char ids[COUNT + 1][16];
  sandd_exec_table table;
  sandd_fault fault;
  request r;
  make(&r);
  ck_assert_int_eq(sandd_exec_table_init(&table, COUNT), 0);
  for (int i = 0; i < COUNT; i++) {
    snprintf(ids[i], sizeof(ids[i]), "id-%d", i);
    entries[i] = (sandd_exec_entry){.id = ids[i], .retained = true};
    sandd_exec_table_add(&table, &entries[i]);
  }
  ck_assert_int_eq(decide(&table, &r, (sandd_digest){0}, &fault), SANDD_EXEC_REFUSE);
  ck_assert_int_eq(fault.code, SANDD_CODE(RESOURCE_EXHAUSTED));
  for (int i = 0; i < COUNT; i++) {
    ck_assert_ptr_eq(sandd_exec_table_find(&table, ids[i]), &entries[i]);
  }
  r.open.exec_id = (char *)""; // nothing of it stays
  ck_assert_int_eq(decide(&table, &r, (sandd_digest){0}, &fault), SANDD_EXEC_START);
  r.spec.on_session_lost = SANDD__V1__ON_SESSION_LOST__ON_SESSION_LOST_KEEP;
  ck_assert_int_eq(decide(&table, &r, (sandd_digest){0}, &fault), SANDD_EXEC_REFUSE);
  r.open.exec_id = (char *)"new";
  sandd_exec_table_remove(&table, &entries[77]);
  ck_assert_int_eq(decide(&table, &r, (sandd_digest){0}, &fault), SANDD_EXEC_START);
  ck_assert_ptr_null(sandd_exec_table_find(&table, "id-77"));
  sandd_exec_table_free(&table);
}
END_TEST

static int fired[100];
static size_t n_fired;

static void on_fire(void *data, uint64_t now_us) {
  (void)now_us;
  fired[n_fired++] = (int)(intptr_t)data;
}

START_TEST(timers_fire_in_the_order_of_their_deadlines) {
  sandd_timers timers = {0};
  sandd_timer list[50] = {{0}};
  for (int i = 0; i < 50; i++) {
    list[i] = (sandd_timer){.cb = on_fire, .data = (void *)(intptr_t)i};
    ck_assert_int_eq(sandd_timers_set(&timers, &list[i], (uint64_t)(i * 37 % 50) * 10), 0);
  }
  ck_assert_int_eq(sandd_timers_set(&timers, &list[0], 600), 0); // moved back
  sandd_timers_clear(&timers, &list[7]);
  sandd_timers_clear(&timers, &list[7]);
  ck_assert_int_eq(sandd_timers_set(&timers, &list[8], UINT64_MAX), 0);
  sandd_timers_run(&timers, 495);
  ck_assert_int_eq(n_fired, 47);
  for (size_t i = 1; i < n_fired; i++) {
    ck_assert_int_lt(fired[i - 1] * 37 % 50, fired[i] * 37 % 50);
  }
  ck_assert_int_eq(sandd_timers_next(&timers), 600);
  sandd_timers_run(&timers, 600);
  ck_assert_int_eq(fired[47], 0);
  ck_assert(sandd_timers_next(&timers) == UINT64_MAX);
  sandd_timers_free(&timers);
}
END_TEST

START_TEST(a_tail_keeps_the_last_bytes_and_counts_the_others) {
  for (size_t max = 0; max <= 9; max++) {
    for (size_t step = 1; step <= 13; step++) {
      uint64_t budget = 100;
      sandd_exec_tail tail;
      char all[26 + 1] = "abcdefghijklmnopqrstuvwxyz", kept[32];
      size_t len = 0, n;
      const uint8_t *data;
      sandd_exec_tail_init(&tail, max, &budget);
      for (size_t at = 0; at < 26; at += step) {
        sandd_exec_tail_write(&tail, (const uint8_t *)all + at, at + step <= 26 ? step : 26 - at);
      }
      ck_assert_int_eq(tail.dropped, 26 - max);
      while ((n = sandd_exec_tail_peek(&tail, &data)) > 0) {
        memcpy(kept + len, data, n);
        len += n;
        sandd_exec_tail_consume(&tail, n);
      }
      ck_assert_int_eq(len, max);
      ck_assert_int_eq(memcmp(kept, all + 26 - max, max), 0);
      sandd_exec_tail_free(&tail);
      ck_assert_int_eq(budget, 100);
    }
  }
}
END_TEST

START_TEST(tails_without_budget_keep_less_and_still_count) {
  uint64_t budget = 5000;
  sandd_exec_tail tail;
  static uint8_t data[20000];
  sandd_exec_tail_init(&tail, 10000, &budget);
  sandd_exec_tail_write(&tail, data, 3000);
  sandd_exec_tail_write(&tail, data, sizeof(data));
  ck_assert_int_eq(tail.dropped + tail.len, 23000);
  ck_assert_int_eq(tail.len, 4096);
  sandd_exec_tail_free(&tail);
  ck_assert_int_eq(budget, 5000);
}
END_TEST

START_TEST(a_digest_is_siphash_with_128_bits) {
  // From the reference implementation's test vectors: key 00 01 … 0f, input 00 01 … of each length.
  static const sandd_digest_key key = {UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908)};
  static const uint8_t input[8] = {0, 1, 2, 3, 4, 5, 6, 7};
  sandd_digest empty = sandd_digest_make(&key, input, 0);
  ck_assert(empty.low == UINT64_C(0xe6a825ba047f81a3) && empty.high == UINT64_C(0x930255c71472f66d));
  sandd_digest one = sandd_digest_make(&key, input, 1);
  ck_assert(one.low == UINT64_C(0x44af996bd8c187da) && one.high == UINT64_C(0x45fc229b11597634));
  ck_assert(!sandd_digest_equal(empty, one));
  ck_assert(sandd_digest_equal(one, sandd_digest_make(&key, input, 1)));
}
END_TEST

static int read_token(const char *content, size_t len, char **token, char *why, size_t size) {
  char path[] = "/tmp/sandd-token-XXXXXX";
  int fd = mkstemp(path);
  ck_assert_int_eq(write(fd, content, len), (ssize_t)len);
  close(fd);
  int result = sandd_token_read(path, token, why, size);
  unlink(path);
  return result;
}

START_TEST(a_token_loses_one_newline_and_is_never_shown) {
  char *token = NULL, why[300] = "";
  ck_assert_int_eq(read_token("abc\n", 4, &token, why, sizeof(why)), 0);
  ck_assert_str_eq(token, "abc");
  sandd_token_free(token);
  ck_assert_int_eq(read_token("abc\r\n", 5, &token, why, sizeof(why)), 0);
  ck_assert_str_eq(token, "abc");
  sandd_token_free(token);
  ck_assert_int_eq(read_token("", 0, &token, why, sizeof(why)), SANDD_E_INVALID);
  ck_assert_int_eq(read_token("\n", 1, &token, why, sizeof(why)), SANDD_E_INVALID);
  ck_assert_int_eq(read_token("hush\n\n", 6, &token, why, sizeof(why)), SANDD_E_INVALID);
  ck_assert_ptr_null(strstr(why, "hush"));
  ck_assert_int_eq(read_token("hush hush\n", 10, &token, why, sizeof(why)), SANDD_E_INVALID);
  static char big[5000];
  memset(big, 'x', sizeof(big));
  ck_assert_int_eq(read_token(big, 4096, &token, why, sizeof(why)), 0);
  sandd_token_free(token);
  ck_assert_int_eq(read_token(big, 4097, &token, why, sizeof(why)), SANDD_E_INVALID);
  ck_assert_int_eq(read_token(big, 5000, &token, why, sizeof(why)), SANDD_E_INVALID);
  ck_assert_ptr_null(strstr(why, "xxx"));
}
END_TEST

SUITE("exec-parts", 20, a_good_request_passes, each_mistake_of_a_request_is_refused_with_a_sentence,
      attach_needs_no_spec, the_mode_decides_about_an_id_that_exists,
      another_instance_is_an_unknown_outcome_that_names_both,
      an_unknown_id_is_started_only_while_its_end_could_not_be_forgotten, a_full_table_refuses_new_ids_and_evicts_none,
      timers_fire_in_the_order_of_their_deadlines, a_tail_keeps_the_last_bytes_and_counts_the_others,
      tails_without_budget_keep_less_and_still_count, a_digest_is_siphash_with_128_bits,
      a_token_loses_one_newline_and_is_never_shown)
