// SPDX-License-Identifier: MIT
// What the parts of the server share. One mutex per server guards everything here but what says otherwise.
#ifndef SANDD_SERVER_INTERNAL_H
#define SANDD_SERVER_INTERNAL_H

#include <pthread.h>
#include <sandd/net/carrier.h>
#include <sandd/net/listen.h>
#include <sandd/proto/inbox.h>
#include <sandd/proto/link.h>
#include <sandd/proto/ring.h>
#include <sandd/proto/session.h>
#include <sandd/proto/status.h>
#include <sandd/proto/stream.h>
#include <sandd/server.h>
#include <sandd/v1/packet.pb-c.h>
#include <stdatomic.h>

#include "daemons.h"
#include "deadline.h"
#include "events.h"
#include "log.h"
#include "wait.h"

#define STATUS(name) SANDD__V1__STATUS_CODE__STATUS_CODE_##name
#define WAKES_MAX    64

struct sandd_server {
  pthread_mutex_t mutex;
  atomic_int refs;     /* the handle, the thread, each exec, waitset and wait */
  unsigned generation; /* of forks, when it was made */

  /* set before the thread starts, and gone when it ends (closed) */
  sandd_net *net;
  sandd_listener *listener;
  sandd_endpoint *endpoint;
  sandd_carrier *carrier;
  uv_async_t stop_async, deadline_async;
  uv_timer_t stop_timer, deadline_timer;
  pthread_t thread;
  char *address;
  int port;

  uint64_t stop_by_ms;  /* of the loop's clock */
  bool closing, closed; /* no new calls; the thread is gone */
  pthread_mutex_t close_mutex;

  wake_pool wakes;
  int to_wake[WAKES_MAX]; /* descriptors to be written after unlock */
  size_t n_to_wake;

  daemon_table daemons;
  event_queue events;
  server_log log;
  deadline_heap deadlines;
  uint64_t deadline_armed_us; /* when the loop's timer looks at the heap */
  waiter *registry_waiters;
  sandd_exec *execs;                   /* all that have not been freed */
  sandd_exec *waiting, **waiting_last; /* for a daemon's return, the oldest first */
  sandd_waitset *waitsets;
  uint64_t sessions_total, resumes_total, execs_total;
  uint64_t started_us;
  char *stats_body; /* answer to the last GET /stats; loop thread only */
};

/* In a forked child the handles of the parent are dead, and the mutex may be held by a thread that does not exist. */
bool sandd_server_alive(const sandd_server *server);
void sandd_server_ref(sandd_server *server);
void sandd_server_unref(sandd_server *server);

/* Takes the mutex if the server is open: 0, or SANDD_E_CLOSED without it. */
int sandd_server_enter(sandd_server *server);
void sandd_server_lock(sandd_server *server);
/* Gives the mutex back, then wakes whom sandd_server_wake named. */
void sandd_server_unlock(sandd_server *server);
/* Makes an eventfd readable once the mutex is free: a woken thread would only run into it. */
void sandd_server_wake(sandd_server *server, int fd);

/* Fills *failure (which may be NULL) and returns error. */
int sandd_failure_set(sandd_failure *failure, int error, int status, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

int64_t sandd_wall_ns(void);
/* The wall clock at a moment of sandd_carrier_now_us. */
int64_t sandd_wall_at(uint64_t then_us, uint64_t now_us);

/* stats.c */
bool sandd_server_http(void *carrier, const char *path, sandd_http_answer *answer);

/* dispatch.c: the carrier's callback */
void sandd_server_event(void *user, const sandd_event *event);

#endif
