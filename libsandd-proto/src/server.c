// SPDX-License-Identifier: MIT
/* The server's side of opening and resume: who may take a session over, and who is told to go away. */
#include "hello.h"
#include "link.h"
#include "notice.h"
#include "session.h"

#define B(name)          SANDD__V1__FRAME__BODY_##name
#define HEARTBEAT_MIN_US (50 * MS)

static void random_bytes(sandd_endpoint *endpoint, uint8_t *out, size_t len) {
  endpoint->random(endpoint->random_ctx, out, len);
}

static uint64_t id_key(const uint8_t *id, size_t len) {
  uint64_t key = 0;
  if (len)
    memcpy(&key, id, len < sizeof key ? len : sizeof key); /* session ids are random */
  return key;
}

static sandd_session *find_by_id(const sandd_endpoint *endpoint, const uint8_t *id, size_t len) {
  for (sandd_map_node *n = sandd_map_get(&endpoint->sessions, id_key(id, len)); n; n = sandd_map_again(n)) {
    sandd_session *session = SANDD_OF(n, sandd_session, map_node);
    if (session->id_len == len && !memcmp(session->id, id, len))
      return session;
  }
  return NULL;
}

static sandd_name *find_name(const sandd_endpoint *endpoint, const char *id) {
  for (sandd_map_node *n = sandd_map_get(&endpoint->names, sandd_map_hash(id, strlen(id), endpoint->hash_seed)); n;
       n = sandd_map_again(n))
    if (!strcmp(SANDD_OF(n, sandd_name, map_node)->id, id))
      return SANDD_OF(n, sandd_name, map_node);
  return NULL;
}

static sandd_name *make_name(sandd_endpoint *endpoint, const char *id) {
  sandd_name *name = find_name(endpoint, id);
  size_t len = strlen(id);
  if (name || !(name = sandd_alloc(endpoint, sizeof *name + len + 1)))
    return name;
  memcpy(name->id, id, len);
  list_init(&name->sessions);
  sandd_map_put(&endpoint->names, &endpoint->allocator, &name->map_node, sandd_map_hash(id, len, endpoint->hash_seed));
  return name;
}

static void drop_name_if_unused(sandd_endpoint *endpoint, sandd_name *name) {
  if (!list_empty(&name->sessions) || name->probing)
    return;
  sandd_map_remove(&endpoint->names, &name->map_node);
  sandd_free(endpoint, name);
}

sandd_session *sandd_endpoint_find(sandd_endpoint *endpoint, const char *daemon_id) {
  sandd_name *name = find_name(endpoint, daemon_id);
  sandd_session *session = name ? name->current : NULL;
  return session && (session->confirmed || !RULE(endpoint, PROVISIONAL)) ? session : NULL;
}

void sandd_server_forget(sandd_session *session) {
  sandd_endpoint *endpoint = session->endpoint;
  sandd_name *name = session->name;
  sandd_map_remove(&endpoint->sessions, &session->map_node);
  if (!name)
    return;
  list_remove(&session->name_node);
  if (name->current == session)
    name->current = NULL;
  session->name = NULL;
  drop_name_if_unused(endpoint, name);
}

/* Ends a session with its connection. */
static void drop_session(sandd_session *session, int status, const char *text, uint64_t now_us) {
  sandd_link *link = session->link;
  sandd_session_lose(session, status, text, now_us);
  if (link)
    sandd_link_drop(link, STATUS(REPLACED), sandd_status_close_code(STATUS(REPLACED)), text, now_us);
}

/* Attempts count up within an instance: a late Hello has no reader any more, a clone does. */
static bool attempt_is_old(sandd_endpoint *endpoint, const Hello *hello) {
  sandd_name *name = find_name(endpoint, hello->daemon_id);
  if (!name || !RULE(endpoint, HELLO_ATTEMPT))
    return false;
  LIST_EACH(&name->sessions, node) {
    const sandd_session *session = SANDD_OF(node, sandd_session, name_node);
    if (!strcmp(session->instance, hello->instance_id) && hello->attempt <= session->attempt)
      return true;
  }
  return false;
}

static bool same_secret(const uint8_t *a, size_t a_len, const ProtobufCBinaryData *b) {
  if (a_len != b->len || !a_len)
    return false;
  unsigned differ = 0;
  for (size_t i = 0; i < a_len; i++)
    differ |= a[i] ^ b->data[i];
  return !differ;
}

static bool may_resume(const sandd_session *session, const Hello *hello) {
  const Sandd__V1__Resume *resume = hello->resume;
  if (!session->name || strcmp(session->name->id, hello->daemon_id) || strcmp(session->instance, hello->instance_id))
    return false;
  if (!same_secret(session->secret, session->secret_len, &resume->secret) &&
      !same_secret(session->prev, session->prev_len, &resume->secret))
    return false;
  return !RULE(session->endpoint, SEQ_CHECK) ||
         (resume->last_seq >= session->acked && resume->last_seq <= session->out_seq);
}

static sandd_control *make_welcome(sandd_session *session, const uint8_t *secret, bool resumed, uint64_t now_us) {
  sandd_endpoint *endpoint = session->endpoint;
  Sandd__V1__Welcome welcome = SANDD__V1__WELCOME__INIT;
  Sandd__V1__Limits limits;
  Frame frame = SANDD__V1__FRAME__INIT;
  sandd_limits_write(&limits, &endpoint->limits);
  welcome.version = 1;
  welcome.session_id = (ProtobufCBinaryData){.len = session->id_len, .data = session->id};
  welcome.secret = (ProtobufCBinaryData){.len = SECRET_LEN, .data = (uint8_t *)secret};
  welcome.resumed = resumed;
  welcome.last_seq = session->in_seq;
  welcome.n_capabilities = endpoint->self->n_capabilities;
  welcome.capabilities = endpoint->self->capabilities;
  welcome.limits = &limits;
  welcome.heartbeat_interval_ns = (int64_t)(session->heartbeat_us * 1000);
  welcome.session_retention_ns = (int64_t)(session->retention_us * 1000);
  welcome.server_time_ns = endpoint->wall_clock_ns ? endpoint->wall_clock_ns + (int64_t)(now_us * 1000) : 0;
  welcome.software = endpoint->software;
  frame.body_case = B(WELCOME);
  frame.welcome = &welcome;
  return sandd_control_new(endpoint, &frame);
}

static uint64_t agree_heartbeat(const sandd_endpoint *endpoint, const Hello *hello) {
  uint64_t wish = (uint64_t)hello->heartbeat_interval_ns / 1000, own = endpoint->heartbeat_us;
  uint64_t interval = wish && wish < own ? wish : own;
  return interval < HEARTBEAT_MIN_US ? HEARTBEAT_MIN_US : interval;
}

static void no_memory(sandd_link *link, uint64_t now_us) {
  sandd_link_drop(link, STATUS(RESOURCE_EXHAUSTED), 0, "out of memory", now_us);
}

/* Takes what Hello says, and rotates the secret. All that can fail happens before anything changes. */
static bool welcome_session(sandd_link *link, sandd_session *session, const Hello *hello, bool resumed,
                            uint64_t now_us) {
  sandd_endpoint *endpoint = session->endpoint;
  uint8_t secret[SECRET_LEN];
  random_bytes(endpoint, secret, sizeof secret);
  session->heartbeat_us = agree_heartbeat(endpoint, hello);
  Hello *copy = (Hello *)sandd_message_copy(endpoint, &hello->base);
  sandd_control *welcome = copy ? make_welcome(session, secret, resumed, now_us) : NULL;
  if (!welcome) {
    sandd_message_free(endpoint, copy ? &copy->base : NULL);
    return false;
  }
  if (copy->resume) { /* of no more use, and secret */
    if (copy->resume->secret.len)
      memset(copy->resume->secret.data, 0, copy->resume->secret.len);
    sandd_message_free(endpoint, &copy->resume->base);
    copy->resume = NULL;
  }
  sandd_message_free(endpoint, session->hello ? &session->hello->base : NULL);
  session->hello = copy;
  sandd_limits_read(&session->peer, hello->limits);
  session->attempt = hello->attempt;
  if (resumed) {
    const ProtobufCBinaryData *presented = &hello->resume->secret;
    session->prev_len = RULE(endpoint, PREV_PRESENTED) ? presented->len : session->secret_len;
    memmove(session->prev, RULE(endpoint, PREV_PRESENTED) ? presented->data : session->secret, session->prev_len);
  }
  memcpy(session->secret, secret, SECRET_LEN);
  session->secret_len = SECRET_LEN;
  link->first = welcome;
  return true;
}

static void resume(sandd_link *link, sandd_session *session, const Hello *hello, uint64_t now_us) {
  uint64_t last_seq = hello->resume->last_seq;
  if (!welcome_session(link, session, hello, true, now_us)) {
    no_memory(link, now_us);
    return;
  }
  sandd_session_adopt(session, link, last_seq < session->acked ? session->acked : last_seq, now_us);
}

static void replace_others(sandd_session *session, uint64_t now_us) {
  sandd_name *name = session->name;
  sandd_node *node = list_first(&name->sessions);
  while (node) { /* losing one may free it, never the name: this session holds it */
    sandd_session *other = SANDD_OF(node, sandd_session, name_node);
    node = node->next == &name->sessions ? NULL : node->next;
    if (other != session)
      drop_session(other, STATUS(SESSION_LOST), "the daemon began a new session", now_us);
  }
  name->current = session;
}

static void drop_unconfirmed(sandd_name *name, const char *instance, uint64_t now_us) {
  sandd_node *node = list_first(&name->sessions);
  while (node) {
    sandd_session *session = SANDD_OF(node, sandd_session, name_node);
    node = node->next == &name->sessions ? NULL : node->next;
    if (!session->confirmed && !strcmp(session->instance, instance))
      drop_session(session, STATUS(SESSION_LOST), "the daemon dialled again", now_us);
  }
}

/* A new session, not yet shown to anybody. */
static void fresh(sandd_link *link, const Hello *hello, uint64_t now_us) {
  sandd_endpoint *endpoint = link->endpoint;
  sandd_session *session = sandd_session_new(endpoint, now_us);
  sandd_name *name = session ? make_name(endpoint, hello->daemon_id) : NULL;
  if (!name) {
    if (session)
      sandd_session_free(session);
    no_memory(link, now_us);
    return;
  }
  session->id_len = SESSION_ID_LEN;
  random_bytes(endpoint, session->id, session->id_len);
  session->retention_us = endpoint->session_retention_us;
  session->name = name;
  list_append(&name->sessions, &session->name_node);
  sandd_map_put(&endpoint->sessions, &endpoint->allocator, &session->map_node, id_key(session->id, session->id_len));
  session->instance = sandd_copy_text(endpoint, hello->instance_id, strlen(hello->instance_id));
  if (!session->instance || !welcome_session(link, session, hello, false, now_us)) {
    sandd_server_forget(session);
    sandd_session_free(session);
    no_memory(link, now_us);
    return;
  }
  name->probing = name->probing == link ? NULL : name->probing;
  session->confirmed = true; /* spares it from the next line */
  drop_unconfirmed(name, hello->instance_id, now_us);
  session->confirmed = false;
  sandd_session_adopt(session, link, 0, now_us);
  if (!name->current || !RULE(endpoint, REPLACE_LATE))
    replace_others(session, now_us);
}

static void stop_probe(sandd_link *link) {
  sandd_endpoint *endpoint = link->endpoint;
  list_remove(&link->probe_node);
  link->old = NULL;
  if (!link->hello)
    return;
  sandd_name *name = find_name(endpoint, link->hello->daemon_id);
  if (!name || name->probing != link)
    return;
  name->probing = NULL;
  drop_name_if_unused(endpoint, name);
}

/* The id is taken by a connection that may be dead: it is asked, and this Hello waits. */
static void probe(sandd_link *link, sandd_name *name, const Hello *hello, uint64_t now_us) {
  sandd_endpoint *endpoint = link->endpoint;
  sandd_link *waiting = name->probing, *old = name->current->link;
  if (waiting && !strcmp(waiting->hello->instance_id, hello->instance_id) && waiting->hello->attempt > hello->attempt) {
    sandd_link_drop(link, STATUS(REPLACED), sandd_status_close_code(STATUS(REPLACED)), "a newer Hello waits", now_us);
    return;
  }
  Hello *copy = (Hello *)sandd_message_copy(endpoint, &hello->base);
  if (!copy) {
    no_memory(link, now_us);
    return;
  }
  link->hello = copy;
  link->state = LINK_PROBING;
  name->probing = link; /* before the other goes: it holds the name */
  if (waiting) {
    sandd_link_drop(waiting, STATUS(REPLACED), sandd_status_close_code(STATUS(REPLACED)), "a newer Hello came", now_us);
  }
  sandd_link_beat(old, now_us);
  link->old = old;
  link->probe_stamp = old->beat;
  link->probe_until = now_us + PROBE_US;
  list_append(&endpoint->probes, &link->probe_node);
}

static void end_probe(sandd_link *link, uint64_t now_us) {
  Hello *hello = link->hello;
  list_remove(&link->probe_node);
  link->old = NULL;
  link->hello = NULL;
  link->state = LINK_HELLO;
  fresh(link, hello, now_us);
  sandd_name *name = find_name(link->endpoint, hello->daemon_id);
  if (name && name->probing == link) { /* it could not be made */
    name->probing = NULL;
    drop_name_if_unused(link->endpoint, name);
  }
  sandd_message_free(link->endpoint, &hello->base);
}

void sandd_server_hello(sandd_link *link, const Hello *hello, uint64_t now_us) {
  sandd_endpoint *endpoint = link->endpoint;
  bool version = false;
  for (size_t i = 0; i < hello->n_versions; i++)
    version |= hello->versions[i] == 1;
  if (!version) {
    sandd_link_goodbye(link, STATUS(UNSUPPORTED_VERSION), "this server speaks version 1", 0, now_us);
    return;
  }
  const char *bad = sandd_hello_check(hello);
  if (bad) {
    sandd_link_goodbye(link, STATUS(INVALID_ARGUMENT), bad, 0, now_us);
    return;
  }
  static const char clone[] = "another daemon went on from this state: take a new identity";
  if (attempt_is_old(endpoint, hello)) {
    sandd_link_goodbye(link, STATUS(CLONE), clone, 0, now_us);
    return;
  }
  const Sandd__V1__Resume *wanted = hello->resume;
  sandd_session *session = wanted ? find_by_id(endpoint, wanted->session_id.data, wanted->session_id.len) : NULL;
  if (session) {
    if (may_resume(session, hello))
      resume(link, session, hello, now_us);
    else
      sandd_link_goodbye(link, STATUS(CLONE), clone, 0, now_us);
    return;
  }
  sandd_name *name = find_name(endpoint, hello->daemon_id);
  sandd_session *current = name ? name->current : NULL;
  bool own_try =
      current && !current->confirmed && !strcmp(current->instance, hello->instance_id) && RULE(endpoint, PROVISIONAL);
  if (current && current->link && !own_try)
    probe(link, name, hello, now_us);
  else
    fresh(link, hello, now_us);
}

void sandd_server_confirm(sandd_link *link, uint64_t now_us) {
  sandd_session *session = link->session;
  bool resumed = session->confirmed;
  link->confirmed = session->confirmed = true;
  session->prev_len = 0;
  if (session->name->current != session || !resumed)
    replace_others(session, now_us);
  sandd_session_up(session, resumed, now_us);
  sandd_link_beat(link, now_us); /* measures the round trip */
}

void sandd_server_reply(sandd_link *link, uint64_t stamp, uint64_t now_us) {
  LIST_EACH(&link->endpoint->probes, node) {
    sandd_link *waiting = SANDD_OF(node, sandd_link, probe_node);
    if (waiting->old != link || stamp < waiting->probe_stamp)
      continue; /* a later stamp proves no less */
    stop_probe(waiting);
    sandd_link_goodbye(waiting, STATUS(ALREADY_CONNECTED), "a daemon with this id is connected and alive", 0, now_us);
    return;
  }
}

void sandd_server_link_gone(sandd_link *link, uint64_t now_us) {
  stop_probe(link);
  LIST_EACH(&link->endpoint->probes, node) {
    sandd_link *waiting = SANDD_OF(node, sandd_link, probe_node);
    if (waiting->old != link)
      continue;
    /* Not here: the caller is in the middle of dropping something. The tick goes on with it, at once. */
    waiting->old = NULL;
    waiting->probe_until = now_us;
    list_remove(&waiting->probe_node);
    list_insert(link->endpoint->probes.next, &waiting->probe_node);
    return;
  }
}

static sandd_session *first_session(const sandd_node *list) {
  sandd_node *node = list_first(list);
  return node ? SANDD_OF(node, sandd_session, timer_node) : NULL;
}

static uint64_t away_until(const sandd_session *session) {
  return session->changed_us + (session->endpoint->server ? 2 : 1) * session->retention_us;
}

uint64_t sandd_server_deadline(const sandd_endpoint *endpoint) {
  uint64_t at = NEVER;
  sandd_session *away = first_session(&endpoint->away), *unconfirmed = first_session(&endpoint->unconfirmed);
  sandd_node *node = list_first(&endpoint->probes);
  if (away)
    at = away_until(away);
  if (unconfirmed && unconfirmed->changed_us + UNCONFIRMED_US < at)
    at = unconfirmed->changed_us + UNCONFIRMED_US;
  if (node && SANDD_OF(node, sandd_link, probe_node)->probe_until < at)
    at = SANDD_OF(node, sandd_link, probe_node)->probe_until;
  return at;
}

void sandd_server_tick(sandd_endpoint *endpoint, uint64_t now_us) {
  sandd_session *session;
  while ((session = first_session(&endpoint->away)) && away_until(session) <= now_us)
    sandd_session_lose(session, STATUS(SESSION_LOST), "the daemon did not come back in time", now_us);
  while ((session = first_session(&endpoint->unconfirmed)) && session->changed_us + UNCONFIRMED_US <= now_us)
    sandd_session_lose(session, STATUS(SESSION_LOST), "the daemon never confirmed the session", now_us);
  sandd_node *node;
  while ((node = list_first(&endpoint->probes))) {
    sandd_link *waiting = SANDD_OF(node, sandd_link, probe_node);
    if (waiting->probe_until > now_us)
      break;
    end_probe(waiting, now_us);
  }
}
