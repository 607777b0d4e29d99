// SPDX-License-Identifier: MIT
/* Connections: bytes in both directions, cuts, and ends that notice late or never. */
#include "foreign.h"
#include "world.h"

#include <sandd/proto/trace.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IN_FLIGHT 30000u

void carry_drop(world *w, conn *c, side at) {
  sandd_link *link = c->end[at].link;
  if (!link)
    return;
  c->end[at].link = NULL;
  if (at == SIDE_DAEMON && link == w->daemon_link)
    w->daemon_link = NULL;
  sandd_link_free(link, w->now);
  world_drain(w, at);
}

static void trace(const world *w, const conn *c, side from, const char *what, const uint8_t *data, size_t len) {
  static char text[1 << 16];
  if (!w->trace)
    return;
  sandd_trace_packet(data, len, text, sizeof text);
  printf("%8llu.%03llu conn %llu %s%s %s: ", (unsigned long long)w->now / 1000, (unsigned long long)w->now % 1000,
         (unsigned long long)c->number, c->clone ? "(clone) " : "", from == SIDE_SERVER ? "server" : "daemon", what);
  for (const char *p = text; *p; p++)
    putchar(*p == '\n' && p[1] ? '|' : *p);
  putchar('\n');
}

static void feed(world *w, conn *c, side at, message *m) {
  sandd_link *link = c->end[at].link;
  trace(w, c, at, link || c->clone ? "got" : "lost", m->data, m->len);
  if (c->clone && at == SIDE_DAEMON)
    clone_got(w, c, m->data, m->len);
  if (link) {
    int error = sandd_link_feed(link, m->data, m->len, w->now);
    if (error && error != SANDD_E_CLOSED) {
      const char *text = "";
      sandd_link_closing(link, NULL, &text);
      sim_fail(w, "a lawful packet was refused: %s: %s", sandd_error_text(error), text);
    }
    world_drain(w, at);
    if (at == SIDE_SERVER)
      oracle_server_got(w, c, m->data, m->len);
  }
  free(m);
}

/* Delivers some of what is on the way to an end, and the other end's close after it. */
static void deliver(world *w, conn *c, side to) {
  pipe *p = &c->out[!to];
  bool moved = false;
  size_t n = (size_t)PICK(&w->chance, 0, 7, 300, 5000, 60000);
  message *m;
  while ((m = pipe_get(p, &n, &moved)))
    feed(w, c, to, m);
  if (moved && c->end[to].link)
    sandd_link_received(c->end[to].link, w->now);
  if (p->eof && !p->first)
    carry_drop(w, c, to);
}

/* A close code that a lawful peer must never earn. */
static bool blames(uint16_t code) {
  return code != 0 && code != 1000 && code != 4037 + 4 && code != 4039 && code != 4040 && code != 4041;
}

static void close_end(world *w, conn *c, side at) {
  uint16_t code;
  const char *text;
  if (!c->end[at].link || !sandd_link_closing(c->end[at].link, &code, &text))
    return;
  EXPECT(w, !blames(code), "the %s closes with %u: %s", at ? "daemon" : "server", code, text);
  c->out[at].eof = true;
  carry_drop(w, c, at);
}

static void send(world *w, conn *c, side at) {
  static uint8_t *buf;
  static size_t cap;
  conn_end *end = &c->end[at];
  while (end->link && end->ready && c->out[at].bytes < IN_FLIGHT) {
    size_t len, most = sandd_link_pull_cap(end->link);
    if (most > cap) {
      free(buf);
      buf = sim_alloc(cap = most);
    }
    int error = sandd_link_pull(end->link, buf, cap, &len, w->now);
    EXPECT(w, !error || error == SANDD_E_CLOSED, "nothing can be pulled: %s", sandd_error_text(error));
    if (!len) {
      end->ready = false;
      break;
    }
    EXPECT(w, len <= most, "a packet of %zu bytes, %zu are allowed", len, most);
    trace(w, c, at, c->out[at].hole ? "sends into the void" : "sends", buf, len);
    oracle_sent(w, c, at, buf, len);
    if (w->config.foreign)
      foreign_put(w, c, at, buf, len);
    else
      pipe_put(&c->out[at], buf, len);
  }
  world_drain(w, at);
  close_end(w, c, at);
}

/* Which links have something to say. */
static void collect_ready(world *w) {
  for (int at = 0; at < 2; at++) {
    sandd_link *link;
    while ((link = sandd_endpoint_next_ready(w->party[at].endpoint)))
      for (conn *c = w->conns; c; c = c->next)
        if (c->end[at].link == link)
          c->end[at].ready = true;
  }
}

static void tick(world *w, conn *c, side at) {
  if (!c->end[at].link)
    return;
  if (c->end[at].drop_at && w->now >= c->end[at].drop_at) {
    carry_drop(w, c, at);
    return;
  }
  if (w->now < sandd_link_deadline(c->end[at].link))
    return;
  sandd_link_tick(c->end[at].link, w->now);
  world_drain(w, at);
}

static bool over(world *w, conn *c) {
  if (c->clone && c->give_up_at && w->now >= c->give_up_at) {
    c->out[SIDE_DAEMON].eof = true;
    c->give_up_at = UINT64_MAX;
  }
  for (int at = 0; at < 2; at++) /* a close that is not lost with the connection */
    if (!c->end[at].link && !(at == SIDE_DAEMON && c->clone) && !c->out[at].hole)
      c->out[at].eof = true;
  return !c->end[0].link && !c->end[1].link && (!c->clone || c->give_up_at);
}

static void daemon_gives_up(world *w) {
  conn *c = w->daemon_link ? world_conn_of(w, SIDE_DAEMON, w->daemon_link) : NULL;
  if (c && !c->session && c->give_up_at && w->now >= c->give_up_at)
    carry_drop(w, c, SIDE_DAEMON);
}

static void remove_conn(conn **at) {
  conn *c = *at;
  *at = c->next;
  pipe_clear(&c->out[0]);
  pipe_clear(&c->out[1]);
  free(c->progress[0]);
  free(c->progress[1]);
  free(c);
}

void carry_step(world *w) {
  daemon_gives_up(w);
  for (conn *c = w->conns; c; c = c->next) {
    if (w->now < c->slow_until)
      continue;
    deliver(w, c, SIDE_SERVER);
    deliver(w, c, SIDE_DAEMON);
  }
  for (conn *c = w->conns; c; c = c->next) {
    tick(w, c, SIDE_SERVER);
    tick(w, c, SIDE_DAEMON);
  }
  collect_ready(w);
  for (conn *c = w->conns; c; c = c->next) {
    send(w, c, SIDE_SERVER);
    send(w, c, SIDE_DAEMON);
  }
  for (conn **at = &w->conns; *at;)
    if (over(w, *at))
      remove_conn(at);
    else
      at = &(*at)->next;
}

void carry_cut(world *w) {
  enum { BOTH, DAEMON_SEES, SERVER_SEES, SILENT, UP, DOWN };
  chance *r = &w->chance;
  conn *c = world_conn_of(w, SIDE_DAEMON, w->daemon_link);
  if (!c || c->out[0].hole || c->out[1].hole) { /* nothing to cut: try again soon */
    w->burst++;
    return;
  }
  unsigned kind = (unsigned)chance_below(r, 6);
  w->cuts++;
  w->stats.cuts[kind]++;
  if (kind != DOWN)
    pipe_cut(&c->out[SIDE_DAEMON], r);
  if (kind != UP)
    pipe_cut(&c->out[SIDE_SERVER], r);
  if (kind == BOTH || kind == SERVER_SEES)
    c->out[SIDE_DAEMON].eof = true;
  if (kind >= SILENT)
    for (int at = 0; at < 2; at++)
      if (chance_of(r, .6))
        c->end[at].drop_at = w->now + chance_below(r, 3000) * MS;
  if (kind == BOTH || kind == DAEMON_SEES)
    carry_drop(w, c, SIDE_DAEMON);
}

void carry_remove_all(world *w) {
  for (conn *c = w->conns; c; c = c->next) {
    carry_drop(w, c, SIDE_SERVER);
    carry_drop(w, c, SIDE_DAEMON);
  }
  while (w->conns)
    remove_conn(&w->conns);
}
