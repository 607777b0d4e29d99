// SPDX-License-Identifier: MIT
#include "support.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

sandd_server *start_server_with(sandd_server_config config) {
  sandd_server *server;
  sandd_failure failure = {0};
  int rc = sandd_server_new(&server, &config, &failure);
  ck_assert_msg(rc == 0, "sandd_server_new: %d %s", rc, failure.text);
  return server;
}

sandd_exec *open_with(sandd_server *server, sandd_exec_config config) {
  sandd_exec *exec;
  sandd_failure failure = {0};
  int rc = sandd_exec_open(&exec, server, &config, &failure);
  ck_assert_msg(rc == 0, "sandd_exec_open: %d %s", rc, failure.text);
  return exec;
}

sandd_exec_result end_of(sandd_exec *exec) {
  sandd_exec_result result = {.size = sizeof result};
  int rc = sandd_exec_wait(exec, SANDD_EXEC_ENDED, TEN_SECONDS);
  ck_assert_int_eq(sandd_exec_get_result(exec, &result), 0);
  ck_assert_msg(rc > 0, "wait: %d, status %d, %s", rc, result.status, result.text);
  return result;
}

int read_all(sandd_exec *exec, int channel, char **data, size_t *len) {
  size_t cap = 65536;
  *len = 0;
  *data = malloc(cap);
  for (;;) {
    if (*len == cap)
      *data = realloc(*data, cap *= 2);
    uint64_t n = 0;
    int kind = sandd_exec_read(exec, channel, *data + *len, cap - *len, &n, TEN_SECONDS);
    if (kind == SANDD_READ_DATA)
      *len += n;
    else if (kind != SANDD_READ_SKIP)
      return kind;
  }
}

int open_descriptors(void) {
  DIR *dir = opendir("/proc/self/fd");
  int n = 0;
  while (readdir(dir))
    n++;
  closedir(dir);
  return n;
}

sandd_server_stats stats_of(sandd_server *server) {
  sandd_server_stats stats = {.size = sizeof stats};
  ck_assert_int_eq(sandd_server_get_stats(server, &stats), 0);
  return stats;
}

void pause_a_little(void) {
  nanosleep(&(struct timespec){0, 2000000}, NULL);
}
