// SPDX-License-Identifier: MIT
// The queue of what daemons did, with a descriptor.
#ifndef SANDD_SERVER_EVENTS_H
#define SANDD_SERVER_EVENTS_H

#include <sandd/server.h>

typedef struct daemon_event_node daemon_event_node;

typedef struct event_queue {
  bool open;
  int fd;
  daemon_event_node *first, **last;
  size_t count;
} event_queue;

void sandd_events_init(event_queue *queue);
void sandd_events_free(event_queue *queue);
/* Adds one, if the queue is open. The strings are cut to what an event holds and may be NULL. */
void sandd_events_add(sandd_server *server, int type, bool resumed, int status, const char *id, const char *instance,
                      const char *text);

#endif
