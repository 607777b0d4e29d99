// SPDX-License-Identifier: MIT
#include "link.h"
#include "notice.h"
#include "session.h"

#define B(name) SANDD__V1__FRAME__BODY_##name

static void wrong(sandd_link *link, const char *text, uint64_t now_us) {
  sandd_link_violation(link, STATUS(PROTOCOL_ERROR), text, now_us);
}

static void on_reply(sandd_link *link, uint64_t stamp, uint64_t now_us) {
  if (stamp > link->stamp) {
    wrong(link, "HeartbeatReply to a stamp that was never sent", now_us);
    return;
  }
  if (stamp && stamp <= now_us && stamp == link->beat) {
    link->round_trip = now_us - stamp ? now_us - stamp : 1;
    if (!link->least_trip || link->round_trip < link->least_trip)
      link->least_trip = link->round_trip;
  }
  if (link->proof && stamp >= link->proof) {
    link->proof = 0;
    sandd_link_received(link, now_us);
  }
  if (link->endpoint->server)
    sandd_server_reply(link, stamp, now_us);
}

static void on_heartbeat(sandd_link *link, uint64_t stamp) {
  const unsigned most = sizeof link->replies / sizeof link->replies[0];
  if (link->n_replies == most) { /* a peer that asks faster than it reads gets the newest ones */
    memmove(link->replies, link->replies + 1, (most - 1) * sizeof link->replies[0]);
    link->n_replies--;
  }
  link->replies[link->n_replies++] = stamp;
  sandd_link_mark(link);
}

static void on_opening(sandd_link *link, const Frame *frame, uint64_t now_us) {
  bool server = link->endpoint->server;
  switch ((int)frame->body_case) {
  case B(HELLO):
    if (!server || link->state != LINK_HELLO)
      wrong(link, "a Hello that is not the first frame", now_us);
    else
      sandd_server_hello(link, frame->hello, now_us);
    break;
  case B(WELCOME):
    if (server || link->state != LINK_WELCOME)
      wrong(link, "a Welcome that answers no Hello", now_us);
    else
      sandd_daemon_welcome(link, frame->welcome, now_us);
    break;
  default: wrong(link, "a frame before the session is open", now_us);
  }
}

static void on_goodbye(sandd_link *link, const Sandd__V1__Goodbye *goodbye, uint64_t now_us) {
  const Sandd__V1__Status *status = goodbye->status;
  int code = status ? (int)status->code : 0;
  const char *text = status ? status->message : "";
  sandd_session *session = link->session;
  if (link->endpoint->server && link->state != LINK_UP) {
    wrong(link, "a Goodbye before Hello", now_us);
    return;
  }
  if (!link->endpoint->server)
    sandd_daemon_goodbye(link, goodbye, now_us);
  if (session && session->link == link) {
    session->lost_retry_us = link->retry_after_us;
    sandd_session_lose(session, code, text, now_us);
  }
  sandd_link_drop(link, code, 1000, "goodbye", now_us);
}

void sandd_link_frame(sandd_link *link, const Frame *frame, uint64_t now_us) {
  if (link->state == LINK_DEAD || link->state == LINK_CLOSING)
    return;
  int body = (int)frame->body_case;
  bool is_link = sandd_body_kind(body) == BODY_LINK;
  const char *bad = sandd_frame_check_text(frame);
  if (bad) {
    sandd_link_violation(link, STATUS(BAD_MESSAGE), bad, now_us);
    return;
  }
  if (is_link && (frame->seq || frame->stream_id)) {
    wrong(link, "a link frame with a seq or a stream", now_us);
    return;
  }
  if (body == B(GOODBYE)) {
    on_goodbye(link, frame->goodbye, now_us);
    return;
  }
  if (link->state != LINK_UP || body == B(HELLO) || body == B(WELCOME)) {
    on_opening(link, frame, now_us);
    return;
  }
  if (link->endpoint->server && !link->confirmed)
    sandd_server_confirm(link, now_us);
  if (body == B(HEARTBEAT))
    on_heartbeat(link, frame->heartbeat->stamp);
  else if (body == B(HEARTBEAT_REPLY))
    on_reply(link, frame->heartbeat_reply->stamp, now_us);
  else
    sandd_frame_dispatch(link, frame, now_us);
}
