// SPDX-License-Identifier: MIT
/* Copies of the daemon's machine. A clone says Hello from a snapshot, is told that it is one, and then says Hello with the
 * identity that the library's own daemon takes. An impostor is another machine that was given the daemon's id. Both only
 * ever say Hello: neither may take anything from the daemon. */
#include "world.h"

#include <sandd/v1/packet.pb-c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATUS(name) SANDD__V1__STATUS_CODE__STATUS_CODE_##name
#define B(name)      SANDD__V1__FRAME__BODY_##name

typedef struct clone {
  struct clone *next;
  wire_session *session; /* NULL: an impostor, or one that was told what it is */
  uint64_t secret_index, last_seq, attempt;
  uint8_t secret[64];
  size_t secret_len;
  bool told, impostor, gone;
  unsigned conns;
  char id[64];
  uint8_t *hello; /* after it was told: what its endpoint says now */
  size_t hello_len;
} clone;

static void snapshot(world *w) {
  conn *c = world_conn_of(w, SIDE_DAEMON, w->daemon_link);
  if (!c || !c->session || c->session != w->daemon_session || c->session->lost_at_server || !w->hello)
    return;
  clone *k = sim_alloc(sizeof *k);
  k->session = c->session;
  k->secret_index = c->secret_index;
  k->secret_len = c->secret_len;
  memcpy(k->secret, c->secret, sizeof k->secret);
  k->last_seq = c->daemon_ack;
  k->next = w->clones;
  w->clones = k;
}

static bool stale(const clone *k) {
  return k->secret_index + 1 < k->session->confirmed || k->last_seq < k->session->acked;
}

static void say(world *w, clone *k, Sandd__V1__Hello *hello) {
  Sandd__V1__Packet packet = SANDD__V1__PACKET__INIT;
  Sandd__V1__Frame frame = SANDD__V1__FRAME__INIT, *frames = &frame;
  frame.body_case = B(HELLO);
  frame.hello = hello;
  packet.n_frames = 1;
  packet.frames = &frames;
  size_t len = sandd__v1__packet__get_packed_size(&packet);
  uint8_t *bytes = sim_alloc(len);
  sandd__v1__packet__pack(&packet, bytes);
  conn *c = world_connect(w, false);
  c->clone = k;
  k->conns++;
  pipe_put(&c->out[SIDE_DAEMON], bytes, len);
  free(bytes);
}

static void say_hello(world *w, clone *k) {
  conn *c;
  if (k->told) {
    c = world_connect(w, false);
    c->clone = k;
    k->conns++;
    pipe_put(&c->out[SIDE_DAEMON], k->hello, k->hello_len);
    w->clone_count++;
    return;
  }
  Sandd__V1__Hello *hello = sandd__v1__hello__unpack(NULL, w->hello_len, w->hello);
  Sandd__V1__Resume resume = SANDD__V1__RESUME__INIT, *old = hello->resume;
  char instance[32], *was = hello->instance_id;
  snprintf(k->id, sizeof k->id, "%s", hello->daemon_id);
  if (k->impostor) {
    snprintf(instance, sizeof instance, "impostor-%llu", (unsigned long long)++w->clone_count);
    hello->instance_id = instance;
    hello->attempt = 1;
    hello->resume = NULL;
  } else {
    resume.session_id = (ProtobufCBinaryData){.len = k->session->id_len, .data = k->session->id};
    resume.secret = (ProtobufCBinaryData){.len = k->secret_len, .data = k->secret};
    resume.last_seq = k->last_seq;
    hello->resume = &resume;
    if (!k->attempt)
      k->attempt = hello->attempt;
    hello->attempt = ++k->attempt;
  }
  say(w, k, hello);
  hello->resume = old;
  hello->instance_id = was;
  sandd__v1__hello__free_unpacked(hello, NULL);
}

static void random_bytes(void *ctx, uint8_t *out, size_t len) {
  for (size_t i = 0; i < len; i++)
    out[i] = (uint8_t)chance_bits(ctx);
}

/* What the library's daemon does when it is told that it is a clone. */
static void learn(world *w, clone *k, const uint8_t *data, size_t len) {
  sandd_endpoint_config config = {.size = sizeof config,
                                  .role = SANDD_ROLE_DAEMON,
                                  .random = random_bytes,
                                  .random_ctx = &w->chance,
                                  .daemon_id = "D",
                                  .rules_off = w->rules_off};
  sandd_endpoint *endpoint;
  sandd_link *link;
  sandd_event event;
  uint8_t *buf = sim_alloc(65536);
  bool changed = false;
  EXPECT(w, !sandd_endpoint_new(&endpoint, &config) && !sandd_link_new(&link, endpoint, w->now), "a clone's daemon");
  EXPECT(w, !sandd_link_pull(link, buf, 65536, &k->hello_len, w->now) && k->hello_len, "a clone's Hello");
  EXPECT(w, !sandd_link_feed(link, data, len, w->now), "a clone's Goodbye");
  while (sandd_endpoint_next_event(endpoint, &event, w->now) == 1)
    changed |= event.type == SANDD_EVENT_IDENTITY_CHANGED;
  EXPECT(w, changed, "a clone did not take a new identity");
  snprintf(k->id, sizeof k->id, "%s", sandd_endpoint_daemon_id(endpoint));
  sandd_link_free(link, w->now);
  EXPECT(w, !sandd_link_new(&link, endpoint, w->now), "a clone's daemon");
  EXPECT(w, !sandd_link_pull(link, buf, 65536, &k->hello_len, w->now) && k->hello_len, "a clone's Hello");
  sandd_link_free(link, w->now);
  sandd_endpoint_free(endpoint);
  k->hello = buf;
  k->told = true;
}

void clone_got(world *w, conn *c, const uint8_t *data, size_t len) {
  clone *k = c->clone;
  Sandd__V1__Packet *packet = sandd__v1__packet__unpack(NULL, len, data);
  EXPECT(w, packet, "a packet to a clone does not decode");
  for (size_t i = 0; i < packet->n_frames; i++) {
    const Sandd__V1__Frame *frame = packet->frames[i];
    if (frame->body_case == B(WELCOME))
      EXPECT(w, k->impostor || strcmp(k->id, "D"), "a clone was let in");
    if (frame->body_case == B(GOODBYE) && frame->goodbye->status->code == STATUS(CLONE) && !k->told && !k->impostor) {
      w->stats.clones_refused++;
      learn(w, k, data, len);
    }
  }
  sandd__v1__packet__free_unpacked(packet, NULL);
  if (!c->give_up_at)
    c->give_up_at = w->now + chance_below(&w->chance, 3000) * MS;
}

static void sweep(world *w) {
  clone **at = &w->clones, *k;
  while ((k = *at)) {
    unsigned used = 0;
    for (conn *c = w->conns; c; c = c->next)
      used += c->clone == k;
    if (!k->gone || used) {
      at = &k->next;
      continue;
    }
    *at = k->next;
    free(k->hello);
    free(k);
  }
}

void clone_step(world *w) {
  chance *c = &w->chance;
  size_t n = 0;
  sweep(w);
  if (w->calm)
    return;
  for (clone *k = w->clones; k; k = k->next)
    n += !k->gone;
  if (n < 3 && chance_of(c, .01))
    snapshot(w);
  if (n < 3 && w->hello && chance_of(c, .001)) {
    clone *k = sim_alloc(sizeof *k);
    k->impostor = k->gone = true;
    k->next = w->clones;
    w->clones = k;
    say_hello(w, k);
  }
  for (clone *k = w->clones; k; k = k->next) {
    if (k->gone || !chance_of(c, .01) || !(k->told || stale(k)))
      continue;
    k->gone = k->told; /* once under its new identity is enough */
    say_hello(w, k);
  }
}

void clone_forget(world *w) {
  for (clone *k = w->clones; k; k = k->next)
    k->gone = true;
  for (conn *c = w->conns; c; c = c->next) {
    if (!c->clone)
      continue;
    pipe_clear(&c->out[SIDE_DAEMON]);
    c->out[SIDE_DAEMON].hole = true;
    if (!c->give_up_at)
      c->give_up_at = w->now;
  }
}

void clone_free(world *w) {
  clone_forget(w);
  sweep(w);
}

uint64_t clone_sessions(const world *w) {
  return w->clone_count;
}
