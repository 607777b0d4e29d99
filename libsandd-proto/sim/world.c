// SPDX-License-Identifier: MIT
#include "world.h"

#include <sandd/v1/packet.pb-c.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATUS(name) SANDD__V1__STATUS_CODE__STATUS_CODE_##name
#define SEGMENT      65536u
#define STALL        (180000 * MS)

void sim_fail(world *w, const char *format, ...) {
  va_list args;
  va_start(args, format);
  vsnprintf(w->failure, sizeof w->failure, format, args);
  va_end(args);
  w->failed = true;
  longjmp(w->leave, 1);
}

static void random_bytes(void *ctx, uint8_t *out, size_t len) {
  for (size_t i = 0; i < len; i++)
    out[i] = (uint8_t)chance_bits(ctx);
}

static void choose_config(world *w) {
  chance *r = &w->chance;
  config *c = &w->config;
  c->streams = PICK(r, 2, 3, 6);
  c->table = PICK(r, 6, 24);
  c->control = PICK(r, 600, 1500, 20000);
  c->window = PICK(r, 4096, 30000, 300000);
  c->channels = 6 * c->streams + c->table;
  c->rings = 2 * c->table + 4 * c->streams;
  c->recv = CHANNEL_MIN * c->channels + (chance_of(r, .5) ? 0 : 100000);
  c->ring = CHANNEL_MIN * c->rings + (chance_of(r, .5) ? 0 : 100000);
  c->keep = PICK(r, 4096, 100000);
  c->message = PICK(r, 65536, 1 << 20);
  c->heartbeat = PICK(r, 100, 300, 1000) * MS;
  c->session_retention = PICK(r, 1500, 4000) * MS;
  c->exec_retention = 2 * c->session_retention + 4 * c->heartbeat + 2000 * MS;
  c->big = 60000;
  c->longest_sleep = chance_of(r, .15) ? 15000 * MS : 0;
  c->exec_retention += c->longest_sleep;
  c->foreign = chance_of(r, .4);
  c->pause = .04;
  c->gap = (double)PICK(r, 100, 30, 15) / 100;
}

static void new_endpoint(world *w, side at) {
  static const sandd_capability capabilities[] = {
      {"exec", NULL}, {"exec.attach", NULL}, {"exec.pty", NULL}, {"exec.user", "needs root"}};
  static const sandd_label labels[] = {{"place", "sim"}};
  party *p = &w->party[at];
  config *c = &w->config;
  char instance[32];
  memory_init(&p->memory);
  snprintf(instance, sizeof instance, "I%llu", (unsigned long long)++w->instance);
  sandd_endpoint_config ec = {
      .size = sizeof ec,
      .role = at == SIDE_SERVER ? SANDD_ROLE_SERVER : SANDD_ROLE_DAEMON,
      .allocator = &p->memory.allocator,
      .random = random_bytes,
      .random_ctx = &w->chance,
      .limits = {.message_bytes = c->message,
                 .streams = c->streams,
                 .channels = c->channels,
                 .control_bytes = c->control},
      .recv_budget = c->recv,
      .ring_budget = c->ring,
      .keep_budget = c->keep,
      .rings = c->rings,
      .window_bytes = c->window,
      .heartbeat_us = c->heartbeat,
      .session_retention_us = at == SIDE_SERVER ? c->session_retention : 0,
      .exec_retention_us = at == SIDE_DAEMON ? c->exec_retention : 0,
      .software = "sim",
      .daemon_id = at == SIDE_DAEMON ? "D" : NULL,
      .instance_id = at == SIDE_DAEMON ? instance : NULL,
      .os = "linux",
      .labels = labels,
      .n_labels = COUNT(labels),
      .capabilities = capabilities,
      .n_capabilities = COUNT(capabilities),
      .rules_off = w->rules_off,
  };
  int error = sandd_endpoint_new(&p->endpoint, &ec);
  EXPECT(w, !error, "an endpoint can't be made: %s", sandd_error_text(error));
}

static void free_endpoint(world *w, side at) {
  party *p = &w->party[at];
  sandd_endpoint_free(p->endpoint);
  p->endpoint = NULL;
  if (p->memory.most_bytes > w->stats.most_memory)
    w->stats.most_memory = p->memory.most_bytes;
  EXPECT(w, p->memory.blocks == 0, "the %s left %zu blocks (%zu bytes) of memory", at ? "daemon" : "server",
         p->memory.blocks, p->memory.bytes);
}

void world_hello_sent(world *w, const uint8_t *data, size_t len) {
  free(w->hello);
  w->hello = sim_alloc(len);
  memcpy(w->hello, data, len);
  w->hello_len = len;
}

conn *world_connect(world *w, bool by_daemon) {
  conn *c = sim_alloc(sizeof *c), **at = &w->conns;
  chance *r = &w->chance;
  while (*at)
    at = &(*at)->next;
  *at = c;
  c->born = w->now;
  c->slow_until = w->now + PICK(r, 0, 0, 0, 0, 0, 0, 50, 300, 700, 1500) * MS;
  if (by_daemon && chance_of(r, .7))
    c->give_up_at = w->now + PICK(r, 100, 400, 1500) * MS;
  EXPECT(w, !sandd_link_new(&c->end[SIDE_SERVER].link, w->party[SIDE_SERVER].endpoint, w->now), "a link at the server");
  if (by_daemon) {
    EXPECT(w, !sandd_link_new(&c->end[SIDE_DAEMON].link, w->party[SIDE_DAEMON].endpoint, w->now),
           "a link at the daemon");
    w->daemon_link = c->end[SIDE_DAEMON].link;
    world_drain(w, SIDE_DAEMON);
  }
  c->number = ++w->stats.connections;
  return c;
}

conn *world_conn_of(world *w, side at, const sandd_link *link) {
  for (conn *c = w->conns; c && link; c = c->next)
    if (c->end[at].link == link)
      return c;
  return NULL;
}

sandd_session *world_session(world *w) {
  sandd_session *session = sandd_endpoint_find(w->party[SIDE_SERVER].endpoint, "D");
  if (session)
    EXPECT(w, sandd_session_user(session), "a session is shown before it is confirmed");
  return session;
}

static void session_event(world *w, side at, const sandd_event *event) {
  wire_session *s;
  if (event->type == SANDD_EVENT_SESSION_UP) {
    conn *c = world_conn_of(w, at, event->link);
    EXPECT(w, c && c->session, "a session is up without a connection");
    if (sandd_session_user(event->session))
      EXPECT(w, sandd_session_user(event->session) == c->session, "two ids of one session");
    EXPECT(w, event->resumed == (sandd_session_user(event->session) != NULL),
           "resumed=%d of a session that was%s up before", event->resumed,
           sandd_session_user(event->session) ? "" : " not");
    sandd_session_set_user(event->session, c->session);
    *(event->resumed ? &w->stats.resumed : &w->stats.sessions) += 1;
    c->session->away_at = at == SIDE_SERVER ? 0 : c->session->away_at;
    if (at == SIDE_DAEMON)
      w->daemon_session = c->session;
    return;
  }
  s = sandd_session_user(event->session);
  EXPECT(w, s, "AWAY or LOST of a session that never was up");
  if (event->type == SANDD_EVENT_SESSION_AWAY) {
    if (at == SIDE_SERVER)
      s->away_at = w->now;
    return;
  }
  w->stats.lost++;
  EXPECT(w,
         event->status != STATUS(PROTOCOL_ERROR) && event->status != STATUS(INTERNAL) &&
             event->status != STATUS(BAD_MESSAGE) && event->status != STATUS(MESSAGE_TOO_LARGE) &&
             event->status != STATUS(RESOURCE_EXHAUSTED),
         "the %s lost its session: %s", at ? "daemon" : "server", event->text);
  if (at == SIDE_DAEMON) {
    s->daemon_gave_up = true;
    if (w->daemon_session == s)
      w->daemon_session = NULL;
    host_session_lost(w);
    return;
  }
  bool expired = s->away_at && w->now - s->away_at >= 2 * w->config.session_retention;
  EXPECT(w, expired || s->daemon_gave_up || s->goodbye_said || w->daemon_session != s, "a lawful session was ended: %s",
         event->text);
  s->lost_at_server = true;
  clone_forget(w);
}

static void stream_event(world *w, side at, const sandd_event *event) {
  if (event->frame)
    oracle_frame(w, world_conn_of(w, at, event->link), at, event);
  if (event->type == SANDD_EVENT_STREAM_OPENED) {
    EXPECT(w, event->frame->body_case == SANDD__V1__FRAME__BODY_EXEC_OPEN, "an opening that opens nothing");
    ProtobufCBinaryData line = event->frame->exec_open->spec->shell_line;
    if (line.len > 6 && !memcmp(line.data, "tunnel", 6))
      tunnel_open(w, at, event);
    else
      host_open(w, event);
    return;
  }
  const actor *a = sandd_stream_user(event->stream);
  EXPECT(w, a, "an event of a stream that nobody has");
  if (a->kind == ACTOR_JOB)
    agent_event(w, event);
  else if (a->kind == ACTOR_HOSTED)
    host_event(w, event);
  else
    tunnel_event(w, event);
}

static void handle(world *w, side at, const sandd_event *event) {
  switch (event->type) {
  case SANDD_EVENT_SESSION_UP:
  case SANDD_EVENT_SESSION_AWAY:
  case SANDD_EVENT_SESSION_LOST: session_event(w, at, event); break;
  case SANDD_EVENT_REFUSED:
    if (at == SIDE_DAEMON) {
      EXPECT(w, event->status != STATUS(CLONE), "a lawful daemon was refused as a clone");
      w->redial = w->now + event->retry_after_us;
    }
    break;
  case SANDD_EVENT_IDENTITY_CHANGED: sim_fail(w, "a lawful daemon was taken for a clone");
  case SANDD_EVENT_INBOX_READABLE: ((reader *)sandd_inbox_user(event->inbox))->readable = true; break;
  case SANDD_EVENT_RING_WRITABLE: ((writer *)sandd_ring_user(event->ring))->blocked = false; break;
  case SANDD_EVENT_RING_DRAINED: {
    writer *out = sandd_ring_user(event->ring);
    EXPECT(w, !out->drained, "DRAINED twice");
    out->drained = true;
    break;
  }
  default: stream_event(w, at, event);
  }
}

void world_drain(world *w, side at) {
  sandd_event event;
  int got;
  if (!w->party[at].endpoint)
    return;
  while ((got = sandd_endpoint_next_event(w->party[at].endpoint, &event, w->now)) == 1)
    handle(w, at, &event);
  EXPECT(w, got == 0, "next_event: %s", sandd_error_text(got));
}

static void bounds(world *w) {
  const config *c = &w->config;
  for (int at = 0; at < 2; at++) {
    sandd_usage u;
    sandd_endpoint_usage(w->party[at].endpoint, &u);
    const char *who = at ? "daemon" : "server";
    uint64_t n = at == SIDE_DAEMON || !u.sessions ? 1 : u.sessions;
    EXPECT(w, u.ring_bytes <= n * c->ring, "the %s holds %llu bytes in rings", who, (unsigned long long)u.ring_bytes);
    EXPECT(w, u.recv_granted <= n * c->recv, "the %s has granted %llu bytes", who, (unsigned long long)u.recv_granted);
    EXPECT(w, u.recv_bytes <= u.recv_granted, "the %s holds %llu unread bytes, %llu were granted", who,
           (unsigned long long)u.recv_bytes, (unsigned long long)u.recv_granted);
    EXPECT(w, u.control_bytes <= n * c->control, "the %s holds %llu bytes of unacked control", who,
           (unsigned long long)u.control_bytes);
    /* A ring lets go of whole pieces of memory: the one that the kept range begins in stays. */
    EXPECT(w, u.keep_bytes <= c->keep + n * c->rings * SEGMENT, "the %s keeps %llu bytes", who,
           (unsigned long long)u.keep_bytes);
    EXPECT(w, u.streams <= n * 2 * c->streams, "the %s has %llu streams", who, (unsigned long long)u.streams);
    EXPECT(w, u.sessions <= (at ? 1 : 4) + (at ? 0 : clone_sessions(w)), "the %s has %llu sessions", who,
           (unsigned long long)u.sessions);
  }
  EXPECT(w, agent_unread(w) <= c->recv, "the agent's unread bytes are %llu", (unsigned long long)agent_unread(w));
}

static void restart_server(world *w) {
  w->stats.server_restarts++;
  agent_stop(w);
  tunnel_stop(w, SIDE_SERVER);
  clone_forget(w);
  for (conn *c = w->conns; c; c = c->next) {
    pipe_cut(&c->out[SIDE_SERVER], &w->chance);
    pipe_clear(&c->out[SIDE_DAEMON]);
    c->out[SIDE_DAEMON].hole = true;
    c->out[SIDE_SERVER].eof = chance_of(&w->chance, .8); /* else the daemon's heartbeat must notice */
    sandd_link_free(c->end[SIDE_SERVER].link, w->now);
    c->end[SIDE_SERVER].link = NULL;
  }
  free_endpoint(w, SIDE_SERVER);
  for (wire_session *s = w->sessions; s; s = s->next)
    s->goodbye_said = s->lost_at_server = true;
  new_endpoint(w, SIDE_SERVER);
}

static void restart_daemon(world *w) {
  w->stats.daemon_restarts++;
  tunnel_stop(w, SIDE_DAEMON);
  host_stop(w);
  clone_forget(w);
  for (conn *c = w->conns; c; c = c->next) {
    if (!c->end[SIDE_DAEMON].link)
      continue;
    pipe_cut(&c->out[SIDE_DAEMON], &w->chance);
    c->out[SIDE_DAEMON].eof = chance_of(&w->chance, .8);
    sandd_link_free(c->end[SIDE_DAEMON].link, w->now);
    c->end[SIDE_DAEMON].link = NULL;
  }
  w->daemon_link = NULL;
  w->daemon_session = NULL;
  free_endpoint(w, SIDE_DAEMON);
  free(w->hello);
  w->hello = NULL;
  new_endpoint(w, SIDE_DAEMON);
}

static void say_goodbye(world *w, side at) {
  sandd_session *session = at == SIDE_SERVER ? world_session(w) : sandd_endpoint_session(w->party[at].endpoint);
  if (!session || !sandd_session_user(session))
    return;
  w->stats.goodbyes++;
  ((wire_session *)sandd_session_user(session))->goodbye_said = true;
  sandd_session_goodbye(session, STATUS(SHUTTING_DOWN), "a goodbye", chance_below(&w->chance, 300) * MS, w->now);
  world_drain(w, at);
}

static void dial(world *w) {
  if (w->daemon_link && !(chance_of(&w->chance, .0005) && !w->calm))
    return;
  if (w->now < w->redial)
    return;
  w->redial = w->now + (w->calm ? 20 : PICK(&w->chance, 0, 5, 100, 300)) * MS;
  if (!w->calm && chance_of(&w->chance, .01)) {
    w->stats.naps++;
    w->redial += chance_below(&w->chance, 4 * w->config.session_retention);
    return;
  }
  world_connect(w, true);
}

static void mishaps(world *w) {
  chance *r = &w->chance;
  if (w->now >= w->next_cut) {
    carry_cut(w);
    w->burst = w->burst ? w->burst - 1 : chance_of(r, .2) ? 1 + chance_below(r, 6) : 0;
    uint64_t gap = w->burst ? PICK(r, 5, 30, 100) : PICK(r, 50, 200, 600);
    w->next_cut = w->now + (uint64_t)((double)(gap * MS) * w->config.gap);
  }
  clone_step(w);
  if (w->config.longest_sleep && chance_of(r, .0005)) {
    w->stats.sleeps++;
    w->now += chance_below(r, w->config.longest_sleep);
  }
  if (chance_of(r, .0007))
    restart_server(w);
  if (chance_of(r, .0003))
    restart_daemon(w);
  if (chance_of(r, .0002))
    say_goodbye(w, (side)chance_below(r, 2));
}

static void step(world *w, uint64_t pause) {
  w->now += pause;
  w->stats.steps++;
  if (!w->calm)
    mishaps(w);
  else
    clone_step(w);
  carry_step(w);
  dial(w);
  for (int at = 0; at < 2; at++) {
    sandd_endpoint *endpoint = w->party[at].endpoint;
    if (w->now >= sandd_endpoint_deadline(endpoint))
      sandd_endpoint_tick(endpoint, w->now);
    world_drain(w, (side)at);
  }
  host_step(w);
  agent_step(w);
  tunnel_step(w);
  if (chance_of(&w->chance, .25))
    bounds(w);
}

static void usual_step(world *w) {
  step(w, PICK(&w->chance, 1, 3, 10) * MS);
}

static bool quiet(world *w) {
  sandd_usage u[2];
  for (int at = 0; at < 2; at++)
    sandd_endpoint_usage(w->party[at].endpoint, &u[at]);
  return world_session(w) && w->daemon_session && w->daemon_session == sandd_session_user(world_session(w)) &&
         agent_done(w, true) && tunnel_done(w) && u[0].sessions_connected && u[1].sessions_connected && !u[0].streams &&
         !u[1].streams && !u[0].control_bytes && !u[1].control_bytes && !u[0].control_waiting && !u[1].control_waiting;
}

static void settle(world *w, int calm) {
  uint64_t end = w->now + STALL;
  w->calm = calm;
  while (calm == 1 ? !agent_done(w, false) : !quiet(w)) {
    usual_step(w);
    EXPECT(w, w->now < end, "a stall with %s readers:%s", calm == 1 ? "some stopped" : "all", agent_waits(w));
  }
}

/* Nothing is open any more: then nothing may be left. */
static void end(world *w) {
  host_kill_all(w);
  uint64_t until = w->now + 2 * w->config.exec_retention + 25000 * MS;
  while (w->now < until)
    step(w, 50 * MS);
  settle(w, 2); /* with such steps a heartbeat may have come too late just now */
  sandd_usage u;
  for (int at = 0; at < 2; at++) {
    sandd_endpoint_usage(w->party[at].endpoint, &u);
    EXPECT(w, !u.ring_bytes && !u.recv_granted && !u.keep_bytes && !u.recv_bytes,
           "finished streams left %llu/%llu/%llu bytes at the %s", (unsigned long long)u.ring_bytes,
           (unsigned long long)u.recv_granted, (unsigned long long)u.keep_bytes, at ? "daemon" : "server");
    EXPECT(w, u.sessions == 1 && u.sessions_connected == 1, "%llu sessions are left at the %s",
           (unsigned long long)u.sessions, at ? "daemon" : "server");
  }
  oracle_ends(w, w->daemon_session);
  carry_remove_all(w);
  for (int at = 0; at < 2; at++)
    free_endpoint(w, (side)at);
}

void world_run(world *w, uint64_t seed, uint64_t cuts, uint64_t rules_off, bool trace) {
  *w = (world){
      .seed = seed, .chance = {seed}, .rules_off = rules_off, .trace = trace, .now = 1000000, .next_cut = 1300000};
  if (setjmp(w->leave))
    return; /* what a failed world held is not worth the trouble of letting go */
  choose_config(w);
  new_endpoint(w, SIDE_SERVER);
  new_endpoint(w, SIDE_DAEMON);
  while (w->cuts < cuts)
    usual_step(w);
  settle(w, 1);
  settle(w, 2);
  end(w);
  w->stats.fake_seconds = w->now / 1000000;
  oracle_free(w);
  agent_free(w);
  clone_free(w);
  free(w->hello);
  w->hello = NULL;
}
