// SPDX-License-Identifier: MIT
/* Back-off, status names, error texts, traces: the parts that stand alone. */
#include "pair.h"

#include <sandd/proto/backoff.h>
#include <sandd/proto/trace.h>

START_TEST(back_off_doubles_up_to_its_longest) {
  sandd_backoff b;
  sandd_backoff_init(&b, SECOND, 5 * SECOND);
  const uint64_t most[] = {1, 2, 4, 5, 5};
  for (int i = 0; i < 5; i++)
    ck_assert_uint_eq(sandd_backoff_wait(&b, 0, most[i] * SECOND / 2, SECOND), most[i] * SECOND);
}
END_TEST

START_TEST(back_off_is_jittered_between_half_and_all) {
  uint64_t low = UINT64_MAX, high = 0;
  for (uint64_t r = 0; r < 5000; r++) {
    sandd_backoff b;
    sandd_backoff_init(&b, SECOND, SECOND);
    uint64_t wait = sandd_backoff_wait(&b, 0, r * 0x9e3779b97f4a7c15u, SECOND);
    low = wait < low ? wait : low;
    high = wait > high ? wait : high;
  }
  ck_assert_uint_ge(low, SECOND / 2);
  ck_assert_uint_lt(low, SECOND * 6 / 10);
  ck_assert_uint_le(high, SECOND);
  ck_assert_uint_gt(high, SECOND * 9 / 10);
}
END_TEST

START_TEST(only_a_stable_minute_resets_the_back_off) {
  sandd_backoff b;
  sandd_backoff_init(&b, SECOND, 60 * SECOND);
  for (int i = 0; i < 4; i++)
    sandd_backoff_wait(&b, 0, 0, SECOND);
  sandd_backoff_up(&b, 100 * SECOND);
  ck_assert_uint_ge(sandd_backoff_wait(&b, 0, 0, 159 * SECOND), 8 * SECOND);
  sandd_backoff_up(&b, 200 * SECOND);
  ck_assert_uint_le(sandd_backoff_wait(&b, 0, 0, 260 * SECOND), SECOND);
}
END_TEST

START_TEST(retry_hint_has_a_floor_of_100_ms) {
  sandd_backoff b;
  sandd_backoff_init(&b, 1, 1);
  ck_assert_uint_eq(sandd_backoff_wait(&b, 1, 0, SECOND), 100 * MS);
  ck_assert_uint_eq(sandd_backoff_wait(&b, 3 * SECOND, 0, SECOND), 3 * SECOND);
}
END_TEST

START_TEST(senseless_back_off_is_mended) {
  sandd_backoff b;
  sandd_backoff_init(&b, 0, 0);
  ck_assert_uint_le(sandd_backoff_wait(&b, 0, 5, SECOND), 1);
  sandd_backoff_init(&b, 9 * SECOND, SECOND);
  ck_assert_uint_le(sandd_backoff_wait(&b, 0, 0, SECOND), 9 * SECOND);
}
END_TEST

START_TEST(status_has_name_and_close_code) {
  ck_assert_str_eq(sandd_status_name(STATUS(NOT_FOUND)), "NOT_FOUND");
  ck_assert_str_eq(sandd_status_name(12345), "UNKNOWN");
  ck_assert_uint_eq(sandd_status_close_code(STATUS(OK)), 1000);
  ck_assert_uint_eq(sandd_status_close_code(STATUS(SHUTTING_DOWN)), 1000);
  ck_assert_uint_eq(sandd_status_close_code(STATUS(PROTOCOL_ERROR)), 4032);
  ck_assert_uint_eq(sandd_status_close_code(STATUS(MESSAGE_TOO_LARGE)), 1009);
}
END_TEST

START_TEST(every_error_has_a_text) {
  for (int e = SANDD_E_TLS; e <= 0; e++)
    ck_assert_uint_gt(strlen(sandd_error_text(e)), 1);
  ck_assert_ptr_nonnull(sandd_error_text(-12345));
}
END_TEST

static int trace(Frame *frame, char *out, size_t cap) {
  uint8_t bytes[1024];
  Sandd__V1__Packet packet = SANDD__V1__PACKET__INIT;
  packet.ack = 7;
  packet.n_frames = 1;
  packet.frames = &frame;
  return sandd_trace_packet(bytes, sandd__v1__packet__pack(&packet, bytes), out, cap);
}

START_TEST(trace_shows_no_secret_and_no_payload) {
  char text[1024];
  Frame hello = craft(0, 0, BODY(HELLO));
  Sandd__V1__Resume resume = SANDD__V1__RESUME__INIT;
  resume.secret = resume.session_id =
      (ProtobufCBinaryData){.len = 16, .data = (uint8_t *)(uintptr_t)"sesame-open-now!"};
  hello.hello->daemon_id = (char *)(uintptr_t)"worker-1";
  hello.hello->resume = &resume;
  ck_assert_int_gt(trace(&hello, text, sizeof text), 0);
  ck_assert_ptr_null(strstr(text, "sesame"));
  ck_assert_ptr_nonnull(strstr(text, "worker-1"));
  Frame welcome = craft(0, 0, BODY(WELCOME));
  welcome.welcome->secret = resume.secret;
  ck_assert_int_gt(trace(&welcome, text, sizeof text), 0);
  ck_assert_ptr_null(strstr(text, "sesame"));
  Frame data = craft_data(3, CHANNEL(STDOUT), 5, "sesame", 6);
  ck_assert_int_gt(trace(&data, text, sizeof text), 0);
  ck_assert_ptr_null(strstr(text, "sesame"));
  ck_assert_ptr_nonnull(strstr(text, "s3 Data stdout 5+6"));
  Frame open = craft(1, 1, BODY(EXEC_OPEN));
  Sandd__V1__ExecSpec spec = SANDD__V1__EXEC_SPEC__INIT;
  spec.command_case = SANDD__V1__EXEC_SPEC__COMMAND_SHELL_LINE;
  spec.shell_line = resume.secret;
  open.exec_open->spec = &spec;
  ck_assert_int_gt(trace(&open, text, sizeof text), 0);
  ck_assert_ptr_null(strstr(text, "sesame"));
}
END_TEST

START_TEST(trace_counts_like_snprintf) {
  char whole[256], part[9];
  Frame frame = craft_status(4, 3, BODY(RESET), STATUS(NOT_FOUND));
  int len = trace(&frame, whole, sizeof whole);
  ck_assert_int_eq((int)strlen(whole), len);
  ck_assert_ptr_nonnull(strstr(whole, "ack 7"));
  ck_assert_ptr_nonnull(strstr(whole, "#4 s3 Reset NOT_FOUND"));
  ck_assert_int_eq(trace(&frame, part, sizeof part), len);
  ck_assert_uint_eq(strlen(part), 8);
  ck_assert_int_eq(trace(&frame, NULL, 0), len);
  ck_assert_int_eq(sandd_trace_packet((const uint8_t *)"\xff", 1, whole, sizeof whole), SANDD_E_PROTOCOL);
}
END_TEST

Suite *suite(void) {
  Suite *s = suite_create("small parts");
  TCase *t = tcase_create("small parts");
  tcase_add_test(t, back_off_doubles_up_to_its_longest);
  tcase_add_test(t, back_off_is_jittered_between_half_and_all);
  tcase_add_test(t, only_a_stable_minute_resets_the_back_off);
  tcase_add_test(t, retry_hint_has_a_floor_of_100_ms);
  tcase_add_test(t, senseless_back_off_is_mended);
  tcase_add_test(t, status_has_name_and_close_code);
  tcase_add_test(t, every_error_has_a_text);
  tcase_add_test(t, trace_shows_no_secret_and_no_payload);
  tcase_add_test(t, trace_counts_like_snprintf);
  suite_add_tcase(s, t);
  return s;
}
