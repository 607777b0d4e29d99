// SPDX-License-Identifier: MIT
// What the daemon's frames do to an exec. On the loop thread, with the mutex held.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exec.h"
#include "internal.h"

static unsigned readable_bit(int index) {
  return index == 0 ? SANDD_EXEC_READABLE : SANDD_EXEC_READABLE_ERR;
}

static void keep_text(char **to, const char *text) {
  free(*to);
  *to = text && *text ? strdup(text) : NULL;
}

static void copy_text(char *to, size_t cap, const char *text) {
  snprintf(to, cap, "%s", text ? text : "");
}

/* Takes what waits in an inbox into memory. */
static void collect(exec_output *out, uint64_t now_us) {
  const uint8_t *data;
  uint64_t len;
  sandd_inbox_state state;
  while ((state = sandd_inbox_peek(out->inbox, &data, &len)) == SANDD_INBOX_DATA || state == SANDD_INBOX_SKIP) {
    if (state == SANDD_INBOX_DATA)
      sandd_collected_add(&out->data, data, (size_t)len);
    else
      sandd_collected_skip(&out->data);
    sandd_inbox_consume(out->inbox, len, now_us);
  }
}

static void note_output(exec_output *out) {
  bool drain_limit = false;
  uint64_t final = 0;
  out->last_offset = sandd_inbox_consumed(out->inbox);
  out->last_skipped = sandd_inbox_skipped(out->inbox);
  out->complete = sandd_inbox_final(out->inbox, &final, &drain_limit) && sandd_inbox_next(out->inbox) >= final;
  out->drain_limit = drain_limit;
}

static void settle_output(exec_output *out, bool collects, uint64_t now_us) {
  if (!out->inbox)
    return;
  if (collects && !out->discard)
    collect(out, now_us);
  note_output(out);
  if (collects || out->discard) {
    sandd_inbox_free(out->inbox);
    out->inbox = NULL;
  }
}

void sandd_exec_drop(sandd_exec *exec, uint64_t now_us) {
  sandd_stream_release(exec->stream, now_us);
  exec->stream = NULL;
  exec->session = NULL;
  for (int i = 0; i < 2; i++) {
    if (exec->out[i].inbox)
      note_output(&exec->out[i]);
    sandd_inbox_free(exec->out[i].inbox);
    exec->out[i].inbox = NULL;
  }
  sandd_ring_free(exec->in);
  exec->in = NULL;
}

static void end(sandd_exec *exec, uint64_t now_us) {
  sandd_deadline_clear(exec->server, exec);
  sandd_exec_await_no_more(exec);
  for (int i = 0; i < 2; i++)
    settle_output(&exec->out[i], exec->collect, now_us);
  exec->phase = EXEC_ENDED;
  exec->session = NULL;
  free(exec->input);
  free(exec->packed);
  exec->input = exec->packed = NULL;
  sandd_exec_changed(exec, SANDD_EXEC_ALL);
}

void sandd_exec_fail(sandd_exec *exec, int error, int status, const char *text, uint64_t now_us) {
  if (exec->phase == EXEC_ENDED)
    return;
  exec->error = error;
  exec->status = status;
  keep_text(&exec->text, text);
  /* What has come and was not read is kept: the release below would clear it. */
  for (int i = 0; i < 2; i++)
    settle_output(&exec->out[i], true, now_us);
  sandd_stream_release(exec->stream, now_us);
  exec->stream = NULL;
  sandd_ring_free(exec->in);
  exec->in = NULL;
  end(exec, now_us);
}

/* ---- input ---- */

int sandd_exec_finish_input(sandd_exec *exec, uint64_t now_us) {
  sandd_ring_finish(exec->in);
  int rc = sandd_stream_finish(exec->stream, SANDD_STDIN, false, now_us);
  exec->stdin_finished = rc == 0;
  return rc;
}

void sandd_exec_pump_input(sandd_exec *exec, uint64_t now_us) {
  if (!exec->input || !exec->in || exec->stdin_finished)
    return;
  while (exec->input_at < exec->input_len) {
    int64_t n = sandd_ring_write(exec->in, exec->input + exec->input_at, exec->input_len - exec->input_at);
    if (n <= 0)
      return;
    exec->input_at += (size_t)n;
  }
  sandd_exec_finish_input(exec, now_us);
}

/* An attach goes on where the daemon's end of stdin is. */
static void continue_input(sandd_exec *exec, const Sandd__V1__StdinState *state, uint64_t now_us) {
  if (!exec->stdin_stream)
    return;
  if (!state || state->closed) {
    exec->stdin_finished = true;
    return;
  }
  if (exec->in)
    return;
  uint64_t start = exec->role == SANDD_EXEC_SHARE ? 0 : state->accepted;
  sandd_ring_config config = {.size = sizeof config, .base = start};
  int rc = sandd_ring_new(&exec->in, exec->server->endpoint, exec->session, &config);
  if (rc == 0) {
    sandd_ring_set_user(exec->in, exec);
    rc = sandd_stream_write(exec->stream, SANDD_STDIN, exec->in, start, 0, SANDD_READER_HOLDS);
  }
  if (rc) {
    sandd_exec_fail(exec, rc, STATUS(RESOURCE_EXHAUSTED), "no room for the input of an attached command", now_us);
    return;
  }
  if (exec->input) {
    exec->input_at = start < exec->input_len ? (size_t)start : exec->input_len;
    sandd_exec_pump_input(exec, now_us);
  } else if (exec->stdin_closing) {
    sandd_exec_finish_input(exec, now_us);
  }
}

/* ---- frames ---- */

static void on_started(sandd_exec *exec, const Sandd__V1__ExecStarted *answer, uint64_t now_us) {
  exec->started = true;
  exec->attached = answer->attached;
  exec->pid = answer->pid;
  copy_text(exec->exec_id, sizeof exec->exec_id, answer->exec_id);
  copy_text(exec->instance, sizeof exec->instance, answer->instance);
  for (size_t i = 0; i < answer->n_outputs; i++) {
    const Sandd__V1__OutputState *output = answer->outputs[i];
    int index = output->kept ? sandd_exec_out_index((int)output->kept->channel) : -1;
    if (index >= 0)
      exec->out[index].start = output->start_offset;
  }
  continue_input(exec, answer->stdin, now_us);
  if (exec->phase == EXEC_OPEN)
    sandd_exec_changed(exec, SANDD_EXEC_STARTED | (sandd_exec_bits(exec) & SANDD_EXEC_WRITABLE));
}

static void on_exited(sandd_exec *exec, const Sandd__V1__ExecExited *exit) {
  exec->exited = true;
  exec->reason = (int)exit->reason;
  exec->wall_ns = exit->wall_ns;
  if (exit->outcome_case == SANDD__V1__EXEC_EXITED__OUTCOME_SIGNAL)
    copy_text(exec->signal, sizeof exec->signal, exit->signal);
  else
    exec->exit_code = exit->exit_code;
  if (exit->usage) {
    exec->user_ns = exit->usage->user_ns;
    exec->system_ns = exit->usage->system_ns;
    exec->max_rss_bytes = exit->usage->max_rss_bytes;
  }
  /* A thread that waits for room in stdin is told, too: nobody reads it any more. */
  sandd_exec_changed(exec, SANDD_EXEC_EXITED | SANDD_EXEC_WRITABLE);
}

static void on_frame(sandd_exec *exec, const Sandd__V1__Frame *frame, uint64_t now_us) {
  if (frame->body_case == SANDD__V1__FRAME__BODY_EXEC_STARTED && !exec->started) {
    on_started(exec, frame->exec_started, now_us);
  } else if (frame->body_case == SANDD__V1__FRAME__BODY_EXEC_EXITED && exec->started && !exec->exited &&
             frame->exec_exited->outcome_case != SANDD__V1__EXEC_EXITED__OUTCOME__NOT_SET) {
    on_exited(exec, frame->exec_exited);
  } else {
    sandd_exec_fail(exec, SANDD_E_PROTOCOL, STATUS(PROTOCOL_ERROR),
                    "the daemon sent a frame that does not fit the exec", now_us);
  }
}

static void on_readable(sandd_exec *exec, const sandd_inbox *inbox, uint64_t now_us) {
  int index = exec->out[0].inbox == inbox ? 0 : 1;
  exec_output *out = &exec->out[index];
  if (out->inbox != inbox || out->discard)
    return;
  if (exec->collect)
    collect(out, now_us);
  else
    sandd_exec_changed(exec, readable_bit(index));
}

static void on_ended(sandd_exec *exec, const sandd_event *event, uint64_t now_us) {
  if (exec->phase == EXEC_ENDED)
    return;
  exec->status = event->status ? event->status : STATUS(INTERNAL);
  exec->by_reset = event->by_reset;
  exec->earliest_offset = event->earliest_offset;
  keep_text(&exec->text, event->text);
  copy_text(exec->errno_name, sizeof exec->errno_name, event->errno_name);
  end(exec, now_us);
  /* An End that promises complete output, but whose channels never ended, must not look like success. */
  bool complete = (!exec->out[0].exists || exec->out[0].complete) && (!exec->out[1].exists || exec->out[1].complete);
  if (exec->status == STATUS(OK) && !exec->detached && !(exec->exited && complete)) {
    exec->status = STATUS(INTERNAL);
    keep_text(&exec->text, "the daemon ended the command without its exit or the end of its output");
  }
}

void sandd_exec_event(sandd_exec *exec, const sandd_event *event, uint64_t now_us) {
  switch (event->type) {
  case SANDD_EVENT_STREAM_FRAME: on_frame(exec, event->frame, now_us); break;
  case SANDD_EVENT_INBOX_READABLE: on_readable(exec, event->inbox, now_us); break;
  case SANDD_EVENT_RING_WRITABLE:
    sandd_exec_pump_input(exec, now_us);
    sandd_exec_changed(exec, SANDD_EXEC_WRITABLE);
    break;
  case SANDD_EVENT_STREAM_ENDED: on_ended(exec, event, now_us); break;
  case SANDD_EVENT_STREAM_CLOSED:
    sandd_stream_release(exec->stream, now_us);
    exec->stream = NULL;
    sandd_ring_free(exec->in);
    exec->in = NULL;
    break;
  default: break;
  }
}
