// SPDX-License-Identifier: MIT
#ifndef SANDD_SERVER_TEST_SUPPORT_H
#define SANDD_SERVER_TEST_SUPPORT_H

#include <check.h>
#include <sandd/server.h>

#include "peer.h"

#define TEN_SECONDS 10000

/* A server on a free port of 127.0.0.1; what config adds. Fails the test with the reason. */
#define start_server(...) \
  start_server_with((sandd_server_config){.size = sizeof(sandd_server_config), .host = "127.0.0.1", __VA_ARGS__})
sandd_server *start_server_with(sandd_server_config config);

/* Opens a command line on "worker", waiting 10 s for its return; what else. Fails the test with the reason. */
#define open_line(server, line, ...)                                        \
  open_with(server, (sandd_exec_config){.size = sizeof(sandd_exec_config),  \
                                        .daemon_id = "worker",              \
                                        .wait_ms = TEN_SECONDS,             \
                                        .shell_line = {line, strlen(line)}, \
                                        __VA_ARGS__})
sandd_exec *open_with(sandd_server *server, sandd_exec_config config);

/* Waits for its end and gives the result. */
sandd_exec_result end_of(sandd_exec *exec);
/* Reads a channel to its end, or to an error, which comes back; *len bytes that are to be freed. */
int read_all(sandd_exec *exec, int channel, char **data, size_t *len);

int open_descriptors(void);
sandd_server_stats stats_of(sandd_server *server);

/* Waits for a condition, looking every few milliseconds. */
#define WAIT_FOR(condition)                                                \
  do {                                                                     \
    int tries_ = 0;                                                        \
    while (!(condition)) {                                                 \
      ck_assert_msg(tries_++ < 5000, "waited in vain for %s", #condition); \
      pause_a_little();                                                    \
    }                                                                      \
  } while (0)
void pause_a_little(void);

#endif
