// SPDX-License-Identifier: MIT
#include "budget.h"
#include "hello.h"
#include "link.h"
#include "notice.h"
#include "session.h"

#include <stdlib.h>

#define RESUME_ROOM 256u /* what Hello may grow by: session, secret, seq, attempt, a clone's suffix */

static void *default_alloc(void *ctx, size_t size) {
  (void)ctx;
  return malloc(size);
}
static void default_free(void *ctx, void *ptr) {
  (void)ctx;
  free(ptr);
}

static uint64_t or_default(uint64_t value, uint64_t otherwise) {
  return value ? value : otherwise;
}

static void take_numbers(sandd_endpoint *e, const sandd_endpoint_config *c) {
  e->limits = c->limits;
  sandd_limits_fill(&e->limits);
  e->recv_budget = or_default(c->recv_budget, 64u << 20);
  e->ring_budget = or_default(c->ring_budget, 64u << 20);
  e->keep_budget = or_default(c->keep_budget, 256u << 20);
  e->ring_count = or_default(c->rings, 4 * e->limits.streams);
  e->window_bytes = or_default(c->window_bytes, 256u << 10);
  e->heartbeat_us = or_default(c->heartbeat_us, 10 * SECOND);
  e->session_retention_us = or_default(c->session_retention_us, 600 * SECOND);
  e->exec_retention_us = or_default(c->exec_retention_us, 3600 * SECOND);
  e->wall_clock_ns = c->wall_clock_ns;
  e->rules_off = c->rules_off;
}

static bool take_texts(sandd_endpoint *e, const sandd_endpoint_config *c) {
  const char *software = c->software ? c->software : "", *id = c->daemon_id ? c->daemon_id : "";
  char made[33];
  uint8_t bytes[16];
  e->random(e->random_ctx, bytes, sizeof bytes);
  for (int i = 0; i < 32; i++)
    made[i] = "0123456789abcdef"[bytes[i / 2] >> (i % 2 ? 0 : 4) & 15];
  made[32] = 0;
  const char *instance = c->instance_id ? c->instance_id : made;
  e->software = sandd_copy_text(e, software, strlen(software));
  e->daemon_id = sandd_copy_text(e, id, strlen(id));
  e->instance_id = sandd_copy_text(e, instance, strlen(instance));
  e->base_id_len = strlen(id);
  e->self = sandd_hello_make(e, c);
  return e->software && e->daemon_id && e->instance_id && e->self;
}

static bool config_fits(const sandd_endpoint_config *c) {
  if (!c->random || (c->role != SANDD_ROLE_SERVER && c->role != SANDD_ROLE_DAEMON))
    return false;
#ifndef SANDD_RULE_SWITCHES
  if (c->rules_off)
    return false;
#endif
  return c->n_labels <= 64 && c->n_capabilities <= 64;
}

static const char *self_check(const sandd_endpoint *e) {
  Hello hello = *e->self;
  hello.daemon_id = e->daemon_id;
  hello.instance_id = e->instance_id;
  hello.attempt = 1;
  if (sandd__v1__hello__get_packed_size(&hello) + RESUME_ROOM > FIRST_MESSAGE)
    return "labels and names are too long for Hello";
  return sandd_hello_check(&hello);
}

int sandd_endpoint_new(sandd_endpoint **out, const sandd_endpoint_config *config) {
  if (!config_fits(config))
    return SANDD_E_INVALID;
  sandd_allocator memory = {default_alloc, default_free, NULL};
  if (config->allocator)
    memory = *config->allocator;
  sandd_endpoint *e = memory.alloc(memory.ctx, sizeof *e);
  if (!e)
    return SANDD_E_NOMEM;
  memset(e, 0, sizeof *e);
  e->allocator = memory;
  e->pb_allocator = (ProtobufCAllocator){.alloc = memory.alloc, .free = memory.free, .allocator_data = memory.ctx};
  e->random = config->random;
  e->random_ctx = config->random_ctx;
  e->server = config->role == SANDD_ROLE_SERVER;
  take_numbers(e, config);
  sandd_arena_init(&e->arena, &e->allocator);
  sandd_node *lists[] = {&e->all_sessions, &e->all_links, &e->ready,       &e->notices,
                         &e->probes,       &e->away,      &e->unconfirmed, &e->orphans};
  for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
    list_init(lists[i]);
  e->random(e->random_ctx, (uint8_t *)&e->hash_seed, sizeof e->hash_seed);
  int error = SANDD_E_NOMEM;
  if (e->recv_budget < CHANNEL_MIN * e->limits.channels || e->ring_budget < CHANNEL_MIN * e->ring_count)
    error = SANDD_E_INVALID;
  else if (!take_texts(e, config))
    error = SANDD_E_NOMEM;
  else if (!e->server && self_check(e))
    error = SANDD_E_INVALID;
  else if (e->server || ((e->recv = sandd_budget_new(e, e->recv_budget, e->limits.channels)) &&
                         (e->rings = sandd_budget_new(e, e->ring_budget, e->ring_count))))
    error = 0;
  if (error)
    sandd_endpoint_free(e);
  else
    *out = e;
  return error;
}

void sandd_endpoint_free(sandd_endpoint *e) {
  if (!e)
    return;
  e->packet = NULL;
  LIST_EACH(&e->all_links, node) { /* without the farewells of sandd_link_free: nobody is there to hear them */
    sandd_link *link = SANDD_OF(node, sandd_link, all_node);
    if (link->session && link->session->link == link)
      link->session->link = NULL;
    sandd_control_free(e, link->first);
    sandd_control_free(e, link->goodbye);
    sandd_message_free(e, link->hello ? &link->hello->base : NULL);
    sandd_notice_drop(&link->notice);
    sandd_free(e, link);
  }
  sandd_node *node;
  while ((node = list_first(&e->all_sessions))) {
    sandd_session *session = SANDD_OF(node, sandd_session, all_node);
    if (!session->lost) {
      session->told_up = true; /* so that losing does not free it */
      sandd_session_lose(session, STATUS(SHUTTING_DOWN), NULL, 0);
    }
    sandd_session_free(session);
  }
  for (size_t i = 0; e->names.count && i <= e->names.mask; i++) { /* names that only a probe held */
    sandd_map_node **slot = e->names.slots ? &e->names.slots[i] : &e->names.single;
    while (*slot) {
      sandd_map_node *next = (*slot)->next;
      sandd_free(e, SANDD_OF(*slot, sandd_name, map_node));
      *slot = next;
    }
    if (!e->names.slots)
      break;
  }
  sandd_map_free(&e->names, &e->allocator);
  sandd_map_free(&e->sessions, &e->allocator);
  sandd_budget_drop(e->recv);
  sandd_budget_drop(e->rings);
  sandd_message_free(e, e->self ? &e->self->base : NULL);
  sandd_free(e, e->software);
  sandd_free(e, e->daemon_id);
  sandd_free(e, e->instance_id);
  sandd_arena_free(&e->arena);
  e->allocator.free(e->allocator.ctx, e);
}

sandd_link *sandd_endpoint_next_ready(sandd_endpoint *endpoint) {
  sandd_node *node = list_first(&endpoint->ready);
  if (!node)
    return NULL;
  list_remove(node);
  return SANDD_OF(node, sandd_link, ready_node);
}

uint64_t sandd_endpoint_deadline(const sandd_endpoint *endpoint) {
  return sandd_server_deadline(endpoint);
}

void sandd_endpoint_tick(sandd_endpoint *endpoint, uint64_t now_us) {
  sandd_server_tick(endpoint, now_us);
}

const char *sandd_endpoint_daemon_id(const sandd_endpoint *endpoint) {
  return endpoint->daemon_id;
}
const char *sandd_endpoint_instance_id(const sandd_endpoint *endpoint) {
  return endpoint->instance_id;
}
sandd_session *sandd_endpoint_session(sandd_endpoint *endpoint) {
  return endpoint->session;
}

static void add_budgets(sandd_usage *usage, const sandd_budget *recv, const sandd_budget *rings) {
  usage->recv_granted += recv->used;
  usage->ring_bytes += rings->used;
}

void sandd_endpoint_usage(const sandd_endpoint *endpoint, sandd_usage *usage) {
  memset(usage, 0, sizeof *usage);
  LIST_EACH(&endpoint->all_links, node) usage->links += node != NULL;
  LIST_EACH(&endpoint->all_sessions, node) {
    const sandd_session *session = SANDD_OF(node, sandd_session, all_node);
    usage->sessions++;
    usage->sessions_connected += sandd_session_link(session) != NULL;
    usage->streams += session->n_streams;
    usage->control_bytes += session->unacked_bytes;
    usage->control_waiting += session->pending_bytes;
    if (endpoint->server)
      add_budgets(usage, session->recv, session->rings);
    LIST_EACH(&session->stream_list, at) {
      const sandd_stream *stream = SANDD_OF(at, sandd_stream, session_node);
      for (int c = 1; c < CHANNELS; c++)
        usage->recv_bytes += stream->in[c] ? stream->in[c]->bytes : 0;
    }
  }
  if (!endpoint->server)
    add_budgets(usage, endpoint->recv, endpoint->rings);
  usage->keep_bytes = endpoint->keep_used;
}
