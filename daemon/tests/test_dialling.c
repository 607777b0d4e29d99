// SPDX-License-Identifier: MIT
// The program as its user sees it: exit codes, tokens, refusals, its log.
#include <fcntl.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "peer.h"
#include "suite.h"

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})

static void put_file(const char *path, const char *text) {
  FILE *file = fopen(path, "w");
  ck_assert_ptr_nonnull(file);
  ck_assert_int_ge(fputs(text, file), 0);
  fclose(file);
}

static void expect_exit(peer *p, int code, const char *says) {
  UNTIL(p, p->daemon_ended);
  char *log = peer_log(p);
  ck_assert_msg(WIFEXITED(p->daemon_status) && WEXITSTATUS(p->daemon_status) == code, "status %x, log:\n%s",
                (unsigned)p->daemon_status, log);
  ck_assert_msg(strstr(log, says) != NULL, "the log does not say \"%s\":\n%s", says, log);
  free(log);
}

START_TEST(a_bad_option_ends_with_code_2_and_a_line) {
  peer *p = PEER(.no_daemon = true, .keep_url = true);
  peer_start(p);
  expect_exit(p, 2, "--server-url");
  peer_free(p);
  p = PEER(.no_daemon = true, .arguments = LIST("--retention", "soon"));
  peer_start(p);
  expect_exit(p, 2, "--retention: bad value \"soon\"");
  peer_free(p);
}
END_TEST

START_TEST(a_server_that_wants_a_token_ends_a_daemon_without_one) {
  peer *p = PEER(.no_daemon = true, .token = "sesame");
  peer_start(p);
  expect_exit(p, 1, "--token-file");
  peer_free(p);
}
END_TEST

START_TEST(a_token_that_is_renewed_is_read_again) {
  char path[] = "/tmp/sandd-token-XXXXXX";
  close(mkstemp(path));
  put_file(path, "expired\n");
  peer *p = PEER(.no_daemon = true, .token = "sesame", .arguments = LIST("--token-file", path));
  peer_start(p);
  char *log = NULL;
  UNTIL(p, (free(log), log = peer_log(p), strstr(log, "refused the token") != NULL));
  ck_assert_ptr_null(strstr(log, "expired"));
  free(log);
  put_file(path, "");
  put_file(path, "sesame\n");
  UNTIL(p, p->up);
  peer_free(p);
  unlink(path);
}
END_TEST

START_TEST(a_goodbye_of_unauthenticated_ends_the_daemon) {
  peer *p = PEER(0);
  sandd_session_goodbye(p->session, SANDD_CODE(UNAUTHENTICATED), "no longer welcome", 0, peer_now());
  expect_exit(p, 1, "UNAUTHENTICATED");
  peer_free(p);
}
END_TEST

START_TEST(other_goodbyes_are_followed_by_a_new_dial) {
  peer *p = PEER(0);
  sandd_session_goodbye(p->session, SANDD_CODE(SHUTTING_DOWN), "restart", 0, peer_now());
  UNTIL(p, p->ups == 2 && p->up);
  ck_assert(!p->resumed);
  peer_free(p);
}
END_TEST

START_TEST(a_server_that_comes_later_is_found) {
  peer *p = PEER(.no_daemon = true);
  char url[64];
  snprintf(url, sizeof(url), "ws://127.0.0.1:%u", sandd_listener_port(p->listener));
  unsigned port = sandd_listener_port(p->listener);
  sandd_listener_free(p->listener);
  p->options.keep_url = true;
  const char *const arguments[] = {"-s", url, NULL};
  p->options.arguments = arguments;
  peer_start(p);
  char *log = NULL;
  UNTIL(p, (free(log), log = peer_log(p), strstr(log, "dialling again") != NULL));
  free(log);
  char text[256] = "";
  sandd_listen_config listen = {.size = sizeof(listen),
                                .host = "127.0.0.1",
                                .port = port,
                                .handler = sandd_carrier_handler(),
                                .user = p->carrier};
  ck_assert_msg(sandd_listen(p->net, &listen, &p->listener, text, sizeof(text)) == 0, "%s", text);
  UNTIL(p, p->up);
  peer_free(p);
}
END_TEST

START_TEST(a_second_daemon_of_the_same_name_waits_for_the_first_to_go) {
  peer *p = PEER(0);
  pid_t first = p->daemon;
  peer_start(p);
  char *log = NULL;
  UNTIL(p, (free(log), log = peer_log(p), strstr(log, "is connected already") != NULL));
  free(log);
  ck_assert(p->up && p->ups == 1);
  ck_assert_int_eq(kill(first, SIGTERM), 0);
  UNTIL(p, p->ups == 2 && p->up);
  ck_assert_int_eq(waitpid(first, NULL, 0), first);
  peer_free(p);
}
END_TEST

/* Runs the daemon with a stderr that can't be written to, and a command on it. */
static void run_with_stderr(const char *how) {
  peer *p = PEER(.no_daemon = true);
  char command[300], url[64];
  snprintf(url, sizeof(url), "ws://127.0.0.1:%u", sandd_listener_port(p->listener));
  snprintf(command, sizeof(command), "exec %s -s %s -d daemon --log-level trace %s", SANDD_PROGRAM, url, how);
  p->daemon = fork();
  ck_assert_int_ge(p->daemon, 0);
  if (p->daemon == 0) {
    execl("/bin/sh", "sh", "-c", command, NULL);
    _exit(98);
  }
  UNTIL(p, p->up);
  for (int i = 0; i < 300; i++) {
    ck_assert_int_eq(call_run(p, &(run){.sh = "exit 7"}, NULL), 7);
  }
  peer_free(p);
}

START_TEST(a_closed_stderr_does_no_harm) {
  run_with_stderr("2>&-");
}
END_TEST

START_TEST(a_full_disk_under_stderr_does_no_harm) {
  run_with_stderr("2>/dev/full");
}
END_TEST

START_TEST(a_stderr_pipe_that_nobody_reads_does_no_harm) {
  int fds[2];
  ck_assert_int_eq(pipe(fds), 0);
  char how[32];
  snprintf(how, sizeof(how), "2>&%d", fds[1]);
  run_with_stderr(how);
  close(fds[0]);
  close(fds[1]);
}
END_TEST

START_TEST(labels_and_platform_reach_the_server) {
  peer *p = PEER(.arguments = LIST("-l", "zone=a", "--label", "gpu="));
  const Sandd__V1__Hello *hello = sandd_session_hello(p->session);
  ck_assert_str_eq(hello->daemon_id, "daemon");
  ck_assert_int_eq(hello->n_labels, 2);
  ck_assert_str_eq(hello->labels[0]->key, "zone");
  ck_assert_str_eq(hello->labels[0]->value, "a");
  ck_assert_str_eq(hello->platform->os, "linux");
  ck_assert(sandd_session_peer_has(p->session, "exec", NULL));
  ck_assert(sandd_session_peer_has(p->session, "exec.attach", NULL));
  const char *why = NULL;
  ck_assert(!sandd_session_peer_has(p->session, "exec.pty", &why) && why && *why);
  peer_free(p);
}
END_TEST

SUITE("dialling", 60, a_bad_option_ends_with_code_2_and_a_line, a_server_that_wants_a_token_ends_a_daemon_without_one,
      a_token_that_is_renewed_is_read_again, a_goodbye_of_unauthenticated_ends_the_daemon,
      other_goodbyes_are_followed_by_a_new_dial, a_server_that_comes_later_is_found,
      a_second_daemon_of_the_same_name_waits_for_the_first_to_go, a_closed_stderr_does_no_harm,
      a_full_disk_under_stderr_does_no_harm, a_stderr_pipe_that_nobody_reads_does_no_harm,
      labels_and_platform_reach_the_server)
