// SPDX-License-Identifier: MIT
/* Byte pipes, opened from either side: the schema has no body of their own for them yet, so they open with ExecOpen and
 * use the channels of streams that are no process. Both applications write, read and compare. */
#include "world.h"

#include <sandd/v1/packet.pb-c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATUS(name) SANDD__V1__STATUS_CODE__STATUS_CODE_##name
enum { TO_ANSWERER = 4, TO_OPENER = 5 };

typedef struct tunnel {
  actor actor;
  struct tunnel *next;
  side at;
  bool mine, told_end, reset, ended, closed, sent_end;
  int status;
  uint64_t n, expected, nap;
  uint64_t reset_at; /* offset + 1 that was received when this side reset it */
  sandd_stream *stream;
  writer out;
  reader in;
} tunnel;

static tunnel *make(world *w, side at, sandd_stream *stream, bool mine) {
  tunnel *t = sim_alloc(sizeof *t);
  t->actor.kind = ACTOR_TUNNEL;
  t->at = at;
  t->stream = stream;
  t->mine = mine;
  sandd_stream_set_user(stream, t);
  t->next = w->tunnels;
  w->tunnels = t;
  return t;
}

static void forget(world *w, tunnel *t) {
  tunnel **at = &w->tunnels;
  while (*at != t)
    at = &(*at)->next;
  *at = t->next;
  sandd_stream_release(t->stream, w->now);
  if (t->out.ring)
    writer_free(&t->out);
  if (t->in.inbox)
    reader_free(&t->in);
  free(t);
}

/* Ring and inbox of one end; false when there is no room for them. */
static bool flows(world *w, tunnel *t, uint64_t n, uint64_t total_out, uint64_t total_in) {
  sandd_session *session = t->at == SIDE_SERVER ? sandd_stream_session(t->stream) : NULL;
  sandd_endpoint *endpoint = w->party[t->at].endpoint;
  sandd_ring *ring;
  sandd_inbox *inbox;
  int error = sandd_ring_new(&ring, endpoint, session, NULL);
  EXPECT(w, !error || error == SANDD_E_LIMIT, "a ring: %s", sandd_error_text(error));
  if (error)
    return false;
  writer_begin(&t->out, ring, content_key(n, t->mine ? TO_ANSWERER : TO_OPENER), total_out);
  error = sandd_inbox_new(&inbox, endpoint, session, false);
  EXPECT(w, !error || error == SANDD_E_LIMIT, "an inbox: %s", sandd_error_text(error));
  if (error)
    return false;
  reader_begin(&t->in, inbox, content_key(n, t->mine ? TO_OPENER : TO_ANSWERER), false);
  t->n = n;
  t->expected = total_in;
  return true;
}

static void dial(world *w, side at, sandd_session *session) {
  chance *c = &w->chance;
  sandd_stream *stream;
  int error = sandd_stream_new(&stream, session);
  EXPECT(w, !error || error == SANDD_E_LIMIT, "a tunnel: %s", sandd_error_text(error));
  if (error)
    return;
  tunnel *t = make(w, at, stream, true);
  uint64_t up = chance_below(c, 9000), down = PICK(c, 0, 40000);
  if (!flows(w, t, ++w->tunnel_count, up, down)) {
    forget(w, t);
    return;
  }
  EXPECT(w, !sandd_stream_write(stream, TO_ANSWERER, t->out.ring, 0, 0, SANDD_READER_HOLDS),
         "a tunnel can't be written");
  int64_t grant = sandd_stream_read(stream, TO_OPENER, t->in.inbox, true, w->now);
  EXPECT(w, grant >= CHANNEL_MIN, "a first credit of %lld", (long long)grant);
  Sandd__V1__Frame frame = SANDD__V1__FRAME__INIT;
  Sandd__V1__ExecOpen m = SANDD__V1__EXEC_OPEN__INIT;
  Sandd__V1__ExecSpec spec = SANDD__V1__EXEC_SPEC__INIT;
  Sandd__V1__ChannelStart start = SANDD__V1__CHANNEL_START__INIT, *starts = &start;
  char line[96];
  snprintf(line, sizeof line, "tunnel %llu %llu %llu", (unsigned long long)t->n, (unsigned long long)up,
           (unsigned long long)down);
  spec.command_case = SANDD__V1__EXEC_SPEC__COMMAND_SHELL_LINE;
  spec.shell_line = (ProtobufCBinaryData){.len = strlen(line), .data = (uint8_t *)line};
  start.channel = (Sandd__V1__ChannelId)TO_OPENER;
  start.grant = (uint64_t)grant;
  m.mode = SANDD__V1__EXEC_MODE__EXEC_MODE_START;
  m.role = SANDD__V1__EXEC_ROLE__EXEC_ROLE_HOLD;
  m.spec = &spec;
  m.n_starts = 1;
  m.starts = &starts;
  frame.body_case = SANDD__V1__FRAME__BODY_EXEC_OPEN;
  frame.exec_open = &m;
  error = sandd_stream_send(stream, &frame, w->now);
  EXPECT(w, !error, "the opening of a tunnel: %s", sandd_error_text(error));
  w->stats.tunnels++;
}

void tunnel_open(world *w, side at, const sandd_event *event) {
  const Sandd__V1__ExecOpen *open = event->frame->exec_open;
  unsigned long long n, up, down;
  char text[96] = "";
  ProtobufCBinaryData line = open->spec->shell_line;
  if (line.len < sizeof text)
    memcpy(text, line.data, line.len);
  EXPECT(w, sscanf(text, "tunnel %llu %llu %llu", &n, &up, &down) == 3 && open->n_starts == 1,
         "the opening of a tunnel differs");
  tunnel *t = make(w, at, event->stream, false);
  if (!flows(w, t, n, down, up)) {
    EXPECT(w, !sandd_stream_reset(t->stream, &(sandd_status){.code = STATUS(RESOURCE_EXHAUSTED)}, w->now),
           "it can't be refused");
    forget(w, t);
    return;
  }
  Sandd__V1__Frame frame = SANDD__V1__FRAME__INIT;
  Sandd__V1__ExecStarted m = SANDD__V1__EXEC_STARTED__INIT;
  frame.body_case = SANDD__V1__FRAME__BODY_EXEC_STARTED;
  frame.exec_started = &m;
  EXPECT(w, sandd_stream_read(t->stream, TO_ANSWERER, t->in.inbox, true, w->now) >= 0, "a tunnel can't be read");
  EXPECT(w, !sandd_stream_write(t->stream, TO_OPENER, t->out.ring, 0, open->starts[0]->grant, SANDD_READER_HOLDS),
         "a tunnel can't be written");
  int error = sandd_stream_send(t->stream, &frame, w->now);
  EXPECT(w, !error, "the answer of a tunnel: %s", sandd_error_text(error));
}

void tunnel_event(world *w, const sandd_event *event) {
  tunnel *t = sandd_stream_user(event->stream);
  if (event->type == SANDD_EVENT_STREAM_ENDED) {
    EXPECT(w, !t->ended, "ENDED twice");
    t->ended = true;
    t->reset |= event->by_reset;
    t->status = event->status;
  } else if (event->type == SANDD_EVENT_STREAM_CLOSED) {
    EXPECT(w, t->ended && !t->closed, "CLOSED before ENDED, or twice");
    EXPECT(w, !t->reset_at || sandd_inbox_next(t->in.inbox) + 1 == t->reset_at,
           "bytes were taken after this side's Reset");
    t->closed = true;
    if (t->status == STATUS(SESSION_LOST))
      forget(w, t);
  } else {
    EXPECT(w, !t->reset_at, "a frame after this side's Reset");
    EXPECT(w, t->mine && event->frame->body_case == SANDD__V1__FRAME__BODY_EXEC_STARTED, "a tunnel got frame %d",
           (int)event->frame->body_case);
  }
}

/* True when the tunnel is gone. */
static bool step(world *w, tunnel *t) {
  chance *c = &w->chance;
  if (w->now >= t->nap) {
    uint64_t before = t->in.bytes;
    reader_step(w, &t->in, PICK(c, 0, 50, 8000));
    w->stats.tunnel_bytes += t->in.bytes - before;
    if (chance_of(c, .01))
      t->nap = w->now + PICK(c, 100, 1500) * MS;
  }
  if (t->closed) {
    if (t->in.readable)
      return false;
    if (!t->reset && t->status == STATUS(OK))
      EXPECT(w, t->in.bytes == t->expected, "a tunnel ended well after %llu of %llu", (unsigned long long)t->in.bytes,
             (unsigned long long)t->expected);
    forget(w, t);
    return true;
  }
  if (t->sent_end || t->reset || t->ended)
    return false;
  if (writer_step(w, &t->out, PICK(c, 0, 90, 7000)) && !t->told_end) {
    sandd_ring_finish(t->out.ring);
    int error = sandd_stream_finish(t->stream, t->mine ? TO_ANSWERER : TO_OPENER, false, w->now);
    EXPECT(w, !error, "ChannelEnd of a tunnel: %s", sandd_error_text(error));
    t->told_end = true;
  }
  if (!t->mine && t->told_end && t->in.ended) {
    EXPECT(w, !sandd_stream_end(t->stream, &(sandd_status){.code = STATUS(OK)}, w->now), "End of a tunnel");
    t->sent_end = true;
  } else if (!w->calm && chance_of(c, .002)) {
    int error = sandd_stream_reset(t->stream, &(sandd_status){.code = STATUS(CANCELLED)}, w->now);
    EXPECT(w, !error, "Reset of a tunnel: %s", sandd_error_text(error));
    t->reset = true;
    t->reset_at = sandd_inbox_next(t->in.inbox) + 1;
    w->stats.resets++;
  }
  return false;
}

void tunnel_step(world *w) {
  for (tunnel *t = w->tunnels, *next; t; t = next) {
    next = t->next;
    step(w, t);
  }
  for (int at = 0; at < 2; at++) {
    sandd_session *session = at == SIDE_SERVER ? world_session(w) : sandd_endpoint_session(w->party[at].endpoint);
    if (session && !w->calm && chance_of(&w->chance, .03))
      dial(w, (side)at, session);
    world_drain(w, (side)at);
  }
}

void tunnel_stop(world *w, side at) {
  for (tunnel *t = w->tunnels, *next; t; t = next) {
    next = t->next;
    if (t->at == at)
      forget(w, t);
  }
}

bool tunnel_done(const world *w) {
  return !w->tunnels;
}
