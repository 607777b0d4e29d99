// SPDX-License-Identifier: MIT
// The application's side of an exec that runs: its output, its input, signals.
#include <string.h>

#include "exec.h"
#include "internal.h"

/* Takes the exec for a call that may wait; give_back undoes it. */
static int take(sandd_exec *exec) {
  int rc = sandd_exec_enter(exec);
  if (rc == 0) {
    exec->refs++;
    sandd_server_ref(exec->server);
  }
  return rc;
}

static void give_back(sandd_exec *exec, bool flush) {
  sandd_server *server = exec->server;
  if (flush && server->carrier)
    sandd_carrier_notify(server->carrier);
  sandd_exec_unref(exec);
  sandd_server_unlock(server);
  sandd_server_unref(server);
}

/* Is the loop needed to tell the daemon of what was read? */
static bool must_flush(const sandd_exec *exec) {
  sandd_server *server = exec->server;
  if (!server->carrier || !exec->session)
    return false;
  return sandd_carrier_pending(server->carrier, sandd_session_link(exec->session));
}

/* One look: 1 and *kind, or 0 when there is nothing to read yet, or an error. */
static int look(sandd_exec *exec, exec_output *out, void *buf, size_t cap, uint64_t *len, sandd_read_kind *kind) {
  *len = 0;
  *kind = SANDD_READ_END;
  if (!out->exists)
    return 1;
  if (exec->freed || exec->error == SANDD_E_CLOSED)
    return SANDD_E_CLOSED;
  if (!out->inbox && out->data_read < out->data.len) {
    size_t left = out->data.len - out->data_read, n = cap < left ? cap : left;
    memcpy(buf, out->data.bytes + out->data_read, n);
    out->data_read += n;
    *len = n;
    *kind = SANDD_READ_DATA;
    return 1;
  }
  if (!out->inbox)
    return exec->phase == EXEC_ENDED ? SANDD_E_CLOSED : 0;
  uint64_t now_us = sandd_carrier_now_us();
  switch (sandd_inbox_peek(out->inbox, NULL, len)) {
  case SANDD_INBOX_DATA:
    *len = sandd_inbox_take(out->inbox, buf, cap, now_us);
    *kind = SANDD_READ_DATA;
    return 1;
  case SANDD_INBOX_SKIP:
    sandd_inbox_consume(out->inbox, *len, now_us);
    *kind = SANDD_READ_SKIP;
    return 1;
  case SANDD_INBOX_END: *len = 0; return 1;
  default: *len = 0; return exec->phase == EXEC_ENDED ? SANDD_E_CLOSED : 0;
  }
}

int sandd_exec_read(sandd_exec *exec, int channel, void *buf, size_t cap, uint64_t *len, int64_t timeout_ms) {
  int index = sandd_exec_out_index(channel);
  if (index < 0 || !buf || !cap || !len)
    return SANDD_E_INVALID;
  int64_t until_ns = sandd_wait_until(timeout_ms);
  int rc = take(exec);
  if (rc)
    return rc;
  exec_output *out = &exec->out[index];
  sandd_read_kind kind = SANDD_READ_END;
  if (exec->collect || out->discard)
    rc = SANDD_E_STATE;
  while (rc == 0) {
    rc = look(exec, out, buf, cap, len, &kind);
    if (rc)
      break;
    rc = sandd_wait(exec->server, &exec->waiters,
                    (index ? SANDD_EXEC_READABLE_ERR : SANDD_EXEC_READABLE) | SANDD_EXEC_ENDED, until_ns);
  }
  give_back(exec, rc == 1 && kind != SANDD_READ_END && must_flush(exec));
  return rc == 1 ? (int)kind : rc;
}

int sandd_exec_discard(sandd_exec *exec, int channel) {
  int index = sandd_exec_out_index(channel);
  if (index < 0)
    return SANDD_E_INVALID;
  int rc = take(exec);
  if (rc)
    return rc;
  exec_output *out = &exec->out[index];
  if (exec->collect)
    rc = SANDD_E_STATE;
  else
    out->discard = true;
  if (rc == 0 && out->inbox)
    sandd_inbox_discard(out->inbox, sandd_carrier_now_us());
  give_back(exec, rc == 0);
  return rc;
}

/* Bytes taken, or 0 when there is no room yet, or an error. */
static int64_t put(sandd_exec *exec, const void *data, size_t len) {
  if (exec->freed || exec->phase == EXEC_ENDED)
    return SANDD_E_CLOSED;
  if (!exec->stdin_stream || exec->input || (exec->stdin_finished && exec->in))
    return SANDD_E_STATE;
  if (exec->exited || exec->stdin_finished)
    return SANDD_E_CLOSED;
  if (!exec->in)
    return 0; /* not started yet: an attach, or a daemon that is away */
  return sandd_ring_write(exec->in, data, len);
}

int64_t sandd_exec_write(sandd_exec *exec, const void *data, size_t len, int64_t timeout_ms) {
  if (!data || !len)
    return SANDD_E_INVALID;
  int64_t until_ns = sandd_wait_until(timeout_ms);
  int64_t rc = take(exec);
  if (rc)
    return rc;
  while ((rc = put(exec, data, len)) == 0) {
    rc = sandd_wait(exec->server, &exec->waiters, SANDD_EXEC_WRITABLE | SANDD_EXEC_EXITED | SANDD_EXEC_ENDED, until_ns);
    if (rc)
      break;
  }
  give_back(exec, rc > 0);
  return rc;
}

int sandd_exec_close_stdin(sandd_exec *exec) {
  int rc = take(exec);
  if (rc)
    return rc;
  uint64_t now_us = sandd_carrier_now_us();
  if (exec->freed)
    rc = SANDD_E_CLOSED;
  else if (!exec->stdin_stream || exec->input)
    rc = SANDD_E_STATE;
  else if (exec->phase == EXEC_ENDED)
    rc = SANDD_E_CLOSED;
  else if (exec->stdin_finished || exec->stdin_closing)
    rc = 0;
  else if (!exec->in) /* as soon as it has started */
    exec->stdin_closing = true;
  else
    rc = sandd_exec_finish_input(exec, now_us);
  give_back(exec, rc == 0);
  return rc;
}

static int send_frame(sandd_exec *exec, Sandd__V1__Frame *frame) {
  if (exec->freed || exec->phase == EXEC_ENDED)
    return SANDD_E_CLOSED;
  if (!exec->stream)
    return SANDD_E_STATE;
  return sandd_stream_send(exec->stream, frame, sandd_carrier_now_us());
}

static bool good_signal_name(const char *name) {
  size_t len = name ? strlen(name) : 0;
  return len > 0 && len <= 32 && strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-") == len;
}

int sandd_exec_signal(sandd_exec *exec, const char *name, int scope) {
  if (!good_signal_name(name) || scope < 0 || scope > SANDD_SIGNAL_TREE)
    return SANDD_E_INVALID;
  int rc = take(exec);
  if (rc)
    return rc;
  Sandd__V1__Signal signal = SANDD__V1__SIGNAL__INIT;
  signal.name = (char *)(uintptr_t)name;
  signal.scope = (Sandd__V1__SignalScope)scope;
  Sandd__V1__Frame frame = SANDD__V1__FRAME__INIT;
  frame.body_case = SANDD__V1__FRAME__BODY_SIGNAL;
  frame.signal = &signal;
  if (exec->role == SANDD_EXEC_WATCH)
    rc = SANDD_E_STATE;
  else if (!exec->exited)
    rc = send_frame(exec, &frame);
  give_back(exec, rc == 0);
  return rc;
}

int sandd_exec_resize(sandd_exec *exec, uint16_t rows, uint16_t cols) {
  if (!rows || !cols)
    return SANDD_E_INVALID;
  int rc = take(exec);
  if (rc)
    return rc;
  Sandd__V1__Resize resize = SANDD__V1__RESIZE__INIT;
  resize.rows = rows;
  resize.cols = cols;
  Sandd__V1__Frame frame = SANDD__V1__FRAME__INIT;
  frame.body_case = SANDD__V1__FRAME__BODY_RESIZE;
  frame.resize = &resize;
  rc = exec->pty || exec->attached ? send_frame(exec, &frame) : SANDD_E_STATE;
  give_back(exec, rc == 0);
  return rc;
}

int sandd_exec_detach(sandd_exec *exec) {
  int rc = take(exec);
  if (rc)
    return rc;
  Sandd__V1__Detach detach = SANDD__V1__DETACH__INIT;
  Sandd__V1__Frame frame = SANDD__V1__FRAME__INIT;
  frame.body_case = SANDD__V1__FRAME__BODY_DETACH;
  frame.detach = &detach;
  if (!exec->detached) {
    rc = send_frame(exec, &frame);
    exec->detached = rc == 0;
    if (rc == 0)
      sandd_deadline_clear(exec->server, exec);
  }
  give_back(exec, rc == 0);
  return rc;
}

int sandd_exec_cancel(sandd_exec *exec) {
  int rc = take(exec);
  if (rc)
    return rc;
  if (exec->freed)
    rc = SANDD_E_CLOSED;
  else
    sandd_exec_fail(exec, 0, STATUS(CANCELLED), "cancelled by the caller", sandd_carrier_now_us());
  give_back(exec, rc == 0);
  return rc;
}
