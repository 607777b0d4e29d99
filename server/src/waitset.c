// SPDX-License-Identifier: MIT
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "exec.h"
#include "internal.h"

struct sandd_waitset {
  sandd_server *server;
  int fd;
  bool signalled;
  sandd_exec *members;
  sandd_exec *first, **last; /* ready */
  sandd_waitset *next, **prev;
};

static void signal_set(sandd_waitset *set) {
  if (set->signalled)
    return;
  set->signalled = true;
  sandd_server_wake(set->server, set->fd);
}

void sandd_waitset_tell(sandd_exec *exec) {
  sandd_waitset *set = exec->set;
  if (exec->set_ready)
    return;
  exec->set_ready = true;
  exec->set_next_ready = NULL;
  *set->last = exec;
  set->last = &exec->set_next_ready;
  signal_set(set);
}

static void unready(sandd_exec *exec) {
  sandd_waitset *set = exec->set;
  if (!exec->set_ready)
    return;
  exec->set_ready = false;
  sandd_exec **at = &set->first;
  while (*at != exec)
    at = &(*at)->set_next_ready;
  *at = exec->set_next_ready;
  if (!*at)
    set->last = at;
}

void sandd_waitset_forget(sandd_exec *exec) {
  if (!exec->set)
    return;
  unready(exec);
  *exec->set_prev = exec->set_next;
  if (exec->set_next)
    exec->set_next->set_prev = exec->set_prev;
  exec->set = NULL;
}

int sandd_waitset_new(sandd_waitset **out, sandd_server *server) {
  *out = NULL;
  sandd_waitset *set = calloc(1, sizeof *set);
  if (!set)
    return SANDD_E_NOMEM;
  set->server = server;
  set->last = &set->first;
  set->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  int rc = set->fd < 0 ? SANDD_E_SYSTEM : sandd_server_enter(server);
  if (rc) {
    if (set->fd >= 0)
      close(set->fd);
    free(set);
    return rc;
  }
  set->next = server->waitsets;
  set->prev = &server->waitsets;
  if (server->waitsets)
    server->waitsets->prev = &set->next;
  server->waitsets = set;
  sandd_server_ref(server);
  sandd_server_unlock(server);
  *out = set;
  return 0;
}

void sandd_waitset_free(sandd_waitset *set) {
  if (!set)
    return;
  sandd_server *server = set->server;
  if (!sandd_server_alive(server)) {
    close(set->fd);
    return;
  }
  sandd_server_lock(server);
  while (set->members)
    sandd_waitset_forget(set->members);
  *set->prev = set->next;
  if (set->next)
    set->next->prev = set->prev;
  sandd_server_unlock(server);
  close(set->fd);
  free(set);
  sandd_server_unref(server);
}

int sandd_waitset_fd(const sandd_waitset *set) {
  return set->fd;
}

int sandd_waitset_add(sandd_waitset *set, sandd_exec *exec, unsigned mask, void *user) {
  if (exec->server != set->server)
    return SANDD_E_INVALID;
  int rc = sandd_exec_enter(exec);
  if (rc)
    return rc;
  sandd_waitset_forget(exec);
  exec->set = set;
  exec->set_mask = (mask & SANDD_EXEC_ALL) | SANDD_EXEC_ENDED;
  exec->set_user = user;
  exec->set_next = set->members;
  exec->set_prev = &set->members;
  if (set->members)
    set->members->set_prev = &exec->set_next;
  set->members = exec;
  if (sandd_exec_bits(exec) & exec->set_mask)
    sandd_waitset_tell(exec);
  sandd_server_unlock(exec->server);
  return 0;
}

void sandd_waitset_remove(sandd_waitset *set, sandd_exec *exec) {
  if (sandd_exec_enter(exec) != 0)
    return;
  if (exec->set == set)
    sandd_waitset_forget(exec);
  sandd_server_unlock(exec->server);
}

static int take(sandd_waitset *set, sandd_ready *out, size_t n) {
  size_t count = 0;
  while (count < n && set->first) {
    sandd_exec *exec = set->first;
    set->first = exec->set_next_ready;
    if (!set->first)
      set->last = &set->first;
    exec->set_ready = false;
    out[count++] = (sandd_ready){exec, exec->set_user, sandd_exec_bits(exec)};
  }
  /* After the end of the server it stays readable, so that whoever watches it comes to see SANDD_E_CLOSED. */
  if (!set->first && !set->server->closing) {
    sandd_drain_fd(set->fd);
    set->signalled = false;
  }
  return (int)count;
}

int sandd_waitset_next(sandd_waitset *set, sandd_ready *out, size_t n, int64_t timeout_ms) {
  if (!out || !n)
    return SANDD_E_INVALID;
  if (!sandd_server_alive(set->server))
    return SANDD_E_CLOSED;
  int64_t until_ns = sandd_wait_until(timeout_ms);
  if (n > INT32_MAX)
    n = INT32_MAX;
  for (;;) {
    sandd_server_lock(set->server);
    int rc = take(set, out, n);
    if (rc == 0 && set->server->closing)
      rc = SANDD_E_CLOSED;
    sandd_server_unlock(set->server);
    if (rc)
      return rc;
    if (until_ns == 0)
      return SANDD_E_TIMEOUT;
    rc = sandd_wait_fd(set->fd, until_ns);
    if (rc)
      return rc;
  }
}

void sandd_waitsets_close(sandd_server *server) {
  for (sandd_waitset *set = server->waitsets; set; set = set->next)
    signal_set(set);
}
