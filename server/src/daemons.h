// SPDX-License-Identifier: MIT
// The daemons that the server knows: one record per confirmed session.
#ifndef SANDD_SERVER_DAEMONS_H
#define SANDD_SERVER_DAEMONS_H

#include <sandd/proto/endpoint.h>
#include <sandd/server.h>

#define DAEMON_BUCKETS 1024

typedef struct daemon_record daemon_record;

typedef struct daemon_table {
  daemon_record *buckets[DAEMON_BUCKETS];
  size_t known, connected;
} daemon_table;

/* Session events; on the loop thread. */
void sandd_daemon_up(sandd_server *server, const sandd_event *event, uint64_t now_us);
void sandd_daemon_away(sandd_server *server, const sandd_event *event);
void sandd_daemon_lost(sandd_server *server, const sandd_event *event);

/* The session of a daemon that is connected: 0; or SANDD_E_AWAY with *since_us, or SANDD_E_NOT_FOUND. */
int sandd_daemon_find(sandd_server *server, const char *id, sandd_session **session, uint64_t *since_us);
/* Its id, for texts; "?" if unknown. */
const char *sandd_daemon_name(const sandd_session *session);

/* Adds CONNECTED for all that are, to an event queue that was just opened. */
void sandd_daemons_tell_connected(sandd_server *server);
/* Calls fn for each that is connected. */
void sandd_daemons_each(sandd_server *server, void (*fn)(void *ctx, sandd_session *session, uint64_t since_us),
                        void *ctx);
/* Says goodbye to every session. */
void sandd_daemons_goodbye(sandd_server *server, uint64_t now_us);
void sandd_daemons_free(daemon_table *table);

#endif
