// SPDX-License-Identifier: MIT
#include "exec.h"

#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "internal.h"

int sandd_exec_out_index(int channel) {
  return channel == SANDD_STDOUT ? 0 : channel == SANDD_STDERR ? 1 : -1;
}

int sandd_exec_enter(sandd_exec *exec) {
  if (!sandd_server_alive(exec->server))
    return SANDD_E_CLOSED;
  sandd_server_lock(exec->server);
  return 0;
}

static bool readable(const exec_output *out) {
  if (!out->inbox)
    return out->data_read < out->data.len;
  return sandd_inbox_peek(out->inbox, NULL, NULL) != SANDD_INBOX_EMPTY;
}

unsigned sandd_exec_bits(const sandd_exec *exec) {
  unsigned bits = 0;
  if (exec->started)
    bits |= SANDD_EXEC_STARTED;
  if (exec->exited)
    bits |= SANDD_EXEC_EXITED;
  if (exec->phase == EXEC_ENDED)
    bits |= SANDD_EXEC_ENDED;
  if (!exec->collect) {
    if (readable(&exec->out[0]))
      bits |= SANDD_EXEC_READABLE;
    if (readable(&exec->out[1]) || (!exec->out[1].exists && exec->phase == EXEC_OPEN))
      bits |= SANDD_EXEC_READABLE_ERR;
  }
  if (exec->stdin_stream && (exec->exited || exec->stdin_finished || (exec->in && sandd_ring_room(exec->in) > 0)))
    bits |= SANDD_EXEC_WRITABLE;
  return bits;
}

void sandd_exec_changed(sandd_exec *exec, unsigned bits) {
  sandd_wake_all(exec->server, &exec->waiters, bits);
  if (exec->fd >= 0 && (bits & exec->fd_mask))
    sandd_server_wake(exec->server, exec->fd);
  if (exec->set && (bits & exec->set_mask))
    sandd_waitset_tell(exec);
}

/* ---- life ---- */

static void destroy(sandd_exec *exec) {
  free(exec->daemon_id);
  free(exec->input);
  free(exec->packed);
  free(exec->text);
  sandd_collected_free(&exec->out[0].data);
  sandd_collected_free(&exec->out[1].data);
  if (exec->fd >= 0)
    close(exec->fd);
  free(exec);
}

/* With the mutex held; the server is to be unreferenced by the caller once the mutex is free. */
void sandd_exec_unref(sandd_exec *exec) {
  if (--exec->refs == 0)
    destroy(exec);
}

void sandd_exec_free(sandd_exec *exec) {
  if (!exec)
    return;
  sandd_server *server = exec->server;
  if (!sandd_server_alive(server)) {
    if (exec->fd >= 0)
      close(exec->fd);
    return;
  }
  sandd_server_lock(server);
  uint64_t now_us = sandd_carrier_now_us();
  exec->freed = true;
  sandd_deadline_clear(server, exec);
  sandd_exec_await_no_more(exec);
  sandd_waitset_forget(exec);
  bool open = exec->phase == EXEC_OPEN;
  /* Without an event: nobody waits for the end of what is being freed but threads, which are told so. */
  exec->phase = EXEC_ENDED;
  sandd_exec_drop(exec, now_us);
  sandd_wake_all(server, &exec->waiters, ~0u);
  *exec->prev = exec->next;
  if (exec->next)
    exec->next->prev = exec->prev;
  sandd_exec_unref(exec);
  if (open && server->carrier)
    sandd_carrier_notify(server->carrier);
  sandd_server_unlock(server);
  sandd_server_unref(server);
}

/* ---- waiting ---- */

int sandd_exec_wait(sandd_exec *exec, unsigned mask, int64_t timeout_ms) {
  sandd_server *server = exec->server;
  int64_t until_ns = sandd_wait_until(timeout_ms);
  int rc = sandd_exec_enter(exec);
  if (rc)
    return rc;
  mask = (mask & SANDD_EXEC_ALL) | SANDD_EXEC_ENDED;
  exec->refs++;
  sandd_server_ref(server);
  for (;;) {
    unsigned bits = sandd_exec_bits(exec);
    rc = exec->freed || exec->error == SANDD_E_CLOSED ? SANDD_E_CLOSED : (bits & mask) ? (int)bits : 0;
    if (rc)
      break;
    rc = sandd_wait(server, &exec->waiters, mask, until_ns);
    if (rc)
      break;
  }
  sandd_exec_unref(exec);
  sandd_server_unlock(server);
  sandd_server_unref(server);
  return rc;
}

int sandd_exec_fd(sandd_exec *exec, unsigned mask) {
  int rc = sandd_exec_enter(exec);
  if (rc)
    return rc;
  if (exec->fd < 0)
    exec->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  exec->fd_mask = (mask & SANDD_EXEC_ALL) | SANDD_EXEC_ENDED;
  rc = exec->fd < 0 ? SANDD_E_SYSTEM : exec->fd;
  if (exec->fd >= 0 && (sandd_exec_bits(exec) & exec->fd_mask))
    sandd_server_wake(exec->server, exec->fd);
  sandd_server_unlock(exec->server);
  return rc;
}

int sandd_exec_poll(sandd_exec *exec) {
  int rc = sandd_exec_enter(exec);
  if (rc)
    return rc;
  if (exec->fd >= 0)
    sandd_drain_fd(exec->fd);
  rc = (int)sandd_exec_bits(exec);
  sandd_server_unlock(exec->server);
  return rc;
}

/* ---- result ---- */

static uint64_t offset_of(const exec_output *out) {
  return out->inbox ? sandd_inbox_consumed(out->inbox) : out->last_offset;
}

static uint64_t skipped_of(const exec_output *out) {
  return (out->inbox ? sandd_inbox_skipped(out->inbox) : out->last_skipped) + out->data.lost;
}

/* A Reset that answers the opening says that nothing was started, but for these. */
static bool may_have_run(const sandd_exec *exec) {
  if (!exec->sent)
    return false;
  return exec->started || !exec->by_reset ||
         (exec->status != STATUS(NOT_FOUND) && exec->status != STATUS(INVALID_ARGUMENT) &&
          exec->status != STATUS(ALREADY_EXISTS) && exec->status != STATUS(PERMISSION_DENIED) &&
          exec->status != STATUS(RESOURCE_EXHAUSTED) && exec->status != STATUS(UNIMPLEMENTED) &&
          exec->status != STATUS(SYSTEM) && exec->status != STATUS(OUT_OF_RANGE));
}

static void fill(const sandd_exec *exec, sandd_exec_result *r) {
  const exec_output *out = &exec->out[0], *err = &exec->out[1];
  bool ended = exec->phase == EXEC_ENDED;
  r->started = exec->started;
  r->attached = exec->attached;
  r->detached = exec->detached;
  r->exited = exec->exited;
  r->ended = ended;
  r->may_have_run = may_have_run(exec);
  r->away = exec->phase == EXEC_WAITING || (exec->session && !sandd_session_link(exec->session));
  r->error = exec->error;
  r->status = exec->status;
  r->text = exec->text ? exec->text : "";
  r->errno_name = exec->errno_name;
  r->earliest_offset = exec->earliest_offset;
  r->away_since_ns = exec->error == SANDD_E_AWAY ? exec->away_since_ns : 0;
  r->exec_id = exec->exec_id;
  r->instance = exec->instance;
  r->pid = exec->pid;
  r->exit_code = exec->exit_code;
  r->signal = exec->signal;
  r->reason = exec->reason;
  r->wall_ns = exec->wall_ns;
  r->user_ns = exec->user_ns;
  r->system_ns = exec->system_ns;
  r->max_rss_bytes = exec->max_rss_bytes;
  r->stdout_start = out->start;
  r->stderr_start = err->start;
  r->stdout_offset = offset_of(out);
  r->stderr_offset = offset_of(err);
  r->stdout_skipped = skipped_of(out);
  r->stderr_skipped = skipped_of(err);
  bool missing = ended && ((out->exists && !out->complete) || (err->exists && !err->complete));
  r->truncated = r->stdout_skipped || r->stderr_skipped || missing;
  r->drain_limited = out->drain_limit || err->drain_limit;
  r->stdin_offset = exec->in ? sandd_ring_consumed(exec->in) : 0;
}

int sandd_exec_get_result(sandd_exec *exec, sandd_exec_result *result) {
  if (!result || result->size < sizeof *result)
    return SANDD_E_INVALID;
  size_t size = result->size;
  *result =
      (sandd_exec_result){.size = size, .text = "", .errno_name = "", .exec_id = "", .instance = "", .signal = ""};
  int rc = sandd_exec_enter(exec);
  if (rc)
    return rc;
  fill(exec, result);
  sandd_server_unlock(exec->server);
  return 0;
}

int sandd_exec_output(sandd_exec *exec, int channel, const uint8_t **data, size_t *len, size_t *skip_at) {
  int index = sandd_exec_out_index(channel);
  if (index < 0)
    return SANDD_E_INVALID;
  int rc = sandd_exec_enter(exec);
  if (rc)
    return rc;
  const collected *c = &exec->out[index].data;
  if (!exec->collect)
    rc = SANDD_E_STATE;
  static const uint8_t nothing[1];
  *data = c->bytes ? c->bytes : nothing;
  *len = c->len;
  if (skip_at)
    *skip_at = c->skip_at < c->len ? c->skip_at : c->len;
  sandd_server_unlock(exec->server);
  return rc;
}
