// SPDX-License-Identifier: MIT
/* Processes at the daemon: a table of execs, each with two output rings and stdin, and the streams that read them. */
#include "world.h"

#include <sandd/v1/packet.pb-c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATUS(name) SANDD__V1__STATUS_CODE__STATUS_CODE_##name
#define STDIN        SANDD__V1__CHANNEL_ID__CHANNEL_ID_STDIN

typedef struct hosted {
  actor actor;
  struct hosted *next;
  struct hosted_exec *exec;
  sandd_stream *stream;
  bool told_exit, told[4], ended, over;
  unsigned signals, rows;
} hosted;

typedef struct hosted_exec {
  struct hosted_exec *next;
  char id[24];
  uint64_t key, early;
  writer out[3]; /* 1 and 2 */
  reader in;
  hosted *streams, *owner;
  bool keep, fed, terminal, exited, killed, drain;
  uint64_t alone_since, closed_at;
} hosted_exec;

typedef struct request {
  unsigned long long job, out1, out2, early;
  unsigned fed, terminal;
} request;

static hosted_exec *find(world *w, const char *id) {
  hosted_exec *x = w->execs;
  while (x && strcmp(x->id, id))
    x = x->next;
  return x;
}

static void refuse(world *w, hosted *s, int code, uint64_t earliest, uint64_t end) {
  sandd_status status = {.code = code, .text = "refused"};
  if (code == STATUS(OUT_OF_RANGE))
    status.kept_channel = 2, status.kept_earliest = earliest, status.kept_end = end;
  EXPECT(w, !sandd_stream_reset(s->stream, &status, w->now), "an opening can't be refused");
  sandd_stream_release(s->stream, w->now);
  free(s);
}

/* A refusal for lack of rings or channels leaves nothing behind. */
static hosted_exec *start(world *w, const Sandd__V1__ExecOpen *open, const request *r) {
  hosted_exec *x = sim_alloc(sizeof *x);
  sandd_endpoint *endpoint = w->party[SIDE_DAEMON].endpoint;
  sandd_ring *rings[3] = {NULL};
  sandd_inbox *inbox = NULL;
  x->keep = open->spec->on_session_lost == SANDD__V1__ON_SESSION_LOST__ON_SESSION_LOST_KEEP;
  sandd_ring_config rc = {
      .size = sizeof rc, .keep_bytes = open->spec->keep_bytes, .drop_unread = x->keep && !open->spec->block_unread};
  int error = sandd_ring_new(&rings[1], endpoint, NULL, &rc);
  if (!error)
    error = sandd_ring_new(&rings[2], endpoint, NULL, &rc);
  if (!error)
    error = sandd_inbox_new(&inbox, endpoint, NULL, true);
  if (error) {
    EXPECT(w, error == SANDD_E_LIMIT, "a new exec: %s", sandd_error_text(error));
    sandd_ring_free(rings[1]);
    sandd_ring_free(rings[2]);
    free(x);
    return NULL;
  }
  snprintf(x->id, sizeof x->id, "%s", open->exec_id);
  x->key = r->job;
  x->early = r->early;
  x->fed = r->fed;
  x->terminal = r->terminal;
  x->alone_since = w->now;
  for (unsigned c = 1; c < 3; c++)
    writer_begin(&x->out[c], rings[c], content_key(r->job, c), c == 1 ? r->out1 : r->out2);
  reader_begin(&x->in, inbox, content_key(r->job, 0), false);
  x->next = w->execs;
  w->execs = x;
  agent_started(w, r->job);
  return x;
}

static void answer(world *w, hosted *s, bool attached, const uint64_t *at) {
  hosted_exec *x = s->exec;
  Sandd__V1__Frame frame = SANDD__V1__FRAME__INIT;
  Sandd__V1__ExecStarted m = SANDD__V1__EXEC_STARTED__INIT;
  Sandd__V1__StdinState in = SANDD__V1__STDIN_STATE__INIT;
  Sandd__V1__OutputState outputs[2], *list[2] = {&outputs[0], &outputs[1]};
  Sandd__V1__KeptRange kept[2];
  for (int i = 0; i < 2; i++) {
    sandd__v1__output_state__init(&outputs[i]);
    sandd__v1__kept_range__init(&kept[i]);
    outputs[i].kept = &kept[i];
    outputs[i].start_offset = at[i + 1];
    kept[i].channel = (Sandd__V1__ChannelId)(i + 2);
    kept[i].earliest_offset = sandd_ring_base(x->out[i + 1].ring);
    kept[i].end_offset = sandd_ring_end(x->out[i + 1].ring);
  }
  in.accepted = sandd_inbox_next(x->in.inbox);
  in.written = sandd_inbox_consumed(x->in.inbox);
  uint64_t final;
  in.closed = x->exited || (sandd_inbox_final(x->in.inbox, &final, NULL) && in.accepted == final);
  m.exec_id = x->id;
  m.instance = (char *)host_instance(w);
  m.attached = attached;
  m.state = x->exited ? SANDD__V1__EXEC_STATE__EXEC_STATE_EXITED : SANDD__V1__EXEC_STATE__EXEC_STATE_RUNNING;
  m.n_outputs = 2;
  m.outputs = list;
  m.stdin = &in;
  frame.body_case = SANDD__V1__FRAME__BODY_EXEC_STARTED;
  frame.exec_started = &m;
  EXPECT(w, !sandd_stream_send(s->stream, &frame, w->now), "an answer can't be sent");
}

static void tell(world *w, hosted *s) {
  hosted_exec *x = s->exec;
  if (s->ended || s->over)
    return;
  if (x->exited && !s->told_exit) {
    Sandd__V1__Frame frame = SANDD__V1__FRAME__INIT;
    Sandd__V1__ExecExited m = SANDD__V1__EXEC_EXITED__INIT;
    m.outcome_case = x->killed ? SANDD__V1__EXEC_EXITED__OUTCOME_SIGNAL : SANDD__V1__EXEC_EXITED__OUTCOME_EXIT_CODE;
    if (x->killed)
      m.signal = (char *)"KILL";
    m.reason = SANDD__V1__EXIT_REASON__EXIT_REASON_OWN;
    frame.body_case = SANDD__V1__FRAME__BODY_EXEC_EXITED;
    frame.exec_exited = &m;
    EXPECT(w, !sandd_stream_send(s->stream, &frame, w->now), "ExecExited can't be sent");
    s->told_exit = true;
  }
  for (int c = 1; c < 3; c++) {
    if (!sandd_ring_finished(x->out[c].ring) || s->told[c])
      continue;
    s->told[c] = true;
    EXPECT(w, !sandd_stream_finish(s->stream, c + 1, x->drain, w->now), "ChannelEnd can't be sent");
  }
  if (!s->told_exit || !s->told[1] || !s->told[2])
    return;
  s->ended = true;
  EXPECT(w, !sandd_stream_end(s->stream, &(sandd_status){.code = STATUS(OK)}, w->now), "End can't be sent");
}

static void tell_all(world *w, hosted_exec *x) {
  if (x->exited)
    for (int c = 1; c < 3; c++)
      if (sandd_ring_end(x->out[c].ring) >= x->out[c].total)
        sandd_ring_finish(x->out[c].ring);
  for (hosted *s = x->streams; s; s = s->next)
    tell(w, s);
}

static void cut_short(hosted_exec *x) {
  for (int c = 1; c < 3; c++)
    x->out[c].total = sandd_ring_end(x->out[c].ring);
}

static void exit_exec(world *w, hosted_exec *x, bool killed) {
  if (x->exited)
    return;
  x->exited = true;
  x->killed = killed;
  if (killed)
    cut_short(x);
  sandd_inbox_discard(x->in.inbox, w->now);
  tell_all(w, x);
}

/* The holder before is told, and lets go of stdin. */
static void take_over(world *w, hosted_exec *x, hosted *s) {
  if (x->owner && !x->owner->over) {
    int error = sandd_stream_reset(x->owner->stream, &(sandd_status){.code = STATUS(TAKEN_OVER)}, w->now);
    EXPECT(w, !error || x->owner->ended, "the former holder can't be reset: %s", sandd_error_text(error));
    x->owner->over = true;
    w->stats.taken_over++;
  }
  x->owner = s;
}

static bool places(const hosted_exec *x, const Sandd__V1__ExecOpen *open, uint64_t *at, uint64_t *grant) {
  for (size_t i = 0; i < open->n_starts; i++) {
    const Sandd__V1__ChannelStart *start = open->starts[i];
    int c = (int)start->channel - 1;
    if (c < 1 || c > 2)
      continue;
    at[c] = start->offset;
    if (start->at == SANDD__V1__START_AT__START_AT_EARLIEST)
      at[c] = sandd_ring_base(x->out[c].ring);
    grant[c] = start->grant;
  }
  for (int c = 1; c < 3; c++)
    if (at[c] < sandd_ring_base(x->out[c].ring) || at[c] > sandd_ring_end(x->out[c].ring))
      return false;
  return true;
}

void host_open(world *w, const sandd_event *event) {
  const Sandd__V1__ExecOpen *open = event->frame->exec_open;
  request r = {0};
  char text[128] = "";
  uint64_t at[3] = {0}, grant[3] = {0};
  hosted *s = sim_alloc(sizeof *s);
  s->actor.kind = ACTOR_HOSTED;
  s->stream = event->stream;
  sandd_stream_set_user(s->stream, s);
  ProtobufCBinaryData line = open->spec->shell_line;
  if (line.len < sizeof text)
    memcpy(text, line.data, line.len);
  EXPECT(w,
         sscanf(text, "exec %llu %llu %llu %llu %u %u", &r.job, &r.out1, &r.out2, &r.early, &r.fed, &r.terminal) == 6,
         "the command of an exec differs: %s", text);
  hosted_exec *x = find(w, open->exec_id);
  bool attached = x != NULL;
  if (!x && open->mode == SANDD__V1__EXEC_MODE__EXEC_MODE_ATTACH) {
    refuse(w, s, STATUS(NOT_FOUND), 0, 0);
    return;
  }
  /* So long an opening may be on its way: until a dead connection is noticed, and then until the session is forgotten. */
  uint64_t under_way = 4 * w->config.heartbeat + 2 * w->config.session_retention + w->config.longest_sleep;
  if (strcmp(open->instance, host_instance(w)) ||
      (!x && (uint64_t)open->age_ns / 1000 + under_way >= w->config.exec_retention)) {
    refuse(w, s, STATUS(FAILED_PRECONDITION), 0, 0);
    return;
  }
  uint64_t n = 0;
  for (hosted_exec *y = w->execs; y; y = y->next)
    n++;
  if (!x && (n >= w->config.table || !(x = start(w, open, &r)))) {
    refuse(w, s, STATUS(RESOURCE_EXHAUSTED), 0, 0);
    return;
  }
  if (!places(x, open, at, grant)) {
    refuse(w, s, STATUS(OUT_OF_RANGE), sandd_ring_base(x->out[1].ring), sandd_ring_end(x->out[1].ring));
    return;
  }
  s->exec = x;
  s->next = x->streams;
  x->streams = s;
  sandd_reader_kind kind =
      open->role == SANDD__V1__EXEC_ROLE__EXEC_ROLE_WATCH ? SANDD_READER_WATCHES : SANDD_READER_HOLDS;
  for (int c = 1; c < 3; c++)
    EXPECT(w, !sandd_stream_write(s->stream, c + 1, x->out[c].ring, at[c], grant[c], kind),
           "a reader can't start at %llu", (unsigned long long)at[c]);
  if (open->role == SANDD__V1__EXEC_ROLE__EXEC_ROLE_HOLD) { /* after its readers hold the rings: else they could drop */
    take_over(w, x, s);
    EXPECT(w, sandd_stream_read(s->stream, STDIN, x->in.inbox, true, w->now) >= 0, "stdin can't be read");
  }
  answer(w, s, attached, at);
  tell(w, s);
}

static void frame_event(world *w, hosted *s, const Sandd__V1__Frame *frame) {
  if (frame->body_case == SANDD__V1__FRAME__BODY_SIGNAL) {
    unsigned n = (unsigned)strtoul(frame->signal->name + 1, NULL, 10);
    EXPECT(w, n == s->signals + 1, "signal %u follows %u", n, s->signals);
    s->signals = n;
    if (s->exec->terminal && !sandd_ring_finished(s->exec->out[1].ring))
      EXPECT(w, !sandd_ring_drop_backlog(s->exec->out[1].ring, n % 2 ? 0 : 1000), "a backlog can't be dropped");
  } else if (frame->body_case == SANDD__V1__FRAME__BODY_RESIZE) {
    EXPECT(w, frame->resize->rows > s->rows, "size %u follows %u", frame->resize->rows, s->rows);
    s->rows = frame->resize->rows;
  } else if (frame->body_case == SANDD__V1__FRAME__BODY_DETACH) {
    EXPECT(w, !s->over, "Detach after a Reset");
    if (s->ended)
      return;
    s->ended = true;
    if (s->exec->owner == s)
      s->exec->owner = NULL;
    EXPECT(w, !sandd_stream_end(s->stream, &(sandd_status){.code = STATUS(OK)}, w->now), "Detach can't be answered");
  } else {
    sim_fail(w, "the daemon got frame %d", (int)frame->body_case);
  }
}

static void forget(world *w, hosted *s) {
  hosted **at = &s->exec->streams;
  while (*at != s)
    at = &(*at)->next;
  *at = s->next;
  if (s->exec->owner == s)
    s->exec->owner = NULL;
  sandd_stream_release(s->stream, w->now);
  free(s);
}

void host_event(world *w, const sandd_event *event) {
  hosted *s = sandd_stream_user(event->stream);
  if (event->type == SANDD_EVENT_STREAM_FRAME) {
    frame_event(w, s, event->frame);
  } else if (event->type == SANDD_EVENT_STREAM_ENDED) {
    bool holder = s->exec->owner == s && event->by_reset && !s->over;
    s->over = true;
    if (holder && !s->exec->keep)
      exit_exec(w, s->exec, true);
  } else if (event->type == SANDD_EVENT_STREAM_CLOSED) {
    EXPECT(w, s->over, "CLOSED before ENDED");
    forget(w, s);
  }
}

void host_session_lost(world *w) {
  for (hosted_exec *x = w->execs; x; x = x->next) {
    EXPECT(w, !x->streams, "a stream outlives its session");
    if (!x->keep)
      exit_exec(w, x, true);
  }
}

void host_kill_all(world *w) {
  for (hosted_exec *x = w->execs; x; x = x->next)
    exit_exec(w, x, true);
}

static void run(world *w, hosted_exec *x) {
  chance *c = &w->chance;
  uint64_t left = 0;
  for (int i = 1; i < 3; i++) {
    writer_step(w, &x->out[i], PICK(c, 0, 100, 3000, 20000));
    left += x->out[i].total - sandd_ring_end(x->out[i].ring);
  }
  if (!x->exited && chance_of(c, .5)) {
    uint64_t before = x->in.bytes;
    reader_step(w, &x->in, PICK(c, 1, 500, 9000));
    w->stats.stdin_bytes += x->in.bytes - before;
  }
  bool fed = !x->fed || x->in.ended || (!x->owner && chance_of(c, .005));
  if (!x->exited && fed && left <= x->early)
    exit_exec(w, x, false);
  if (x->streams) {
    x->alone_since = w->now;
  } else if (x->exited && w->now - x->alone_since > w->config.exec_retention && left) {
    cut_short(x);
    x->drain = true;
  }
  tell_all(w, x);
}

static void free_exec(hosted_exec *x) {
  writer_free(&x->out[1]);
  writer_free(&x->out[2]);
  reader_free(&x->in);
  free(x);
}

void host_step(world *w) {
  hosted_exec **at = &w->execs, *x;
  while ((x = *at)) {
    if (!x->exited || !sandd_ring_finished(x->out[1].ring) || !sandd_ring_finished(x->out[2].ring)) {
      run(w, x);
    } else if (x->streams) {
      x->closed_at = 0;
    } else if (!x->closed_at) {
      x->closed_at = w->now;
    } else if (w->now - x->closed_at > w->config.exec_retention) {
      *at = x->next;
      free_exec(x);
      continue;
    }
    at = &x->next;
  }
  world_drain(w, SIDE_DAEMON);
}

void host_stop(world *w) {
  while (w->execs) {
    hosted_exec *x = w->execs;
    while (x->streams)
      forget(w, x->streams);
    w->execs = x->next;
    free_exec(x);
  }
}

const char *host_instance(world *w) {
  return sandd_endpoint_instance_id(w->party[SIDE_DAEMON].endpoint);
}
