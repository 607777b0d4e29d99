// SPDX-License-Identifier: MIT
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"

#define FREE_TIMEOUT_MS 5000

static void on_stop(uv_async_t *async) {
  sandd_net *net = async->data;
  uv_stop(&net->loop);
}

static void on_timer(uv_timer_t *timer) {
  sandd_net *net = timer->data;
  uint64_t now = uv_now(&net->loop);
  list due, *node;
  /* A conn that is due may add others; each is looked at once. */
  list_init(&due);
  for (node = net->timed.next; node != &net->timed;) {
    sandd_conn *conn = LIST_ENTRY(node, sandd_conn, timed);
    node = node->next;
    if (conn->deadline_ms <= now) {
      list_remove(&conn->timed);
      list_add(&due, &conn->timed);
    }
  }
  while (!list_empty(&due)) {
    sandd_conn *conn = LIST_ENTRY(due.next, sandd_conn, timed);
    conn_deadline(conn, 0);
    conn_due(conn);
  }
  net_schedule(net);
}

void net_schedule(sandd_net *net) {
  uint64_t now = uv_now(&net->loop), first = UINT64_MAX;
  if (uv_is_closing((uv_handle_t *)&net->timer)) {
    return;
  }
  for (list *node = net->timed.next; node != &net->timed; node = node->next) {
    sandd_conn *conn = LIST_ENTRY(node, sandd_conn, timed);
    if (conn->deadline_ms < first) {
      first = conn->deadline_ms;
    }
  }
  if (first == UINT64_MAX) {
    uv_timer_stop(&net->timer);
  } else {
    uv_timer_start(&net->timer, on_timer, first > now ? first - now : 0, 0);
  }
}

static void on_prepare(uv_prepare_t *prepare) {
  conn_flush_woken(prepare->data);
}

static void on_idle(uv_idle_t *idle) {
  (void)idle;
}

void net_flush_soon(sandd_net *net) {
  if (!uv_is_closing((uv_handle_t *)&net->prepare)) {
    uv_prepare_start(&net->prepare, on_prepare);
    uv_idle_start(&net->idle, on_idle);
  }
}

int sandd_net_new(sandd_net **out, const sandd_net_config *config) {
  sandd_net_config c = {0};
  if (!out || (config && config->size < sizeof(size_t))) {
    return SANDD_NET_INVALID;
  }
  if (config) {
    memcpy(&c, config, config->size < sizeof c ? config->size : sizeof c);
  }
  sandd_net *net = calloc(1, sizeof *net);
  if (!net) {
    return SANDD_NET_NOMEM;
  }
  net->log = c.log;
  net->log_user = c.log_user;
  net->fd_limit = c.fd_limit;
  net->max_pull = c.max_pull ? c.max_pull : 1024 * 1024;
  memset(net->spares, -1, sizeof net->spares);
  list_init(&net->vhosts);
  list_init(&net->conns);
  list_init(&net->listeners);
  list_init(&net->timed);
  list_init(&net->woken);
  net->pull_buf = malloc(LWS_PRE + net->max_pull);
  if (!net->pull_buf) {
    free(net);
    return SANDD_NET_NOMEM;
  }
  if (uv_loop_init(&net->loop)) {
    free(net->pull_buf);
    free(net);
    return SANDD_NET_SYSTEM;
  }
  if (uv_async_init(&net->loop, &net->stop_async, on_stop)) {
    uv_loop_close(&net->loop);
    free(net->pull_buf);
    free(net);
    return SANDD_NET_SYSTEM;
  }
  net->stop_async.data = net;
  uv_timer_init(&net->loop, &net->timer);
  net->timer.data = net;
  uv_prepare_init(&net->loop, &net->prepare);
  net->prepare.data = net;
  uv_idle_init(&net->loop, &net->idle);
  *out = net;
  return SANDD_NET_OK;
}

uv_loop_t *sandd_net_loop(sandd_net *net) {
  return &net->loop;
}

void sandd_net_run(sandd_net *net) {
  uv_run(&net->loop, UV_RUN_DEFAULT);
}

static void on_turn_timeout(uv_timer_t *timer) {
  (void)timer;
}

static void on_turn_timer_closed(uv_handle_t *handle) {
  free(handle);
}

void sandd_net_turn(sandd_net *net, int timeout_ms) {
  uv_timer_t *timer = NULL;
  if (timeout_ms > 0 && (timer = malloc(sizeof *timer))) {
    uv_timer_init(&net->loop, timer);
    uv_update_time(&net->loop);
    uv_timer_start(timer, on_turn_timeout, (uint64_t)timeout_ms, 0);
  }
  uv_run(&net->loop, timeout_ms ? UV_RUN_ONCE : UV_RUN_NOWAIT);
  if (timer) {
    uv_close((uv_handle_t *)timer, on_turn_timer_closed);
    uv_run(&net->loop, UV_RUN_NOWAIT);
  }
}

void sandd_net_stop(sandd_net *net) {
  uv_async_send(&net->stop_async);
}

static void abort_all(sandd_net *net) {
  for (list *node = net->conns.next; node != &net->conns; node = node->next) {
    sandd_conn_abort(LIST_ENTRY(node, sandd_conn, node));
  }
}

void net_drain(sandd_net *net) {
  uint64_t give_up = uv_hrtime() + FREE_TIMEOUT_MS * 1000000ull;
  for (int turns = 0; uv_loop_alive(&net->loop) && uv_hrtime() < give_up; turns++) {
    uv_run(&net->loop, UV_RUN_NOWAIT);
    if (turns > 100) {
      uv_sleep(5); /* a look-up, most likely */
    }
  }
}

void sandd_net_free(sandd_net *net) {
  if (!net) {
    return;
  }
  while (!list_empty(&net->listeners)) {
    sandd_listener_free(LIST_ENTRY(net->listeners.next, sandd_listener, node));
  }
  abort_all(net);
  uint64_t give_up = uv_hrtime() + FREE_TIMEOUT_MS * 1000000ull;
  while (!list_empty(&net->conns) && uv_hrtime() < give_up) {
    uv_run(&net->loop, UV_RUN_ONCE);
  }
  uv_close((uv_handle_t *)&net->stop_async, NULL);
  uv_close((uv_handle_t *)&net->timer, NULL);
  uv_close((uv_handle_t *)&net->prepare, NULL);
  uv_close((uv_handle_t *)&net->idle, NULL);
  backend_free(net);
  net_drain(net);
  if (uv_loop_close(&net->loop)) {
    net_log(net, SANDD_NET_LOG_ERROR,
            "the loop still has open handles: somebody else's, which should have been closed");
  }
  free(net->pull_buf);
  free(net);
}

static void close_raw(uv_handle_t *handle, void *user) {
  uv_os_fd_t fd;
  (void)user;
  if (!uv_fileno(handle, &fd)) {
    close(fd);
  }
}

void sandd_net_abandon(sandd_net *net) {
  uv_loop_t *loop = &net->loop;
  uv_walk(loop, close_raw, NULL);
  for (int which = 0; which < BACKEND_COUNT; which++) {
    backend_close_spares(net, which);
  }
  close(uv_backend_fd(loop));
  /* What uv_walk does not show: the loop's wake-up and signal pipes. */
  if (loop->async_io_watcher.fd >= 0) {
    close(loop->async_io_watcher.fd);
  }
  for (int i = 0; i < 2; i++) {
    if (loop->signal_pipefd[i] >= 0) {
      close(loop->signal_pipefd[i]);
    }
  }
}
