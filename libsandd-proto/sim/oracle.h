// SPDX-License-Identifier: MIT
#ifndef SANDD_SIM_ORACLE_H
#define SANDD_SIM_ORACLE_H

#include "carrier.h"

/* Watches the wire and the events, and knows what must never happen there. */

typedef struct logged {
  uint64_t stream_id;
  int body;
  size_t len; /* of the whole frame, encoded */
  uint8_t *frame;
} logged;

/* The control frames that one side of a session has numbered. */
typedef struct wire_log {
  logged *frames; /* by seq - 1 */
  size_t n, cap;
  uint64_t handled; /* highest seq whose event the other side's application saw */
  uint8_t *ends;    /* by stream id: Ends and Resets sent */
  size_t ends_cap;
} wire_log;

typedef struct wire_session {
  struct wire_session *next;
  uint8_t id[64];
  size_t id_len;
  uint64_t secrets;   /* Welcomes of this session so far */
  uint64_t confirmed; /* index + 1 of the newest secret whose connection was confirmed */
  uint64_t acked;     /* of the server's frames: highest ack that the server got */
  uint64_t away_at;   /* since when the server's application knows it as away; 0: connected */
  bool daemon_gave_up, goodbye_said, lost_at_server;
  wire_log by[2];
} wire_session;

/* Where a channel's sender is on a connection. */
typedef struct channel_progress {
  uint64_t stream_id, next;
  int channel;
} channel_progress;

/* A side has put a packet on the wire. */
void oracle_sent(struct world *w, conn *c, side from, const uint8_t *data, size_t len);
/* The server was given a packet of the daemon. */
void oracle_server_got(struct world *w, conn *c, const uint8_t *data, size_t len);
/* A side's application got an event that names a control frame. */
void oracle_frame(struct world *w, conn *c, side at, const sandd_event *event);
/* At the end, when nothing is open: both sides sent their End for each stream. */
void oracle_ends(struct world *w, const wire_session *session);
void oracle_free(struct world *w);

#endif
