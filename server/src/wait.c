// SPDX-License-Identifier: MIT
#include "wait.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"

static int64_t monotonic_ns(void) {
  struct timespec ts;
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

int64_t sandd_wait_until(int64_t timeout_ms) {
  if (timeout_ms < 0 || timeout_ms > INT64_MAX / 4000000)
    return INT64_MAX;
  return timeout_ms == 0 ? 0 : monotonic_ns() + timeout_ms * 1000000;
}

void sandd_wake_pool_free(wake_pool *pool) {
  for (size_t i = 0; i < pool->n_free; i++)
    close(pool->free_fds[i]);
  free(pool->free_fds);
}

static int take_fd(wake_pool *pool) {
  if (pool->n_free)
    return pool->free_fds[--pool->n_free];
  /* Room for all that exist, so that giving back never fails. */
  int *bigger = realloc(pool->free_fds, (pool->cap + 1) * sizeof *bigger);
  if (!bigger)
    return SANDD_E_NOMEM;
  pool->free_fds = bigger;
  int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (fd < 0)
    return SANDD_E_SYSTEM;
  pool->cap++;
  return fd;
}

static void give_fd(wake_pool *pool, int fd) {
  pool->free_fds[pool->n_free++] = fd;
}

void sandd_drain_fd(int fd) {
  uint64_t count;
  while (read(fd, &count, sizeof count) < 0 && errno == EINTR)
    continue;
}

int sandd_wait_fd(int fd, int64_t until_ns) {
  struct pollfd p = {.fd = fd, .events = POLLIN};
  int timeout = -1;
  if (until_ns != INT64_MAX) {
    int64_t left = until_ns - monotonic_ns();
    if (left <= 0)
      return SANDD_E_TIMEOUT;
    int64_t ms = (left + 999999) / 1000000;
    timeout = ms > 1000000000 ? 1000000000 : (int)ms;
  }
  int n = poll(&p, 1, timeout);
  if (n > 0)
    return 0;
  if (n == 0)
    return SANDD_E_TIMEOUT;
  return errno == EINTR ? SANDD_E_INTR : SANDD_E_SYSTEM;
}

static void unlink_waiter(waiter *w) {
  *w->prev = w->next;
  if (w->next)
    w->next->prev = w->prev;
  w->prev = NULL;
}

int sandd_wait(sandd_server *server, waiter **list, unsigned mask, int64_t until_ns) {
  if (until_ns == 0)
    return SANDD_E_TIMEOUT;
  waiter w = {.fd = take_fd(&server->wakes), .mask = mask};
  if (w.fd < 0)
    return w.fd;
  w.next = *list;
  w.prev = list;
  if (*list)
    (*list)->prev = &w.next;
  *list = &w;
  sandd_server_unlock(server);
  int rc = sandd_wait_fd(w.fd, until_ns);
  sandd_server_lock(server);
  if (w.prev)
    unlink_waiter(&w);
  if (rc == 0)
    sandd_drain_fd(w.fd);
  else if (w.woken) /* both happened: what it waited for counts more, and nothing is lost */
    rc = rc == SANDD_E_INTR ? rc : 0;
  give_fd(&server->wakes, w.fd);
  return rc;
}

void sandd_wake_all(sandd_server *server, waiter **list, unsigned mask) {
  for (waiter *w = *list, *next; w; w = next) {
    next = w->next;
    if (!(w->mask & mask))
      continue;
    unlink_waiter(w);
    w->woken = true;
    sandd_server_wake(server, w->fd);
  }
}
