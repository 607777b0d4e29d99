// SPDX-License-Identifier: MIT
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>

#include "internal.h"

void net_log(const sandd_net *net, int level, const char *format, ...) {
  char line[512];
  va_list args;
  if (!net->log) {
    return;
  }
  va_start(args, format);
  vsnprintf(line, sizeof line, format, args);
  va_end(args);
  net->log(net->log_user, level, line);
}

static void drop(int level, const char *line) {
  (void)level;
  (void)line;
}

static void silence(void) {
  lws_set_log_level(0, drop);
}

/* libwebsockets has one log function per process, without a context, and its lines are about its own inner life; what
 * matters is reported by us. */
void log_silence_backend(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, silence);
}
