// SPDX-License-Identifier: MIT
// Events of the protocol library: those of sessions go to the registry, those of streams to their exec.
#include "exec.h"
#include "internal.h"

/* Nothing that this version knows may be opened by a daemon. */
static void refuse_stream(const sandd_event *event, uint64_t now_us) {
  sandd_link_fail(event->link, STATUS(PROTOCOL_ERROR), "a daemon may not open an exec", now_us);
  sandd_stream_release(event->stream, now_us);
}

static sandd_exec *exec_of(const sandd_event *event) {
  if (event->type == SANDD_EVENT_INBOX_READABLE)
    return sandd_inbox_user(event->inbox);
  if (event->type == SANDD_EVENT_RING_WRITABLE || event->type == SANDD_EVENT_RING_DRAINED)
    return sandd_ring_user(event->ring);
  return sandd_stream_user(event->stream);
}

void sandd_server_event(void *user, const sandd_event *event) {
  sandd_server *server = user;
  uint64_t now_us = sandd_carrier_now_us();
  switch (event->type) {
  case SANDD_EVENT_NONE:
  case SANDD_EVENT_IDENTITY_CHANGED: break;
  case SANDD_EVENT_SESSION_UP: sandd_daemon_up(server, event, now_us); break;
  case SANDD_EVENT_SESSION_AWAY: sandd_daemon_away(server, event); break;
  case SANDD_EVENT_SESSION_LOST: sandd_daemon_lost(server, event); break;
  case SANDD_EVENT_REFUSED: {
    sandd_conn *conn = event->link ? sandd_carrier_conn(event->link) : NULL;
    sandd_log(&server->log, SANDD_LOG_WARNING, "the connection from %s was refused: %s: %s",
              conn ? sandd_conn_peer(conn) : "?", sandd_status_name(event->status), event->text ? event->text : "");
    break;
  }
  case SANDD_EVENT_STREAM_OPENED: refuse_stream(event, now_us); break;
  default: {
    sandd_exec *exec = exec_of(event);
    if (exec)
      sandd_exec_event(exec, event, now_us);
  }
  }
}
