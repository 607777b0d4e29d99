// SPDX-License-Identifier: MIT
#include "daemons.h"

#include <stdlib.h>
#include <string.h>

#include "exec.h"
#include "internal.h"

struct daemon_record {
  daemon_record *next;
  sandd_session *session;
  uint64_t since_us; /* when the connection was confirmed, or went */
  bool connected;
  uint32_t hash;
  char *instance; /* kept: Hello dies before the event of the session's end is made */
  char id[];
};

static uint32_t hash_of(const char *id) {
  uint32_t hash = 2166136261u;
  for (; *id; id++)
    hash = (hash ^ (uint8_t)*id) * 16777619u;
  return hash;
}

static daemon_record *find_connected(sandd_server *server, const char *id) {
  uint32_t hash = hash_of(id);
  for (daemon_record *d = server->daemons.buckets[hash % DAEMON_BUCKETS]; d; d = d->next)
    if (d->hash == hash && d->connected && !strcmp(d->id, id))
      return d;
  return NULL;
}

static daemon_record *record_of(const sandd_session *session) {
  return session ? sandd_session_user(session) : NULL;
}

const char *sandd_daemon_name(const sandd_session *session) {
  const daemon_record *d = record_of(session);
  return d ? d->id : "?";
}

static void disconnected(sandd_server *server, daemon_record *d, int status, const char *text) {
  if (!d->connected)
    return;
  d->connected = false;
  d->since_us = sandd_carrier_now_us();
  server->daemons.connected--;
  sandd_events_add(server, SANDD_DAEMON_DISCONNECTED, false, status, d->id, d->instance, text);
}

static daemon_record *add_record(sandd_server *server, sandd_session *session, const char *id) {
  size_t len = strlen(id) + 1;
  daemon_record *d = calloc(1, sizeof *d + len);
  if (!d)
    return NULL;
  memcpy(d->id, id, len);
  d->hash = hash_of(id);
  d->session = session;
  daemon_record **bucket = &server->daemons.buckets[d->hash % DAEMON_BUCKETS];
  d->next = *bucket;
  *bucket = d;
  server->daemons.known++;
  sandd_session_set_user(session, d);
  return d;
}

void sandd_daemon_up(sandd_server *server, const sandd_event *event, uint64_t now_us) {
  const Sandd__V1__Hello *hello = sandd_session_hello(event->session);
  daemon_record *d = record_of(event->session);
  /* A successor is up before its predecessor is told as lost; the listed and the unlisted alternate all the same. */
  daemon_record *former = find_connected(server, hello->daemon_id);
  if (former)
    disconnected(server, former, STATUS(REPLACED), "a newer session of this daemon took its place");
  if (!d)
    d = add_record(server, event->session, hello->daemon_id);
  char *instance = strdup(hello->instance_id);
  if (!d || !instance) {
    free(instance);
    sandd_log(&server->log, SANDD_LOG_ERROR, "daemon %s was turned away: out of memory", hello->daemon_id);
    sandd_session_goodbye(event->session, STATUS(RESOURCE_EXHAUSTED), "the server is out of memory", 1000000, now_us);
    return;
  }
  free(d->instance);
  d->instance = instance;
  d->connected = true;
  d->since_us = now_us;
  server->daemons.connected++;
  if (event->resumed)
    server->resumes_total++;
  else
    server->sessions_total++;
  sandd_log(&server->log, SANDD_LOG_INFO, "daemon %s %s from %s (%s)", d->id,
            event->resumed ? "is back" : "is connected",
            event->link ? sandd_conn_peer(sandd_carrier_conn(event->link)) : "?", hello->software);
  sandd_events_add(server, SANDD_DAEMON_CONNECTED, event->resumed, 0, d->id, d->instance, NULL);
  sandd_wake_all(server, &server->registry_waiters, ~0u);
  sandd_execs_daemon_up(server, event->session, d->id, now_us);
}

void sandd_daemon_away(sandd_server *server, const sandd_event *event) {
  daemon_record *d = record_of(event->session);
  if (!d)
    return;
  sandd_log(&server->log, SANDD_LOG_INFO, "daemon %s is away: %s", d->id,
            event->text && *event->text ? event->text : "its connection ended");
  disconnected(server, d, event->status, event->text);
}

void sandd_daemon_lost(sandd_server *server, const sandd_event *event) {
  daemon_record *d = record_of(event->session);
  if (!d)
    return;
  disconnected(server, d, event->status, event->text);
  sandd_log(&server->log, SANDD_LOG_INFO, "the session of daemon %s is over: %s%s%s", d->id,
            sandd_status_name(event->status), event->text && *event->text ? ": " : "", event->text ? event->text : "");
  sandd_events_add(server, SANDD_DAEMON_GONE, false, event->status, d->id, d->instance, event->text);
  daemon_record **at = &server->daemons.buckets[d->hash % DAEMON_BUCKETS];
  while (*at != d)
    at = &(*at)->next;
  *at = d->next;
  server->daemons.known--;
  sandd_session_set_user(event->session, NULL);
  free(d->instance);
  free(d);
}

int sandd_daemon_find(sandd_server *server, const char *id, sandd_session **session, uint64_t *since_us) {
  daemon_record *away = NULL;
  uint32_t hash = hash_of(id);
  for (daemon_record *d = server->daemons.buckets[hash % DAEMON_BUCKETS]; d; d = d->next) {
    if (d->hash != hash || strcmp(d->id, id))
      continue;
    if (d->connected) {
      *session = d->session;
      return 0;
    }
    away = d;
  }
  if (!away)
    return SANDD_E_NOT_FOUND;
  *since_us = away->since_us;
  return SANDD_E_AWAY;
}

void sandd_daemons_each(sandd_server *server, void (*fn)(void *ctx, sandd_session *session, uint64_t since_us),
                        void *ctx) {
  for (size_t i = 0; i < DAEMON_BUCKETS; i++)
    for (daemon_record *d = server->daemons.buckets[i]; d; d = d->next)
      if (d->connected)
        fn(ctx, d->session, d->since_us);
}

void sandd_daemons_tell_connected(sandd_server *server) {
  for (size_t i = 0; i < DAEMON_BUCKETS; i++)
    for (daemon_record *d = server->daemons.buckets[i]; d; d = d->next)
      if (d->connected)
        sandd_events_add(server, SANDD_DAEMON_CONNECTED, false, 0, d->id, d->instance, NULL);
}

void sandd_daemons_goodbye(sandd_server *server, uint64_t now_us) {
  for (size_t i = 0; i < DAEMON_BUCKETS; i++)
    for (daemon_record *d = server->daemons.buckets[i]; d; d = d->next)
      sandd_session_goodbye(d->session, STATUS(SHUTTING_DOWN), "the server is stopping", 1000000, now_us);
}

void sandd_daemons_free(daemon_table *table) {
  for (size_t i = 0; i < DAEMON_BUCKETS; i++)
    for (daemon_record *d = table->buckets[i], *next; d; d = next) {
      next = d->next;
      free(d->instance);
      free(d);
    }
}
