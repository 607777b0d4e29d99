// SPDX-License-Identifier: MIT
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exec.h"
#include "exec_check.h"
#include "internal.h"

#define GRACE_DEFAULT_NS 5000000000
#define SLACK_NS         5000000000
#define TAIL_MAX         (16u << 20)
#define INLINE_HEADROOM  4096

/* An ExecOpen with all its parts; the arrays have a block of their own. */
typedef struct message {
  Sandd__V1__ExecOpen open;
  Sandd__V1__ExecSpec spec;
  Sandd__V1__Argv argv;
  Sandd__V1__User user;
  Sandd__V1__OutputCap cap;
  Sandd__V1__Pty pty;
  Sandd__V1__ChannelStart starts[2];
  Sandd__V1__ChannelStart *start_list[2];
  void *arrays;
} message;

static ProtobufCBinaryData borrow(sandd_bytes b) {
  return (ProtobufCBinaryData){b.len, (uint8_t *)(uintptr_t)b.data};
}

static char *text_or_empty(const char *text) {
  return (char *)(uintptr_t)(text ? text : "");
}

static bool build_arrays(message *m, const sandd_exec_config *c) {
  size_t env_size = c->n_env * (sizeof(Sandd__V1__EnvVar) + sizeof(Sandd__V1__EnvVar *));
  size_t size = env_size + c->n_argv * sizeof(ProtobufCBinaryData);
  if (size == 0)
    return true;
  if (!(m->arrays = malloc(size)))
    return false;
  Sandd__V1__EnvVar *vars = m->arrays;
  ProtobufCBinaryData *args = (ProtobufCBinaryData *)(vars + c->n_env);
  Sandd__V1__EnvVar **list = (Sandd__V1__EnvVar **)(args + c->n_argv);
  for (size_t i = 0; i < c->n_env; i++) {
    sandd__v1__env_var__init(&vars[i]);
    vars[i].name = borrow(c->env[i].name);
    vars[i].value = borrow(c->env[i].value);
    list[i] = &vars[i];
  }
  for (size_t i = 0; i < c->n_argv; i++)
    args[i] = borrow(c->argv[i]);
  m->spec.env = list;
  m->spec.n_env = c->n_env;
  m->argv.args = args;
  m->argv.n_args = c->n_argv;
  return true;
}

/* The cap that keeps what is collected within max_output: half of it, at most 16 MiB, is the tail. */
static void build_cap(message *m, const sandd_exec_config *c) {
  uint64_t head = c->head_bytes, tail = c->tail_bytes;
  if (!head && !tail && c->collect && c->max_output) {
    tail = c->max_output / 2 < TAIL_MAX ? c->max_output / 2 : TAIL_MAX;
    head = c->max_output - tail;
  }
  if (!head && !tail)
    return;
  sandd__v1__output_cap__init(&m->cap);
  m->cap.head_bytes = head;
  m->cap.tail_bytes = tail;
  m->spec.output_cap = &m->cap;
}

static void build_spec(message *m, const sandd_exec_config *c) {
  Sandd__V1__ExecSpec *spec = &m->spec;
  if (c->n_argv) {
    spec->command_case = SANDD__V1__EXEC_SPEC__COMMAND_ARGV;
    spec->argv = &m->argv;
  } else {
    spec->command_case = SANDD__V1__EXEC_SPEC__COMMAND_SHELL_LINE;
    spec->shell_line = borrow(c->shell_line);
  }
  spec->replace_env = c->replace_env;
  spec->merge_stderr = c->merge_stderr;
  spec->cwd = borrow(c->cwd);
  if (c->user_name || c->has_uid) {
    sandd__v1__user__init(&m->user);
    m->user.who_case = c->user_name ? SANDD__V1__USER__WHO_NAME : SANDD__V1__USER__WHO_UID;
    if (c->user_name)
      m->user.name = text_or_empty(c->user_name);
    else
      m->user.uid = c->uid;
    spec->user = &m->user;
  }
  spec->timeout_ns = c->timeout_ns;
  spec->grace_ns = c->grace_ns;
  spec->idle_timeout_ns = c->idle_timeout_ns;
  build_cap(m, c);
  if (c->pty_rows) {
    sandd__v1__pty__init(&m->pty);
    m->pty.rows = c->pty_rows;
    m->pty.cols = c->pty_cols;
    m->pty.term = text_or_empty(c->pty_term);
    spec->pty = &m->pty;
  }
  spec->on_session_lost =
      c->keep ? SANDD__V1__ON_SESSION_LOST__ON_SESSION_LOST_KEEP : SANDD__V1__ON_SESSION_LOST__ON_SESSION_LOST_END;
  spec->keep_bytes = c->keep_bytes;
  spec->block_unread = c->block_unread;
}

static void build_start(message *m, int channel, int at, uint64_t offset) {
  Sandd__V1__ChannelStart *start = &m->starts[m->open.n_starts];
  sandd__v1__channel_start__init(start);
  start->channel = (Sandd__V1__ChannelId)channel;
  start->at = (Sandd__V1__StartAt)at;
  start->offset = offset;
  m->start_list[m->open.n_starts++] = start;
}

/* Borrows from config. m->arrays is to be freed. */
static bool build(message *m, const sandd_exec_config *c, const sandd_exec *exec) {
  sandd__v1__exec_open__init(&m->open);
  sandd__v1__exec_spec__init(&m->spec);
  sandd__v1__argv__init(&m->argv);
  m->arrays = NULL;
  m->open.mode = (Sandd__V1__ExecMode)(c->mode ? c->mode : SANDD_EXEC_START);
  m->open.exec_id = text_or_empty(c->exec_id);
  m->open.instance = text_or_empty(c->instance);
  m->open.age_ns = c->age_ns;
  m->open.role = (Sandd__V1__ExecRole)exec->role;
  m->open.starts = m->start_list;
  bool attaches = m->open.mode != SANDD__V1__EXEC_MODE__EXEC_MODE_START;
  build_start(m, SANDD_STDOUT, attaches ? c->stdout_at : 0, attaches ? c->stdout_offset : 0);
  if (exec->out[1].exists)
    build_start(m, SANDD_STDERR, attaches ? c->stderr_at : 0, attaches ? c->stderr_offset : 0);
  if (m->open.mode == SANDD__V1__EXEC_MODE__EXEC_MODE_ATTACH)
    return true;
  if (!build_arrays(m, c))
    return false;
  m->open.spec = &m->spec;
  build_spec(m, c);
  return true;
}

/* ---- sending ---- */

/* Is the offset of the channel's first byte known before the answer? */
static bool start_known(const Sandd__V1__ExecOpen *open, const Sandd__V1__ChannelStart *start) {
  if (open->mode == SANDD__V1__EXEC_MODE__EXEC_MODE_START)
    return true;
  return open->mode == SANDD__V1__EXEC_MODE__EXEC_MODE_ATTACH_OR_START &&
         start->at == SANDD__V1__START_AT__START_AT_OFFSET && start->offset == 0;
}

static int attach_outputs(sandd_exec *exec, sandd_session *session, Sandd__V1__ExecOpen *open, uint64_t now_us) {
  for (size_t i = 0; i < open->n_starts; i++) {
    Sandd__V1__ChannelStart *start = open->starts[i];
    exec_output *out = &exec->out[sandd_exec_out_index((int)start->channel)];
    int rc = sandd_inbox_new(&out->inbox, exec->server->endpoint, session, false);
    if (rc)
      return rc;
    sandd_inbox_set_user(out->inbox, exec);
    int64_t grant = sandd_stream_read(exec->stream, (int)start->channel, out->inbox, start_known(open, start), now_us);
    if (grant < 0)
      return (int)grant;
    start->grant = (uint64_t)grant;
    if (out->discard)
      sandd_inbox_discard(out->inbox, now_us);
  }
  return 0;
}

/* A small input travels with the opening, which saves a round trip's worth of frames; else it is streamed. */
static void choose_stdin(sandd_exec *exec, sandd_session *session, Sandd__V1__ExecOpen *open) {
  const sandd_limits *limits = sandd_session_peer_limits(session);
  uint64_t most = limits->inline_stdin_bytes;
  if (most + INLINE_HEADROOM > limits->message_bytes)
    most = limits->message_bytes > INLINE_HEADROOM ? limits->message_bytes - INLINE_HEADROOM : 0;
  size_t rest = sandd__v1__exec_open__get_packed_size(open);
  if (exec->input && exec->input_len <= most && exec->input_len + rest + INLINE_HEADROOM <= limits->message_bytes) {
    open->spec->stdin_mode = SANDD__V1__STDIN_MODE__STDIN_MODE_INLINE;
    open->spec->stdin_inline = (ProtobufCBinaryData){exec->input_len, exec->input};
    exec->stdin_stream = false;
  } else {
    open->spec->stdin_mode =
        exec->stdin_stream ? SANDD__V1__STDIN_MODE__STDIN_MODE_STREAM : SANDD__V1__STDIN_MODE__STDIN_MODE_NONE;
  }
}

static int send_open(sandd_exec *exec, sandd_session *session, Sandd__V1__ExecOpen *open, uint64_t now_us) {
  int rc = sandd_stream_new(&exec->stream, session);
  if (rc)
    return rc;
  sandd_stream_set_user(exec->stream, exec);
  if (open->spec)
    choose_stdin(exec, session, open);
  if ((rc = attach_outputs(exec, session, open, now_us)) != 0)
    return rc;
  /* Where an attach goes on writing is only known from the answer. */
  if (exec->stdin_stream && open->mode == SANDD__V1__EXEC_MODE__EXEC_MODE_START) {
    if ((rc = sandd_ring_new(&exec->in, exec->server->endpoint, session, NULL)) != 0)
      return rc;
    sandd_ring_set_user(exec->in, exec);
    if ((rc = sandd_stream_write(exec->stream, SANDD_STDIN, exec->in, 0, 0, SANDD_READER_HOLDS)) != 0)
      return rc;
  }
  Sandd__V1__Frame frame = SANDD__V1__FRAME__INIT;
  frame.body_case = SANDD__V1__FRAME__BODY_EXEC_OPEN;
  frame.exec_open = open;
  return sandd_stream_send(exec->stream, &frame, now_us);
}

static void explain(sandd_failure *failure, int error, const sandd_session *session) {
  const char *name = sandd_daemon_name(session);
  switch (error) {
  case SANDD_E_TOO_LARGE:
    sandd_failure_set(failure, error, STATUS(MESSAGE_TOO_LARGE),
                      "the command is above the message limit of daemon %s (%" PRIu64 " bytes)", name,
                      sandd_session_peer_limits(session)->message_bytes);
    break;
  case SANDD_E_LIMIT:
    sandd_failure_set(failure, error, STATUS(RESOURCE_EXHAUSTED),
                      "daemon %s has as many streams open as it takes (%" PRIu64 ")", name,
                      sandd_session_peer_limits(session)->streams);
    break;
  default:
    sandd_failure_set(failure, error, error == SANDD_E_CLOSED ? STATUS(UNAVAILABLE) : STATUS(RESOURCE_EXHAUSTED),
                      "the command could not be sent to daemon %s: %s", name, sandd_error_text(error));
  }
}

int sandd_exec_send(sandd_exec *exec, sandd_session *session, Sandd__V1__ExecOpen *open, uint64_t now_us,
                    sandd_failure *failure) {
  int rc = sandd_exec_check_peer(open, session, failure);
  if (rc)
    return rc;
  rc = send_open(exec, session, open, now_us);
  if (rc) {
    sandd_exec_drop(exec, now_us);
    explain(failure, rc, session);
    return rc;
  }
  exec->session = session;
  exec->phase = EXEC_OPEN;
  exec->sent = true;
  if (!exec->stdin_stream) {
    free(exec->input);
    exec->input = NULL;
  }
  if (exec->in)
    sandd_exec_pump_input(exec, now_us);
  /* Without memory for a deadline the command has its own, over there. */
  if (exec->give_up_ns && sandd_deadline_set(exec->server, exec, now_us + (uint64_t)exec->give_up_ns / 1000) != 0)
    sandd_log(&exec->server->log, SANDD_LOG_WARNING, "no memory for a deadline");
  return 0;
}

/* ---- open ---- */

static int set_up(sandd_exec *exec, sandd_server *server, const sandd_exec_config *c) {
  exec->server = server;
  exec->refs = 1;
  exec->fd = -1;
  exec->role = c->role ? c->role : SANDD_EXEC_HOLD;
  exec->pty = c->pty_rows != 0;
  exec->collect = c->collect;
  exec->max_output = c->max_output;
  exec->out[0].exists = true;
  exec->out[1].exists = !c->merge_stderr && !c->pty_rows;
  exec->out[0].discard = c->discard_stdout;
  exec->out[1].discard = c->discard_stderr;
  for (int i = 0; i < 2; i++)
    sandd_collected_init(&exec->out[i].data, c->max_output);
  bool input = c->stdin_mode == SANDD_EXEC_STDIN_INPUT || (c->stdin_mode == 0 && c->input.len);
  exec->stdin_stream = input || c->stdin_mode == SANDD_EXEC_STDIN_STREAM;
  exec->daemon_id = strdup(c->daemon_id);
  if (!exec->daemon_id)
    return SANDD_E_NOMEM;
  if (input) {
    if (!(exec->input = malloc(c->input.len ? c->input.len : 1)))
      return SANDD_E_NOMEM;
    if (c->input.len)
      memcpy(exec->input, c->input.data, c->input.len);
    exec->input_len = c->input.len;
  }
  if (c->timeout_ns && !c->no_deadline) {
    int64_t grace = c->grace_ns ? c->grace_ns : GRACE_DEFAULT_NS;
    if (c->timeout_ns < INT64_MAX / 4 && grace < INT64_MAX / 4)
      exec->give_up_ns = c->timeout_ns + grace + SLACK_NS;
  }
  return 0;
}

static int wait_for_return(sandd_exec *exec, const message *m, int64_t wait_ms, uint64_t now_us) {
  exec->phase = EXEC_WAITING;
  exec->packed_len = sandd__v1__exec_open__get_packed_size(&m->open);
  if (!(exec->packed = malloc(exec->packed_len ? exec->packed_len : 1)))
    return SANDD_E_NOMEM;
  sandd__v1__exec_open__pack(&m->open, exec->packed);
  uint64_t wait_us = wait_ms > INT64_MAX / 1000000 ? UINT64_MAX / 4 : (uint64_t)wait_ms * 1000;
  int rc = sandd_deadline_set(exec->server, exec, now_us + wait_us);
  if (rc == 0)
    sandd_exec_await(exec);
  return rc;
}

static int open_locked(sandd_exec *exec, const sandd_exec_config *c, message *m, sandd_failure *failure) {
  sandd_server *server = exec->server;
  sandd_session *session = NULL;
  uint64_t now_us = sandd_carrier_now_us(), since_us = 0;
  int rc = sandd_daemon_find(server, c->daemon_id, &session, &since_us);
  if (rc == SANDD_E_NOT_FOUND)
    return sandd_failure_set(failure, rc, STATUS(NOT_FOUND), "daemon %.255s not found", c->daemon_id);
  if (rc == 0)
    return sandd_exec_send(exec, session, &m->open, now_us, failure);
  exec->away_since_ns = sandd_wall_at(since_us, now_us);
  if (c->wait_ms > 0) {
    rc = wait_for_return(exec, m, c->wait_ms, now_us);
    return rc ? sandd_failure_set(failure, rc, STATUS(RESOURCE_EXHAUSTED), "out of memory") : 0;
  }
  sandd_failure_set(failure, SANDD_E_AWAY, STATUS(UNAVAILABLE),
                    "daemon %.255s is away since %.1f s; the command has not run", c->daemon_id,
                    (double)(now_us - since_us) / 1e6);
  if (failure)
    failure->away_since_ns = exec->away_since_ns;
  return SANDD_E_AWAY;
}

static void link_exec(sandd_exec *exec) {
  sandd_server *server = exec->server;
  exec->next = server->execs;
  exec->prev = &server->execs;
  if (server->execs)
    server->execs->prev = &exec->next;
  server->execs = exec;
  server->execs_total++;
  sandd_server_ref(server);
}

static void discard_exec(sandd_exec *exec) {
  free(exec->daemon_id);
  free(exec->input);
  free(exec->packed);
  free(exec);
}

int sandd_exec_open(sandd_exec **out, sandd_server *server, const sandd_exec_config *config, sandd_failure *failure) {
  *out = NULL;
  int rc = sandd_exec_check(config, failure);
  if (rc)
    return rc;
  sandd_exec *exec = calloc(1, sizeof *exec);
  message m = {.arrays = NULL};
  if (!exec || set_up(exec, server, config) != 0 || !build(&m, config, exec)) {
    if (exec)
      discard_exec(exec);
    return sandd_failure_set(failure, SANDD_E_NOMEM, STATUS(RESOURCE_EXHAUSTED), "out of memory");
  }
  rc = sandd_server_enter(server);
  if (rc) {
    sandd_failure_set(failure, rc, STATUS(UNAVAILABLE), "the server is closed");
  } else {
    rc = open_locked(exec, config, &m, failure);
    if (rc == 0) {
      link_exec(exec);
      sandd_carrier_notify(server->carrier);
    } else {
      sandd_deadline_clear(server, exec);
    }
    sandd_server_unlock(server);
  }
  free(m.arrays);
  if (rc)
    discard_exec(exec);
  else
    *out = exec;
  return rc;
}
