// SPDX-License-Identifier: MIT
// Counts, and plain HTTP: GET /healthz, /health and /stats.
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

typedef struct totals {
  uint64_t oldest_us; /* since when the oldest connection is there */
  json_t *by_platform, *by_version;
} totals;

static void oldest(void *ctx, sandd_session *session, uint64_t since_us) {
  totals *t = ctx;
  (void)session;
  if (since_us < t->oldest_us)
    t->oldest_us = since_us;
}

static void fill(sandd_server *server, sandd_server_stats *s) {
  sandd_usage usage;
  sandd_endpoint_usage(server->endpoint, &usage);
  totals t = {.oldest_us = UINT64_MAX};
  sandd_daemons_each(server, oldest, &t);
  uint64_t now_us = sandd_carrier_now_us();
  *s = (sandd_server_stats){.size = s->size, .connected = server->daemons.connected};
  s->away = server->daemons.known - server->daemons.connected;
  s->connections = sandd_carrier_count(server->carrier);
  s->streams = usage.streams;
  s->oldest_connection_ns = t.oldest_us < now_us ? (int64_t)(now_us - t.oldest_us) * 1000 : 0;
  s->sessions_total = server->sessions_total;
  s->resumes_total = server->resumes_total;
  s->execs_total = server->execs_total;
  s->recv_bytes = usage.recv_bytes;
  s->ring_bytes = usage.ring_bytes;
  s->control_bytes = usage.control_bytes + usage.control_waiting;
}

int sandd_server_get_stats(sandd_server *server, sandd_server_stats *stats) {
  if (!stats || stats->size < sizeof *stats)
    return SANDD_E_INVALID;
  int rc = sandd_server_enter(server);
  if (rc)
    return rc;
  fill(server, stats);
  sandd_server_unlock(server);
  return 0;
}

static void count(json_t *object, const char *key) {
  json_int_t n = json_integer_value(json_object_get(object, key));
  json_object_set_new(object, *key ? key : "unknown", json_integer(n + 1));
}

static void group(void *ctx, sandd_session *session, uint64_t since_us) {
  totals *t = ctx;
  (void)since_us;
  const Sandd__V1__Hello *hello = sandd_session_hello(session);
  count(t->by_platform, hello->platform ? hello->platform->os : "");
  count(t->by_version, hello->software);
}

static json_t *describe(sandd_server *server) {
  sandd_server_stats s = {.size = sizeof s};
  totals t = {.by_platform = json_object(), .by_version = json_object()};
  sandd_server_lock(server);
  fill(server, &s);
  sandd_daemons_each(server, group, &t);
  uint64_t up_us = sandd_carrier_now_us() - server->started_us;
  sandd_server_unlock(server);
  return json_pack("{s:s, s:f, s:I, s:I, s:I, s:o, s:o, s:f, s:I, s:I, s:I, s:I, s:{s:I, s:I, s:I}}", "version",
                   sandd_server_version(), "uptime_secs", (double)up_us / 1e6, "total_daemons", (json_int_t)s.connected,
                   "away_daemons", (json_int_t)s.away, "connections", (json_int_t)s.connections, "by_platform",
                   t.by_platform, "by_version", t.by_version, "oldest_connection_secs",
                   (double)s.oldest_connection_ns / 1e9, "streams", (json_int_t)s.streams, "sessions_total",
                   (json_int_t)s.sessions_total, "resumes_total", (json_int_t)s.resumes_total, "execs_total",
                   (json_int_t)s.execs_total, "memory", "unread_bytes", (json_int_t)s.recv_bytes, "unsent_bytes",
                   (json_int_t)s.ring_bytes, "control_bytes", (json_int_t)s.control_bytes);
}

bool sandd_server_http(void *carrier, const char *path, sandd_http_answer *answer) {
  sandd_server *server = sandd_carrier_user(carrier);
  if (!strcmp(path, "/healthz") || !strcmp(path, "/health")) {
    *answer = (sandd_http_answer){.status = 200, .body = "OK", .body_len = 2};
    return true;
  }
  if (strcmp(path, "/stats"))
    return false;
  json_t *stats = describe(server);
  free(server->stats_body);
  server->stats_body = stats ? json_dumps(stats, JSON_COMPACT) : NULL;
  json_decref(stats);
  if (server->stats_body)
    *answer = (sandd_http_answer){200, "application/json", server->stats_body, strlen(server->stats_body)};
  else
    *answer = (sandd_http_answer){.status = 503};
  return true;
}
