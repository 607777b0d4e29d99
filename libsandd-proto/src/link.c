// SPDX-License-Identifier: MIT
#include "link.h"

#include "notice.h"
#include "session.h"

#define B(name)     SANDD__V1__FRAME__BODY_##name
#define SOFT_PACKET CHUNK /* a packet that has so much is full enough */

/* Life of one connection:
 *
 *   server: HELLO --Hello--> UP            daemon: WELCOME --Welcome--> UP
 *             |  \--Hello, id is taken--> PROBING --old one silent--> UP
 *   any state --Goodbye to say--> CLOSING --said--> DEAD
 *   any state --violation, silence, replaced--> DEAD
 */

static void set_text(sandd_link *link, const char *text) {
  size_t len = text ? strlen(text) : 0;
  if (len >= sizeof link->text)
    len = sizeof link->text - 1;
  while (len && text[len] && ((unsigned char)text[len] & 0xc0) == 0x80)
    len--; /* whole characters only */
  if (len)
    memcpy(link->text, text, len);
  link->text[len] = 0;
}

int sandd_link_new(sandd_link **out, sandd_endpoint *endpoint, uint64_t now_us) {
  sandd_link *link = sandd_alloc(endpoint, sizeof *link);
  if (!link)
    return SANDD_E_NOMEM;
  link->endpoint = endpoint;
  link->state = endpoint->server ? LINK_HELLO : LINK_WELCOME;
  link->born = link->received = now_us;
  link->ack_due = link->beat_at = NEVER;
  if (!endpoint->server && !sandd_daemon_hello(link)) {
    sandd_free(endpoint, link);
    return SANDD_E_NOMEM;
  }
  list_append(&endpoint->all_links, &link->all_node);
  if (!endpoint->server) {
    sandd_link *old = endpoint->dialled;
    endpoint->dialled = link;
    if (old && RULE(endpoint, DISCARD_OLD_LINK))
      sandd_link_drop(old, STATUS(REPLACED), 1000, "dialled again", now_us);
    sandd_link_mark(link);
  }
  link->deadline = sandd_link_deadline(link);
  *out = link;
  return 0;
}

static void release_frames(sandd_link *link) {
  sandd_control_free(link->endpoint, link->first);
  sandd_control_free(link->endpoint, link->goodbye);
  link->first = link->goodbye = NULL;
  sandd_message_free(link->endpoint, (ProtobufCMessage *)link->hello);
  link->hello = NULL;
}

/* Leaves its session, whatever it was. */
static void unlink_session(sandd_link *link, uint64_t now_us) {
  sandd_session *session = link->session;
  link->session = NULL;
  if (session && session->link == link)
    sandd_session_away(session, now_us);
  if (link->endpoint->server)
    sandd_server_link_gone(link, now_us);
}

void sandd_link_free(sandd_link *link, uint64_t now_us) {
  if (!link)
    return;
  sandd_endpoint *endpoint = link->endpoint;
  link->state = LINK_DEAD;
  unlink_session(link, now_us);
  release_frames(link);
  if (endpoint->dialled == link)
    endpoint->dialled = NULL;
  if (endpoint->packet_link == link)
    endpoint->packet_link = NULL;
  if (endpoint->direct.link == link)
    endpoint->direct.link = NULL;
  list_remove(&link->all_node);
  list_remove(&link->ready_node);
  list_remove(&link->probe_node);
  sandd_notice_drop(&link->notice);
  sandd_free(endpoint, link);
}

static void tell_refused(sandd_link *link) {
  sandd_notice_add(link->endpoint, &link->notice, NOTICE_LINK, BIT_REFUSED);
}

void sandd_link_drop(sandd_link *link, int status, uint16_t code, const char *text, uint64_t now_us) {
  if (link->state == LINK_DEAD)
    return;
  bool opening = link->state != LINK_UP;
  link->state = LINK_DEAD;
  link->error = status == STATUS(RESOURCE_EXHAUSTED) ? SANDD_E_NOMEM : SANDD_E_CLOSED;
  link->status = status;
  link->close_code = code;
  link->close_wanted = true;
  set_text(link, text);
  unlink_session(link, now_us);
  release_frames(link);
  if (opening && status != STATUS(REPLACED))
    tell_refused(link);
  sandd_link_mark(link);
}

void sandd_link_violation(sandd_link *link, int status, const char *text, uint64_t now_us) {
  if (link->state == LINK_DEAD)
    return;
  sandd_session *session = link->session;
  if (session && session->link == link)
    sandd_session_lose(session, status, text, now_us);
  sandd_link_drop(link, status, sandd_status_close_code(status), text, now_us);
  link->error = status == STATUS(MESSAGE_TOO_LARGE) ? SANDD_E_TOO_LARGE : SANDD_E_PROTOCOL;
}

void sandd_link_fail(sandd_link *link, int status, const char *text, uint64_t now_us) {
  sandd_link_violation(link, status, text, now_us);
}

void sandd_link_closed_by_peer(sandd_link *link, uint16_t code, uint64_t now_us) {
  if (link->state == LINK_DEAD || !link->session)
    return;
  int status = code >= 4000 ? code - 4000 : STATUS(BAD_MESSAGE);
  bool fatal = code == 1003 || code == 1007 || code == 1009 ||
               (code > 4000 && status != STATUS(REPLACED) && status != STATUS(OPENING_TIMEOUT) &&
                status != STATUS(HEARTBEAT_TIMEOUT));
  if (fatal)
    sandd_session_lose(link->session, status, "the peer closed the connection for an error of ours", now_us);
}

void sandd_link_goodbye(sandd_link *link, int status, const char *text, uint64_t retry_after_us, uint64_t now_us) {
  if (link->state == LINK_DEAD || link->state == LINK_CLOSING)
    return;
  Sandd__V1__Status message = SANDD__V1__STATUS__INIT;
  Sandd__V1__Goodbye goodbye = SANDD__V1__GOODBYE__INIT;
  Frame frame = SANDD__V1__FRAME__INIT;
  message.code = (Sandd__V1__StatusCode)status;
  if (text)
    message.message = (char *)text;
  goodbye.status = &message;
  goodbye.retry_after_ns = (int64_t)(retry_after_us * 1000);
  frame.body_case = B(GOODBYE);
  frame.goodbye = &goodbye;
  sandd_control *control = sandd_control_new(link->endpoint, &frame);
  bool opening = link->state != LINK_UP;
  unlink_session(link, now_us);
  link->state = control ? LINK_CLOSING : LINK_DEAD;
  link->goodbye = control;
  link->error = SANDD_E_CLOSED;
  link->status = status;
  link->close_code = 1000;
  link->close_wanted = !control;
  link->retry_after_us = retry_after_us;
  link->born = now_us; /* so long it may take to say */
  set_text(link, text);
  if (opening)
    tell_refused(link);
  sandd_link_mark(link);
}

void sandd_link_up(sandd_link *link, sandd_session *session, uint64_t now_us) {
  link->session = session;
  session->link = link;
  link->state = LINK_UP;
  link->confirmed = !link->endpoint->server;
  link->beat_at = now_us + session->heartbeat_us;
}

void sandd_link_beat(sandd_link *link, uint64_t now_us) {
  link->beat = now_us > link->stamp ? now_us : link->stamp + 1; /* the stamp is the time, so that the echo measures */
  link->stamp = link->beat;
  link->beat_due = true;
  sandd_link_mark(link);
}

/* Time in which nobody called us does not count as the peer's silence; after a long pause (the machine slept) only an
 * echo of something that we say from now on proves that the peer is there. */
static void clock_moved(sandd_link *link, uint64_t now_us) {
  if (link->deadline == NEVER || now_us <= link->deadline)
    return;
  uint64_t late = now_us - link->deadline;
  link->deadline = now_us; /* counted once */
  link->born += late;
  if (link->received + late < now_us)
    link->received += late;
  else
    link->received = now_us;
  if (late > JUMP_US && link->state == LINK_UP && !link->proof) {
    sandd_link_beat(link, now_us);
    link->proof = link->beat;
    link->suspect = false;
    link->received = now_us;
  }
}

void sandd_link_received(sandd_link *link, uint64_t now_us) {
  clock_moved(link, now_us);
  if (!link->proof) {
    link->received = now_us;
    link->suspect = false;
  }
  link->deadline = sandd_link_deadline(link);
}

static uint64_t silence_limit(const sandd_link *link) {
  if (link->state == LINK_HELLO || link->state == LINK_WELCOME)
    return link->born + OPENING_US;
  if (link->state == LINK_UP)
    return link->received + 3 * link->session->heartbeat_us;
  if (link->state == LINK_CLOSING)
    return link->born + OPENING_US;
  return NEVER;
}

uint64_t sandd_link_deadline(const sandd_link *link) {
  if (link->state == LINK_DEAD)
    return NEVER;
  uint64_t at = silence_limit(link);
  if (link->suspect)
    at = link->deadline; /* again, as soon as the socket was looked at */
  if (link->state == LINK_UP) {
    uint64_t other = sandd_schedule_deadline(link->session);
    if (link->ack_due < at)
      at = link->ack_due;
    if (link->beat_at < at)
      at = link->beat_at;
    if (other < at)
      at = other;
  }
  return at;
}

void sandd_link_timer(sandd_link *link) {
  if (!link)
    return;
  uint64_t at = sandd_link_deadline(link);
  if (at < link->deadline)
    link->deadline = at;
  sandd_link_mark(link); /* so that the carrier looks at the deadline again */
}

static void judge_silence(sandd_link *link, uint64_t now_us) {
  if (silence_limit(link) > now_us) {
    link->suspect = false;
    return;
  }
  if (link->state == LINK_CLOSING) {
    link->state = LINK_DEAD;
    link->close_wanted = true;
    sandd_link_mark(link);
  } else if (!link->suspect) {
    link->suspect = true; /* what waits in the socket is read before the second look */
  } else if (link->state == LINK_UP) {
    sandd_link_drop(link, STATUS(HEARTBEAT_TIMEOUT), 0, "three heartbeats were missed", now_us);
  } else {
    sandd_link_drop(link, STATUS(OPENING_TIMEOUT), sandd_status_close_code(STATUS(OPENING_TIMEOUT)),
                    "nothing came within 10 seconds of opening", now_us);
  }
}

void sandd_link_tick(sandd_link *link, uint64_t now_us) {
  clock_moved(link, now_us);
  judge_silence(link, now_us);
  if (link->state == LINK_UP) {
    if (now_us >= link->beat_at) {
      sandd_link_beat(link, now_us);
      link->beat_at = now_us + link->session->heartbeat_us;
    }
    sandd_schedule_tick(link->session, now_us);
    if (now_us >= link->ack_due)
      sandd_link_mark(link);
  }
  link->deadline = link->suspect ? now_us : sandd_link_deadline(link);
}

int sandd_link_feed(sandd_link *link, const uint8_t *data, size_t len, uint64_t now_us) {
  sandd_endpoint *endpoint = link->endpoint;
  if (link->state == LINK_DEAD || link->state == LINK_CLOSING)
    return link->error;
  if (endpoint->packet)
    return SANDD_E_STATE;
  sandd_link_received(link, now_us);
  if (len > sandd_link_feed_cap(link)) {
    sandd_link_violation(link, STATUS(MESSAGE_TOO_LARGE), "the message is above the limit", now_us);
    return link->error;
  }
  Sandd__V1__Packet *packet = NULL;
  const char *why = NULL;
  int error = sandd_packet_decode(endpoint, data, len, sandd_link_feed_cap(link), &packet, &why);
  if (error == SANDD_E_NOMEM) {
    sandd_link_drop(link, STATUS(RESOURCE_EXHAUSTED), 0, why, now_us);
    return error;
  }
  if (error) {
    sandd_link_violation(link, error == SANDD_E_TOO_LARGE ? STATUS(MESSAGE_TOO_LARGE) : STATUS(BAD_MESSAGE), why,
                         now_us);
    return link->error;
  }
  if (link->state == LINK_UP) {
    const char *wrong = sandd_control_ack(link->session, packet->ack);
    if (wrong) {
      sandd_link_violation(link, STATUS(PROTOCOL_ERROR), wrong, now_us);
      return link->error;
    }
    if (!list_empty(&link->session->pending))
      sandd_link_mark(link); /* the replay buffer may have room now */
  }
  endpoint->packet = packet;
  endpoint->packet_at = 0;
  endpoint->packet_link = link;
  return 0;
}

static bool add_link_frame(packet_writer *writer, int body, uint64_t stamp) {
  Sandd__V1__Heartbeat beat = SANDD__V1__HEARTBEAT__INIT;
  Sandd__V1__HeartbeatReply reply = SANDD__V1__HEARTBEAT_REPLY__INIT;
  Frame frame = SANDD__V1__FRAME__INIT;
  frame.body_case = (Sandd__V1__Frame__BodyCase)body;
  beat.stamp = reply.stamp = stamp;
  if (body == B(HEARTBEAT))
    frame.heartbeat = &beat;
  else
    frame.heartbeat_reply = &reply;
  return packet_add(writer, &frame);
}

static void add_link_frames(sandd_link *link, packet_writer *writer) {
  if (link->first && packet_add_control(writer, link->first)) {
    sandd_control_free(link->endpoint, link->first);
    link->first = NULL;
  }
  if (link->first || link->state != LINK_UP)
    return;
  if (link->beat_due && add_link_frame(writer, B(HEARTBEAT), link->beat))
    link->beat_due = false;
  unsigned sent = 0;
  while (sent < link->n_replies && add_link_frame(writer, B(HEARTBEAT_REPLY), link->replies[sent]))
    sent++;
  link->n_replies -= sent;
  memmove(link->replies, link->replies + sent, link->n_replies * sizeof link->replies[0]);
}

static int pull_last(sandd_link *link, packet_writer *writer) {
  if (link->goodbye && packet_add_control(writer, link->goodbye)) {
    sandd_control_free(link->endpoint, link->goodbye);
    link->goodbye = NULL;
  }
  if (!link->goodbye) {
    link->state = LINK_DEAD;
    link->close_wanted = true;
  }
  return 0;
}

bool sandd_link_has_output(const sandd_link *link, uint64_t now_us) {
  if (link->state == LINK_DEAD)
    return false;
  if (link->first || link->goodbye || link->state == LINK_CLOSING)
    return true;
  const sandd_session *session = link->session;
  if (link->state != LINK_UP)
    return false;
  return link->beat_due || link->n_replies || now_us >= link->ack_due || session->n_urgent ||
         link->next_control <= session->out_seq || sandd_schedule_pending(session);
}

int sandd_link_pull(sandd_link *link, uint8_t *buf, size_t cap, size_t *len, uint64_t now_us) {
  *len = 0;
  if (link->state == LINK_DEAD)
    return 0;
  clock_moved(link, now_us);
  if (!sandd_link_has_output(link, now_us)) {
    list_remove(&link->ready_node);
    return 0;
  }
  sandd_session *session = link->state == LINK_UP ? link->session : NULL;
  size_t most = sandd_link_pull_cap(link);
  packet_writer writer;
  packet_begin(&writer, buf, cap < most ? cap : most, session ? (link->last_ack = session->in_seq) : link->last_ack);
  if (link->state == LINK_CLOSING && !link->first) {
    pull_last(link, &writer);
    *len = writer.len;
    return 0;
  }
  add_link_frames(link, &writer);
  if (session && !link->first && sandd_control_fill(session, &writer))
    sandd_schedule_fill(session, &writer, SOFT_PACKET < writer.cap ? SOFT_PACKET : writer.cap, now_us);
  if (!writer.frames && !(session && now_us >= link->ack_due)) {
    list_remove(&link->ready_node);
    return 0;
  }
  link->ack_due = NEVER;
  link->deadline = sandd_link_deadline(link);
  *len = writer.len;
  return 0;
}

size_t sandd_link_pull_cap(const sandd_link *link) {
  return link->state == LINK_UP && link->session ? (size_t)link->session->peer.message_bytes : FIRST_MESSAGE;
}

size_t sandd_link_feed_cap(const sandd_link *link) {
  return link->state == LINK_HELLO || link->state == LINK_WELCOME ? FIRST_MESSAGE
                                                                  : (size_t)link->endpoint->limits.message_bytes;
}

bool sandd_link_closing(const sandd_link *link, uint16_t *code, const char **text) {
  if (code)
    *code = link->close_code;
  if (text)
    *text = link->text;
  return link->close_wanted;
}

void sandd_link_set_user(sandd_link *link, void *user) {
  link->user = user;
}
void *sandd_link_user(const sandd_link *link) {
  return link->user;
}
sandd_session *sandd_link_session(const sandd_link *link) {
  return link->session;
}
uint64_t sandd_link_round_trip_us(const sandd_link *link) {
  return link->round_trip;
}
uint64_t sandd_link_last_received_us(const sandd_link *link) {
  return link->received;
}
