// SPDX-License-Identifier: MIT
/* What the application is told, in order: what waits in notices, then the frame handled last, then the next frame. */
#include "notice.h"

#include "link.h"
#include "session.h"

void sandd_notice_add(sandd_endpoint *endpoint, sandd_notice *notice, notice_kind kind, unsigned bits) {
  notice->kind = kind;
  notice->bits |= bits;
  if (!list_linked(&notice->node))
    list_append(&endpoint->notices, &notice->node);
}

void sandd_notice_drop(sandd_notice *notice) {
  list_remove(&notice->node);
  notice->bits = 0;
}

void sandd_link_mark(sandd_link *link) {
  if (link && !list_linked(&link->ready_node))
    list_append(&link->endpoint->ready, &link->ready_node);
}

static void session_event(sandd_endpoint *endpoint, sandd_session *session, sandd_event *event, unsigned bit) {
  event->session = session;
  event->link = session->link;
  if (bit == BIT_UP) {
    event->type = SANDD_EVENT_SESSION_UP;
    event->resumed = session->resumed && session->told_up;
    session->told_up = true;
  } else if (bit == BIT_AWAY) {
    event->type = SANDD_EVENT_SESSION_AWAY;
  } else {
    event->type = SANDD_EVENT_SESSION_LOST;
    event->status = session->lost_status;
    event->text = session->lost_text ? session->lost_text : "";
    event->retry_after_us = session->lost_retry_us;
    endpoint->dying = session;
  }
}

static void stream_event(sandd_stream *stream, sandd_event *event, unsigned bit) {
  event->stream = stream;
  event->session = stream->session;
  if (bit == BIT_CLOSED) {
    event->type = SANDD_EVENT_STREAM_CLOSED;
    return;
  }
  event->type = SANDD_EVENT_STREAM_ENDED;
  event->status = stream->status;
  event->text = stream->text ? stream->text : "";
  event->errno_name = stream->errno_name ? stream->errno_name : "";
  event->earliest_offset = stream->earliest;
  event->by_reset = stream->reset_in;
}

static void link_event(sandd_link *link, sandd_event *event) {
  event->type = SANDD_EVENT_REFUSED;
  event->link = link;
  event->status = link->status;
  event->text = link->text;
  event->retry_after_us = link->retry_after_us;
}

/* Which of several things comes first. */
static unsigned first_bit(const sandd_notice *notice) {
  static const unsigned order[] = {BIT_ENDED,   BIT_CLOSED,  BIT_READABLE, BIT_WRITABLE,
                                   BIT_DRAINED, BIT_REFUSED, BIT_IDENTITY};
  if (notice->kind == NOTICE_SESSION) {
    const sandd_session *session = SANDD_OF(notice, sandd_session, notice);
    unsigned first = session->link ? BIT_AWAY : BIT_UP, second = BIT_AWAY + BIT_UP - first;
    return notice->bits & first ? first : notice->bits & second ? second : notice->bits & BIT_LOST;
  }
  for (size_t i = 0; i < sizeof order / sizeof order[0]; i++)
    if (notice->bits & order[i])
      return order[i];
  return 0;
}

static bool tell_notice(sandd_endpoint *endpoint, sandd_event *event) {
  sandd_node *node = list_first(&endpoint->notices);
  if (!node)
    return false;
  sandd_notice *notice = SANDD_OF(node, sandd_notice, node);
  unsigned bit = first_bit(notice);
  list_remove(node);
  notice->bits &= ~bit;
  if (notice->bits)
    list_insert(endpoint->notices.next, node);
  switch (notice->kind) {
  case NOTICE_LINK: link_event(SANDD_OF(notice, sandd_link, notice), event); break;
  case NOTICE_SESSION: session_event(endpoint, SANDD_OF(notice, sandd_session, notice), event, bit); break;
  case NOTICE_STREAM: stream_event(SANDD_OF(notice, sandd_stream, notice), event, bit); break;
  case NOTICE_INBOX:
    event->type = SANDD_EVENT_INBOX_READABLE;
    event->inbox = SANDD_OF(notice, sandd_inbox, notice);
    event->stream = event->inbox->stream;
    event->session = event->stream ? event->stream->session : NULL;
    break;
  case NOTICE_RING:
    event->type = bit == BIT_WRITABLE ? SANDD_EVENT_RING_WRITABLE : SANDD_EVENT_RING_DRAINED;
    event->ring = SANDD_OF(notice, sandd_ring, notice);
    break;
  case NOTICE_IDENTITY:
    event->type = SANDD_EVENT_IDENTITY_CHANGED;
    event->text = endpoint->daemon_id;
    break;
  }
  return true;
}

/* Handles the next frame of the packet in hand. False when there is none. */
static bool handle_next_frame(sandd_endpoint *endpoint, uint64_t now_us) {
  Sandd__V1__Packet *packet = endpoint->packet;
  sandd_link *link = endpoint->packet_link;
  if (!packet)
    return false;
  if (!link || link->state == LINK_DEAD || link->state == LINK_CLOSING || endpoint->packet_at >= packet->n_frames) {
    endpoint->packet = NULL;
    endpoint->packet_link = NULL;
    sandd_arena_reset(&endpoint->arena, 0);
    return false;
  }
  sandd_link_frame(link, packet->frames[endpoint->packet_at++], now_us);
  return true;
}

int sandd_endpoint_next_event(sandd_endpoint *endpoint, sandd_event *event, uint64_t now_us) {
  static const sandd_event none = {.text = "", .errno_name = ""};
  if (endpoint->dying) {
    sandd_session_free(endpoint->dying);
    endpoint->dying = NULL;
  }
  do {
    *event = none;
    if (tell_notice(endpoint, event))
      return 1;
    if (endpoint->direct.type != SANDD_EVENT_NONE) {
      *event = endpoint->direct;
      endpoint->direct.type = SANDD_EVENT_NONE;
      /* A notice told in between may have had the application release it. */
      if (event->stream && !event->stream->released)
        return 1;
    }
  } while (handle_next_frame(endpoint, now_us));
  return 0;
}
