// SPDX-License-Identifier: MIT
#ifndef SANDD_NET_NET_H
#define SANDD_NET_NET_H

#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "sandd/net/error.h"

/* One libuv loop that carries any number of WebSocket connections, listening and dialling alike. One thread at a time;
 * several of them may live in one process, each on its own thread. since: 0.1 */
typedef struct sandd_net sandd_net;

typedef enum sandd_net_log_level {
  SANDD_NET_LOG_ERROR = 0,
  SANDD_NET_LOG_WARN = 1,
  SANDD_NET_LOG_INFO = 2,
  SANDD_NET_LOG_DEBUG = 3
} sandd_net_log_level;

typedef struct sandd_net_config {
  size_t size; /* sizeof(sandd_net_config) */
  /* Gets one line, without a line end, on the loop's thread. NULL: silence. Never a token, never message contents. */
  void (*log)(void *user, int level, const char *text);
  void *log_user;
  /* Descriptors that libwebsockets makes room for, 16 bytes each; 0: as many as the process may open. A program with one
   * connection sets 32. More connections than this are refused. */
  unsigned fd_limit;
  /* Largest message that pull may produce, in bytes; 0: 1 MiB. Shared by all connections. */
  size_t max_pull;
} sandd_net_config;

/* Makes a net with a loop of its own. config may be NULL and is copied.
 * out:    set on success only; to be freed with sandd_net_free.
 * errors: SANDD_NET_NOMEM, SANDD_NET_INVALID, SANDD_NET_SYSTEM.
 * Side effects: SIGPIPE becomes ignored in the process at the first listen or dial, and libwebsockets' own log
 * is silenced for the process. since: 0.1 */
int sandd_net_new(sandd_net **out, const sandd_net_config *config);

/* The loop, for timers, processes and pipes of the caller. It lives as long as the net; whoever opens a handle on it
 * closes it (with uv_close) before sandd_net_free. thread: the loop's. since: 0.1 */
uv_loop_t *sandd_net_loop(sandd_net *net);

/* Runs the loop on the calling thread until sandd_net_stop. May be called again afterwards. since: 0.1 */
void sandd_net_run(sandd_net *net);

/* Runs what is ready, waiting for at most timeout_ms (0: not at all, negative: for ever) for something to be ready.
 * For programs and tests that look at a condition between turns. thread: the loop's. since: 0.1 */
void sandd_net_turn(sandd_net *net, int timeout_ms);

/* Makes sandd_net_run return soon; if it is not running, its next call returns at once.
 * thread: any; also from a signal handler. since: 0.1 */
void sandd_net_stop(sandd_net *net);

/* Closes every listener and connection (each gets its closed callback, SANDD_NET_ABORTED), runs the loop until all its
 * handles are gone, and frees everything: no descriptor, handle or memory stays. NULL is fine. The calling thread becomes
 * the loop's for the call; not from a callback. since: 0.1 */
void sandd_net_free(sandd_net *net);

/* For a child after fork: closes the descriptors with plain close, so that neither sockets nor ports stay open because of
 * the child, and touches nothing that it shares with its parent (epoll is shared). No callback is called; the memory is
 * left behind and every other call with this net is forbidden. thread: the child's only one. since: 0.1 */
void sandd_net_abandon(sandd_net *net);

#endif
