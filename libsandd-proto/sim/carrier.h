// SPDX-License-Identifier: MIT
#ifndef SANDD_SIM_CARRIER_H
#define SANDD_SIM_CARRIER_H

#include "base.h"

#include <sandd/proto/link.h>

struct clone;
struct wire_session;
struct channel_progress;

/* A message on its way. */
typedef struct message {
  struct message *next;
  size_t len;
  uint8_t data[];
} message;

/* One direction of a connection: messages in order, delivered by bytes. */
typedef struct pipe {
  message *first, *last;
  size_t bytes; /* on the way */
  size_t part;  /* of the first one: already delivered */
  bool hole;    /* swallows what is put in */
  bool eof;     /* the sender closed: the receiver sees it after the last message */
} pipe;

void pipe_put(pipe *p, const uint8_t *data, size_t len);
/* Delivers up to n bytes; the message that they complete, or NULL. *n is what is left of them, *moved is set when any
 * byte arrived. The caller frees the message. */
message *pipe_get(pipe *p, size_t *n, bool *moved);
/* Keeps a random number of the bytes that are on the way, loses the others and what is put in later. */
void pipe_cut(pipe *p, chance *c);
void pipe_clear(pipe *p);

/* One end of a connection. */
typedef struct conn_end {
  sandd_link *link;
  bool ready;       /* the library has something for it */
  uint64_t drop_at; /* the carrier notices by then that the connection is dead */
} conn_end;

typedef struct conn {
  struct conn *next;
  conn_end end[2]; /* by side; the daemon's is empty when a clone dialled */
  pipe out[2];     /* by the side that sends */
  struct clone *clone;
  struct wire_session *session; /* what Welcome said */
  uint64_t secret_index;        /* of the secret in Welcome */
  uint8_t secret[64];
  size_t secret_len;
  uint64_t daemon_ack;                  /* in the newest packet of the daemon */
  struct channel_progress *progress[2]; /* of what each side sends: oracle.c */
  size_t n_progress[2];
  uint64_t number, slow_until, born, give_up_at;
} conn;

#endif
