// SPDX-License-Identifier: MIT
/* The agent: it runs execs through the server, and remembers what it read outside of it, so that it can attach again. */
#include "world.h"

#include <sandd/proto/status.h>
#include <sandd/v1/packet.pb-c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATUS(name) SANDD__V1__STATUS_CODE__STATUS_CODE_##name

typedef enum job_state { JOB_NEW, JOB_RUN, JOB_DONE } job_state;

typedef struct job {
  actor actor;
  struct job *next;
  uint64_t n, of; /* its number; the job whose exec it reads */
  uint64_t out[3], early, stdin_bytes, keep_bytes;
  bool fed, terminal, keep, block, watch, share, pause, earliest, first, drained;
  job_state state;
  char instance[80];
  uint64_t tried, nap, tries, pos[3];
  unsigned starts;
  /* of the present stream */
  sandd_stream *stream;
  reader in[3];
  writer stdin_out;
  bool answered, exited, killed, fed_all, ended, closed, detaching, lost;
  int status;
  unsigned signals, rows;
} job;

static job *job_of(const world *w, uint64_t n) {
  job *j = w->jobs;
  while (j && j->n != n)
    j = j->next;
  return j;
}

void agent_started(world *w, uint64_t n) {
  job *j = job_of(w, n);
  if (j)
    EXPECT(w, ++j->starts == 1, "exec %llu was started twice", (unsigned long long)n);
}

static void leave_stream(world *w, job *j) {
  for (int c = 1; c < 3; c++)
    if (j->in[c].inbox)
      reader_free(&j->in[c]);
  sandd_stream_release(j->stream, w->now);
  if (j->stdin_out.ring)
    writer_free(&j->stdin_out);
  j->stream = NULL;
}

static void again(job *j) {
  j->state = JOB_NEW;
  j->first = false;
}

static job *make(world *w) {
  chance *c = &w->chance;
  job *j = sim_alloc(sizeof *j);
  j->actor.kind = ACTOR_JOB;
  j->n = j->of = ++w->job_count;
  j->terminal = chance_of(c, .3);
  uint64_t big = j->terminal ? w->config.big : PICK(c, 0, 10, 3000, w->config.big);
  j->out[1] = chance_below(c, big + 1);
  j->out[2] = chance_of(c, .5) ? chance_below(c, big + 1) : 0;
  j->early = PICK(c, 0, 0, 5000);
  j->stdin_bytes = PICK(c, 0, 500, 20000);
  j->fed = chance_of(c, .4);
  j->keep = chance_of(c, .5);
  j->block = chance_of(c, .5);
  j->keep_bytes = PICK(c, 0, 0, 5000, 100000);
  j->pause = chance_of(c, w->config.pause);
  j->first = true;
  j->next = w->jobs;
  w->jobs = j;
  w->stats.jobs++;
  return j;
}

/* A second reader of a job's exec: it holds (and takes stdin over), shares or watches. */
static void make_attached(world *w) {
  chance *c = &w->chance;
  job *olds[64], *j;
  size_t n = 0;
  for (j = w->jobs; j && n < COUNT(olds); j = j->next)
    if (j->state == JOB_RUN && j->answered && !j->ended && j->n == j->of)
      olds[n++] = j;
  if (!n)
    return;
  const job *of = olds[chance_below(c, n)];
  j = make(w);
  bool pause = j->pause;
  uint64_t number = j->n;
  job *next = j->next;
  *j = (job){.actor = of->actor,
             .next = next,
             .n = number,
             .of = of->n,
             .early = of->early,
             .stdin_bytes = of->stdin_bytes,
             .keep_bytes = of->keep_bytes,
             .fed = of->fed,
             .terminal = of->terminal,
             .keep = of->keep,
             .block = of->block,
             .pause = pause,
             .earliest = true,
             .tried = of->tried,
             .starts = 1};
  memcpy(j->out, of->out, sizeof j->out);
  memcpy(j->instance, of->instance, sizeof j->instance);
  uint64_t role = chance_below(c, 5);
  j->watch = role < 2;
  j->share = role >= 2 && role < 4;
  w->stats.attached++;
}

static bool send_open(world *w, job *j, const uint64_t *grant) {
  Sandd__V1__Frame frame = SANDD__V1__FRAME__INIT;
  Sandd__V1__ExecOpen m = SANDD__V1__EXEC_OPEN__INIT;
  Sandd__V1__ExecSpec spec = SANDD__V1__EXEC_SPEC__INIT;
  Sandd__V1__ChannelStart starts[2], *list[2] = {&starts[0], &starts[1]};
  char line[128], id[24];
  snprintf(id, sizeof id, "x%llu", (unsigned long long)j->of);
  snprintf(line, sizeof line, "exec %llu %llu %llu %llu %u %u", (unsigned long long)j->of,
           (unsigned long long)j->out[1], (unsigned long long)j->out[2], (unsigned long long)j->early, j->fed,
           j->terminal);
  for (int i = 0; i < 2; i++) {
    sandd__v1__channel_start__init(&starts[i]);
    starts[i].channel = (Sandd__V1__ChannelId)(i + 2);
    starts[i].at = j->earliest ? SANDD__V1__START_AT__START_AT_EARLIEST : SANDD__V1__START_AT__START_AT_OFFSET;
    starts[i].offset = j->earliest ? 0 : j->pos[i + 1];
    starts[i].grant = grant[i + 1];
  }
  spec.command_case = SANDD__V1__EXEC_SPEC__COMMAND_SHELL_LINE;
  spec.shell_line = (ProtobufCBinaryData){.len = strlen(line), .data = (uint8_t *)line};
  spec.stdin_mode = SANDD__V1__STDIN_MODE__STDIN_MODE_STREAM;
  spec.on_session_lost =
      j->keep ? SANDD__V1__ON_SESSION_LOST__ON_SESSION_LOST_KEEP : SANDD__V1__ON_SESSION_LOST__ON_SESSION_LOST_END;
  spec.keep_bytes = j->keep_bytes;
  spec.block_unread = j->block;
  m.mode = j->of == j->n ? SANDD__V1__EXEC_MODE__EXEC_MODE_ATTACH_OR_START : SANDD__V1__EXEC_MODE__EXEC_MODE_ATTACH;
  m.exec_id = id;
  m.instance = j->instance;
  m.age_ns = (int64_t)(w->now - j->tried) * 1000;
  m.spec = &spec;
  m.role = j->watch   ? SANDD__V1__EXEC_ROLE__EXEC_ROLE_WATCH
           : j->share ? SANDD__V1__EXEC_ROLE__EXEC_ROLE_SHARE
                      : SANDD__V1__EXEC_ROLE__EXEC_ROLE_HOLD;
  m.n_starts = 2;
  m.starts = list;
  frame.body_case = SANDD__V1__FRAME__BODY_EXEC_OPEN;
  frame.exec_open = &m;
  return sandd_stream_send(j->stream, &frame, w->now) == 0;
}

static void open_stream(world *w, job *j, sandd_session *session) {
  sandd_endpoint *endpoint = w->party[SIDE_SERVER].endpoint;
  sandd_inbox *inbox[3] = {NULL};
  sandd_stream *stream = NULL;
  int error = sandd_stream_new(&stream, session);
  for (int c = 1; c < 3 && !error; c++)
    error = sandd_inbox_new(&inbox[c], endpoint, session, false);
  if (error) {
    EXPECT(w, error == SANDD_E_LIMIT, "a new stream: %s", sandd_error_text(error));
    sandd_inbox_free(inbox[1]);
    sandd_stream_release(stream, w->now);
    return;
  }
  if (!j->instance[0]) {
    const Sandd__V1__Hello *hello = sandd_session_hello(session);
    snprintf(j->instance, sizeof j->instance, "%s", hello->instance_id);
    j->tried = w->now;
  }
  uint64_t grant[3] = {0};
  j->stream = stream;
  sandd_stream_set_user(stream, j);
  bool known = j->first && !j->earliest;
  for (int c = 1; c < 3; c++) {
    reader_begin(&j->in[c], inbox[c], content_key(j->of, (uint64_t)c), j->terminal || j->watch);
    int64_t credit = sandd_stream_read(stream, c + 1, inbox[c], known, w->now);
    EXPECT(w, credit >= CHANNEL_MIN, "a first credit of %lld", (long long)credit);
    grant[c] = (uint64_t)credit;
  }
  j->answered = j->exited = j->killed = j->fed_all = j->ended = j->closed = j->detaching = j->lost = false;
  j->signals = j->rows = 0;
  j->tries++;
  j->state = JOB_RUN;
  EXPECT(w, send_open(w, j, grant), "ExecOpen can't be sent");
}

static void started(world *w, job *j, const Sandd__V1__ExecStarted *m) {
  EXPECT(w, !j->answered, "two answers");
  j->answered = true;
  for (size_t i = 0; i < m->n_outputs; i++) {
    int c = (int)m->outputs[i]->kept->channel - 1;
    uint64_t at = m->outputs[i]->start_offset;
    EXPECT(w, sandd_inbox_consumed(j->in[c].inbox) == at, "output %d begins at %llu, not at %llu", c,
           (unsigned long long)sandd_inbox_consumed(j->in[c].inbox), (unsigned long long)at);
    EXPECT(w, j->earliest || at == j->pos[c], "output %d goes on at %llu, not at %llu", c, (unsigned long long)at,
           (unsigned long long)j->pos[c]);
    j->pos[c] = at;
  }
  j->earliest = false;
  if (j->watch || j->share || m->stdin->closed)
    return;
  /* At once: the Window that follows the answer finds its writer. */
  sandd_ring *ring;
  sandd_ring_config rc = {.size = sizeof rc, .base = m->stdin->accepted};
  int error = sandd_ring_new(&ring, w->party[SIDE_SERVER].endpoint, sandd_stream_session(j->stream), &rc);
  if (error == SANDD_E_LIMIT) {
    EXPECT(w, !sandd_stream_reset(j->stream, &(sandd_status){.code = STATUS(RESOURCE_EXHAUSTED)}, w->now),
           "it can't be reset");
    leave_stream(w, j);
    j->state = JOB_DONE;
    return;
  }
  EXPECT(w, !error, "stdin: %s", sandd_error_text(error));
  writer_begin(&j->stdin_out, ring, content_key(j->of, 0), j->stdin_bytes);
  EXPECT(w, !sandd_stream_write(j->stream, 1, ring, m->stdin->accepted, 0, SANDD_READER_HOLDS),
         "stdin can't be written");
}

void agent_event(world *w, const sandd_event *event) {
  job *j = sandd_stream_user(event->stream);
  if (event->type == SANDD_EVENT_STREAM_ENDED) {
    EXPECT(w, !j->ended, "ENDED twice");
    j->ended = true;
    j->status = event->status;
    j->lost = event->status == STATUS(SESSION_LOST);
    if (!event->by_reset && !j->lost)
      EXPECT(w, j->answered, "an End before the answer");
  } else if (event->type == SANDD_EVENT_STREAM_CLOSED) {
    EXPECT(w, j->ended && !j->closed, "CLOSED before ENDED, or twice");
    j->closed = true;
    if (j->lost) { /* the session goes: what hangs on it must be let go */
      leave_stream(w, j);
      again(j);
    }
  } else if (event->frame->body_case == SANDD__V1__FRAME__BODY_EXEC_STARTED) {
    started(w, j, event->frame->exec_started);
  } else if (event->frame->body_case == SANDD__V1__FRAME__BODY_EXEC_EXITED) {
    EXPECT(w, j->answered && !j->exited, "ExecExited twice, or before the answer");
    j->exited = true;
    j->killed = event->frame->exec_exited->outcome_case == SANDD__V1__EXEC_EXITED__OUTCOME_SIGNAL;
  } else {
    sim_fail(w, "the agent got frame %d", (int)event->frame->body_case);
  }
}

static void read_output(world *w, job *j) {
  for (int c = 1; c < 3; c++) {
    uint64_t bytes = j->in[c].bytes, skipped = j->in[c].skipped;
    reader_step(w, &j->in[c], PICK(&w->chance, 10, 2000, 30000));
    w->stats.output_bytes += j->in[c].bytes - bytes;
    w->stats.skipped += j->in[c].skipped - skipped;
    j->pos[c] += j->in[c].bytes - bytes + j->in[c].skipped - skipped;
    if (j->answered)
      EXPECT(w, sandd_inbox_consumed(j->in[c].inbox) == j->pos[c], "output %d is at %llu, not at %llu", c,
             (unsigned long long)sandd_inbox_consumed(j->in[c].inbox), (unsigned long long)j->pos[c]);
  }
  if (chance_of(&w->chance, .02))
    j->nap = w->now + PICK(&w->chance, 100, 1500) * MS;
}

static void write_stdin(world *w, job *j) {
  if (!writer_step(w, &j->stdin_out, PICK(&w->chance, 0, 400, 9000)) || j->fed_all)
    return;
  sandd_ring_finish(j->stdin_out.ring);
  EXPECT(w, !sandd_stream_finish(j->stream, 1, false, w->now), "the end of stdin can't be sent");
  j->fed_all = true;
}

static void send_control(world *w, job *j) {
  Sandd__V1__Frame frame = SANDD__V1__FRAME__INIT;
  Sandd__V1__Signal signal = SANDD__V1__SIGNAL__INIT;
  Sandd__V1__Resize resize = SANDD__V1__RESIZE__INIT;
  Sandd__V1__Detach detach = SANDD__V1__DETACH__INIT;
  char name[16];
  int error = 0;
  if (chance_of(&w->chance, .1)) {
    snprintf(name, sizeof name, "S%u", j->signals + 1);
    signal.name = name;
    frame.body_case = SANDD__V1__FRAME__BODY_SIGNAL;
    frame.signal = &signal;
    error = sandd_stream_send(j->stream, &frame, w->now);
    if (!error)
      j->signals++;
  }
  if (!error && chance_of(&w->chance, .05)) {
    resize.rows = ++j->rows;
    resize.cols = 80;
    frame.body_case = SANDD__V1__FRAME__BODY_RESIZE;
    frame.resize = &resize;
    error = sandd_stream_send(j->stream, &frame, w->now);
  }
  if (!error && chance_of(&w->chance, .003)) {
    frame.body_case = SANDD__V1__FRAME__BODY_DETACH;
    frame.detach = &detach;
    error = sandd_stream_send(j->stream, &frame, w->now);
    if (!error)
      j->detaching = true;
  }
  EXPECT(w, !error || error == SANDD_E_AGAIN, "a control frame: %s", sandd_error_text(error));
}

static void complete(world *w, job *j) {
  bool final = true;
  for (int c = 1; c < 3; c++) {
    uint64_t end;
    bool drain = false;
    if (!sandd_inbox_final(j->in[c].inbox, &end, &drain)) {
      final = false;
      continue;
    }
    j->drained |= drain;
    EXPECT(w, j->in[c].ended && j->pos[c] == end, "End OK at %llu of output %d, whose end is %llu",
           (unsigned long long)j->pos[c], c, (unsigned long long)end);
    EXPECT(w, end == j->out[c] || j->killed || j->drained, "output %d ends at %llu, the program wrote %llu", c,
           (unsigned long long)end, (unsigned long long)j->out[c]);
  }
  EXPECT(w, final || j->detaching, "End OK without the ends of the outputs");
  EXPECT(w, j->exited || j->detaching, "End OK without ExecExited");
  if (!final) {
    w->stats.detached++;
    if (j->watch || j->share)
      j->state = JOB_DONE;
    else
      again(j);
  }
}

static void finish(world *w, job *j) {
  j->state = JOB_DONE;
  w->stats.ended[j->status & 63]++;
  if (j->status == STATUS(RESOURCE_EXHAUSTED))
    w->no_jobs_until = w->now + 1000 * MS; /* the table is full */
  if (j->status == STATUS(OK))
    complete(w, j);
  else if (j->status == STATUS(OUT_OF_RANGE) && j->tries < 5)
    j->state = JOB_NEW, j->earliest = true;
  else if (j->status == STATUS(RESOURCE_EXHAUSTED) && j->tries < 2)
    j->state = JOB_NEW;
  else
    EXPECT(w,
           j->status == STATUS(NOT_FOUND) || j->status == STATUS(RESOURCE_EXHAUSTED) ||
               j->status == STATUS(CANCELLED) || j->status == STATUS(OUT_OF_RANGE) ||
               j->status == STATUS(FAILED_PRECONDITION) || j->status == STATUS(TAKEN_OVER),
           "a job ended with %s", sandd_status_name(j->status));
  leave_stream(w, j);
}

static bool unread(const job *j) {
  return j->in[1].readable || j->in[2].readable;
}

/* Nobody feeds or ends the exec that this reader shares; perhaps because such readers have taken every stream. */
static bool orphaned(const world *w, const job *j) {
  for (const job *o = w->jobs; o; o = o->next)
    if (o->of == j->of && o->state == JOB_RUN && !o->share && !o->watch)
      return false;
  return true;
}

static void step(world *w, job *j, sandd_session *session) {
  chance *c = &w->chance;
  if (j->state == JOB_NEW) {
    if (session && chance_of(c, .5))
      open_stream(w, j, session);
    return;
  }
  if (j->state != JOB_RUN)
    return;
  if (!(j->pause && w->calm < 2) && w->now >= j->nap && chance_of(c, .3))
    read_output(w, j);
  if (!j->ended && j->stdin_out.ring)
    write_stdin(w, j);
  if (!j->ended && j->answered && !j->detaching && j->terminal && !w->calm && !j->watch)
    send_control(w, j);
  bool give_up =
      !w->calm ? chance_of(c, .003) : (j->share || j->watch || j->n != j->of) && orphaned(w, j) && chance_of(c, .003);
  if (give_up && !j->ended) {
    int error = sandd_stream_reset(j->stream, &(sandd_status){.code = STATUS(CANCELLED)}, w->now);
    EXPECT(w, !error || error == SANDD_E_CLOSED, "a Reset: %s", sandd_error_text(error));
    if (error)
      return;
    w->stats.resets++;
    j->state = JOB_DONE;
    leave_stream(w, j);
  } else if (j->closed && !unread(j)) {
    finish(w, j);
  }
}

void agent_step(world *w) {
  sandd_session *session = world_session(w);
  size_t live = 0;
  job **at = &w->jobs, *j;
  while ((j = *at)) {
    if (j->state == JOB_DONE && (j->n != j->of || w->job_count - j->n > 200)) {
      bool used = false;
      for (job *o = w->jobs; o; o = o->next)
        used |= o != j && o->of == j->n;
      if (!used) {
        *at = j->next;
        free(j);
        continue;
      }
    }
    live += j->state != JOB_DONE && !(j->state == JOB_RUN && j->ended);
    at = &j->next;
  }
  if (session && !w->calm && w->now >= w->no_jobs_until && live <= w->config.streams && chance_of(&w->chance, .3)) {
    if (chance_of(&w->chance, .3))
      make_attached(w);
    else
      make(w);
  }
  for (j = w->jobs; j; j = j->next)
    step(w, j, session);
  world_drain(w, SIDE_SERVER);
}

void agent_stop(world *w) {
  for (job *j = w->jobs; j; j = j->next) {
    if (j->state != JOB_RUN)
      continue;
    leave_stream(w, j);
    again(j);
  }
}

bool agent_done(const world *w, bool with_stuck) {
  for (const job *j = w->jobs; j; j = j->next) {
    if (j->state == JOB_DONE)
      continue;
    if (with_stuck)
      return false;
    bool stuck = false, any = false; /* a stopped reader holds its exec, and perhaps the last place in a table */
    for (const job *o = w->jobs; o; o = o->next) {
      if (!o->pause || o->state == JOB_DONE)
        continue;
      any = true;
      stuck |= o->of == j->of;
    }
    if (!stuck && !(any && j->state == JOB_NEW))
      return false;
  }
  return true;
}

const char *agent_waits(const world *w) {
  static char text[600];
  size_t n = 0;
  text[0] = 0;
  for (const job *j = w->jobs; j && n < sizeof text - 200; j = j->next) {
    if (j->state == JOB_DONE)
      continue;
    n += (size_t)snprintf(text + n, sizeof text - n,
                          " job %d of %d%s%s: state %d answered %d ended %d closed %d at %d,%d", (int)j->n, (int)j->of,
                          j->pause ? " (stopped)" : "", j->watch ? " (watch)" : "", j->state, j->answered, j->ended,
                          j->closed, (int)j->pos[1], (int)j->pos[2]);
    if (j->stdin_out.ring && n < sizeof text - 100)
      n += (size_t)snprintf(text + n, sizeof text - n, " stdin %d..%d of %d blocked %d said %d",
                            (int)sandd_ring_consumed(j->stdin_out.ring), (int)sandd_ring_end(j->stdin_out.ring),
                            (int)j->stdin_bytes, j->stdin_out.blocked, j->fed_all);
    n += (size_t)snprintf(text + n, sizeof text - n, " fed %d;", j->fed);
  }
  return text;
}

uint64_t agent_unread(const world *w) {
  uint64_t sum = 0;
  for (const job *j = w->jobs; j; j = j->next)
    for (int c = 1; c < 3; c++)
      if (j->in[c].inbox)
        sum += sandd_inbox_bytes(j->in[c].inbox);
  return sum;
}

void agent_free(world *w) {
  while (w->jobs) {
    job *j = w->jobs;
    w->jobs = j->next;
    free(j);
  }
}
