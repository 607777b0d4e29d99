// SPDX-License-Identifier: MIT
#ifndef SANDD_SIM_WORLD_H
#define SANDD_SIM_WORLD_H

#include "carrier.h"
#include "flow.h"
#include "oracle.h"

#include <sandd/proto/session.h>
#include <sandd/proto/stream.h>
#include <setjmp.h>

/* One world: a server, a daemon that is sometimes started again, clones of it, their connections, and applications on
 * both sides. Everything in it follows from the seed. */

/* What a stream's user pointer points at. */
typedef enum actor_kind { ACTOR_JOB, ACTOR_HOSTED, ACTOR_TUNNEL } actor_kind;
typedef struct actor {
  actor_kind kind;
} actor;

typedef struct config {
  uint64_t streams, table, control, window, channels, rings, recv, ring, keep, message;
  uint64_t session_retention, exec_retention, heartbeat;
  uint64_t big;           /* bytes of a long output */
  bool foreign;           /* peers pack frames as this library does not */
  uint64_t longest_sleep; /* both machines are suspended for up to so long; 0: never */
  double pause, gap;      /* jobs whose reader stops for ever; how long between cuts */
} config;

typedef struct stats {
  uint64_t connections, cuts[6], packets, control, windows, data, skips, steps;
  uint64_t sessions, resumed, lost, server_restarts, daemon_restarts, naps, sleeps, goodbyes, clones_refused,
      replaced_links;
  uint64_t jobs, attached, detached, taken_over, stdin_bytes, output_bytes, skipped, tunnels, tunnel_bytes, resets;
  uint64_t ended[64]; /* by StatusCode */
  uint64_t fake_seconds, most_memory;
} stats;

typedef struct party {
  sandd_endpoint *endpoint;
  memory memory;
} party;

typedef struct world {
  chance chance;
  config config;
  stats stats;
  uint64_t seed, rules_off, now, cuts, next_cut, burst;
  int calm; /* 1: no more cuts; 2: readers that stopped read again */
  bool trace, failed;
  char failure[800];
  jmp_buf leave;
  party party[2];
  conn *conns;
  sandd_link *daemon_link;      /* the newest that it dialled; NULL when the carrier has none */
  wire_session *daemon_session; /* that it was told is up */
  uint64_t redial, instance, host_nap;
  uint8_t *hello; /* the daemon's newest, for clones */
  size_t hello_len;
  wire_session *sessions;
  struct clone *clones;
  uint64_t clone_count;
  struct hosted_exec *execs; /* host.c */
  struct job *jobs;          /* agent.c */
  uint64_t job_count, no_jobs_until;
  struct tunnel *tunnels; /* tunnel.c */
  uint64_t tunnel_count;
} world;

void world_run(world *w, uint64_t seed, uint64_t cuts, uint64_t rules_off, bool trace);
void world_hello_sent(world *w, const uint8_t *data, size_t len);
conn *world_connect(world *w, bool by_daemon);
conn *world_conn_of(world *w, side at, const sandd_link *link);
/* After any call on an endpoint: hands its events out. */
void world_drain(world *w, side at);
/* The session that the agent can use now, or NULL. */
sandd_session *world_session(world *w);

/* carry.c: connections */
void carry_step(world *w);
void carry_cut(world *w);
void carry_drop(world *w, conn *c, side at); /* the carrier of this end is gone */
void carry_remove_all(world *w);

/* clone.c: copies of the daemon's machine */
void clone_step(world *w);
void clone_got(world *w, conn *c, const uint8_t *data, size_t len);
void clone_forget(world *w);
void clone_free(world *w);
uint64_t clone_sessions(const world *w); /* unconfirmed ones that they may have left at the server */

/* host.c: processes at the daemon */
void host_open(world *w, const sandd_event *event);
void host_event(world *w, const sandd_event *event);
void host_step(world *w);
void host_session_lost(world *w);
void host_stop(world *w); /* the daemon program ends: everything is released */
void host_kill_all(world *w);
const char *host_instance(world *w);

/* agent.c: what runs execs at the server */
void agent_event(world *w, const sandd_event *event);
void agent_step(world *w);
void agent_started(world *w, uint64_t job); /* the daemon started its process */
void agent_stop(world *w);
bool agent_done(const world *w, bool with_stuck);
const char *agent_waits(const world *w);
uint64_t agent_unread(const world *w);
void agent_free(world *w);

/* tunnel.c: byte pipes, opened from either side */
void tunnel_open(world *w, side at, const sandd_event *event);
void tunnel_event(world *w, const sandd_event *event);
void tunnel_step(world *w);
void tunnel_stop(world *w, side at);
bool tunnel_done(const world *w);

#endif
