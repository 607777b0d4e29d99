// SPDX-License-Identifier: MIT
// Commands on a real daemon over loopback: how they start, what they say, how they end.
#include <stdlib.h>

#include "peer.h"

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
  call_free(c);
  peer_free(p);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("exec-basic");
  TCase *tcase = tcase_create("basic");
  tcase_set_timeout(tcase, 60);
  tcase_add_test(tcase, a_command_is_answered_with_its_output_and_exit_code);
  suite_add_tcase(suite, tcase);
  SRunner *runner = srunner_create(suite);
  srunner_run_all(runner, CK_ENV);
  int failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed ? 1 : 0;
}
