// SPDX-License-Identifier: MIT
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

sandd_conn *conn_new(sandd_net *net, const sandd_conn_handler *handler, void *user, size_t max_message) {
  sandd_conn *conn = calloc(1, sizeof *conn);
  if (!conn) {
    return NULL;
  }
  conn->net = net;
  conn->handler = handler;
  conn->user = user;
  conn->max_message = max_message;
  list_init(&conn->timed);
  list_init(&conn->woken);
  list_add(&net->conns, &conn->node);
  return conn;
}

void conn_free(sandd_conn *conn) {
  if (!list_empty(&conn->timed)) {
    conn_deadline(conn, 0);
  }
  list_remove(&conn->node);
  list_remove(&conn->woken);
  if (conn->listener) {
    listener_unref(conn->listener);
  }
  dial_free(conn->dial);
  free(conn->partial);
  free(conn->text);
  free(conn->reason);
  free(conn);
}

void conn_fail(sandd_conn *conn, int error, const char *text) {
  if (conn->error) {
    return;
  }
  conn->error = error;
  free(conn->text);
  conn->text = strdup(text);
}

void conn_deadline(sandd_conn *conn, uint64_t ms) {
  list_remove(&conn->timed);
  conn->deadline_ms = ms;
  if (ms) {
    list_add(&conn->net->timed, &conn->timed);
    net_schedule(conn->net);
  }
}

static void forget_partial(sandd_conn *conn) {
  free(conn->partial);
  conn->partial = NULL;
  conn->partial_len = conn->partial_cap = 0;
}

static void tell_closed(sandd_conn *conn) {
  const char *text = conn->text     ? conn->text
                     : conn->error  ? sandd_net_error_name(conn->error)
                     : conn->reason ? conn->reason
                                    : "closed on this side";
  if (conn->listener && !conn->opened) {
    net_log(conn->net, SANDD_NET_LOG_DEBUG, "%s: ended without having become a WebSocket", conn->peer);
  } else if (conn->handler->closed) {
    conn->handler->closed(conn, conn->error, conn->ws_code, text, conn->user);
  }
  conn_free(conn);
}

void conn_opened(sandd_conn *conn) {
  conn->phase = CONN_OPEN;
  conn->opened = true;
  conn_deadline(conn, 0);
  bool woken_early = conn->wake_pending;
  conn->wake_pending = false;
  if (conn->handler->opened) {
    conn->handler->opened(conn, conn->user);
  }
  if (woken_early) {
    sandd_conn_wake(conn);
  }
}

/* Towards a Close frame that goes out when what is buffered has gone; what arrives meanwhile is dropped. The frame is our
 * own: Debian's libwebsockets 4.1, built for debugging, kills a connection whose writeable callback asks to close. */
static void start_close(sandd_conn *conn, uint16_t ws_code, const char *reason) {
  conn->phase = CONN_CLOSING;
  conn->leaving = true;
  conn->ws_code = ws_code;
  free(conn->reason);
  conn->reason = reason ? strdup(reason) : NULL;
  forget_partial(conn);
  conn_deadline(conn, uv_now(&conn->net->loop) + CLOSE_TIMEOUT_MS);
  if (conn->wsi) {
    lws_callback_on_writable(conn->wsi);
  }
}

/* The payload of a Close frame: two bytes of code and a reason that is not cut within a character. */
static size_t close_payload(const sandd_conn *conn, uint8_t *out) {
  size_t len = conn->reason ? strlen(conn->reason) : 0;
  if (len > MAX_REASON) {
    len = MAX_REASON;
    while (len && ((unsigned char)conn->reason[len] & 0xc0) == 0x80) {
      len--;
    }
  }
  out[0] = (uint8_t)(conn->ws_code >> 8);
  out[1] = (uint8_t)conn->ws_code;
  if (len) {
    memcpy(out + 2, conn->reason, len);
  }
  return len + 2;
}

static int send_close(sandd_conn *conn) {
  uint8_t buf[LWS_PRE + 2 + 4 + 2 + MAX_REASON], *frame = buf + LWS_PRE, *mask = frame + 2;
  size_t head = conn->listener ? 2 : 6;
  size_t len = close_payload(conn, frame + head);
  conn->close_sent = true;
  frame[0] = 0x88; /* final, Close */
  frame[1] = (uint8_t)(len | (conn->listener ? 0 : 0x80));
  if (!conn->listener) {
    if (lws_get_random(lws_get_context(conn->wsi), mask, 4) != 4) {
      return -1;
    }
    for (size_t i = 0; i < len; i++) {
      frame[head + i] ^= mask[i & 3];
    }
  }
  /* This kind of write goes out as it is. */
  return lws_write(conn->wsi, frame, head + len, LWS_WRITE_HTTP) < 0 ? -1 : 0;
}

static int refuse_text(sandd_conn *conn) {
  if (conn->listener && !conn->had_message) {
    net_log(
        conn->net, SANDD_NET_LOG_WARN,
        "%s sent a text message first: this looks like an old daemon that speaks JSON; it has to be replaced by one "
        "that speaks the binary protocol " SUBPROTOCOL,
        conn->peer);
  }
  conn_fail(conn, SANDD_NET_TEXT, "the peer sent a text message; " SUBPROTOCOL " has only binary ones");
  start_close(conn, LWS_CLOSE_STATUS_UNACCEPTABLE_OPCODE, "binary messages only");
  return 0;
}

static int refuse_size(sandd_conn *conn) {
  char text[TEXT_SIZE];
  snprintf(text, sizeof text, "the peer sent a message above the limit of %zu bytes", conn->max_message);
  conn_fail(conn, SANDD_NET_TOO_BIG, text);
  start_close(conn, LWS_CLOSE_STATUS_MESSAGE_TOO_LARGE, "message too big");
  return 0;
}

static int grow_partial(sandd_conn *conn, size_t need) {
  if (need <= conn->partial_cap) {
    return 0;
  }
  /* Many small fragments must not cost quadratic copying. */
  size_t cap = conn->partial_cap && need < conn->partial_cap * 2 ? conn->partial_cap * 2 : need;
  if (cap > conn->max_message) {
    cap = conn->max_message;
  }
  uint8_t *grown = realloc(conn->partial, cap);
  if (!grown) {
    return -1;
  }
  conn->partial = grown;
  conn->partial_cap = cap;
  return 0;
}

static int deliver(sandd_conn *conn, const uint8_t *data, size_t len) {
  conn->had_message = true;
  if (conn->handler->message) {
    conn->handler->message(conn, data, len, conn->user);
  }
  return conn->aborted ? -1 : 0;
}

int conn_receive(sandd_conn *conn, const uint8_t *data, size_t len) {
  size_t left = lws_remaining_packet_payload(conn->wsi);
  bool last = lws_is_final_fragment(conn->wsi) && !left;
  if (conn->phase != CONN_OPEN) {
    return conn->aborted ? -1 : 0;
  }
  if (conn->handler->received) {
    conn->handler->received(conn, conn->user);
    if (conn->phase != CONN_OPEN) {
      return conn->aborted ? -1 : 0;
    }
  }
  if (!lws_frame_is_binary(conn->wsi)) {
    return refuse_text(conn);
  }
  size_t have = conn->partial_len + len;
  if (have > conn->max_message || left > conn->max_message - have) {
    return refuse_size(conn);
  }
  if (last && !conn->partial_len) {
    return deliver(conn, data, len);
  }
  if (grow_partial(conn, have + left)) {
    conn_fail(conn, SANDD_NET_NOMEM, "no memory for a message");
    start_close(conn, LWS_CLOSE_STATUS_UNEXPECTED_CONDITION, "out of memory");
    return 0;
  }
  if (len) {
    memcpy(conn->partial + conn->partial_len, data, len);
  }
  conn->partial_len = have;
  if (!last) {
    return 0;
  }
  uint8_t *whole = conn->partial;
  conn->partial = NULL;
  conn->partial_len = conn->partial_cap = 0;
  int rc = deliver(conn, whole, have);
  free(whole);
  return rc;
}

static int send_pulled(sandd_conn *conn) {
  sandd_net *net = conn->net;
  uint8_t *buf = net->pull_buf + LWS_PRE;
  size_t budget = PULL_BUDGET;
  if (!conn->handler->pull) {
    return 0;
  }
  for (;;) {
    if (lws_partial_buffered(conn->wsi) || (budget < PULL_BUDGET && lws_send_pipe_choked(conn->wsi))) {
      break;
    }
    size_t n = conn->handler->pull(conn, buf, net->max_pull, conn->user);
    if (conn->aborted) {
      return -1;
    }
    if (!n) {
      return 0;
    }
    if (n > net->max_pull || lws_write(conn->wsi, buf, n, LWS_WRITE_BINARY) < (int)n) {
      return -1;
    }
    if (conn->phase != CONN_OPEN) {
      break;
    }
    if (budget <= n) {
      break;
    }
    budget -= n;
  }
  conn->full = true;
  lws_callback_on_writable(conn->wsi);
  return 0;
}

static void flush_one(sandd_conn *conn) {
  conn->wake_pending = false;
  if (conn->phase != CONN_OPEN || !conn->wsi) {
    return;
  }
  if (conn->full || lws_partial_buffered(conn->wsi)) {
    lws_callback_on_writable(conn->wsi);
  } else if (send_pulled(conn)) {
    conn_kill_wsi(conn);
  }
}

/* Writes at once what woken connections have to say, without a turn of the loop that only asks whether they may. A socket
 * that turns out to be full goes on by its writeable callback. */
void conn_flush_woken(sandd_net *net) {
  uv_prepare_stop(&net->prepare);
  uv_idle_stop(&net->idle);
  for (int left = MOST_FLUSHED; left && !list_empty(&net->woken); left--) {
    sandd_conn *conn = LIST_ENTRY(net->woken.next, sandd_conn, woken);
    list_remove(&conn->woken);
    flush_one(conn);
  }
  while (!list_empty(&net->woken)) { /* connections that keep waking each other wait for the next turn */
    sandd_conn *conn = LIST_ENTRY(net->woken.next, sandd_conn, woken);
    list_remove(&conn->woken);
    conn->wake_pending = false;
    if (conn->phase == CONN_OPEN && conn->wsi) {
      lws_callback_on_writable(conn->wsi);
    }
  }
}

int conn_writeable(sandd_conn *conn) {
  if (conn->aborted) {
    return -1;
  }
  if (conn->phase == CONN_OPEN) {
    conn->full = false;
    if (send_pulled(conn)) {
      return -1;
    }
  }
  if (conn->phase == CONN_CLOSING && conn->leaving && !conn->close_sent && !conn->closed_by_peer) {
    if (lws_partial_buffered(conn->wsi)) {
      lws_callback_on_writable(conn->wsi);
      return 0;
    }
    return send_close(conn);
  }
  return 0;
}

/* Not strndup: the bytes have no terminator, and checkers rightly look for one. */
static char *text_of(const uint8_t *bytes, size_t len) {
  char *text = malloc(len + 1);
  if (text) {
    memcpy(text, bytes, len);
    text[len] = 0;
  }
  return text;
}

int conn_peer_close(sandd_conn *conn, const uint8_t *payload, size_t len) {
  if (conn->close_sent) {
    conn->close_answered = true;
    return -1; /* that was all */
  }
  conn->closed_by_peer = true;
  conn->phase = CONN_CLOSING;
  conn->ws_code = len >= 2 ? (uint16_t)(payload[0] << 8 | payload[1]) : LWS_CLOSE_STATUS_NO_STATUS;
  if (!conn->error) {
    free(conn->text);
    conn->text = len > 2 ? text_of(payload + 2, len - 2) : strdup("closed by the peer");
  }
  forget_partial(conn);
  conn_deadline(conn, uv_now(&conn->net->loop) + CLOSE_TIMEOUT_MS);
  return 0; /* libwebsockets answers with the same code */
}

void conn_destroyed(sandd_conn *conn) {
  conn->wsi = NULL;
  if (conn->in_lws_call) {
    return;
  }
  if (conn->phase == CONN_CONNECTING || conn->phase == CONN_NEXT || conn->phase == CONN_FAILED) {
    dial_attempt_gone(conn);
    return;
  }
  if (!conn->error && conn->aborted) {
    conn_fail(conn, SANDD_NET_ABORTED, "aborted on this side");
  }
  if (!conn->error && !conn->close_answered && !conn->closed_by_peer) {
    conn_fail(conn, SANDD_NET_LOST, "the connection ended without a Close frame");
  }
  tell_closed(conn);
}

void conn_kill_wsi(sandd_conn *conn) {
  if (conn->wsi && !conn->in_lws_call) {
    lws_set_timeout(conn->wsi, PENDING_TIMEOUT_USER_REASON_BASE, LWS_TO_KILL_ASYNC);
    /* Its timers are looked at only after one of its own events. */
    lws_cancel_service(lws_get_context(conn->wsi));
  }
}

void conn_due(sandd_conn *conn) {
  switch (conn->phase) {
  case CONN_RESOLVING:
  case CONN_CONNECTING: dial_attempt_due(conn); break;
  case CONN_NEXT: dial_next(conn); break;
  case CONN_FAILED:
    if (!conn->wsi) {
      tell_closed(conn);
    }
    break;
  case CONN_CLOSING:
    if (!conn->aborted) {
      conn_fail(conn, SANDD_NET_TIMEOUT, "the peer did not finish closing in time");
    }
    conn_kill_wsi(conn);
    break;
  case CONN_UPGRADING:
  case CONN_OPEN: break;
  }
}

void sandd_conn_wake(sandd_conn *conn) {
  if (conn->phase == CONN_OPEN && conn->wsi) {
    if (!conn->wake_pending) {
      conn->wake_pending = true;
      list_add(&conn->net->woken, &conn->woken);
      net_flush_soon(conn->net);
    }
  } else {
    conn->wake_pending = true;
  }
}

void sandd_conn_close(sandd_conn *conn, uint16_t ws_code, const char *reason) {
  if (conn->phase != CONN_OPEN) {
    if (!conn->opened) {
      sandd_conn_abort(conn);
    }
    return;
  }
  start_close(conn, ws_code, reason);
}

void sandd_conn_abort(sandd_conn *conn) {
  if (conn->aborted) {
    return;
  }
  conn->aborted = true;
  conn_fail(conn, SANDD_NET_ABORTED, "aborted on this side");
  if (conn->phase == CONN_RESOLVING) {
    resolve_forget(conn->dial);
  }
  if (conn->phase == CONN_OPEN || conn->phase == CONN_UPGRADING || conn->phase == CONN_CLOSING) {
    conn->phase = CONN_CLOSING;
    conn_kill_wsi(conn);
    return;
  }
  conn->phase = CONN_FAILED;
  if (conn->wsi) {
    conn_kill_wsi(conn);
  } else {
    conn_deadline(conn, uv_now(&conn->net->loop));
  }
}

void *sandd_conn_user(const sandd_conn *conn) {
  return conn->user;
}

void sandd_conn_set_user(sandd_conn *conn, void *user) {
  conn->user = user;
}

void sandd_conn_set_max_message(sandd_conn *conn, size_t max_message) {
  conn->max_message = max_message;
}

const char *sandd_conn_peer(const sandd_conn *conn) {
  return conn->peer;
}

bool sandd_conn_is_server(const sandd_conn *conn) {
  return conn->listener != NULL;
}

bool sandd_conn_closed_by_peer(const sandd_conn *conn) {
  return conn->closed_by_peer;
}

void conn_tune_socket(int fd) {
  int one = 1, low_water = UNSENT_LOW_WATER;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
#ifdef TCP_NOTSENT_LOWAT
  setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &low_water, sizeof low_water);
#endif
}

void address_text(const struct sockaddr *address, char *out, size_t size) {
  char host[INET6_ADDRSTRLEN] = "";
  if (address->sa_family == AF_INET6) {
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)address;
    if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
      inet_ntop(AF_INET, in6->sin6_addr.s6_addr + 12, host, sizeof host);
      snprintf(out, size, "%s:%u", host, ntohs(in6->sin6_port));
    } else {
      inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof host);
      snprintf(out, size, "[%s]:%u", host, ntohs(in6->sin6_port));
    }
  } else {
    const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)address;
    inet_ntop(AF_INET, &in->sin_addr, host, sizeof host);
    snprintf(out, size, "%s:%u", host, ntohs(in->sin_port));
  }
}
