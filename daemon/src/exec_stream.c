// SPDX-License-Identifier: MIT
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/platform/system.h"
#include "exec.h"
#include "log.h"

static const char *const channel_names[SANDD_EXEC_OUTPUTS] = {"stdout", "stderr"};

static void unlink_stream(sandd_exec_stream *stream) {
  sandd_exec *exec = stream->exec;
  if (stream->prev) {
    stream->prev->next = stream->next;
  } else {
    exec->streams = stream->next;
  }
  if (stream->next) {
    stream->next->prev = stream->prev;
  }
  if (exec->holder == stream) {
    exec->holder = NULL;
  }
}

void sandd_exec_stream_drop(sandd_exec_stream *stream, uint64_t now_us) {
  sandd_exec *exec = stream->exec;
  unlink_stream(stream);
  sandd_stream_release(stream->stream, now_us);
  free(stream);
  exec->execs->used = true;
  if (!exec->streams && !exec->entry.retained && exec->phase == SANDD_EXEC_CLOSED) {
    sandd_exec_expire(exec); // now, and not at the end of the turn: the next frame may ask for it
  }
  sandd_exec_touch(exec);
}

void sandd_exec_stream_reset(sandd_exec_stream *stream, const sandd_fault *fault, uint64_t now_us) {
  sandd_status status = sandd_fault_status(fault);
  sandd_stream_reset(stream->stream, &status, now_us);
  sandd_exec_stream_drop(stream, now_us);
}

static void cancel(sandd_exec *exec) {
  sandd_exec_kill(exec, SANDD__V1__EXIT_REASON__EXIT_REASON_CANCELLED, SANDD_CODE(CANCELLED),
                  "whoever held it gave it up before it was started");
}

/* The stream can't go on; a process that it held ends with it. */
static void give_up(sandd_exec_stream *stream, const sandd_fault *fault, uint64_t now_us) {
  sandd_exec *exec = stream->exec;
  bool held = exec->holder == stream || (stream->fresh && !stream->answered);
  sandd_exec_stream_reset(stream, fault, now_us);
  if (held && !exec->keep) {
    cancel(exec);
  }
}

/* A frame could not be queued: the stream can't go on, whoever opened it must not wait for ever. */
static void send_failed(sandd_exec_stream *stream, int error, uint64_t now_us) {
  if (error == SANDD_E_CLOSED) {
    return; // its end is on the way to us
  }
  sandd_fault fault;
  sandd_fault_from_error(&fault, error, "the daemon could not queue a frame");
  give_up(stream, &fault, now_us);
}

/* Makes it the holder. Stdin is read from now on, also before the answer: its ChannelEnd may come with the opening. */
static bool take_over(sandd_exec_stream *stream, uint64_t now_us, sandd_fault *fault) {
  sandd_exec *exec = stream->exec;
  if (exec->holder && exec->holder != stream) {
    sandd_fault taken;
    sandd_fault_set(&taken, SANDD_CODE(TAKEN_OVER), "another stream took over exec %s", exec->entry.id);
    sandd_exec_stream_reset(exec->holder, &taken, now_us);
  }
  bool holds_already = exec->holder == stream;
  exec->holder = stream;
  sandd_inbox *inbox = exec->in ? sandd_exec_stdin_inbox(exec->in) : NULL;
  if (!inbox || holds_already) {
    return true;
  }
  int64_t grant = sandd_stream_read(stream->stream, SANDD__V1__CHANNEL_ID__CHANNEL_ID_STDIN, inbox, true, now_us);
  return grant >= 0 || sandd_fault_from_error(fault, (int)grant, "stdin");
}

int sandd_exec_stream_add(sandd_exec *exec, sandd_stream *lower, const Sandd__V1__ExecOpen *open, bool fresh,
                          uint64_t now_us) {
  sandd_fault fault;
  sandd_exec_stream *stream = calloc(1, sizeof(*stream));
  if (!stream) {
    return SANDD_E_NOMEM;
  }
  *stream = (sandd_exec_stream){.stream = lower, .exec = exec, .role = (int)open->role, .fresh = fresh};
  for (size_t i = 0; i < open->n_starts; i++) {
    const Sandd__V1__ChannelStart *start = open->starts[i];
    int at = start->channel == SANDD__V1__CHANNEL_ID__CHANNEL_ID_STDERR;
    stream->starts[at].given = true;
    stream->starts[at].at = (int)start->at;
    stream->starts[at].offset = start->offset;
    stream->starts[at].grant = start->grant;
  }
  sandd_exec_stream **last = &exec->streams;
  while (*last) {
    stream->prev = *last;
    last = &(*last)->next;
  }
  *last = stream;
  sandd_stream_set_user(lower, stream);
  if (exec->phase != SANDD_EXEC_STARTING) {
    sandd_exec_stream_answer(stream, now_us);
  } else if (stream->role == SANDD__V1__EXEC_ROLE__EXEC_ROLE_HOLD && !take_over(stream, now_us, &fault)) {
    give_up(stream, &fault, now_us);
  }
  sandd_exec_touch(exec);
  return 0;
}

/* Where this reader begins on an output. */
static bool find_start(const sandd_exec_stream *stream, int i, uint64_t *start, sandd_fault *fault) {
  uint64_t base, end;
  sandd_exec_output_kept(stream->exec->outputs[i], &base, &end);
  if (stream->fresh) {
    *start = 0;
    return true;
  }
  int at = stream->starts[i].given ? stream->starts[i].at : (int)SANDD__V1__START_AT__START_AT_EARLIEST;
  *start = at == SANDD__V1__START_AT__START_AT_EARLIEST ? base
           : at == SANDD__V1__START_AT__START_AT_NEWEST ? end
                                                        : stream->starts[i].offset;
  if (*start < base) {
    sandd_fault_set(fault, SANDD_CODE(OUT_OF_RANGE),
                    "offset %" PRIu64 " of %s is no longer kept: %" PRIu64 " to %" PRIu64 " are", *start,
                    channel_names[i], base, end);
    fault->kept_channel = sandd_exec_output_channel(stream->exec->outputs[i]);
    fault->kept_earliest = base;
    fault->kept_end = end;
    return false;
  }
  if (*start > end) {
    return sandd_fault_set(fault, SANDD_CODE(INVALID_ARGUMENT),
                           "offset %" PRIu64 " of %s is above its end, which is %" PRIu64, *start, channel_names[i],
                           end);
  }
  return true;
}

static bool connect_channels(sandd_exec_stream *stream, const uint64_t starts[SANDD_EXEC_OUTPUTS], sandd_fault *fault) {
  sandd_exec *exec = stream->exec;
  sandd_reader_kind kind =
      stream->role == SANDD__V1__EXEC_ROLE__EXEC_ROLE_WATCH ? SANDD_READER_WATCHES : SANDD_READER_HOLDS;
  for (int i = 0; i < SANDD_EXEC_OUTPUTS; i++) {
    sandd_ring *ring = NULL;
    if (!exec->outputs[i]) {
      continue;
    }
    int error = sandd_exec_output_ring(exec->outputs[i], &ring);
    if (!error) {
      error = sandd_stream_write(stream->stream, sandd_exec_output_channel(exec->outputs[i]), ring, starts[i],
                                 stream->starts[i].grant, kind);
    }
    if (error) {
      return sandd_fault_from_error(fault, error, channel_names[i]);
    }
  }
  return true;
}

static int wire_state(const sandd_exec *exec) {
  switch (exec->phase) {
  case SANDD_EXEC_CLOSED: return SANDD__V1__EXEC_STATE__EXEC_STATE_CLOSED;
  case SANDD_EXEC_EXITED: return SANDD__V1__EXEC_STATE__EXEC_STATE_EXITED;
  default: return SANDD__V1__EXEC_STATE__EXEC_STATE_RUNNING;
  }
}

static int send_started(sandd_exec_stream *stream, const uint64_t starts[SANDD_EXEC_OUTPUTS], uint64_t now_us) {
  sandd_exec *exec = stream->exec;
  Sandd__V1__KeptRange kept[SANDD_EXEC_OUTPUTS];
  Sandd__V1__OutputState states[SANDD_EXEC_OUTPUTS];
  Sandd__V1__OutputState *outputs[SANDD_EXEC_OUTPUTS];
  Sandd__V1__StdinState stdin_state = SANDD__V1__STDIN_STATE__INIT;
  Sandd__V1__ExecStarted started = SANDD__V1__EXEC_STARTED__INIT;
  Sandd__V1__Frame frame = SANDD__V1__FRAME__INIT;
  for (int i = 0; i < SANDD_EXEC_OUTPUTS; i++) {
    if (!exec->outputs[i]) {
      continue;
    }
    sandd__v1__kept_range__init(&kept[i]);
    kept[i].channel = (Sandd__V1__ChannelId)sandd_exec_output_channel(exec->outputs[i]);
    sandd_exec_output_kept(exec->outputs[i], &kept[i].earliest_offset, &kept[i].end_offset);
    sandd__v1__output_state__init(&states[i]);
    states[i].kept = &kept[i];
    states[i].start_offset = starts[i];
    outputs[started.n_outputs++] = &states[i];
  }
  sandd_inbox *inbox = exec->in ? sandd_exec_stdin_inbox(exec->in) : NULL;
  if (inbox) {
    stdin_state.accepted = sandd_inbox_next(inbox);
    stdin_state.written = sandd_inbox_consumed(inbox);
    stdin_state.closed = sandd_exec_stdin_closed(exec->in);
    started.stdin = &stdin_state;
  }
  started.exec_id = exec->entry.id;
  started.instance = (char *)sandd_endpoint_instance_id(exec->execs->config.endpoint);
  started.pid = exec->pid;
  started.attached = !stream->fresh;
  started.state = (Sandd__V1__ExecState)wire_state(exec);
  started.outputs = outputs;
  started.age_ns = (int64_t)(now_us - exec->start_us) * 1000;
  frame.body_case = SANDD__V1__FRAME__BODY_EXEC_STARTED;
  frame.exec_started = &started;
  return sandd_stream_send(stream->stream, &frame, now_us);
}

void sandd_exec_stream_answer(sandd_exec_stream *stream, uint64_t now_us) {
  sandd_exec *exec = stream->exec;
  uint64_t starts[SANDD_EXEC_OUTPUTS] = {0};
  sandd_fault fault = {0};
  sandd_exec_used(exec, now_us);
  if (stream->role == SANDD__V1__EXEC_ROLE__EXEC_ROLE_SHARE) {
    sandd_fault_set(&fault, SANDD_CODE(FAILED_PRECONDITION), "exec %s has no terminal to share", exec->entry.id);
    sandd_exec_stream_reset(stream, &fault, now_us);
    return;
  }
  for (int i = 0; i < SANDD_EXEC_OUTPUTS; i++) {
    if (exec->outputs[i] && !find_start(stream, i, &starts[i], &fault)) {
      sandd_exec_stream_reset(stream, &fault, now_us);
      return;
    }
  }
  bool holds = stream->role == SANDD__V1__EXEC_ROLE__EXEC_ROLE_HOLD;
  if ((holds && !take_over(stream, now_us, &fault)) || !connect_channels(stream, starts, &fault)) {
    give_up(stream, &fault, now_us);
    return;
  }
  int error = send_started(stream, starts, now_us);
  if (error) {
    send_failed(stream, error, now_us);
    return;
  }
  stream->answered = true;
}

static int send_exited(sandd_exec_stream *stream, uint64_t now_us) {
  const sandd_exec *exec = stream->exec;
  Sandd__V1__ResourceUsage usage = SANDD__V1__RESOURCE_USAGE__INIT;
  Sandd__V1__ExecExited exited = SANDD__V1__EXEC_EXITED__INIT;
  Sandd__V1__Frame frame = SANDD__V1__FRAME__INIT;
  usage.user_ns = exec->exit.user_ns;
  usage.system_ns = exec->exit.system_ns;
  usage.max_rss_bytes = exec->exit.max_rss_bytes;
  exited.usage = &usage;
  exited.reason = (Sandd__V1__ExitReason)exec->reason;
  exited.wall_ns = exec->exit.wall_ns;
  if (exec->exit.signaled) {
    exited.outcome_case = SANDD__V1__EXEC_EXITED__OUTCOME_SIGNAL;
    exited.signal = (char *)exec->exit.signal_name;
  } else {
    exited.outcome_case = SANDD__V1__EXEC_EXITED__OUTCOME_EXIT_CODE;
    exited.exit_code = exec->exit.exit_code;
  }
  frame.body_case = SANDD__V1__FRAME__BODY_EXEC_EXITED;
  frame.exec_exited = &exited;
  return sandd_stream_send(stream->stream, &frame, now_us);
}

static int send_end(sandd_exec_stream *stream, uint64_t now_us) {
  sandd_status ok = {.code = SANDD_CODE(OK)};
  stream->ended = true;
  if (stream->exec->holder == stream) {
    stream->exec->holder = NULL; // it has all it asked for: whoever attaches next must not cut it short
  }
  return sandd_stream_end(stream->stream, &ok, now_us);
}

static int tell_outputs(sandd_exec_stream *stream, bool *all, uint64_t now_us) {
  sandd_exec *exec = stream->exec;
  for (int i = 0; i < SANDD_EXEC_OUTPUTS; i++) {
    sandd_exec_output *output = exec->outputs[i];
    if (!output || stream->output_ended[i]) {
      continue;
    }
    if (!sandd_exec_output_ended(output)) {
      *all = false;
      continue;
    }
    int error = sandd_stream_finish(stream->stream, sandd_exec_output_channel(output),
                                    sandd_exec_output_drain_limit(output), now_us);
    if (error) {
      return error;
    }
    stream->output_ended[i] = true;
  }
  return 0;
}

void sandd_exec_stream_tell(sandd_exec_stream *stream, uint64_t now_us) {
  const sandd_exec *exec = stream->exec;
  if (!stream->answered || stream->ended) {
    return;
  }
  int error = 0;
  bool exited = exec->phase == SANDD_EXEC_EXITED || exec->phase == SANDD_EXEC_CLOSED;
  exec->execs->used |= exited || stream->detach;
  if (stream->detach) {
    error = send_end(stream, now_us);
  } else if (exited) {
    bool all = true;
    if (!stream->exited_told) {
      error = send_exited(stream, now_us);
      stream->exited_told = !error;
    }
    if (!error) {
      error = tell_outputs(stream, &all, now_us);
    }
    if (!error && all) {
      error = send_end(stream, now_us);
    }
  }
  if (error) {
    send_failed(stream, error, now_us);
  }
}

static bool wait_with_signal(sandd_exec *exec, const char *name, sandd_signal_scope scope) {
  if (!exec->signals) {
    exec->signals = calloc(SANDD_EXEC_SIGNALS_MAX, sizeof(*exec->signals));
  }
  if (!exec->signals || exec->n_signals == SANDD_EXEC_SIGNALS_MAX) {
    return false;
  }
  sandd_exec_signal *signal = &exec->signals[exec->n_signals++];
  snprintf(signal->name, sizeof(signal->name), "%s", name);
  signal->scope = scope;
  return true;
}

static bool handle_signal(sandd_exec_stream *stream, const Sandd__V1__Signal *signal, sandd_fault *fault) {
  sandd_exec *exec = stream->exec;
  static const sandd_signal_scope scopes[] = {SANDD_SCOPE_PROCESS, SANDD_SCOPE_PROCESS, SANDD_SCOPE_FOREGROUND,
                                              SANDD_SCOPE_TREE};
  if (stream->role == SANDD__V1__EXEC_ROLE__EXEC_ROLE_WATCH) {
    return sandd_fault_set(fault, SANDD_CODE(FAILED_PRECONDITION), "a stream that watches can't send signals");
  }
  if ((unsigned)signal->scope > SANDD__V1__SIGNAL_SCOPE__SIGNAL_SCOPE_TREE) {
    return sandd_fault_set(fault, SANDD_CODE(INVALID_ARGUMENT), "unknown value %d of Signal.scope", (int)signal->scope);
  }
  if (sandd_platform_signal_number(signal->name) == 0) {
    return sandd_fault_set(fault, SANDD_CODE(INVALID_ARGUMENT), "there is no signal \"%.32s\" here", signal->name);
  }
  if (exec->phase == SANDD_EXEC_STARTING) {
    return wait_with_signal(exec, signal->name, scopes[signal->scope]) ||
           sandd_fault_set(fault, SANDD_CODE(RESOURCE_EXHAUSTED), "64 signals wait already for the start of exec %s",
                           exec->entry.id);
  }
  if (exec->phase != SANDD_EXEC_RUNNING) {
    return true;
  }
  int error = sandd_process_signal(exec->process, signal->name, scopes[signal->scope]);
  if (error == SANDD_PLATFORM_PERMISSION_DENIED || error == SANDD_PLATFORM_RESOURCE) {
    sandd_log(SANDD_LOG_WARN, "exec %s: signal %s could not be sent", exec->entry.id, signal->name);
  }
  return true;
}

void sandd_exec_stream_frame(sandd_exec_stream *stream, const Sandd__V1__Frame *frame, uint64_t now_us) {
  sandd_exec *exec = stream->exec;
  sandd_fault fault = {0};
  if (stream->ended) {
    return;
  }
  switch (frame->body_case) {
  case SANDD__V1__FRAME__BODY_SIGNAL:
    if (!handle_signal(stream, frame->signal, &fault)) {
      give_up(stream, &fault, now_us);
    }
    break;
  case SANDD__V1__FRAME__BODY_DETACH:
    stream->detach = true;
    sandd_exec_touch(exec);
    break;
  default: break; // Resize without a terminal
  }
}

void sandd_exec_stream_ended(sandd_exec_stream *stream, uint64_t now_us) {
  sandd_exec *exec = stream->exec;
  bool held = exec->holder == stream && !stream->detach;
  sandd_exec_stream_drop(stream, now_us);
  if (held && !exec->keep) {
    cancel(exec);
  }
}
