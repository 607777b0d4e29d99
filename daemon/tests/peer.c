// SPDX-License-Identifier: MIT
#include "peer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

uint64_t peer_now(void) {
  return sandd_carrier_now_us();
}

static void fill_random(void *ctx, uint8_t *out, size_t len) {
  (void)ctx;
  ck_assert_int_eq(uv_random(NULL, NULL, out, len, 0, NULL), 0);
}

static void tell_call(const sandd_event *event);

static void on_event(void *user, const sandd_event *event) {
  peer *p = user;
  switch (event->type) {
  case SANDD_EVENT_SESSION_UP:
    p->session = event->session;
    p->up = true;
    p->resumed = event->resumed;
    p->ups++;
    break;
  case SANDD_EVENT_SESSION_AWAY:
    if (event->session == p->session) {
      p->up = false;
    }
    break;
  case SANDD_EVENT_SESSION_LOST:
    p->lost++;
    p->goodbye_status = event->status;
    if (event->session == p->session) {
      p->session = NULL;
      p->up = false;
    }
    break;
  default: tell_call(event); break;
  }
}

static void make_server(peer *p) {
  static const sandd_capability capability = {"exec", NULL};
  sandd_endpoint_config endpoint = {.size = sizeof(endpoint),
                                    .role = SANDD_ROLE_SERVER,
                                    .random = fill_random,
                                    .limits = {.channels = 4096, .streams = 64},
                                    .rings = 4096,
                                    .session_retention_us = p->options.session_retention_us,
                                    .software = "test",
                                    .capabilities = &capability,
                                    .n_capabilities = 1};
  ck_assert_int_eq(sandd_net_new(&p->net, NULL), 0);
  ck_assert_int_eq(sandd_endpoint_new(&p->endpoint, &endpoint), 0);
  sandd_carrier_config carrier = {
      .size = sizeof(carrier), .net = p->net, .endpoint = p->endpoint, .event = on_event, .user = p};
  ck_assert_int_eq(sandd_carrier_new(&p->carrier, &carrier), 0);
  char text[256] = "";
  sandd_listen_config listen = {.size = sizeof(listen),
                                .host = "127.0.0.1",
                                .token = p->options.token,
                                .handler = sandd_carrier_handler(),
                                .user = p->carrier};
  ck_assert_msg(sandd_listen(p->net, &listen, &p->listener, text, sizeof(text)) == 0, "%s", text);
}

void peer_start(peer *p) {
  char url[64];
  const char *argv[32] = {
      SANDD_PROGRAM, "-d", "daemon", "-r", "0.2", "--log-level", getenv("SANDD_TEST_TRACE") ? "trace" : "debug"};
  int argc = 7;
  snprintf(url, sizeof(url), "ws://127.0.0.1:%u", sandd_listener_port(p->listener));
  if (!p->options.keep_url) {
    argv[argc++] = "-s";
    argv[argc++] = url;
  }
  for (const char *const *a = p->options.arguments; a && *a; a++) {
    argv[argc++] = *a;
  }
  p->daemon_ended = false;
  p->daemon = fork();
  ck_assert_int_ge(p->daemon, 0);
  if (p->daemon == 0) {
    int log = open(p->log_path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    prctl(PR_SET_PDEATHSIG, SIGTERM); // a failed test leaves no daemon
    if (log < 0 || dup2(log, 2) != 2 || setpgid(0, 0) != 0) {
      _exit(99);
    }
    for (const char *const *v = p->options.variables; v && *v; v++) {
      putenv((char *)*v);
    }
    execv(SANDD_PROGRAM, (char *const *)argv);
    _exit(98);
  }
}

peer *peer_new(const peer_options *options) {
  peer *p = calloc(1, sizeof(*p));
  ck_assert_ptr_nonnull(p);
  p->options = *options;
  snprintf(p->folder, sizeof(p->folder), "/tmp/sandd-test-XXXXXX");
  ck_assert_ptr_nonnull(mkdtemp(p->folder));
  snprintf(p->log_path, sizeof(p->log_path), "%s/log", p->folder);
  make_server(p);
  if (!options->no_daemon) {
    peer_start(p);
    UNTIL(p, p->up);
  }
  return p;
}

void peer_turn(peer *p) {
  sandd_carrier_flush(p->carrier);
  sandd_net_turn(p->net, 20);
  if (p->daemon > 0 && !p->daemon_ended && waitpid(p->daemon, &p->daemon_status, WNOHANG) == p->daemon) {
    p->daemon_ended = true;
  }
}

void peer_until(peer *p, const bool *flag, const char *what) {
  uint64_t deadline = peer_now() + PEER_PATIENCE_US;
  while (!*flag) {
    ck_assert_msg(peer_now() < deadline, "waited too long for %s", what);
    peer_turn(p);
  }
}

void peer_cut(peer *p) {
  sandd_link *link = sandd_session_link(p->session);
  ck_assert_ptr_nonnull(link);
  sandd_conn_abort(sandd_carrier_conn(link));
  UNTIL(p, !p->up);
}

static char *read_file(const char *path, size_t *len) {
  FILE *file = fopen(path, "r");
  char *text = calloc(1, 1 << 20);
  ck_assert_ptr_nonnull(text);
  *len = file ? fread(text, 1, (1 << 20) - 1, file) : 0;
  if (file) {
    fclose(file);
  }
  return text;
}

char *peer_log(const peer *p) {
  size_t len;
  return read_file(p->log_path, &len);
}

void peer_signal(peer *p, int number) {
  ck_assert_int_eq(kill(p->daemon, number), 0);
}

static bool environ_has(const char *pid, const char *entry) {
  char path[300];
  size_t len;
  snprintf(path, sizeof(path), "/proc/%s/environ", pid);
  char *text = read_file(path, &len);
  bool found = false;
  for (size_t at = 0; at < len && !found; at += strlen(text + at) + 1) {
    found = strcmp(text + at, entry) == 0;
  }
  free(text);
  return found;
}

int peer_processes(const char *id) {
  char entry[160];
  int count = 0;
  snprintf(entry, sizeof(entry), "SANDD_EXEC=%s", id);
  DIR *proc = opendir("/proc");
  ck_assert_ptr_nonnull(proc);
  for (struct dirent *d; (d = readdir(proc));) {
    if (d->d_name[0] >= '0' && d->d_name[0] <= '9') {
      count += environ_has(d->d_name, entry);
    }
  }
  closedir(proc);
  return count;
}

pid_t peer_inner(const peer *p) {
  char path[64];
  size_t len;
  snprintf(path, sizeof(path), "/proc/%d/task/%d/children", p->daemon, p->daemon);
  char *text = read_file(path, &len);
  pid_t pid = (pid_t)strtol(text, NULL, 10);
  free(text);
  ck_assert_int_gt(pid, 0);
  return pid;
}

static void remove_folder(const char *folder) {
  DIR *dir = opendir(folder);
  for (struct dirent *d; dir && (d = readdir(dir));) {
    unlinkat(dirfd(dir), d->d_name, 0);
  }
  if (dir) {
    closedir(dir);
  }
  rmdir(folder);
}

void peer_free(peer *p) {
  if (p->daemon > 0 && !p->daemon_ended) {
    peer_signal(p, SIGTERM);
    UNTIL(p, p->daemon_ended);
    if (!WIFEXITED(p->daemon_status) || WEXITSTATUS(p->daemon_status) != 0) {
      char *log = peer_log(p);
      ck_abort_msg("the daemon ended with status %x, log:\n%s", p->daemon_status, log);
    }
  }
  sandd_carrier_free(p->carrier);
  sandd_endpoint_free(p->endpoint);
  sandd_net_free(p->net);
  if (!getenv("SANDD_TEST_TRACE")) {
    remove_folder(p->folder);
  }
  free(p);
}

/* ---- calls ---- */

static void note(call *c, char what) {
  size_t len = strlen(c->order);
  if (len + 1 < sizeof(c->order)) {
    c->order[len] = what;
    c->order[len + 1] = '\0';
  }
}

static void append(bytes *b, const uint8_t *data, size_t len) {
  if (b->len + len + 1 > b->cap) {
    b->cap = (b->len + len + 1) * 2;
    b->data = realloc(b->data, b->cap);
    ck_assert_ptr_nonnull(b->data);
  }
  memcpy(b->data + b->len, data, len);
  b->len += len;
  b->data[b->len] = 0;
}

static void read_channel(call *c, int channel) {
  const uint8_t *data;
  uint64_t len;
  sandd_inbox *inbox = c->in[channel];
  for (;;) {
    switch (sandd_inbox_peek(inbox, &data, &len)) {
    case SANDD_INBOX_DATA: append(&c->out[channel], data, (size_t)len); break;
    case SANDD_INBOX_SKIP: c->skipped[channel] += len; break;
    case SANDD_INBOX_END:
      if (!c->channel_end[channel]) {
        uint64_t final;
        c->channel_end[channel] = true;
        sandd_inbox_final(inbox, &final, &c->drain_limit[channel]);
        note(c, 'O');
      }
      return;
    default: return;
    }
    sandd_inbox_consume(inbox, len, peer_now());
  }
}

void call_read(call *c) {
  c->reading = true;
  for (int i = 2; i <= 3; i++) {
    if (c->in[i]) {
      read_channel(c, i);
    }
  }
}

static void take_started(call *c, const Sandd__V1__ExecStarted *s) {
  c->started = true;
  note(c, 'S');
  snprintf(c->exec_id, sizeof(c->exec_id), "%s", s->exec_id);
  snprintf(c->instance, sizeof(c->instance), "%s", s->instance);
  c->pid = s->pid;
  c->attached = s->attached;
  c->state = (int)s->state;
  for (size_t i = 0; i < s->n_outputs; i++) {
    int channel = (int)s->outputs[i]->kept->channel;
    c->kept_from[channel] = s->outputs[i]->kept->earliest_offset;
    c->kept_to[channel] = s->outputs[i]->kept->end_offset;
    c->start[channel] = s->outputs[i]->start_offset;
  }
  c->has_stdin = s->stdin != NULL;
  if (s->stdin) {
    c->stdin_accepted = s->stdin->accepted;
    c->stdin_written = s->stdin->written;
    c->stdin_closed = s->stdin->closed;
  }
}

static void take_exited(call *c, const Sandd__V1__ExecExited *x) {
  ck_assert_msg(!c->exited, "ExecExited came twice");
  c->exited = true;
  note(c, 'X');
  c->reason = (int)x->reason;
  c->wall_ns = x->wall_ns;
  c->exit_code = x->outcome_case == SANDD__V1__EXEC_EXITED__OUTCOME_EXIT_CODE ? (int)x->exit_code : -1;
  if (x->outcome_case == SANDD__V1__EXEC_EXITED__OUTCOME_SIGNAL) {
    snprintf(c->exit_signal, sizeof(c->exit_signal), "%s", x->signal);
  }
}

static void tell_stream(call *c, const sandd_event *event) {
  switch (event->type) {
  case SANDD_EVENT_STREAM_FRAME:
    if (event->frame->body_case == SANDD__V1__FRAME__BODY_EXEC_STARTED) {
      take_started(c, event->frame->exec_started);
    } else if (event->frame->body_case == SANDD__V1__FRAME__BODY_EXEC_EXITED) {
      take_exited(c, event->frame->exec_exited);
    }
    break;
  case SANDD_EVENT_STREAM_ENDED:
    if (c->reading) {
      call_read(c);
    }
    c->ended = true;
    c->status = event->status;
    c->by_reset = event->by_reset;
    c->earliest = event->earliest_offset;
    snprintf(c->text, sizeof(c->text), "%s", event->text ? event->text : "");
    snprintf(c->errno_name, sizeof(c->errno_name), "%s", event->errno_name ? event->errno_name : "");
    note(c, event->by_reset ? 'R' : '.');
    break;
  case SANDD_EVENT_STREAM_CLOSED: c->closed = true; break;
  default: break;
  }
}

static void tell_call(const sandd_event *event) {
  if (event->type == SANDD_EVENT_INBOX_READABLE) {
    call *c = sandd_inbox_user(event->inbox);
    for (int i = 2; i <= 3; i++) {
      if (c && c->reading && c->in[i] == event->inbox) {
        read_channel(c, i);
      }
    }
  } else if (event->stream && sandd_stream_user(event->stream)) {
    tell_stream(sandd_stream_user(event->stream), event);
  }
}

call *call_open(peer *p, Sandd__V1__ExecOpen *open, bool stdin_stream) {
  call *c = calloc(1, sizeof(*c));
  Sandd__V1__Frame frame = SANDD__V1__FRAME__INIT;
  ck_assert_ptr_nonnull(c);
  ck_assert_ptr_nonnull(p->session);
  c->p = p;
  c->exit_code = -1;
  c->reading = true;
  ck_assert_int_eq(sandd_stream_new(&c->stream, p->session), 0);
  sandd_stream_set_user(c->stream, c);
  for (size_t i = 0; i < open->n_starts; i++) {
    int channel = (int)open->starts[i]->channel;
    if (channel != 2 && channel != 3) {
      continue;
    }
    if (c->in[channel]) {
      continue;
    }
    ck_assert_int_eq(sandd_inbox_new(&c->in[channel], p->endpoint, p->session, false), 0);
    sandd_inbox_set_user(c->in[channel], c);
    int64_t grant = sandd_stream_read(c->stream, channel, c->in[channel],
                                      open->mode == SANDD__V1__EXEC_MODE__EXEC_MODE_START, peer_now());
    ck_assert_int_ge(grant, 0);
    open->starts[i]->grant = (uint64_t)grant;
  }
  frame.body_case = SANDD__V1__FRAME__BODY_EXEC_OPEN;
  frame.exec_open = open;
  ck_assert_int_eq(sandd_stream_send(c->stream, &frame, peer_now()), 0);
  if (stdin_stream) {
    ck_assert_int_eq(sandd_ring_new(&c->ring, p->endpoint, p->session, NULL), 0);
    ck_assert_int_eq(sandd_stream_write(c->stream, 1, c->ring, 0, 0, SANDD_READER_HOLDS), 0);
  }
  sandd_carrier_flush(p->carrier);
  return c;
}

static ProtobufCBinaryData binary(const char *text) {
  return (ProtobufCBinaryData){.data = (uint8_t *)text, .len = text ? strlen(text) : 0};
}

#define LIST_MAX 64

static void fill_command(Sandd__V1__ExecSpec *spec, const run *what, Sandd__V1__Argv *argv, ProtobufCBinaryData *args) {
  if (what->argv) {
    for (; what->argv[argv->n_args]; argv->n_args++) {
      args[argv->n_args] = binary(what->argv[argv->n_args]);
    }
    argv->args = args;
    spec->command_case = SANDD__V1__EXEC_SPEC__COMMAND_ARGV;
    spec->argv = argv;
  } else if (what->sh) {
    spec->command_case = SANDD__V1__EXEC_SPEC__COMMAND_SHELL_LINE;
    spec->shell_line = binary(what->sh);
  }
}

static void fill_spec(Sandd__V1__ExecSpec *spec, const run *what) {
  spec->replace_env = what->replace_env;
  spec->cwd = binary(what->cwd);
  spec->stdin_mode = what->stdin_stream   ? SANDD__V1__STDIN_MODE__STDIN_MODE_STREAM
                     : what->stdin_inline ? SANDD__V1__STDIN_MODE__STDIN_MODE_INLINE
                                          : SANDD__V1__STDIN_MODE__STDIN_MODE_UNSPECIFIED;
  spec->stdin_inline = binary(what->stdin_inline);
  spec->merge_stderr = what->merge;
  spec->timeout_ns = what->timeout_ms * 1000000;
  spec->grace_ns = what->grace_ms * 1000000;
  spec->idle_timeout_ns = what->idle_ms * 1000000;
  spec->on_session_lost = what->keep ? SANDD__V1__ON_SESSION_LOST__ON_SESSION_LOST_KEEP
                                     : SANDD__V1__ON_SESSION_LOST__ON_SESSION_LOST_UNSPECIFIED;
  spec->keep_bytes = what->keep_bytes;
  spec->block_unread = what->block_unread;
}

call *call_new(peer *p, const run *what) {
  Sandd__V1__ExecOpen open = SANDD__V1__EXEC_OPEN__INIT;
  Sandd__V1__ExecSpec spec = SANDD__V1__EXEC_SPEC__INIT;
  Sandd__V1__Argv argv = SANDD__V1__ARGV__INIT;
  Sandd__V1__User user = SANDD__V1__USER__INIT;
  Sandd__V1__OutputCap cap = SANDD__V1__OUTPUT_CAP__INIT;
  Sandd__V1__Pty pty = SANDD__V1__PTY__INIT;
  Sandd__V1__ChannelStart starts[2] = {SANDD__V1__CHANNEL_START__INIT, SANDD__V1__CHANNEL_START__INIT};
  Sandd__V1__ChannelStart *start_list[2] = {&starts[0], &starts[1]};
  Sandd__V1__EnvVar env[LIST_MAX];
  Sandd__V1__EnvVar *env_list[LIST_MAX];
  ProtobufCBinaryData args[LIST_MAX];
  fill_command(&spec, what, &argv, args);
  fill_spec(&spec, what);
  for (; what->env && what->env[spec.n_env]; spec.n_env++) {
    const char *entry = what->env[spec.n_env], *equals = strchr(entry, '=');
    sandd__v1__env_var__init(&env[spec.n_env]);
    env[spec.n_env].name = (ProtobufCBinaryData){.data = (uint8_t *)entry, .len = (size_t)(equals - entry)};
    env[spec.n_env].value = binary(equals + 1);
    env_list[spec.n_env] = &env[spec.n_env];
  }
  spec.env = env_list;
  if (what->user || what->has_uid) {
    user.who_case = what->user ? SANDD__V1__USER__WHO_NAME : SANDD__V1__USER__WHO_UID;
    if (what->user) {
      user.name = (char *)what->user;
    } else {
      user.uid = what->uid;
    }
    spec.user = &user;
  }
  if (what->capped) {
    cap.head_bytes = what->head;
    cap.tail_bytes = what->tail;
    spec.output_cap = &cap;
  }
  if (what->pty) {
    pty.rows = 24;
    pty.cols = 80;
    spec.pty = &pty;
  }
  open.mode = what->mode ? (Sandd__V1__ExecMode)what->mode : SANDD__V1__EXEC_MODE__EXEC_MODE_START;
  open.role = what->role ? (Sandd__V1__ExecRole)what->role : SANDD__V1__EXEC_ROLE__EXEC_ROLE_HOLD;
  open.exec_id = (char *)(what->id ? what->id : "");
  open.instance = (char *)(what->instance ? what->instance : "");
  open.age_ns = what->age_ns;
  open.spec = what->spec_none ? NULL : &spec;
  bool attach = open.mode != SANDD__V1__EXEC_MODE__EXEC_MODE_START;
  for (int i = 0; i < (what->merge ? 1 : 2); i++) {
    starts[i].channel = (Sandd__V1__ChannelId)(2 + i);
    starts[i].at = what->has_start[i] ? (Sandd__V1__StartAt)what->at[i]
                   : attach           ? SANDD__V1__START_AT__START_AT_EARLIEST
                                      : SANDD__V1__START_AT__START_AT_OFFSET;
    starts[i].offset = what->offset[i];
    open.n_starts++;
  }
  open.starts = start_list;
  call *c = call_open(p, &open, what->stdin_stream);
  c->reading = !what->unread;
  return c;
}

void call_free(call *c) {
  sandd_stream_release(c->stream, peer_now());
  for (int i = 2; i <= 3; i++) {
    sandd_inbox_free(c->in[i]);
    free(c->out[i].data);
  }
  sandd_ring_free(c->ring);
  sandd_carrier_flush(c->p->carrier);
  free(c);
}

void call_wait(call *c) {
  peer_until(c->p, &c->ended, "the end of the stream");
}

int call_run(peer *p, const run *what, char **out) {
  call *c = call_new(p, what);
  call_wait(c);
  ck_assert_msg(c->status == SANDD_CODE(OK) && c->exited, "status %d: %s", c->status, c->text);
  int code = c->exit_code;
  if (out) {
    *out = strdup(call_text(c, 2));
  }
  call_free(c);
  return code;
}

void call_write(call *c, const void *data, size_t len) {
  const uint8_t *at = data;
  while (len > 0) {
    int64_t put = sandd_ring_write(c->ring, at, len);
    ck_assert_int_ge(put, 0);
    at += put;
    len -= (size_t)put;
    if (put == 0) {
      peer_turn(c->p);
    }
  }
  sandd_carrier_flush(c->p->carrier);
}

void call_close_stdin(call *c) {
  sandd_ring_finish(c->ring);
  ck_assert_int_eq(sandd_stream_finish(c->stream, 1, false, peer_now()), 0);
  sandd_carrier_flush(c->p->carrier);
}

static void send_frame(call *c, const Sandd__V1__Frame *frame) {
  ck_assert_int_eq(sandd_stream_send(c->stream, frame, peer_now()), 0);
  sandd_carrier_flush(c->p->carrier);
}

void call_signal(call *c, const char *name, int scope) {
  Sandd__V1__Signal body = SANDD__V1__SIGNAL__INIT;
  Sandd__V1__Frame frame = SANDD__V1__FRAME__INIT;
  body.name = (char *)name;
  body.scope = (Sandd__V1__SignalScope)scope;
  frame.body_case = SANDD__V1__FRAME__BODY_SIGNAL;
  frame.signal = &body;
  send_frame(c, &frame);
}

void call_detach(call *c) {
  Sandd__V1__Detach body = SANDD__V1__DETACH__INIT;
  Sandd__V1__Frame frame = SANDD__V1__FRAME__INIT;
  frame.body_case = SANDD__V1__FRAME__BODY_DETACH;
  frame.detach = &body;
  send_frame(c, &frame);
}

void call_reset(call *c) {
  sandd_status status = {.code = SANDD_CODE(CANCELLED), .text = "cancelled by the test"};
  ck_assert_int_eq(sandd_stream_reset(c->stream, &status, peer_now()), 0);
  sandd_carrier_flush(c->p->carrier);
}

const char *call_text(call *c, int channel) {
  return c->out[channel].data ? (const char *)c->out[channel].data : "";
}
