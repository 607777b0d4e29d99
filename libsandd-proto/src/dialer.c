// SPDX-License-Identifier: MIT
/* The daemon's side of opening and resume. */
#include "hello.h"
#include "link.h"
#include "notice.h"
#include "session.h"

#define B(name) SANDD__V1__FRAME__BODY_##name

bool sandd_daemon_hello(sandd_link *link) {
  sandd_endpoint *endpoint = link->endpoint;
  sandd_session *session = endpoint->session;
  Hello hello = *endpoint->self; /* shallow: only borrowed for packing */
  Sandd__V1__Resume resume = SANDD__V1__RESUME__INIT;
  Frame frame = SANDD__V1__FRAME__INIT;
  hello.daemon_id = endpoint->daemon_id;
  hello.instance_id = endpoint->instance_id;
  hello.attempt = endpoint->attempt + 1;
  if (session) {
    resume.session_id = (ProtobufCBinaryData){.len = session->id_len, .data = session->id};
    resume.secret = (ProtobufCBinaryData){.len = session->secret_len, .data = session->secret};
    resume.last_seq = session->in_seq;
    hello.resume = &resume;
    link->offered = true;
  }
  frame.body_case = B(HELLO);
  frame.hello = &hello;
  link->first = sandd_control_new(endpoint, &frame);
  if (!link->first)
    return false;
  endpoint->attempt++;
  return true;
}

static bool take_secret(sandd_session *session, const ProtobufCBinaryData *secret) {
  if (secret->len < 16 || secret->len > sizeof session->secret)
    return false;
  memcpy(session->secret, secret->data, secret->len);
  session->secret_len = secret->len;
  return true;
}

static bool take_terms(sandd_session *session, const Sandd__V1__Welcome *welcome) {
  sandd_endpoint *endpoint = session->endpoint;
  Sandd__V1__Welcome *copy = (Sandd__V1__Welcome *)sandd_message_copy(endpoint, &welcome->base);
  if (!copy)
    return false;
  if (copy->secret.len)
    memset(copy->secret.data, 0, copy->secret.len);
  sandd_message_free(endpoint, session->welcome ? &session->welcome->base : NULL);
  session->welcome = copy;
  sandd_limits_read(&session->peer, welcome->limits);
  session->heartbeat_us =
      welcome->heartbeat_interval_ns > 0 ? (uint64_t)welcome->heartbeat_interval_ns / 1000 : 10 * SECOND;
  if (session->heartbeat_us < MS)
    session->heartbeat_us = MS;
  session->retention_us =
      welcome->session_retention_ns > 0 ? (uint64_t)welcome->session_retention_ns / 1000 : 600 * SECOND;
  return true;
}

static void no_memory(sandd_link *link, uint64_t now_us) {
  sandd_link_drop(link, STATUS(RESOURCE_EXHAUSTED), 0, "out of memory", now_us);
}

static void resumed(sandd_link *link, const Sandd__V1__Welcome *welcome, uint64_t now_us) {
  sandd_session *session = link->endpoint->session;
  if (!session && link->offered) { /* its time passed while Hello was on its way */
    sandd_link_drop(link, STATUS(SESSION_LOST), 1000, "the session was given up in the meantime", now_us);
    return;
  }
  if (!session || welcome->session_id.len != session->id_len ||
      memcmp(welcome->session_id.data, session->id, session->id_len)) {
    sandd_link_violation(link, STATUS(PROTOCOL_ERROR), "Welcome resumes a session that was not offered", now_us);
    return;
  }
  if ((welcome->last_seq > session->out_seq || welcome->last_seq < session->acked) && RULE(link->endpoint, SEQ_CHECK)) {
    /* The server saw frames that this daemon never sent: it was set back. Only a new session is safe. */
    sandd_session_lose(session, STATUS(SESSION_LOST), "the server is ahead of this daemon", now_us);
    sandd_link_drop(link, STATUS(PROTOCOL_ERROR), sandd_status_close_code(STATUS(PROTOCOL_ERROR)),
                    "the server is ahead of this daemon", now_us);
    return;
  }
  if (!take_terms(session, welcome)) {
    no_memory(link, now_us);
    return;
  }
  if (!take_secret(session, &welcome->secret)) {
    sandd_link_violation(link, STATUS(PROTOCOL_ERROR), "Welcome has a secret of a wrong length", now_us);
    return;
  }
  sandd_session_adopt(session, link, welcome->last_seq < session->acked ? session->acked : welcome->last_seq, now_us);
  sandd_session_up(session, true, now_us);
}

static void begun(sandd_link *link, const Sandd__V1__Welcome *welcome, uint64_t now_us) {
  sandd_endpoint *endpoint = link->endpoint;
  if (welcome->session_id.len < 16 || welcome->session_id.len > sizeof endpoint->session->id || welcome->last_seq) {
    sandd_link_violation(link, STATUS(PROTOCOL_ERROR), "Welcome has a session id of a wrong length or a last seq",
                         now_us);
    return;
  }
  sandd_session *session = sandd_session_new(endpoint, now_us);
  if (!session || !take_terms(session, welcome)) {
    if (session)
      sandd_session_free(session);
    no_memory(link, now_us);
    return;
  }
  if (!take_secret(session, &welcome->secret)) {
    sandd_session_free(session);
    sandd_link_violation(link, STATUS(PROTOCOL_ERROR), "Welcome has a secret of a wrong length", now_us);
    return;
  }
  if (endpoint->session)
    sandd_session_lose(endpoint->session, STATUS(SESSION_LOST), "the server does not know the session any more",
                       now_us);
  memcpy(session->id, welcome->session_id.data, welcome->session_id.len);
  session->id_len = welcome->session_id.len;
  session->confirmed = true;
  endpoint->session = session;
  sandd_session_adopt(session, link, 0, now_us);
  sandd_session_up(session, false, now_us);
}

void sandd_daemon_welcome(sandd_link *link, const Sandd__V1__Welcome *welcome, uint64_t now_us) {
  if (welcome->version != 1) {
    sandd_link_violation(link, STATUS(PROTOCOL_ERROR), "Welcome chose a version that was not offered", now_us);
    return;
  }
  if (welcome->resumed)
    resumed(link, welcome, now_us);
  else
    begun(link, welcome, now_us);
  if (link->state == LINK_UP)
    sandd_link_beat(link, now_us); /* the frame that confirms */
}

/* A clone can't take the original's place: it becomes somebody else, recognisably. */
static bool new_identity(sandd_endpoint *endpoint) {
  static const char hex[] = "0123456789abcdef";
  uint8_t bytes[18];
  size_t base = endpoint->base_id_len;
  char *id = sandd_alloc(endpoint, base + 6), *instance = sandd_alloc(endpoint, 33);
  if (!id || !instance) {
    sandd_free(endpoint, id);
    sandd_free(endpoint, instance);
    return false;
  }
  endpoint->random(endpoint->random_ctx, bytes, sizeof bytes);
  memcpy(id, endpoint->daemon_id, base);
  if (RULE(endpoint, CLONE_NEW_ID)) {
    id[base] = '+';
    for (int i = 0; i < 4; i++)
      id[base + 1 + (size_t)i] = hex[bytes[i / 2] >> (i % 2 ? 0 : 4) & 15];
  }
  for (int i = 0; i < 32; i++)
    instance[i] = hex[bytes[2 + i / 2] >> (i % 2 ? 0 : 4) & 15];
  sandd_free(endpoint, endpoint->daemon_id);
  sandd_free(endpoint, endpoint->instance_id);
  endpoint->daemon_id = id;
  endpoint->instance_id = instance;
  endpoint->attempt = 0;
  return true;
}

void sandd_daemon_goodbye(sandd_link *link, const Sandd__V1__Goodbye *goodbye, uint64_t now_us) {
  sandd_endpoint *endpoint = link->endpoint;
  int code = goodbye->status ? (int)goodbye->status->code : 0;
  link->retry_after_us = goodbye->retry_after_ns > 0 ? (uint64_t)goodbye->retry_after_ns / 1000 : 0;
  if (link->state == LINK_WELCOME && endpoint->session) /* the session that was offered is refused with it */
    sandd_session_lose(endpoint->session, code, goodbye->status ? goodbye->status->message : "", now_us);
  if (code == STATUS(CLONE) && new_identity(endpoint))
    sandd_notice_add(endpoint, &endpoint->identity, NOTICE_IDENTITY, BIT_IDENTITY);
}
