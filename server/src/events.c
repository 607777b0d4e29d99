// SPDX-License-Identifier: MIT
#include "events.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "internal.h"

#define EVENTS_MAX 65536

/* As long as its strings need: a queue of ten thousand connects must not cost 6 MB. */
struct daemon_event_node {
  daemon_event_node *next;
  int type, status;
  bool resumed;
  int64_t time_ns;
  size_t instance_at, text_at;
  char strings[];
};

void sandd_events_init(event_queue *queue) {
  queue->fd = -1;
  queue->last = &queue->first;
}

static void drop_first(event_queue *queue) {
  daemon_event_node *node = queue->first;
  queue->first = node->next;
  if (!queue->first)
    queue->last = &queue->first;
  queue->count--;
  free(node);
}

void sandd_events_free(event_queue *queue) {
  while (queue->first)
    drop_first(queue);
  if (queue->fd >= 0)
    close(queue->fd);
}

void sandd_events_add(sandd_server *server, int type, bool resumed, int status, const char *id, const char *instance,
                      const char *text) {
  event_queue *queue = &server->events;
  if (!queue->open)
    return;
  id = id ? id : "";
  instance = instance ? instance : "";
  text = text ? text : "";
  size_t id_len = strlen(id) + 1, instance_len = strlen(instance) + 1, text_len = strlen(text) + 1;
  daemon_event_node *node = malloc(sizeof *node + id_len + instance_len + text_len);
  if (!node) {
    sandd_log(&server->log, SANDD_LOG_ERROR, "an event of daemon %s was lost: out of memory", id);
    return;
  }
  *node = (daemon_event_node){.type = type, .status = status, .resumed = resumed, .time_ns = sandd_wall_ns()};
  node->instance_at = id_len;
  node->text_at = id_len + instance_len;
  memcpy(node->strings, id, id_len);
  memcpy(node->strings + node->instance_at, instance, instance_len);
  memcpy(node->strings + node->text_at, text, text_len);
  *queue->last = node;
  queue->last = &node->next;
  if (++queue->count > EVENTS_MAX) {
    drop_first(queue);
    if (queue->count == EVENTS_MAX)
      sandd_log(&server->log, SANDD_LOG_WARNING, "the oldest daemon event was dropped: nobody reads them");
  }
  if (queue->count == 1)
    sandd_server_wake(server, queue->fd);
}

int sandd_server_events_fd(sandd_server *server) {
  int rc = sandd_server_enter(server);
  if (rc)
    return rc;
  event_queue *queue = &server->events;
  if (!queue->open) {
    queue->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    queue->open = queue->fd >= 0;
    if (queue->open)
      sandd_daemons_tell_connected(server);
  }
  rc = queue->open ? queue->fd : SANDD_E_SYSTEM;
  sandd_server_unlock(server);
  return rc;
}

int sandd_server_next_daemon_event(sandd_server *server, sandd_daemon_event *event) {
  if (!event || event->size < sizeof *event)
    return SANDD_E_INVALID;
  if (!sandd_server_alive(server))
    return SANDD_E_CLOSED;
  sandd_server_lock(server);
  event_queue *queue = &server->events;
  daemon_event_node *node = queue->first;
  int rc = server->closing ? SANDD_E_CLOSED : SANDD_DAEMON_NONE;
  if (node) {
    *event = (sandd_daemon_event){.size = event->size, .type = node->type, .status = node->status};
    event->resumed = node->resumed;
    event->time_ns = node->time_ns;
    snprintf(event->id, sizeof event->id, "%s", node->strings);
    snprintf(event->instance, sizeof event->instance, "%s", node->strings + node->instance_at);
    snprintf(event->text, sizeof event->text, "%s", node->strings + node->text_at);
    rc = node->type;
    drop_first(queue);
  }
  /* After the end it stays readable, so that a reader comes to see SANDD_E_CLOSED. */
  if (queue->fd >= 0 && !queue->first && !server->closing)
    sandd_drain_fd(queue->fd);
  sandd_server_unlock(server);
  return rc;
}
