// SPDX-License-Identifier: MIT
// Runs a command on a daemon and prints what it says:  exec PORT DAEMON COMMAND
// Beside it, on the same machine or another:           sandd -s ws://HOST:PORT -d DAEMON
#include <sandd/server.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv) {
  if (argc != 4) {
    fprintf(stderr, "usage: %s PORT DAEMON COMMAND\n", argv[0]);
    return 2;
  }
  sandd_server *server;
  sandd_failure why;
  sandd_server_config config = {.size = sizeof config, .host = "127.0.0.1", .port = atoi(argv[1])};
  if (sandd_server_new(&server, &config, &why) != 0) {
    fprintf(stderr, "%s\n", why.text);
    return 1;
  }
  fprintf(stderr, "waiting for %s at ws://%s\n", argv[2], sandd_server_address(server));
  sandd_server_wait_daemon(server, argv[2], 60000);

  sandd_exec *exec;
  sandd_exec_config command = {.size = sizeof command, .daemon_id = argv[2], .merge_stderr = true};
  command.shell_line = (sandd_bytes){argv[3], strlen(argv[3])};
  if (sandd_exec_open(&exec, server, &command, &why) != 0) {
    fprintf(stderr, "%s\n", why.text);
    sandd_server_free(server);
    return 1;
  }
  char buf[65536];
  uint64_t len;
  while (sandd_exec_read(exec, SANDD_STDOUT, buf, sizeof buf, &len, -1) == SANDD_READ_DATA)
    fwrite(buf, 1, len, stdout);
  sandd_exec_wait(exec, SANDD_EXEC_ENDED, -1);
  sandd_exec_result result = {.size = sizeof result};
  sandd_exec_get_result(exec, &result);
  fprintf(stderr, "exit code %u %s\n", result.exit_code, result.text);
  sandd_exec_free(exec);
  sandd_server_free(server);
  return result.exited && result.exit_code == 0 ? 0 : 1;
}
