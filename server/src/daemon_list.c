// SPDX-License-Identifier: MIT
// Lists of daemons: one block of memory per daemon, strings and all, sorted by id.
#include <stdlib.h>
#include <string.h>

#include "internal.h"

struct sandd_daemon_list {
  sandd_daemon_info **infos;
  size_t count, cap;
};

typedef struct gathering {
  sandd_server *server;
  sandd_daemon_list *list;
  const sandd_daemon_label *labels;
  size_t n_labels;
  uint64_t now_us;
  bool failed;
} gathering;

/* Counts what a block needs first, then fills it: the same code twice, with at == NULL the first time. */
typedef struct block {
  char *at;
  size_t size;
} block;

static const char *copy(block *b, const char *text) {
  size_t len = text ? strlen(text) + 1 : 1;
  b->size += len;
  if (!b->at)
    return NULL;
  char *out = b->at;
  memcpy(out, text ? text : "", len);
  b->at += len;
  return out;
}

static void *reserve(block *b, size_t size) {
  b->size += size;
  if (!b->at)
    return NULL;
  void *out = b->at;
  b->at += size;
  return out;
}

/* The arrays come first, so that they are aligned. */
static void fill(block *b, sandd_daemon_info *info, const Sandd__V1__Hello *hello, const char *address) {
  sandd_daemon_label *labels = reserve(b, hello->n_labels * sizeof *labels);
  sandd_daemon_capability *capabilities = reserve(b, hello->n_capabilities * sizeof *capabilities);
  for (size_t i = 0; i < hello->n_labels; i++) {
    const char *key = copy(b, hello->labels[i]->key), *value = copy(b, hello->labels[i]->value);
    if (labels)
      labels[i] = (sandd_daemon_label){key, value};
  }
  for (size_t i = 0; i < hello->n_capabilities; i++) {
    const Sandd__V1__Capability *c = hello->capabilities[i];
    const char *name = copy(b, c->name), *reason = *c->off_reason ? copy(b, c->off_reason) : NULL;
    if (capabilities)
      capabilities[i] = (sandd_daemon_capability){name, reason};
  }
  const Sandd__V1__Platform *p = hello->platform;
  info->labels = labels;
  info->n_labels = hello->n_labels;
  info->capabilities = capabilities;
  info->n_capabilities = hello->n_capabilities;
  info->id = copy(b, hello->daemon_id);
  info->instance = copy(b, hello->instance_id);
  info->software = copy(b, hello->software);
  info->os = copy(b, p ? p->os : NULL);
  info->arch = copy(b, p ? p->arch : NULL);
  info->release = copy(b, p ? p->release : NULL);
  info->hostname = copy(b, p ? p->hostname : NULL);
  info->address = copy(b, address);
}

static int64_t age_ns(uint64_t now_us, uint64_t then_us) {
  return now_us > then_us ? (int64_t)(now_us - then_us) * 1000 : 0;
}

static sandd_daemon_info *snapshot(sandd_session *session, uint64_t since_us, uint64_t now_us) {
  const Sandd__V1__Hello *hello = sandd_session_hello(session);
  sandd_link *link = sandd_session_link(session);
  sandd_conn *conn = link ? sandd_carrier_conn(link) : NULL;
  const char *address = conn ? sandd_conn_peer(conn) : "";
  sandd_daemon_info scratch;
  block b = {NULL, sizeof scratch};
  fill(&b, &scratch, hello, address);
  char *memory = malloc(b.size);
  if (!memory)
    return NULL;
  sandd_daemon_info *info = (sandd_daemon_info *)memory;
  b.at = memory + sizeof *info;
  fill(&b, info, hello, address);
  info->connected_since_ns = sandd_wall_at(since_us, now_us);
  info->connected_for_ns = age_ns(now_us, since_us);
  info->session_for_ns = age_ns(now_us, sandd_session_created_us(session));
  info->last_seen_ns = link ? age_ns(now_us, sandd_link_last_received_us(link)) : info->connected_for_ns;
  info->round_trip_ns = link ? (int64_t)sandd_link_round_trip_us(link) * 1000 : 0;
  info->streams = sandd_session_stream_count(session);
  return info;
}

static bool has_label(const Sandd__V1__Hello *hello, const sandd_daemon_label *wanted) {
  for (size_t i = 0; i < hello->n_labels; i++)
    if (!strcmp(hello->labels[i]->key, wanted->key))
      return !strcmp(hello->labels[i]->value, wanted->value);
  return false;
}

static void gather(void *ctx, sandd_session *session, uint64_t since_us) {
  gathering *g = ctx;
  const Sandd__V1__Hello *hello = sandd_session_hello(session);
  for (size_t i = 0; i < g->n_labels; i++)
    if (!has_label(hello, &g->labels[i]))
      return;
  sandd_daemon_list *list = g->list;
  if (list->count == list->cap) {
    size_t cap = list->cap ? list->cap * 2 : 16;
    sandd_daemon_info **bigger = realloc(list->infos, cap * sizeof(sandd_daemon_info *));
    if (!bigger) {
      g->failed = true;
      return;
    }
    list->infos = bigger;
    list->cap = cap;
  }
  sandd_daemon_info *info = snapshot(session, since_us, g->now_us);
  if (info)
    list->infos[list->count++] = info;
  else
    g->failed = true;
}

static int by_id(const void *a, const void *b) {
  return strcmp((*(sandd_daemon_info *const *)a)->id, (*(sandd_daemon_info *const *)b)->id);
}

int sandd_server_daemons(sandd_server *server, const sandd_daemon_label *labels, size_t n, sandd_daemon_list **out) {
  *out = NULL;
  sandd_daemon_list *list = calloc(1, sizeof *list);
  if (!list)
    return SANDD_E_NOMEM;
  int rc = sandd_server_enter(server);
  if (rc == 0) {
    gathering g = {server, list, labels, n, sandd_carrier_now_us(), false};
    sandd_daemons_each(server, gather, &g);
    sandd_server_unlock(server);
    rc = g.failed ? SANDD_E_NOMEM : 0;
  }
  if (rc) {
    sandd_daemon_list_free(list);
    return rc;
  }
  if (list->count)
    qsort(list->infos, list->count, sizeof(sandd_daemon_info *), by_id);
  *out = list;
  return 0;
}

int sandd_server_daemon(sandd_server *server, const char *id, sandd_daemon_list **out) {
  *out = NULL;
  if (!id)
    return SANDD_E_INVALID;
  sandd_daemon_list *list = calloc(1, sizeof *list);
  if (!list)
    return SANDD_E_NOMEM;
  int rc = sandd_server_enter(server);
  if (rc == 0) {
    sandd_session *session;
    uint64_t since_us;
    rc = sandd_daemon_find(server, id, &session, &since_us);
    if (rc == 0) {
      gathering g = {server, list, NULL, 0, sandd_carrier_now_us(), false};
      gather(&g, session, sandd_session_changed_us(session));
      rc = g.failed ? SANDD_E_NOMEM : 0;
    }
    sandd_server_unlock(server);
  }
  if (rc)
    sandd_daemon_list_free(list);
  else
    *out = list;
  return rc;
}

size_t sandd_daemon_list_count(const sandd_daemon_list *list) {
  return list->count;
}

const sandd_daemon_info *sandd_daemon_list_get(const sandd_daemon_list *list, size_t index) {
  return index < list->count ? list->infos[index] : NULL;
}

void sandd_daemon_list_free(sandd_daemon_list *list) {
  if (!list)
    return;
  for (size_t i = 0; i < list->count; i++)
    free(list->infos[i]);
  free(list->infos);
  free(list);
}

size_t sandd_server_daemon_count(sandd_server *server) {
  if (sandd_server_enter(server) != 0)
    return 0;
  size_t n = server->daemons.connected;
  sandd_server_unlock(server);
  return n;
}

int sandd_server_wait_daemon(sandd_server *server, const char *id, int64_t timeout_ms) {
  if (!id)
    return SANDD_E_INVALID;
  int64_t until_ns = sandd_wait_until(timeout_ms);
  int rc = sandd_server_enter(server);
  if (rc)
    return rc;
  sandd_server_ref(server);
  for (;;) {
    sandd_session *session;
    uint64_t since_us;
    rc = server->closing ? SANDD_E_CLOSED : sandd_daemon_find(server, id, &session, &since_us);
    if (rc == 0 || rc == SANDD_E_CLOSED)
      break;
    rc = sandd_wait(server, &server->registry_waiters, ~0u, until_ns);
    if (rc)
      break;
  }
  sandd_server_unlock(server);
  sandd_server_unref(server);
  return rc;
}
