// SPDX-License-Identifier: MIT
// Threads that wait: each polls an eventfd, so that a signal ends the wait and no thread's signal mask is touched.
#ifndef SANDD_SERVER_WAIT_H
#define SANDD_SERVER_WAIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct sandd_server sandd_server;

/* Eventfds for waiting threads. They are kept until the server is freed, so that a late write hits nobody else's file. */
typedef struct wake_pool {
  int *free_fds;
  size_t n_free, cap; /* cap: how many exist */
} wake_pool;

typedef struct waiter {
  struct waiter *next, **prev; /* prev NULL: in no list */
  int fd;
  unsigned mask;
  bool woken;
} waiter;

void sandd_wake_pool_free(wake_pool *pool);

/* When a wait for timeout_ms ends, on the monotonic clock in ns; INT64_MAX for never. */
int64_t sandd_wait_until(int64_t timeout_ms);

/* Waits in a list until woken, once, with mutex given back meanwhile: 0 (look again), SANDD_E_TIMEOUT, SANDD_E_INTR,
 * SANDD_E_SYSTEM (no descriptors left), SANDD_E_NOMEM. The list's owner must outlive the wait. */
int sandd_wait(sandd_server *server, waiter **list, unsigned mask, int64_t until_ns);
/* The same for a descriptor that is no waiter's: a waitset's. */
int sandd_wait_fd(int fd, int64_t until_ns);
void sandd_drain_fd(int fd);

/* Wakes those that wait for a bit of mask. */
void sandd_wake_all(sandd_server *server, waiter **list, unsigned mask);

#endif
