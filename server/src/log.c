// SPDX-License-Identifier: MIT
#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "internal.h"

#define QUEUE_LINES 1000

void sandd_log_init(server_log *log, int level, void (*callback)(void *, int, const char *), void *user) {
  pthread_mutex_init(&log->mutex, NULL);
  log->level = level ? level : SANDD_LOG_WARNING;
  log->callback = callback;
  log->user = user;
  log->fd = -1;
}

void sandd_log_free(server_log *log) {
  for (size_t i = 0; i < log->count; i++)
    free(log->lines[(log->first + i) % QUEUE_LINES].text);
  free(log->lines);
  if (log->fd >= 0)
    close(log->fd);
  pthread_mutex_destroy(&log->mutex);
}

static void signal_fd(int fd) {
  uint64_t one = 1;
  /* Only a counter that is full can refuse, and that one is readable. */
  ssize_t n = write(fd, &one, sizeof one);
  (void)n;
}

void sandd_log_wake(server_log *log) {
  pthread_mutex_lock(&log->mutex);
  if (log->fd >= 0)
    signal_fd(log->fd);
  pthread_mutex_unlock(&log->mutex);
}

int sandd_log_open(server_log *log) {
  if (log->callback)
    return SANDD_E_STATE;
  pthread_mutex_lock(&log->mutex);
  int rc = log->fd;
  if (rc < 0) {
    log->lines = calloc(QUEUE_LINES, sizeof *log->lines);
    rc = log->lines ? eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) : SANDD_E_NOMEM;
    if (log->lines && rc < 0) {
      free(log->lines);
      log->lines = NULL;
      rc = SANDD_E_SYSTEM;
    }
    if (rc >= 0)
      log->fd = rc;
  }
  pthread_mutex_unlock(&log->mutex);
  return rc;
}

static void enqueue(server_log *log, int level, const char *text) {
  char *copy = strdup(text);
  if (!copy || log->count == QUEUE_LINES) {
    free(copy);
    log->lost++;
    return;
  }
  log->lines[(log->first + log->count++) % QUEUE_LINES] = (log_line){level, copy};
  if (log->count == 1)
    signal_fd(log->fd);
}

static void tell(server_log *log, int level, const char *text) {
  if (log->callback) {
    log->callback(log->user, level, text);
    return;
  }
  pthread_mutex_lock(&log->mutex);
  if (log->fd >= 0)
    enqueue(log, level, text);
  pthread_mutex_unlock(&log->mutex);
}

int sandd_log_next(server_log *log, char *text, size_t cap) {
  int level = 0;
  pthread_mutex_lock(&log->mutex);
  if (log->fd >= 0 && log->count) {
    log_line *line = &log->lines[log->first];
    level = line->level;
    if (cap)
      snprintf(text, cap, "%s", line->text);
    free(line->text);
    log->first = (log->first + 1) % QUEUE_LINES;
    log->count--;
  } else if (log->fd >= 0 && log->lost) {
    level = SANDD_LOG_WARNING;
    if (cap)
      snprintf(text, cap, "%llu log lines were lost: nobody read them", (unsigned long long)log->lost);
    log->lost = 0;
  }
  if (log->fd >= 0 && log->count == 0 && log->lost == 0)
    sandd_drain_fd(log->fd);
  pthread_mutex_unlock(&log->mutex);
  return level;
}

void sandd_log(server_log *log, int level, const char *format, ...) {
  if (level > log->level)
    return;
  char text[1024];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  tell(log, level, text);
}

void sandd_log_from_net(void *user, int level, const char *text) {
  server_log *log = &((sandd_server *)user)->log;
  int mine = level == SANDD_CARRIER_LOG_TRACE ? SANDD_LOG_TRACE
             : level == SANDD_NET_LOG_DEBUG   ? SANDD_LOG_DEBUG
             : level == SANDD_NET_LOG_INFO    ? SANDD_LOG_INFO
             : level == SANDD_NET_LOG_WARN    ? SANDD_LOG_WARNING
                                              : SANDD_LOG_ERROR;
  if (mine <= log->level)
    tell(log, mine, text);
}
