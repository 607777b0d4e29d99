// SPDX-License-Identifier: MIT
#include "execs.h"

#include <stdlib.h>
#include <uv.h>

#include "clock.h"
#include "exec.h"
#include "log.h"

#define MAX_RETAINED 10000
/* Memory for the held-back ends of capped outputs, over all execs. */
#define TAIL_BUDGET (UINT64_C(256) << 20)

int sandd_execs_new(sandd_execs **out, const sandd_execs_config *config) {
  *out = NULL;
  sandd_execs *execs = calloc(1, sizeof(*execs));
  if (!execs) {
    return SANDD_E_NOMEM;
  }
  execs->config = *config;
  execs->config.shell = config->shell ? config->shell : sandd_platform_default_shell();
  execs->tail_budget = TAIL_BUDGET;
  execs->flush_us = UINT64_MAX;
  int error = sandd_exec_table_init(&execs->table, config->max_retained ? config->max_retained : MAX_RETAINED);
  if (!error && (uv_random(NULL, NULL, &execs->digest_key, sizeof(execs->digest_key), 0, NULL) != 0 ||
                 uv_random(NULL, NULL, &execs->id_key, sizeof(execs->id_key), 0, NULL) != 0)) {
    error = SANDD_E_SYSTEM;
  }
  if (error) {
    sandd_exec_table_free(&execs->table);
    free(execs);
    return error;
  }
  *out = execs;
  return 0;
}

void sandd_execs_free(sandd_execs *execs) {
  if (!execs) {
    return;
  }
  uint64_t now_us = sandd_clock_now_us();
  while (execs->first) {
    while (execs->first->streams) {
      sandd_exec_stream_drop(execs->first->streams, now_us);
    }
    sandd_exec_free(execs->first);
  }
  sandd_timers_free(&execs->timers);
  sandd_exec_table_free(&execs->table);
  free(execs);
}

/* ---- openings ---- */

static bool digest_spec(sandd_execs *execs, const Sandd__V1__ExecSpec *spec, sandd_digest *digest, sandd_fault *fault) {
  size_t len = sandd__v1__exec_spec__get_packed_size(spec);
  uint8_t *packed = malloc(len ? len : 1);
  if (!packed) {
    return sandd_fault_from_error(fault, SANDD_E_NOMEM, "spec");
  }
  sandd__v1__exec_spec__pack(spec, packed);
  *digest = sandd_digest_make(&execs->digest_key, packed, len);
  free(packed);
  return true;
}

static bool open_exec(sandd_execs *execs, sandd_stream *stream, const Sandd__V1__ExecOpen *open, uint64_t now_us,
                      sandd_fault *fault) {
  if (execs->stopping) {
    return sandd_fault_set(fault, SANDD_CODE(SHUTTING_DOWN), "the daemon is stopping");
  }
  sandd_session *session = sandd_stream_session(stream);
  sandd_exec_question question = {.open = open,
                                  .instance = sandd_endpoint_instance_id(execs->config.endpoint),
                                  .exec_retention_us = execs->config.retention_us,
                                  .session_retention_us = session ? sandd_session_retention_us(session) : 0};
  if (!sandd_exec_request_check(open, execs->config.inline_stdin_bytes, fault) ||
      (open->mode != SANDD__V1__EXEC_MODE__EXEC_MODE_ATTACH &&
       !digest_spec(execs, open->spec, &question.spec, fault))) {
    return false;
  }
  sandd_exec_entry *entry = NULL;
  sandd_exec *exec = NULL;
  sandd_exec_decision decision = sandd_exec_decide(&execs->table, &question, &entry, fault);
  if (decision == SANDD_EXEC_REFUSE) {
    return false;
  }
  if (decision == SANDD_EXEC_ATTACH) {
    exec = (sandd_exec *)entry;
  } else if (open->role == SANDD__V1__EXEC_ROLE__EXEC_ROLE_SHARE) {
    return sandd_fault_set(fault, SANDD_CODE(FAILED_PRECONDITION), "only a terminal can be shared");
  } else {
    exec = sandd_exec_start(execs, open, question.spec, now_us, fault);
  }
  if (!exec) {
    return false;
  }
  int error = sandd_exec_stream_add(exec, stream, open, decision == SANDD_EXEC_START, now_us);
  if (error && decision == SANDD_EXEC_START) {
    sandd_exec_kill(exec, SANDD__V1__EXIT_REASON__EXIT_REASON_CANCELLED, SANDD_CODE(RESOURCE_EXHAUSTED),
                    "out of memory");
  }
  return !error || sandd_fault_from_error(fault, error, "stream");
}

static void stream_opened(sandd_execs *execs, const sandd_event *event, uint64_t now_us) {
  sandd_fault fault = {0};
  sandd_stream_set_user(event->stream, NULL);
  if (event->frame->body_case != SANDD__V1__FRAME__BODY_EXEC_OPEN) {
    sandd_fault_set(&fault, SANDD_CODE(UNIMPLEMENTED), "this daemon does not know that kind of stream");
  } else if (open_exec(execs, event->stream, event->frame->exec_open, now_us, &fault)) {
    return;
  }
  sandd_log(SANDD_LOG_DEBUG, "stream %llu refused: %s", (unsigned long long)sandd_stream_id(event->stream), fault.text);
  sandd_status status = sandd_fault_status(&fault);
  sandd_stream_reset(event->stream, &status, now_us);
  sandd_stream_release(event->stream, now_us);
}

/* ---- the session ---- */

static void link_changed(sandd_execs *execs, bool up, uint64_t now_us) {
  execs->link_up = up;
  for (sandd_exec *exec = execs->first; exec; exec = exec->next) {
    sandd_exec_link(exec, up, now_us);
  }
}

/* Its streams have ended before; what nobody held dies too. */
static void session_lost(sandd_execs *execs, uint64_t now_us) {
  link_changed(execs, false, now_us);
  for (sandd_exec *exec = execs->first; exec; exec = exec->next) {
    if (!exec->keep && !exec->killing && exec->phase < SANDD_EXEC_CLOSED) {
      sandd_exec_kill(exec, SANDD__V1__EXIT_REASON__EXIT_REASON_CANCELLED, SANDD_CODE(SESSION_LOST),
                      "its session was lost before it was started");
    }
  }
}

void sandd_execs_event(sandd_execs *execs, const sandd_event *event, uint64_t now_us) {
  execs->used = true;
  switch (event->type) {
  case SANDD_EVENT_SESSION_UP: link_changed(execs, true, now_us); break;
  case SANDD_EVENT_SESSION_AWAY: link_changed(execs, false, now_us); break;
  case SANDD_EVENT_SESSION_LOST: session_lost(execs, now_us); break;
  case SANDD_EVENT_STREAM_OPENED: stream_opened(execs, event, now_us); break;
  case SANDD_EVENT_STREAM_FRAME:
    if (sandd_stream_user(event->stream)) {
      sandd_exec_stream_frame(sandd_stream_user(event->stream), event->frame, now_us);
    }
    break;
  case SANDD_EVENT_STREAM_ENDED:
    if (sandd_stream_user(event->stream)) {
      sandd_exec_stream_ended(sandd_stream_user(event->stream), now_us);
    }
    break;
  case SANDD_EVENT_INBOX_READABLE: sandd_exec_stdin_readable(sandd_inbox_user(event->inbox)); break;
  case SANDD_EVENT_RING_WRITABLE: {
    sandd_exec_output *output = sandd_ring_user(event->ring);
    sandd_exec_output_writable(output, now_us);
    sandd_exec_touch(sandd_exec_output_owner(output));
    break;
  }
  default: break;
  }
}

void sandd_execs_due(sandd_execs *execs, uint64_t now_us) {
  sandd_timers_run(&execs->timers, now_us);
}

bool sandd_execs_turn(sandd_execs *execs, uint64_t now_us) {
  while (execs->touched) {
    sandd_exec *exec = execs->touched;
    execs->touched = exec->next_touched;
    exec->touched = false;
    sandd_exec_turn(exec, now_us);
  }
  bool flush = execs->used || execs->flush_us <= now_us;
  if (flush) {
    execs->used = false;
    execs->flush_us = UINT64_MAX;
  }
  return flush;
}

uint64_t sandd_execs_deadline(const sandd_execs *execs) {
  uint64_t next = sandd_timers_next(&execs->timers);
  next = execs->flush_us < next ? execs->flush_us : next;
  return execs->touched || execs->used ? 0 : next;
}

/* ---- stopping ---- */

static void on_all_killed(unsigned left, void *data) {
  sandd_execs *execs = data;
  execs->kill_done = true;
  if (left > 0) {
    sandd_log(SANDD_LOG_WARN, "%u processes could not be ended", left);
  }
}

void sandd_execs_stop(sandd_execs *execs, int64_t grace_ns) {
  bool first = !execs->stopping;
  execs->stopping = true;
  for (sandd_exec *exec = execs->first; exec; exec = exec->next) {
    if (exec->phase == SANDD_EXEC_STARTING) {
      sandd_exec_kill(exec, SANDD__V1__EXIT_REASON__EXIT_REASON_DAEMON_STOPPING, SANDD_CODE(SHUTTING_DOWN),
                      "the daemon is stopping");
    } else if (exec->phase == SANDD_EXEC_RUNNING && exec->reason == SANDD__V1__EXIT_REASON__EXIT_REASON_OWN) {
      exec->reason = SANDD__V1__EXIT_REASON__EXIT_REASON_DAEMON_STOPPING;
      exec->killing = true;
    }
  }
  int error = sandd_tree_kill_all(execs->config.spawner, grace_ns, first ? on_all_killed : NULL, execs);
  if (error && first) {
    execs->kill_done = true;
    sandd_log(SANDD_LOG_WARN, "there is no memory to end the commands in good order");
  }
}

bool sandd_execs_stopped(const sandd_execs *execs) {
  return execs->stopping && execs->kill_done && execs->running == 0 && !execs->touched;
}

uint64_t sandd_execs_started(const sandd_execs *execs) {
  return execs->started;
}

size_t sandd_execs_running(const sandd_execs *execs) {
  return execs->running;
}
