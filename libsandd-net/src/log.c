// SPDX-License-Identifier: MIT
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "internal.h"

/* libwebsockets has one log function per process and gives it no context; each net stays on one thread at a time. */
static _Thread_local sandd_net *current;
static pthread_once_t once = PTHREAD_ONCE_INIT;

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

static void emit(int level, const char *line) {
  if (!current || !current->log) {
    return;
  }
  int len = (int)strcspn(line, "\r\n");
  /* Its "errors" are mostly the peer's: a failed handshake, a connection that ended. Ours say what matters. */
  net_log(current, level & LLL_ERR ? SANDD_NET_LOG_INFO : SANDD_NET_LOG_DEBUG, "libwebsockets: %.*s", len, line);
}

static void set_up(void) {
  lws_set_log_level(LLL_ERR | LLL_WARN, emit);
}

void log_init(void) {
  pthread_once(&once, set_up);
}

void log_enter(sandd_net *net) {
  current = net;
}
