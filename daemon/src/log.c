// SPDX-License-Identifier: MIT
#include "log.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* At most PIPE_BUF, so that a pipe that polls as writable takes a line whole and without blocking. */
#define LINE_MAX_BYTES 2048

static const char *const names[] = {"error", "warn", "info", "debug", "trace"};
static const char *const labels[] = {"ERROR", "WARN", "INFO", "DEBUG", "TRACE"};
static sandd_log_level threshold = SANDD_LOG_INFO;
static unsigned dropped;

void sandd_log_set_level(sandd_log_level level) {
  threshold = level;
}

sandd_log_level sandd_log_get_level(void) {
  return threshold;
}

int sandd_log_level_parse(const char *name) {
  for (int i = 0; i < (int)(sizeof(names) / sizeof(names[0])); i++) {
    if (strcmp(name, names[i]) == 0) {
      return i;
    }
  }
  return -1;
}

static size_t put_prefix(char *line, size_t cap, sandd_log_level level) {
  struct timeval now;
  gettimeofday(&now, NULL);
  struct tm parts;
  gmtime_r(&now.tv_sec, &parts);
  size_t len = strftime(line, cap, "%Y-%m-%dT%H:%M:%S", &parts);
  len += (size_t)snprintf(line + len, cap - len, ".%03dZ %s ", (int)(now.tv_usec / 1000), labels[level]);
  return len;
}

static void put_line(char *line, size_t len) {
  struct pollfd stderr_poll = {.fd = STDERR_FILENO, .events = POLLOUT};
  if (poll(&stderr_poll, 1, 0) != 1 || (stderr_poll.revents & (POLLERR | POLLHUP | POLLNVAL)) ||
      write(STDERR_FILENO, line, len) < 0) {
    dropped++;
  } else {
    dropped = 0;
  }
}

void sandd_log(sandd_log_level level, const char *format, ...) {
  if (level > threshold) {
    return;
  }
  char line[LINE_MAX_BYTES];
  size_t begin = put_prefix(line, sizeof(line), level);
  if (dropped > 0) {
    begin += (size_t)snprintf(line + begin, sizeof(line) - begin, "(%u lines were dropped before this one) ", dropped);
  }
  va_list args;
  va_start(args, format);
  int text = vsnprintf(line + begin, sizeof(line) - begin - 1, format, args);
  va_end(args);
  size_t len = begin + (text < 0 ? 0 : (size_t)text);
  if (len > sizeof(line) - 2) {
    len = sizeof(line) - 2;
  }
  for (size_t i = begin; i < len; i++) { // what a peer or a program said must not forge lines or move the cursor
    if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f) {
      line[i] = '?';
    }
  }
  line[len++] = '\n';
  put_line(line, len);
}
