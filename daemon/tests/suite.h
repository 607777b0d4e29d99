// SPDX-License-Identifier: MIT
#ifndef SANDD_DAEMON_TEST_SUITE_H
#define SANDD_DAEMON_TEST_SUITE_H

#include <check.h>
#include <stdlib.h>
#include <string.h>

/* Runs each test in a process of its own, with `seconds` for each. Returns main's exit code. */
static inline int suite_run(const char *name, int seconds, const TTest *const *tests, size_t count) {
  Suite *suite = suite_create(name);
  TCase *tcase = tcase_create(name);
  tcase_set_timeout(tcase, seconds);
  for (size_t i = 0; i < count; i++) {
    const char *only = getenv("SANDD_TEST_ONLY"); // a part of a test's name, for whoever looks for a fault
    if (!only || strstr(tests[i]->name, only)) {
      tcase_add_test(tcase, tests[i]);
    }
  }
  suite_add_tcase(suite, tcase);
  SRunner *runner = srunner_create(suite);
  srunner_run_all(runner, CK_ENV);
  int failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#define SUITE(name, seconds, ...)                                             \
  int main(void) {                                                            \
    const TTest *const tests[] = {__VA_ARGS__};                               \
    return suite_run(name, seconds, tests, sizeof(tests) / sizeof(tests[0])); \
  }

#endif
