// SPDX-License-Identifier: MIT
#include "session.h"

#include "budget.h"
#include "inbox.h"
#include "link.h"
#include "notice.h"

sandd_session *sandd_session_new(sandd_endpoint *endpoint, uint64_t now_us) {
  sandd_session *session = sandd_alloc(endpoint, sizeof *session);
  if (!session)
    return NULL;
  session->endpoint = endpoint;
  session->next_id = endpoint->server ? 1 : 2;
  session->created_us = session->changed_us = now_us;
  list_init(&session->unacked);
  list_init(&session->pending);
  list_init(&session->stream_list);
  list_init(&session->due);
  list_init(&session->untold);
  list_init(&session->ready);
  if (endpoint->server) {
    session->recv = sandd_budget_new(endpoint, endpoint->recv_budget, endpoint->limits.channels);
    session->rings = sandd_budget_new(endpoint, endpoint->ring_budget, endpoint->ring_count);
  } else {
    session->recv = endpoint->recv;
    session->rings = endpoint->rings;
    session->recv->refs++;
    session->rings->refs++;
  }
  list_append(&endpoint->all_sessions, &session->all_node);
  if (session->recv && session->rings)
    return session;
  sandd_session_free(session);
  return NULL;
}

static void drop_controls(sandd_session *session, sandd_node *list) {
  sandd_node *node;
  while ((node = list_first(list)))
    sandd_control_drop(session, SANDD_OF(node, sandd_control, node));
}

void sandd_session_free(sandd_session *session) {
  sandd_endpoint *endpoint = session->endpoint;
  drop_controls(session, &session->unacked);
  drop_controls(session, &session->pending);
  sandd_map_free(&session->streams, &endpoint->allocator);
  if (endpoint->session == session)
    endpoint->session = NULL;
  list_remove(&session->all_node);
  list_remove(&session->timer_node);
  sandd_notice_drop(&session->notice);
  sandd_message_free(endpoint, (ProtobufCMessage *)session->hello);
  sandd_message_free(endpoint, (ProtobufCMessage *)session->welcome);
  sandd_free(endpoint, session->instance);
  sandd_free(endpoint, session->lost_text);
  sandd_budget_drop(session->recv);
  sandd_budget_drop(session->rings);
  sandd_free(endpoint, session);
}

void sandd_session_lose(sandd_session *session, int status, const char *text, uint64_t now_us) {
  sandd_endpoint *endpoint = session->endpoint;
  if (session->lost)
    return;
  session->lost = true;
  session->lost_status = status;
  if (text && *text)
    session->lost_text = sandd_copy_text(endpoint, text, strlen(text));
  if (session->link)
    session->link->session = NULL;
  session->link = NULL;
  session->changed_us = now_us;
  sandd_node *node;
  while ((node = list_first(&session->stream_list)))
    sandd_stream_lost(SANDD_OF(node, sandd_stream, session_node), now_us);
  drop_controls(session, &session->unacked);
  drop_controls(session, &session->pending);
  session->unacked_bytes = session->pending_bytes = session->n_urgent = session->n_finals = 0;
  list_remove(&session->timer_node);
  if (endpoint->server)
    sandd_server_forget(session);
  if (endpoint->session == session)
    endpoint->session = NULL;
  if (!session->told_up && !(session->notice.bits & BIT_UP)) {
    sandd_session_free(session);
    return;
  }
  unsigned bits = (session->notice.bits & BIT_UP) | BIT_LOST;
  sandd_notice_drop(&session->notice); /* to the end, behind what its streams have to tell */
  sandd_notice_add(endpoint, &session->notice, NOTICE_SESSION, bits);
}

void sandd_session_adopt(sandd_session *session, sandd_link *link, uint64_t peer_last, uint64_t now_us) {
  if (session->link && session->link != link) {
    sandd_link *old = session->link;
    session->link = NULL;
    old->session = NULL;
    sandd_link_drop(old, STATUS(REPLACED), sandd_status_close_code(STATUS(REPLACED)), "replaced by a newer connection",
                    now_us);
  }
  list_remove(&session->timer_node);
  sandd_control_ack(session, peer_last);
  sandd_link_up(link, session, now_us);
  link->next_control = RULE(session->endpoint, REPLAY) ? session->acked + 1 : session->out_seq + 1;
  LIST_EACH(&session->stream_list, node) {
    sandd_stream *stream = SANDD_OF(node, sandd_stream, session_node);
    for (int c = 1; c < CHANNELS; c++) {
      if (stream->out[c] && RULE(session->endpoint, WAIT_WINDOW))
        stream->out[c]->wait = stream->opened;
      if (stream->in[c])
        sandd_inbox_due(stream->in[c]);
    }
    sandd_stream_ready(stream);
  }
  sandd_link_mark(link);
}

void sandd_session_away(sandd_session *session, uint64_t now_us) {
  sandd_endpoint *endpoint = session->endpoint;
  session->link = NULL;
  session->changed_us = now_us;
  list_remove(&session->timer_node);
  list_append(session->confirmed || !endpoint->server ? &endpoint->away : &endpoint->unconfirmed, &session->timer_node);
  if (session->told_up || (session->notice.bits & BIT_UP))
    sandd_notice_add(endpoint, &session->notice, NOTICE_SESSION, BIT_AWAY);
}

void sandd_session_up(sandd_session *session, bool resumed, uint64_t now_us) {
  session->resumed = resumed;
  session->changed_us = now_us;
  sandd_notice_add(session->endpoint, &session->notice, NOTICE_SESSION, BIT_UP);
}

void sandd_session_set_user(sandd_session *session, void *user) {
  session->user = user;
}
void *sandd_session_user(const sandd_session *session) {
  return session->user;
}
sandd_link *sandd_session_link(const sandd_session *session) {
  return session->link && session->link->confirmed && session->link->state == LINK_UP ? session->link : NULL;
}
const Hello *sandd_session_hello(const sandd_session *session) {
  return session->hello;
}
uint64_t sandd_session_created_us(const sandd_session *session) {
  return session->created_us;
}
uint64_t sandd_session_changed_us(const sandd_session *session) {
  return session->changed_us;
}
const sandd_limits *sandd_session_peer_limits(const sandd_session *session) {
  return &session->peer;
}
uint64_t sandd_session_retention_us(const sandd_session *session) {
  return session->retention_us;
}
size_t sandd_session_stream_count(const sandd_session *session) {
  return session->n_streams;
}

bool sandd_session_peer_has(const sandd_session *session, const char *capability, const char **off_reason) {
  Sandd__V1__Capability **list = NULL;
  size_t n = 0;
  if (off_reason)
    *off_reason = NULL;
  if (session->hello)
    list = session->hello->capabilities, n = session->hello->n_capabilities;
  if (session->welcome)
    list = session->welcome->capabilities, n = session->welcome->n_capabilities;
  for (size_t i = 0; i < n; i++) {
    if (strcmp(list[i]->name, capability))
      continue;
    if (!*list[i]->off_reason)
      return true;
    if (off_reason)
      *off_reason = list[i]->off_reason;
    return false;
  }
  return false;
}

void sandd_session_goodbye(sandd_session *session, int status, const char *text, uint64_t retry_after_us,
                           uint64_t now_us) {
  sandd_link *link = session->link;
  sandd_session_lose(session, status, text, now_us);
  if (link)
    sandd_link_goodbye(link, status, text, retry_after_us, now_us);
}
