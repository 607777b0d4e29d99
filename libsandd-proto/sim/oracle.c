// SPDX-License-Identifier: MIT
#include "oracle.h"

#include "wire.h"
#include "world.h"

#include <sandd/v1/packet.pb-c.h>
#include <stdlib.h>
#include <string.h>

static const char *const side_name[] = {"server", "daemon"};

static wire_session *session_of(world *w, const uint8_t *id, size_t len) {
  wire_session *s;
  EXPECT(w, len >= 16 && len <= sizeof s->id, "a session id of %zu bytes", len);
  for (s = w->sessions; s; s = s->next)
    if (s->id_len == len && !memcmp(s->id, id, len))
      return s;
  s = sim_alloc(sizeof *s);
  memcpy(s->id, id, len);
  s->id_len = len;
  s->next = w->sessions;
  return w->sessions = s;
}

static void welcome(world *w, conn *c, const wire_frame *frame) {
  Sandd__V1__Welcome *m = sandd__v1__welcome__unpack(NULL, frame->len, frame->data);
  EXPECT(w, m, "Welcome does not decode");
  EXPECT(w, !c->session, "a second Welcome on a connection");
  EXPECT(w, m->secret.len >= 16 && m->secret.len <= 64, "a secret of %zu bytes", m->secret.len);
  c->session = session_of(w, m->session_id.data, m->session_id.len);
  EXPECT(w, m->resumed == (c->session->secrets > 0), "Welcome says resumed=%d of a session with %d Welcomes before",
         m->resumed, (int)c->session->secrets);
  c->secret_index = c->session->secrets++;
  c->secret_len = m->secret.len;
  memcpy(c->secret, m->secret.data, m->secret.len);
  sandd__v1__welcome__free_unpacked(m, NULL);
}

static void ended(world *w, wire_log *log, side from, uint64_t id) {
  EXPECT(w, id < 1u << 20, "stream id %llu", (unsigned long long)id);
  if (id >= log->ends_cap) {
    size_t cap = (size_t)id * 2 + 64;
    log->ends = realloc(log->ends, cap);
    EXPECT(w, log->ends, "no memory");
    memset(log->ends + log->ends_cap, 0, cap - log->ends_cap);
    log->ends_cap = cap;
  }
  EXPECT(w, ++log->ends[id] == 1, "two Ends on stream %llu by the %s", (unsigned long long)id, side_name[from]);
}

static void numbered(world *w, conn *c, side from, const wire_frame *frame) {
  EXPECT(w, c->session, "a control frame of the %s before Welcome", side_name[from]);
  wire_log *log = &c->session->by[from];
  if (frame->seq <= log->n) {
    logged *was = &log->frames[frame->seq - 1];
    EXPECT(w, was->len == frame->whole_len && !memcmp(was->frame, frame->whole, was->len),
           "control frame %llu of the %s differs when sent again", (unsigned long long)frame->seq, side_name[from]);
    return;
  }
  EXPECT(w, frame->seq == log->n + 1, "control frame %llu of the %s follows %zu", (unsigned long long)frame->seq,
         side_name[from], log->n);
  if (log->n == log->cap) {
    log->cap = log->cap ? 2 * log->cap : 64;
    log->frames = realloc(log->frames, log->cap * sizeof *log->frames);
    EXPECT(w, log->frames, "no memory");
  }
  logged *entry = &log->frames[log->n++];
  *entry = (logged){.stream_id = frame->stream_id,
                    .body = frame->body,
                    .len = frame->whole_len,
                    .frame = sim_alloc(frame->whole_len)};
  memcpy(entry->frame, frame->whole, frame->whole_len);
  if (frame->body == BODY_END || frame->body == BODY_RESET)
    ended(w, log, from, frame->stream_id);
}

/* On one connection no byte of a channel goes out twice, nor with a gap: only a new one starts again. */
static void moved(world *w, conn *c, side from, const wire_frame *frame) {
  uint64_t a, b;
  int channel;
  EXPECT(w, wire_range(frame, &channel, &a, &b) && b > a, "the %s sent an empty Data or Skip", side_name[from]);
  channel_progress *p = c->progress[from];
  size_t i = 0;
  while (i < c->n_progress[from] && (p[i].stream_id != frame->stream_id || p[i].channel != channel))
    i++;
  if (i == c->n_progress[from]) {
    p = c->progress[from] = realloc(p, (i + 1) * sizeof *p);
    EXPECT(w, p, "no memory");
    p[i] = (channel_progress){.stream_id = frame->stream_id, .channel = channel, .next = a};
    c->n_progress[from]++;
  }
  EXPECT(w, p[i].next == a, "the %s sends offset %llu of channel %d of stream %llu after %llu on one connection",
         side_name[from], (unsigned long long)a, channel, (unsigned long long)frame->stream_id,
         (unsigned long long)p[i].next);
  p[i].next = b;
}

void oracle_sent(world *w, conn *c, side from, const uint8_t *data, size_t len) {
  wire_packet packet;
  wire_frame frame;
  int got = -1;
  w->stats.packets++;
  if (wire_begin(&packet, data, len)) {
    if (packet.ack && c->session)
      EXPECT(w, packet.ack <= c->session->by[!from].n, "the %s acks %llu, which was never sent", side_name[from],
             (unsigned long long)packet.ack);
    if (from == SIDE_DAEMON)
      c->daemon_ack = packet.ack;
    while ((got = wire_next(&packet, &frame)) == 1) {
      if (frame.seq)
        numbered(w, c, from, &frame);
      if (frame.body == BODY_DATA || frame.body == BODY_SKIP)
        moved(w, c, from, &frame);
      if (frame.body == BODY_WELCOME)
        welcome(w, c, &frame);
      if (frame.body == BODY_HELLO)
        world_hello_sent(w, frame.data, frame.len);
      if (frame.body == BODY_WINDOW)
        w->stats.windows++;
      if (frame.body == BODY_DATA)
        w->stats.data++;
      if (frame.body == BODY_SKIP)
        w->stats.skips++;
      if (frame.seq)
        w->stats.control++;
    }
  }
  EXPECT(w, got == 0, "the %s sent a packet that does not decode", side_name[from]);
}

void oracle_server_got(world *w, conn *c, const uint8_t *data, size_t len) {
  wire_packet packet;
  (void)w;
  sandd_session *session = c->end[SIDE_SERVER].link ? sandd_link_session(c->end[SIDE_SERVER].link) : NULL;
  if (!session || !c->session || sandd_session_link(session) != c->end[SIDE_SERVER].link)
    return;
  if (c->session->confirmed <= c->secret_index)
    c->session->confirmed = c->secret_index + 1;
  if (wire_begin(&packet, data, len) && packet.ack > c->session->acked)
    c->session->acked = packet.ack;
}

void oracle_frame(world *w, conn *c, side at, const sandd_event *event) {
  side from = (side)!at;
  uint64_t seq = event->frame->seq;
  EXPECT(w, c && c->session, "a frame from a connection without a session");
  wire_log *log = &c->session->by[from];
  EXPECT(w, seq && seq <= log->n, "the %s handled a frame that was never sent: %llu", side_name[at],
         (unsigned long long)seq);
  EXPECT(w, seq > log->handled, "the %s handled control frame %llu after %llu", side_name[at], (unsigned long long)seq,
         (unsigned long long)log->handled);
  EXPECT(w,
         log->frames[seq - 1].body == (int)event->frame->body_case &&
             log->frames[seq - 1].stream_id == event->frame->stream_id,
         "the %s handled another frame than was sent as %llu", side_name[at], (unsigned long long)seq);
  log->handled = seq;
}

void oracle_ends(world *w, const wire_session *session) {
  for (int from = 0; from < 2; from++)
    for (size_t id = 0; id < session->by[from].ends_cap; id++) {
      const wire_log *other = &session->by[!from];
      if (session->by[from].ends[id])
        EXPECT(w, id < other->ends_cap && other->ends[id] == 1, "the %s never ended stream %zu", side_name[!from], id);
    }
}

void oracle_free(world *w) {
  while (w->sessions) {
    wire_session *s = w->sessions;
    w->sessions = s->next;
    for (int i = 0; i < 2; i++) {
      for (size_t n = 0; n < s->by[i].n; n++)
        free(s->by[i].frames[n].frame);
      free(s->by[i].frames);
      free(s->by[i].ends);
    }
    free(s);
  }
}
