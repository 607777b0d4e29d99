// SPDX-License-Identifier: MIT
#include <sandd/net/carrier.h>

#include <sandd/proto/link.h>
#include <sandd/proto/trace.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define STATUS_MESSAGE_TOO_LARGE 42
#define STATUS_BAD_MESSAGE       43

/* A connection that shall close gets so long for what is still to be sent. */
#define CLOSING_US  2000000
#define TRACE_BYTES 16384

typedef struct carried carried;

struct sandd_carrier {
  sandd_carrier *self; /* first, as in carried: tells the two apart where a callback may get either */
  sandd_carrier_config config;
  uv_async_t async;
  uv_timer_t timer;  /* the endpoint's deadline */
  uint64_t armed_us; /* when timer goes off, UINT64_MAX if it does not */
  int open_handles;
  bool closed;
  carried *all;
  carried *ready; /* to be looked at by flush; under the lock */
  size_t count;
};

/* A connection with its link. */
struct carried {
  sandd_carrier *carrier; /* first: see sandd_carrier.self */
  sandd_conn *conn;
  sandd_link *link;
  uv_timer_t timer;
  uint64_t armed_us; /* under the lock */
  uint64_t close_by_us;
  size_t max_message;
  bool closing; /* conn was told to close */
  bool is_ready;
  carried *next_ready;
  carried *next, **prev;
};

uint64_t sandd_carrier_now_us(void) {
  struct timespec ts;
  clock_gettime(CLOCK_BOOTTIME, &ts);
  return (uint64_t)ts.tv_sec * 1000000u + (uint64_t)ts.tv_nsec / 1000u;
}

static void lock(sandd_carrier *c) {
  if (c->config.lock)
    c->config.lock(c->config.user);
}

static void unlock(sandd_carrier *c) {
  if (c->config.unlock)
    c->config.unlock(c->config.user);
}

static void say(sandd_carrier *c, int level, const char *text) {
  if (c->config.log)
    c->config.log(c->config.user, level, text);
}

static void trace(carried *k, const char *direction, const uint8_t *data, size_t len) {
  sandd_carrier *c = k->carrier;
  if (!c->config.trace || !c->config.log)
    return;
  char *text = malloc(TRACE_BYTES);
  if (!text)
    return;
  int head = snprintf(text, TRACE_BYTES, "%s %s %zu bytes: ", sandd_conn_peer(k->conn), direction, len);
  if (head > 0 && head < TRACE_BYTES && sandd_trace_packet(data, len, text + head, TRACE_BYTES - (size_t)head) < 0)
    snprintf(text + head, TRACE_BYTES - (size_t)head, "not a packet");
  say(c, SANDD_CARRIER_LOG_TRACE, text);
  free(text);
}

/* ---- events and what is ready; with the lock held ---- */

static void drain_events(sandd_carrier *c, uint64_t now_us) {
  sandd_event event;
  while (sandd_endpoint_next_event(c->config.endpoint, &event, now_us) > 0)
    c->config.event(c->config.user, &event);
}

static void mark_ready(sandd_carrier *c, carried *k) {
  if (!k || k->is_ready)
    return;
  k->is_ready = true;
  k->next_ready = c->ready;
  c->ready = k;
}

static void gather_ready(sandd_carrier *c) {
  sandd_link *link;
  while ((link = sandd_endpoint_next_ready(c->config.endpoint)) != NULL)
    mark_ready(c, sandd_link_user(link));
}

bool sandd_carrier_pending(sandd_carrier *c, sandd_link *link) {
  gather_ready(c);
  if (link) {
    carried *k = sandd_link_user(link);
    if (k && sandd_link_deadline(link) < k->armed_us)
      mark_ready(c, k);
  }
  return c->ready != NULL;
}

/* ---- timers ---- */

static void on_link_timer(uv_timer_t *timer);
static void on_endpoint_timer(uv_timer_t *timer);

/* At least a millisecond: libuv runs timers before it polls, and a timer of 0 started by a timer would run again before
 * the sockets were read, which would make two ticks without a look at what the peer has sent. */
static uint64_t timer_ms(uint64_t deadline_us, uint64_t now_us) {
  if (deadline_us <= now_us + 1000)
    return 1;
  return (deadline_us - now_us + 999) / 1000;
}

/* Only ever set earlier here: a timer that goes off too early looks again, which is cheaper than to move it each time
 * that a heartbeat deadline moves away. */
static void arm(uv_timer_t *timer, uint64_t *armed_us, uint64_t deadline_us, uint64_t now_us, uv_timer_cb cb) {
  if (deadline_us >= *armed_us)
    return;
  *armed_us = deadline_us;
  uv_update_time(timer->loop);
  uv_timer_start(timer, cb, timer_ms(deadline_us, now_us), 0);
}

static void arm_link(carried *k, uint64_t now_us) {
  uint64_t deadline = k->close_by_us;
  if (k->link && !k->closing) {
    uint64_t at = sandd_link_deadline(k->link);
    deadline = at < deadline ? at : deadline;
  }
  arm(&k->timer, &k->armed_us, deadline, now_us, on_link_timer);
}

static void arm_endpoint(sandd_carrier *c, uint64_t now_us) {
  uint64_t deadline = sandd_endpoint_deadline(c->config.endpoint);
  arm(&c->timer, &c->armed_us, deadline, now_us, on_endpoint_timer);
}

/* ---- closing ---- */

/* The link wants to be closed and nothing is left to pull, or time is up. Without the lock. */
static void close_conn(carried *k, uint16_t code, const char *text) {
  if (k->closing)
    return;
  k->closing = true;
  if (code == 0)
    sandd_conn_abort(k->conn);
  else
    sandd_conn_close(k->conn, code, text);
}

/* Looks at one link that is ready. Neither wake nor abort calls back from here, or writes: both wait for the next turn of
 * the loop. With the lock. */
static void look(carried *k, uint64_t now_us) {
  uint16_t code = 0;
  if (!k->link || k->closing)
    return;
  bool closing = sandd_link_closing(k->link, &code, NULL);
  if (closing && k->close_by_us == UINT64_MAX)
    k->close_by_us = now_us + CLOSING_US;
  arm_link(k, now_us);
  if (closing && code == 0)
    close_conn(k, 0, NULL);
  else if (closing || sandd_link_has_output(k->link, now_us))
    sandd_conn_wake(k->conn);
}

void sandd_carrier_flush(sandd_carrier *c) {
  if (c->closed)
    return;
  lock(c);
  uint64_t now_us = sandd_carrier_now_us();
  drain_events(c, now_us);
  gather_ready(c);
  while (c->ready) {
    carried *k = c->ready;
    c->ready = k->next_ready;
    k->is_ready = false;
    look(k, now_us);
  }
  arm_endpoint(c, now_us);
  unlock(c);
}

static void on_async(uv_async_t *async) {
  sandd_carrier_flush(async->data);
}

void sandd_carrier_notify(sandd_carrier *c) {
  uv_async_send(&c->async);
}

static void on_endpoint_timer(uv_timer_t *timer) {
  sandd_carrier *c = timer->data;
  lock(c);
  c->armed_us = UINT64_MAX;
  uint64_t now_us = sandd_carrier_now_us();
  sandd_endpoint_tick(c->config.endpoint, now_us);
  unlock(c);
  sandd_carrier_flush(c);
}

static void on_link_timer(uv_timer_t *timer) {
  carried *k = timer->data;
  sandd_carrier *c = k->carrier;
  lock(c);
  k->armed_us = UINT64_MAX;
  uint64_t now_us = sandd_carrier_now_us();
  if (k->link && !k->closing) {
    /* Also when it is not due any more: the link counts the time from its last known deadline on as time in which nobody
     * called it. */
    sandd_link_tick(k->link, now_us);
    mark_ready(c, k);
  }
  bool late = k->close_by_us <= now_us && !k->closing;
  unlock(c);
  if (late)
    close_conn(k, 0, NULL);
  sandd_carrier_flush(c);
}

/* ---- connections ---- */

static void on_carried_closed(uv_handle_t *handle);

static void detach(carried *k) {
  sandd_carrier *c = k->carrier;
  if (k->is_ready) {
    carried **at = &c->ready;
    while (*at != k)
      at = &(*at)->next_ready;
    *at = k->next_ready;
    k->is_ready = false;
  }
  *k->prev = k->next;
  if (k->next)
    k->next->prev = k->prev;
  c->count--;
  uv_close((uv_handle_t *)&k->timer, on_carried_closed);
}

static void on_opened(sandd_conn *conn, void *user) {
  sandd_carrier *c = user;
  carried *k = c ? calloc(1, sizeof *k) : NULL;
  if (!k) {
    sandd_conn_abort(conn);
    return;
  }
  k->carrier = c;
  k->conn = conn;
  k->armed_us = k->close_by_us = UINT64_MAX;
  lock(c);
  int rc = sandd_link_new(&k->link, c->config.endpoint, sandd_carrier_now_us());
  if (rc == 0)
    sandd_link_set_user(k->link, k);
  unlock(c);
  if (rc != 0) {
    free(k);
    say(c, SANDD_NET_LOG_ERROR, "a connection was dropped: out of memory");
    sandd_conn_abort(conn);
    return;
  }
  uv_timer_init(sandd_net_loop(c->config.net), &k->timer);
  k->timer.data = k;
  c->open_handles++;
  k->next = c->all;
  k->prev = &c->all;
  if (c->all)
    c->all->prev = &k->next;
  c->all = k;
  c->count++;
  sandd_conn_set_user(conn, k);
  lock(c);
  k->max_message = sandd_link_feed_cap(k->link);
  mark_ready(c, k);
  unlock(c);
  sandd_conn_set_max_message(conn, k->max_message);
  sandd_carrier_flush(c);
}

/* The other callbacks may still come for a connection whose link could not be made: its user is the carrier then. */
static bool has_link(void *user) {
  const carried *k = user;
  return k && (const void *)k->carrier != user;
}

static void on_received(sandd_conn *conn, void *user) {
  (void)conn;
  if (!has_link(user))
    return;
  carried *k = user;
  lock(k->carrier);
  sandd_link_received(k->link, sandd_carrier_now_us());
  unlock(k->carrier);
}

static void on_message(sandd_conn *conn, const uint8_t *data, size_t len, void *user) {
  if (!has_link(user))
    return;
  carried *k = user;
  sandd_carrier *c = k->carrier;
  trace(k, "in", data, len);
  lock(c);
  uint64_t now_us = sandd_carrier_now_us();
  int rc = sandd_link_feed(k->link, data, len, now_us);
  if (rc == SANDD_E_STATE) {
    drain_events(c, now_us);
    rc = sandd_link_feed(k->link, data, len, now_us);
  }
  drain_events(c, now_us);
  mark_ready(c, k);
  size_t max_message = sandd_link_feed_cap(k->link);
  bool changed = max_message != k->max_message;
  k->max_message = max_message;
  unlock(c);
  if (changed)
    sandd_conn_set_max_message(conn, max_message);
  if (rc == SANDD_E_STATE)
    close_conn(k, 0, NULL);
  sandd_carrier_flush(c);
}

static size_t on_pull(sandd_conn *conn, uint8_t *buf, size_t cap, void *user) {
  (void)conn;
  if (!has_link(user))
    return 0;
  carried *k = user;
  sandd_carrier *c = k->carrier;
  if (k->closing)
    return 0;
  size_t len = 0;
  uint16_t code = 0;
  const char *text = NULL;
  bool closing = false;
  lock(c);
  uint64_t now_us = sandd_carrier_now_us();
  if (sandd_link_pull(k->link, buf, cap, &len, now_us) < 0)
    len = 0;
  if (len == 0) {
    closing = sandd_link_closing(k->link, &code, &text);
    arm_link(k, now_us);
  }
  unlock(c);
  if (len)
    trace(k, "out", buf, len);
  if (closing) /* text lives as long as the link, which only this thread frees */
    close_conn(k, code, text);
  return len;
}

static void on_closed(sandd_conn *conn, int error, uint16_t ws_code, const char *text, void *user) {
  if (!user)
    return;
  sandd_carrier *c = ((carried *)user)->carrier;
  if (has_link(user)) {
    carried *k = user;
    lock(c);
    uint64_t now_us = sandd_carrier_now_us();
    if (error == SANDD_NET_TEXT)
      sandd_link_fail(k->link, STATUS_BAD_MESSAGE, "a text message", now_us);
    else if (error == SANDD_NET_TOO_BIG)
      sandd_link_fail(k->link, STATUS_MESSAGE_TOO_LARGE, "a message above the limit", now_us);
    else if (ws_code && sandd_conn_closed_by_peer(conn))
      sandd_link_closed_by_peer(k->link, ws_code, now_us);
    drain_events(c, now_us);
    sandd_link_free(k->link, now_us);
    k->link = NULL;
    drain_events(c, now_us);
    detach(k);
    unlock(c);
  }
  sandd_carrier_flush(c);
  if (c->config.dial_ended && !c->closed)
    c->config.dial_ended(c->config.user, error, ws_code, text);
}

const sandd_conn_handler *sandd_carrier_handler(void) {
  static const sandd_conn_handler handler = {on_opened, on_message, on_pull, on_received, on_closed};
  return &handler;
}

/* ---- life ---- */

int sandd_carrier_new(sandd_carrier **out, const sandd_carrier_config *config) {
  *out = NULL;
  if (!config || config->size < sizeof *config || !config->net || !config->endpoint || !config->event)
    return SANDD_E_INVALID;
  sandd_carrier *c = calloc(1, sizeof *c);
  if (!c)
    return SANDD_E_NOMEM;
  c->self = c;
  c->config = *config;
  c->armed_us = UINT64_MAX;
  uv_loop_t *loop = sandd_net_loop(config->net);
  if (uv_async_init(loop, &c->async, on_async) != 0) {
    free(c);
    return SANDD_E_SYSTEM;
  }
  uv_timer_init(loop, &c->timer);
  c->async.data = c->timer.data = c;
  c->open_handles = 2;
  *out = c;
  return 0;
}

static void handle_gone(sandd_carrier *c) {
  if (--c->open_handles == 0)
    free(c);
}

static void on_carrier_closed(uv_handle_t *handle) {
  handle_gone(handle->data);
}

static void on_carried_closed(uv_handle_t *handle) {
  carried *k = handle->data;
  handle_gone(k->carrier);
  free(k);
}

void sandd_carrier_free(sandd_carrier *c) {
  if (!c)
    return;
  lock(c);
  c->closed = true;
  while (c->all) {
    carried *k = c->all;
    sandd_conn_set_user(k->conn, NULL);
    sandd_conn_abort(k->conn);
    sandd_link_free(k->link, sandd_carrier_now_us());
    k->link = NULL;
    detach(k);
  }
  unlock(c);
  uv_close((uv_handle_t *)&c->async, on_carrier_closed);
  uv_close((uv_handle_t *)&c->timer, on_carrier_closed);
}

void *sandd_carrier_user(const sandd_carrier *c) {
  return c->config.user;
}

sandd_conn *sandd_carrier_conn(const sandd_link *link) {
  const carried *k = sandd_link_user(link);
  return k ? k->conn : NULL;
}

size_t sandd_carrier_count(const sandd_carrier *c) {
  return c->count;
}
