// SPDX-License-Identifier: MIT
// Options and variables: what each takes, and what a bad value is told.
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "options.h"
#include "suite.h"

static char error[1024];
static sandd_options options;

#define ARGS(...) ((const char *[]){"sandd", __VA_ARGS__, NULL})

static int parse(const char **argv) {
  int argc = 0;
  while (argv[argc]) {
    argc++;
  }
  sandd_options_free(&options);
  error[0] = '\0';
  return sandd_options_parse(&options, argc, (char *const *)argv, error, sizeof(error));
}

static void expect_bad(const char **argv, const char *source, const char *says) {
  ck_assert_int_eq(parse(argv), SANDD_E_INVALID);
  ck_assert_msg(strstr(error, source) != NULL, "\"%s\" does not name %s", error, source);
  ck_assert_msg(strstr(error, says) != NULL, "\"%s\" does not say \"%s\"", error, says);
}

#define URL "--server-url", "ws://localhost:8765"

START_TEST(every_option_is_taken) {
  char token[] = "/tmp/sandd-token-XXXXXX";
  int fd = mkstemp(token);
  ck_assert_int_eq(write(fd, "secret\n", 7), 7);
  close(fd);
  ck_assert_int_eq(parse(ARGS("-s", "wss://host/path", "-d", "worker-1", "-l", "a=b", "--label", "c=", "-r", "0.5",
                              "--heartbeat-interval", "2.5", "--retention", "60", "--shell", "/bin/sh", "--ca",
                              "/etc/passwd", "--cert", "/etc/passwd", "--key", "/etc/passwd", "--insecure",
                              "--server-name", "name", "--token-file", token, "--log-level", "trace")),
                   0);
  ck_assert_str_eq(options.server_url, "wss://host/path");
  ck_assert_str_eq(options.daemon_id, "worker-1");
  ck_assert_int_eq(options.n_labels, 2);
  ck_assert_str_eq(options.labels[1].key, "c");
  ck_assert_str_eq(options.labels[1].value, "");
  ck_assert_int_eq(options.reconnect_us, 500000);
  ck_assert_int_eq(options.heartbeat_us, 2500000);
  ck_assert_int_eq(options.retention_us, 60000000);
  ck_assert_str_eq(options.shell, "/bin/sh");
  ck_assert(options.insecure);
  ck_assert_str_eq(options.server_name, "name");
  ck_assert_str_eq(options.token_file, token);
  ck_assert_int_eq(options.log_level, SANDD_LOG_TRACE);
  sandd_options_free(&options);
  unlink(token);
}
END_TEST

START_TEST(defaults_are_those_that_help_names) {
  uint64_t first, longest;
  ck_assert_int_eq(parse(ARGS(URL)), 0);
  ck_assert_int_eq(options.reconnect_us, 5000000);
  ck_assert_int_eq(options.heartbeat_us, 0);
  ck_assert_int_eq(options.retention_us, 3600000000);
  ck_assert_int_eq(options.log_level, SANDD_LOG_INFO);
  ck_assert(!options.insecure && !options.shell && !options.token_file);
  sandd_options_backoff(&options, &first, &longest);
  ck_assert_int_eq(first, 100000);
  ck_assert_int_eq(longest, 30000000);
  ck_assert_int_eq(parse(ARGS(URL, "-r", "0.2")), 0);
  sandd_options_backoff(&options, &first, &longest);
  ck_assert_int_eq(first, 20000);
  ck_assert_int_eq(longest, 1200000);
  sandd_options_free(&options);
}
END_TEST

START_TEST(an_absent_id_is_a_random_uuid) {
  ck_assert_int_eq(parse(ARGS(URL)), 0);
  char *before = strdup(options.daemon_id);
  ck_assert_int_eq(strlen(before), 36);
  ck_assert_int_eq(before[14], '4');
  ck_assert_ptr_nonnull(strchr("89ab", before[19]));
  ck_assert_int_eq(parse(ARGS(URL)), 0);
  ck_assert_str_ne(before, options.daemon_id);
  free(before);
  sandd_options_free(&options);
}
END_TEST

START_TEST(options_beat_variables_and_variables_have_older_names) {
  setenv("SERVER_URL", "ws://older", 1);
  setenv("DAEMON_ID", "older", 1);
  ck_assert_int_eq(parse(ARGS("-l", "a=option")), 0);
  ck_assert_str_eq(options.server_url, "ws://older");
  ck_assert_str_eq(options.daemon_id, "older");
  setenv("SANDD_SERVER_URL", "ws://newer", 1);
  setenv("SANDD_LABELS", "a=variable,b=2", 1);
  setenv("SANDD_INSECURE", "yes", 1);
  setenv("SANDD_LOG_LEVEL", "nonsense", 1);
  setenv("SANDD_RETENTION", "", 1);
  ck_assert_int_eq(parse(ARGS("-l", "a=option", "--log-level", "warn", "-d", "mine")), 0);
  ck_assert_str_eq(options.server_url, "ws://newer");
  ck_assert_str_eq(options.daemon_id, "mine");
  ck_assert_int_eq(options.n_labels, 2);
  ck_assert_str_eq(options.labels[0].value, "option");
  ck_assert_str_eq(options.labels[1].value, "2");
  ck_assert(options.insecure);
  expect_bad(ARGS("-d", "mine"), "SANDD_LOG_LEVEL", "nonsense");
  sandd_options_free(&options);
}
END_TEST

START_TEST(no_server_url_says_how_to_give_one) {
  expect_bad(ARGS("-d", "x"), "--server-url", "SANDD_SERVER_URL");
}
END_TEST

START_TEST(every_bad_value_names_its_option_and_what_is_expected) {
  static const struct {
    const char *option, *value, *says;
  } cases[] = {
      {"--server-url", "", "ws://"},
      {"--server-url", "http://host", "ws://"},
      {"--server-url", "ws://", "host"},
      {"--server-url", "ws://:80", "host"},
      {"--server-url", "ws://host:0", "port"},
      {"--server-url", "ws://host:65536", "port"},
      {"--server-url", "ws://host:x", "port"},
      {"--server-url", "ws://ho st", "without spaces"},
      {"--server-url", "ws://[::1", "ws://"},
      {"--server-url", "ws://user:secret@host", "--token-file"},
      {"--daemon-id", "", "1 to 255"},
      {"--daemon-id", "a b", "without spaces"},
      {"--daemon-id", "a\xff", "UTF-8"},
      {"--daemon-id", "a\xc2\x80", "UTF-8"},
      {"--daemon-id", "\xed\xa0\x80", "UTF-8"},
      {"--label", "a", "KEY=VALUE"},
      {"--label", "=a", "KEY=VALUE"},
      {"--label", "", "KEY=VALUE"},
      {"--reconnect-interval", "", "seconds"},
      {"--reconnect-interval", "-1", "seconds"},
      {"--reconnect-interval", "0", "range"},
      {"--reconnect-interval", "1e3", "seconds"},
      {"--reconnect-interval", "nan", "seconds"},
      {"--reconnect-interval", "1.2.3", "seconds"},
      {"--reconnect-interval", "86401", "range"},
      {"--heartbeat-interval", "0.01", "range"},
      {"--heartbeat-interval", "x", "seconds"},
      {"--heartbeat-interval", ".", "seconds"},
      {"--retention", "0", "range"},
      {"--retention", "99999999999999999999", "range"},
      {"--shell", "sh", "absolute"},
      {"--shell", "/etc", "program"},
      {"--shell", "/etc/passwd", "program"},
      {"--ca", "/no/such/file", "read"},
      {"--ca", "/etc", "read"},
      {"--cert", "/no/such/file", "read"},
      {"--key", "/no/such/file", "read"},
      {"--server-name", "", "host name"},
      {"--server-name", "a/b", "host name"},
      {"--token-file", "/no/such/file", "No such file"},
      {"--token-file", "/dev/null", "empty"},
      {"--log-level", "loud", "error, warn, info, debug or trace"},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    char joined[200];
    snprintf(joined, sizeof(joined), "%s=%s", cases[i].option, cases[i].value);
    expect_bad(ARGS(URL, joined), cases[i].option, cases[i].says);
    ck_assert_msg(strstr(error, cases[i].value) != NULL, "\"%s\" does not show the value", error);
  }
  sandd_options_free(&options);
}
END_TEST

START_TEST(a_certificate_needs_its_key) {
  expect_bad(ARGS(URL, "--cert", "/etc/passwd"), "--cert", "--key");
  expect_bad(ARGS(URL, "--key", "/etc/passwd"), "--key", "--cert");
  sandd_options_free(&options);
}
END_TEST

START_TEST(unknown_and_incomplete_options_and_stray_words_are_named) {
  expect_bad(ARGS(URL, "--no-such"), "--no-such", "unknown");
  expect_bad(ARGS(URL, "-x"), "-x", "unknown");
  expect_bad(ARGS(URL, "--label"), "--label", "missing");
  expect_bad(ARGS(URL, "word"), "word", "unexpected");
  expect_bad(ARGS(URL, "--insecure=1"), "--insecure", "");
  sandd_options_free(&options);
}
END_TEST

START_TEST(at_most_64_labels) {
  const char *argv[160] = {"sandd", URL};
  static char labels[66][16];
  for (int i = 0; i < 65; i++) {
    snprintf(labels[i], sizeof(labels[i]), "k%d=v", i);
    argv[3 + 2 * i] = "-l";
    argv[4 + 2 * i] = labels[i];
  }
  expect_bad(argv, "--label", "64");
  sandd_options_free(&options);
}
END_TEST

START_TEST(help_and_version_need_nothing_else) {
  ck_assert_int_eq(parse(ARGS("--help")), 0);
  ck_assert(options.help);
  ck_assert_int_eq(parse(ARGS("--version")), 0);
  ck_assert(options.version);
  sandd_options_free(&options);
}
END_TEST

START_TEST(help_names_every_option) {
  static const char *const names[] = {"--server-url",
                                      "--daemon-id",
                                      "--label",
                                      "--reconnect-interval",
                                      "--heartbeat-interval",
                                      "--retention",
                                      "--shell",
                                      "--ca",
                                      "--cert",
                                      "--key",
                                      "--insecure",
                                      "--server-name",
                                      "--token-file",
                                      "--log-level",
                                      "--version",
                                      "--help"};
  for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
    ck_assert_ptr_nonnull(strstr(sandd_options_help(), names[i]));
  }
}
END_TEST

SUITE("options", 20, every_option_is_taken, defaults_are_those_that_help_names, an_absent_id_is_a_random_uuid,
      options_beat_variables_and_variables_have_older_names, no_server_url_says_how_to_give_one,
      every_bad_value_names_its_option_and_what_is_expected, a_certificate_needs_its_key,
      unknown_and_incomplete_options_and_stray_words_are_named, at_most_64_labels, help_and_version_need_nothing_else,
      help_names_every_option)
