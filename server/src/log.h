// SPDX-License-Identifier: MIT
// Lines for people: to the application's callback, or to a queue with a descriptor. Has a mutex of its own, because
// lines are written with the server's mutex held and without.
#ifndef SANDD_SERVER_LOG_H
#define SANDD_SERVER_LOG_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct log_line {
  int level;
  char *text;
} log_line;

typedef struct server_log {
  pthread_mutex_t mutex;
  int level; /* the highest that is told */
  void (*callback)(void *user, int level, const char *text);
  void *user;
  int fd;          /* -1: no queue */
  log_line *lines; /* a circle */
  size_t first, count;
  uint64_t lost;
} server_log;

void sandd_log_init(server_log *log, int level, void (*callback)(void *, int, const char *), void *user);
void sandd_log_free(server_log *log);
/* Makes next_log's reader look. */
void sandd_log_wake(server_log *log);
int sandd_log_open(server_log *log);
int sandd_log_next(server_log *log, char *text, size_t cap);
void sandd_log(server_log *log, int level, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* For callbacks of libsandd-net and the carrier: user is the sandd_server. */
void sandd_log_from_net(void *server, int level, const char *text);

#endif
