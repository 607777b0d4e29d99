// SPDX-License-Identifier: MIT
// The server with the real daemon program, or with the one that SANDD_TEST_DAEMON names: one that was built without the
// sanitizer of this program, or one of somebody else.
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

static sandd_server *server;
static pid_t daemon_pid;

/* A TCP proxy between daemon and server, so that a connection can be cut while both ends live. */
static struct {
  int listener, port, target;
  atomic_bool stop, cut;
  pthread_t thread;
} proxy;

static int listen_somewhere(int *port) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_in at = {.sin_family = AF_INET};
  socklen_t len = sizeof at;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ck_assert_int_eq(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
  ck_assert_int_eq(listen(fd, 8), 0);
  ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&at, &len), 0);
  *port = ntohs(at.sin_port);
  return fd;
}

static bool pass_on(int from, int to) {
  char buf[65536];
  ssize_t n = recv(from, buf, sizeof buf, 0);
  for (ssize_t at = 0, m; at < n; at += m)
    if ((m = send(to, buf + at, (size_t)(n - at), MSG_NOSIGNAL)) <= 0)
      return false;
  return n > 0;
}

static void *run_proxy(void *unused) {
  (void)unused;
  while (!atomic_load(&proxy.stop)) {
    struct pollfd p = {.fd = proxy.listener, .events = POLLIN};
    if (poll(&p, 1, 20) <= 0)
      continue;
    int in = accept4(proxy.listener, NULL, NULL, SOCK_CLOEXEC), out = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)proxy.target)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    bool open = connect(out, (struct sockaddr *)&to, sizeof to) == 0;
    while (open && !atomic_load(&proxy.stop) && !atomic_exchange(&proxy.cut, false)) {
      struct pollfd both[2] = {{.fd = in, .events = POLLIN}, {.fd = out, .events = POLLIN}};
      if (poll(both, 2, 5) <= 0)
        continue;
      open = (!both[0].revents || pass_on(in, out)) && (!both[1].revents || pass_on(out, in));
    }
    close(in);
    close(out);
  }
  return NULL;
}

static void setup(void) {
  server = start_server();
  proxy.listener = listen_somewhere(&proxy.port);
  proxy.target = sandd_server_port(server);
  ck_assert_int_eq(pthread_create(&proxy.thread, NULL, run_proxy, NULL), 0);
  char url[64];
  snprintf(url, sizeof url, "ws://127.0.0.1:%d", proxy.port);
  const char *program = getenv("SANDD_TEST_DAEMON");
  program = program ? program : SANDD_PROGRAM;
  daemon_pid = fork();
  if (daemon_pid == 0) {
    execl(program, program, "-s", url, "-d", "worker", "-r", "0.05", "--log-level", "error", (char *)NULL);
    _exit(127);
  }
  ck_assert_int_eq(sandd_server_wait_daemon(server, "worker", TEN_SECONDS), 0);
}

static void teardown(void) {
  kill(daemon_pid, SIGTERM);
  int status, tries = 0;
  while (waitpid(daemon_pid, &status, WNOHANG) == 0) {
    pause_a_little();
    if (++tries == 5000)
      kill(daemon_pid, SIGKILL);
  }
  ck_assert_msg(tries < 5000, "the daemon did not end when it got TERM");
  atomic_store(&proxy.stop, true);
  pthread_join(proxy.thread, NULL);
  close(proxy.listener);
  sandd_server_free(server);
}

static void output_is(sandd_exec *exec, int channel, const char *text) {
  const uint8_t *data;
  size_t len;
  ck_assert_int_eq(sandd_exec_output(exec, channel, &data, &len, NULL), 0);
  ck_assert_msg(len == strlen(text) && !memcmp(data, text, len), "%.*s", (int)len, (const char *)data);
}

START_TEST(a_shell_line_has_output_errors_and_a_code) {
  sandd_exec *exec = open_line(server, "printf out; printf err >&2; exit 3", .collect = true);
  sandd_exec_result r = end_of(exec);
  ck_assert_msg(r.status == 1, "%d %s", r.status, r.text);
  ck_assert_uint_eq(r.exit_code, 3);
  ck_assert_int_eq(r.reason, SANDD_EXIT_OWN);
  ck_assert_int_gt(r.wall_ns, 0);
  output_is(exec, SANDD_STDOUT, "out");
  output_is(exec, SANDD_STDERR, "err");
  sandd_exec_free(exec);
}
END_TEST

START_TEST(argv_environment_and_directory_are_taken_byte_for_byte) {
  sandd_bytes argv[] = {{"sh", 2}, {"-c", 2}, {"printf '%s|%s|' \"$1\" \"$V\"; pwd", 31}, {"sh", 2}, {"a\xff b", 4}};
  sandd_env_var env = {{"V", 1}, {"\xfe=x", 3}};
  sandd_exec_config config = {.size = sizeof config,
                              .daemon_id = "worker",
                              .argv = argv,
                              .n_argv = 5,
                              .env = &env,
                              .n_env = 1,
                              .cwd = {"/", 1},
                              .collect = true};
  argv[2].len = strlen(argv[2].data);
  sandd_exec *exec = open_with(server, config);
  ck_assert_int_eq(end_of(exec).status, 1);
  output_is(exec, SANDD_STDOUT, "a\xff b|\xfe=x|/\n");
  sandd_exec_free(exec);
}
END_TEST

START_TEST(a_program_that_does_not_exist_is_a_typed_refusal) {
  sandd_bytes argv = {"/no/such/program", 16};
  sandd_exec_config config = {
      .size = sizeof config, .daemon_id = "worker", .argv = &argv, .n_argv = 1, .collect = true};
  sandd_exec *exec = open_with(server, config);
  sandd_exec_result r = end_of(exec);
  ck_assert_int_eq(r.status, 5);
  ck_assert_str_eq(r.errno_name, "ENOENT");
  ck_assert(!r.started && !r.may_have_run);
  sandd_exec_free(exec);
}
END_TEST

START_TEST(a_timeout_ends_the_whole_tree) {
  sandd_exec *exec =
      open_line(server, "sleep 60 & sleep 60", .collect = true, .timeout_ns = 200000000, .grace_ns = 1000000000);
  sandd_exec_result r = end_of(exec);
  ck_assert_int_eq(r.status, 1);
  ck_assert_int_eq(r.error, 0);
  ck_assert_int_eq(r.reason, SANDD_EXIT_DEADLINE);
  sandd_exec_free(exec);
}
END_TEST

START_TEST(input_of_any_size_comes_back_through_cat) {
  static const size_t sizes[] = {0, 100, 70000, 5000000};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    char *input = malloc(sizes[i] + 1);
    for (size_t at = 0; at < sizes[i]; at++)
      input[at] = (char)(at * 31 >> 3);
    sandd_exec *exec =
        open_line(server, "cat", .collect = true, .stdin_mode = SANDD_EXEC_STDIN_INPUT, .input = {input, sizes[i]});
    ck_assert_int_eq(end_of(exec).status, 1);
    const uint8_t *data;
    size_t len;
    sandd_exec_output(exec, SANDD_STDOUT, &data, &len, NULL);
    ck_assert_uint_eq(len, sizes[i]);
    ck_assert(!memcmp(data, input, len));
    sandd_exec_free(exec);
    free(input);
  }
}
END_TEST

START_TEST(capped_output_has_its_head_and_its_tail) {
  sandd_exec *exec = open_line(server, "seq 1 1000000", .collect = true, .max_output = 1000);
  sandd_exec_result r = end_of(exec);
  ck_assert(r.truncated && r.exited && r.exit_code == 0 && r.status == 1);
  const uint8_t *data;
  size_t len, skip_at;
  ck_assert_int_eq(sandd_exec_output(exec, SANDD_STDOUT, &data, &len, &skip_at), 0);
  ck_assert_uint_eq(len, 1000);
  ck_assert_uint_eq(skip_at, 500);
  ck_assert_mem_eq(data, "1\n2\n3\n", 6);
  ck_assert_mem_eq(data + len - 8, "1000000\n", 8);
  ck_assert_uint_eq(r.stdout_skipped, 6888896 - 1000);
  sandd_exec_free(exec);
}
END_TEST

START_TEST(output_is_complete_across_cuts_of_the_connection) {
  sandd_exec *exec = open_line(server, "i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); [ $((i % 100)) = 0 ] "
                                       "&& sleep 0.02; done; seq 1 500000");
  char *expected = malloc(8 << 20);
  size_t want = 0, at = 0;
  for (int i = 0; i < 2000; i++)
    want += (size_t)sprintf(expected + want, "line %d\n", i);
  for (int i = 1; i <= 500000; i++)
    want += (size_t)sprintf(expected + want, "%d\n", i);
  char buf[50000];
  uint64_t len;
  int kind, reads = 0;
  while ((kind = sandd_exec_read(exec, SANDD_STDOUT, buf, sizeof buf, &len, TEN_SECONDS)) == SANDD_READ_DATA) {
    ck_assert_uint_le(at + len, want);
    ck_assert(!memcmp(buf, expected + at, len));
    at += len;
    if (++reads % 20 == 0)
      atomic_store(&proxy.cut, true);
  }
  ck_assert_int_eq(kind, SANDD_READ_END);
  ck_assert_uint_eq(at, want);
  sandd_exec_result r = end_of(exec);
  ck_assert_int_eq(r.status, 1);
  ck_assert_uint_gt(stats_of(server).resumes_total, 0);
  sandd_exec_free(exec);
  free(expected);
}
END_TEST

START_TEST(a_command_outlives_its_handle_and_is_attached_to_by_id) {
  sandd_exec *exec = open_line(server, "echo before; read line; echo got $line", .stdin_mode = SANDD_EXEC_STDIN_STREAM,
                               .exec_id = "job-1", .keep = true);
  ck_assert_int_gt(sandd_exec_wait(exec, SANDD_EXEC_READABLE, TEN_SECONDS), 0);
  ck_assert_int_eq(sandd_exec_detach(exec), 0);
  end_of(exec);
  sandd_exec_free(exec);
  sandd_exec_config attach = {.size = sizeof attach,
                              .daemon_id = "worker",
                              .mode = SANDD_EXEC_ATTACH,
                              .exec_id = "job-1",
                              .stdout_at = SANDD_EXEC_AT_EARLIEST,
                              .stderr_at = SANDD_EXEC_AT_EARLIEST,
                              .stdin_mode = SANDD_EXEC_STDIN_STREAM};
  exec = open_with(server, attach);
  ck_assert_int_eq((int)sandd_exec_write(exec, "it\n", 3, TEN_SECONDS), 3);
  char *data;
  size_t len;
  ck_assert_int_eq(read_all(exec, SANDD_STDOUT, &data, &len), SANDD_READ_END);
  ck_assert_uint_eq(len, 14);
  ck_assert_mem_eq(data, "before\ngot it\n", 14);
  free(data);
  sandd_exec_result r = end_of(exec);
  ck_assert(r.attached && r.exited && r.exit_code == 0);
  ck_assert_str_eq(r.exec_id, "job-1");
  sandd_exec_free(exec);
}
END_TEST

START_TEST(a_large_input_is_not_repeated_when_a_retry_attaches) {
  char *input = malloc(300000);
  memset(input, 'x', 300000);
  sandd_exec_config config = {.size = sizeof config,
                              .daemon_id = "worker",
                              .shell_line = {"sleep 0.2; wc -c", 16},
                              .mode = SANDD_EXEC_ATTACH_OR_START,
                              .exec_id = "once",
                              .stdin_mode = SANDD_EXEC_STDIN_INPUT,
                              .input = {input, 300000},
                              .collect = true};
  sandd_exec *first = open_with(server, config);
  ck_assert_int_gt(sandd_exec_wait(first, SANDD_EXEC_STARTED, TEN_SECONDS), 0);
  sandd_exec *second = open_with(server, config);
  sandd_exec_result r = end_of(second);
  ck_assert(r.attached);
  output_is(second, SANDD_STDOUT, "300000\n");
  ck_assert_int_eq(end_of(first).status, 37);
  sandd_exec_free(first);
  sandd_exec_free(second);
  free(input);
}
END_TEST

START_TEST(freeing_the_handle_kills_the_command) {
  char path[] = "/tmp/sandd-test-XXXXXX", line[128];
  int fd = mkstemp(path);
  ck_assert_int_ge(fd, 0);
  snprintf(line, sizeof line, "flock -n %s sh -c 'echo locked; sleep 60'", path);
  sandd_exec *exec = open_line(server, line);
  ck_assert_int_gt(sandd_exec_wait(exec, SANDD_EXEC_READABLE, TEN_SECONDS), 0);
  snprintf(line, sizeof line, "flock -n %s true", path);
  sandd_exec_free(exec);
  WAIT_FOR(({
    sandd_exec *probe = open_line(server, line, .collect = true);
    bool is_free = end_of(probe).exit_code == 0;
    sandd_exec_free(probe);
    is_free;
  }));
  close(fd);
  unlink(path);
}
END_TEST

START_TEST(a_thousand_sleeps_at_once_end_together) {
  sandd_waitset *set;
  ck_assert_int_eq(sandd_waitset_new(&set, server), 0);
  for (int i = 0; i < 1000; i++)
    ck_assert_int_eq(sandd_waitset_add(set, open_line(server, "sleep 0.5", .collect = true), SANDD_EXEC_ENDED, NULL),
                     0);
  sandd_ready ready[100];
  for (int ended = 0; ended < 1000;) {
    int n = sandd_waitset_next(set, ready, 100, TEN_SECONDS);
    ck_assert_int_gt(n, 0);
    for (int i = 0; i < n; i++, ended++) {
      ck_assert(ready[i].bits & SANDD_EXEC_ENDED);
      ck_assert_int_eq(end_of(ready[i].exec).status, 1);
      sandd_exec_free(ready[i].exec);
    }
  }
  sandd_waitset_free(set);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("daemon");
  TCase *tc = tcase_create("daemon");
  tcase_set_timeout(tc, 60);
  tcase_add_checked_fixture(tc, setup, teardown);
  tcase_add_test(tc, a_shell_line_has_output_errors_and_a_code);
  tcase_add_test(tc, argv_environment_and_directory_are_taken_byte_for_byte);
  tcase_add_test(tc, a_program_that_does_not_exist_is_a_typed_refusal);
  tcase_add_test(tc, a_timeout_ends_the_whole_tree);
  tcase_add_test(tc, input_of_any_size_comes_back_through_cat);
  tcase_add_test(tc, capped_output_has_its_head_and_its_tail);
  tcase_add_test(tc, output_is_complete_across_cuts_of_the_connection);
  tcase_add_test(tc, a_command_outlives_its_handle_and_is_attached_to_by_id);
  tcase_add_test(tc, a_large_input_is_not_repeated_when_a_retry_attaches);
  tcase_add_test(tc, freeing_the_handle_kills_the_command);
  tcase_add_test(tc, a_thousand_sleeps_at_once_end_together);
  suite_add_tcase(suite, tc);
  SRunner *runner = srunner_create(suite);
  srunner_run_all(runner, CK_ENV);
  int failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
