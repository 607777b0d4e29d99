// SPDX-License-Identifier: MIT
#include "pair.h"

#include <stdio.h>

static void *count_alloc(void *ctx, size_t size) {
  memory *m = ctx;
  if (++m->calls == m->fail_at)
    return NULL;
  size_t *block = malloc(sizeof(max_align_t) + size);
  if (!block)
    return NULL;
  *block = size;
  m->blocks++;
  m->bytes += size;
  if (m->bytes > m->most_bytes)
    m->most_bytes = m->bytes;
  return (char *)block + sizeof(max_align_t);
}

static void count_free(void *ctx, void *ptr) {
  memory *m = ctx;
  if (!ptr)
    return;
  size_t *block = (size_t *)((char *)ptr - sizeof(max_align_t));
  m->blocks--;
  m->bytes -= *block;
  free(block);
}

/* Predictable, and different each time. */
static void random_bytes(void *ctx, uint8_t *out, size_t len) {
  uint64_t *state = ctx;
  for (size_t i = 0; i < len; i++)
    out[i] = (uint8_t)++*state;
}

int pair_endpoint(pair *p, int at, const char *daemon_id, sandd_endpoint **out) {
  static const sandd_capability capabilities[] = {{"exec", ""}, {"exec.pty", "no terminals here"}};
  static const sandd_label labels[] = {{"place", "test"}};
  const options *o = &p->options;
  sandd_endpoint_config config = {
      .size = sizeof config,
      .role = at == SERVER ? SANDD_ROLE_SERVER : SANDD_ROLE_DAEMON,
      .allocator = &p->memory[at].allocator,
      .random = random_bytes,
      .random_ctx = &p->random,
      .limits = o->limits[at],
      .recv_budget = o->recv_budget,
      .ring_budget = o->ring_budget,
      .keep_budget = o->keep_budget,
      .rings = o->rings,
      .window_bytes = o->window_bytes,
      .heartbeat_us = o->heartbeat_us,
      .session_retention_us = o->session_retention_us,
      .software = "test 1",
      .daemon_id = daemon_id,
      .instance_id = at == DAEMON ? "instance-1" : NULL,
      .os = "linux",
      .labels = o->labels ? o->labels : labels,
      .n_labels = o->labels ? o->n_labels : 1,
      .capabilities = capabilities,
      .n_capabilities = 2,
  };
  return sandd_endpoint_new(out, &config);
}

pair *pair_make(const options *o) {
  pair *p = calloc(1, sizeof *p);
  ck_assert_ptr_nonnull(p);
  p->options = *o;
  p->now = 1000 * SECOND;
  for (int at = 0; at < 2; at++) {
    p->memory[at].allocator = (sandd_allocator){count_alloc, count_free, &p->memory[at]};
    ck_assert_int_eq(pair_endpoint(p, at, at == DAEMON ? "worker-1" : NULL, &p->endpoint[at]), 0);
  }
  if (!o->apart)
    pair_connect(p);
  return p;
}

void pair_free(pair *p) {
  for (int at = 0; at < 2; at++) {
    sandd_link_free(p->link[at], p->now);
    sandd_endpoint_free(p->endpoint[at]);
    ck_assert_msg(p->memory[at].blocks == 0, "%zu blocks are left at the %s", p->memory[at].blocks,
                  at ? "daemon" : "server");
  }
  free(p);
}

static void record(pair *p, int at, const sandd_event *event) {
  ck_assert_uint_lt(p->n_events[at], EVENTS);
  recorded *r = &p->events[at][p->n_events[at]++];
  r->event = *event;
  r->event.frame = NULL;
  r->body = event->frame ? (int)event->frame->body_case : 0;
  r->seq = event->frame ? event->frame->seq : 0;
  snprintf(r->text, sizeof r->text, "%s", event->text ? event->text : "");
}

void pair_drain(pair *p, int at) {
  sandd_event event;
  int got;
  while ((got = sandd_endpoint_next_event(p->endpoint[at], &event, p->now))) {
    if (got == SANDD_E_NOMEM)
      continue; /* call again */
    ck_assert_int_eq(got, 1);
    record(p, at, &event);
    if (p->on_event)
      p->on_event(p, at, &event);
  }
}

void pair_connect(pair *p) {
  for (int at = 0; at < 2; at++) {
    sandd_link_free(p->link[at], p->now);
    p->link[at] = NULL;
    pair_drain(p, at);
    int error = sandd_link_new(&p->link[at], p->endpoint[at], p->now);
    ck_assert(!error || (error == SANDD_E_NOMEM && p->memory[at].fail_at));
  }
  pair_pump(p);
}

void pair_cut(pair *p) {
  for (int at = 0; at < 2; at++) {
    sandd_link_free(p->link[at], p->now);
    p->link[at] = NULL;
    pair_drain(p, at);
  }
}

size_t pair_pull(pair *p, int at, uint8_t *buf, size_t cap) {
  size_t len = 0;
  if (!p->link[at])
    return 0;
  ck_assert_uint_ge(cap, sandd_link_pull_cap(p->link[at]));
  sandd_link_pull(p->link[at], buf, cap, &len, p->now);
  return len;
}

void pair_pump(pair *p) {
  static uint8_t buf[1 << 20];
  for (bool moved = true; moved;) {
    moved = false;
    for (int at = 0; at < 2; at++) {
      size_t len;
      pair_drain(p, at);
      while ((len = pair_pull(p, at, buf, sizeof buf))) {
        moved = true;
        p->packets[at]++;
        if (p->link[!at])
          p->feed_error[!at] = sandd_link_feed(p->link[!at], buf, len, p->now);
        pair_drain(p, !at);
      }
    }
  }
}

void pair_wait(pair *p, uint64_t us) {
  uint64_t end = p->now + us;
  pair_pump(p);
  for (;;) {
    uint64_t next = end;
    for (int at = 0; at < 2; at++) {
      uint64_t d = sandd_endpoint_deadline(p->endpoint[at]);
      if (d < next)
        next = d;
      d = p->link[at] ? sandd_link_deadline(p->link[at]) : UINT64_MAX;
      if (d < next)
        next = d;
    }
    if (next > p->now)
      p->now = next;
    bool over = p->now >= end;
    for (int at = 0; at < 2; at++) {
      if (p->now >= sandd_endpoint_deadline(p->endpoint[at]))
        sandd_endpoint_tick(p->endpoint[at], p->now);
      if (p->link[at] && p->now >= sandd_link_deadline(p->link[at]))
        sandd_link_tick(p->link[at], p->now);
    }
    pair_pump(p);
    if (over)
      return;
  }
}

const recorded *pair_event(const pair *p, int at, sandd_event_type type) {
  for (size_t i = p->n_events[at]; i--;)
    if (p->events[at][i].event.type == type)
      return &p->events[at][i];
  return NULL;
}

size_t pair_count(const pair *p, int at, sandd_event_type type) {
  size_t n = 0;
  for (size_t i = 0; i < p->n_events[at]; i++)
    n += p->events[at][i].event.type == type;
  return n;
}

void pair_forget(pair *p) {
  p->n_events[0] = p->n_events[1] = 0;
}

sandd_session *pair_session(pair *p, int at) {
  return at == SERVER ? sandd_endpoint_find(p->endpoint[SERVER], sandd_endpoint_daemon_id(p->endpoint[DAEMON]))
                      : sandd_endpoint_session(p->endpoint[DAEMON]);
}

int pair_open(pair *p, sandd_stream *stream, const char *id, int64_t stdout_grant) {
  Frame frame = craft(0, 0, BODY(EXEC_OPEN));
  static Sandd__V1__ExecSpec spec;
  static Sandd__V1__ChannelStart start, *starts = &start;
  sandd__v1__exec_spec__init(&spec);
  sandd__v1__channel_start__init(&start);
  spec.command_case = SANDD__V1__EXEC_SPEC__COMMAND_SHELL_LINE;
  spec.shell_line = (ProtobufCBinaryData){.len = 4, .data = (uint8_t *)(uintptr_t)"true"};
  start.channel = CHANNEL(STDOUT);
  start.grant = (uint64_t)stdout_grant;
  frame.exec_open->mode = SANDD__V1__EXEC_MODE__EXEC_MODE_START;
  frame.exec_open->role = SANDD__V1__EXEC_ROLE__EXEC_ROLE_HOLD;
  frame.exec_open->exec_id = (char *)(uintptr_t)id;
  frame.exec_open->spec = &spec;
  frame.exec_open->n_starts = 1;
  frame.exec_open->starts = &starts;
  return sandd_stream_send(stream, &frame, p->now);
}

int pair_answer(pair *p, sandd_stream *stream) {
  Frame frame = craft(0, 0, BODY(EXEC_STARTED));
  return sandd_stream_send(stream, &frame, p->now);
}

sandd_stream *pair_exec(pair *p, sandd_stream **at_daemon) {
  sandd_stream *stream;
  ck_assert_int_eq(sandd_stream_new(&stream, pair_session(p, SERVER)), 0);
  ck_assert_int_eq(pair_open(p, stream, "", 0), 0);
  pair_pump(p);
  const recorded *opened = pair_event(p, DAEMON, SANDD_EVENT_STREAM_OPENED);
  ck_assert_ptr_nonnull(opened);
  ck_assert_uint_eq(sandd_stream_id(opened->event.stream), sandd_stream_id(stream));
  *at_daemon = opened->event.stream;
  ck_assert_int_eq(pair_answer(p, *at_daemon), 0);
  pair_pump(p);
  return stream;
}

/* -- frames by hand ------------------------------------------------------------------------------------------------- */

typedef union body {
  Sandd__V1__Data data;
  Sandd__V1__Window window;
  Sandd__V1__Skip skip;
  Sandd__V1__Heartbeat heartbeat;
  Sandd__V1__HeartbeatReply heartbeat_reply;
  Sandd__V1__Hello hello;
  Sandd__V1__Welcome welcome;
  Sandd__V1__Goodbye goodbye;
  Sandd__V1__ChannelEnd channel_end;
  Sandd__V1__End end;
  Sandd__V1__Reset reset;
  Sandd__V1__ExecOpen exec_open;
  Sandd__V1__ExecStarted exec_started;
  Sandd__V1__ExecExited exec_exited;
  Sandd__V1__Signal signal;
  Sandd__V1__Resize resize;
  Sandd__V1__Detach detach;
} body;

static struct {
  body body;
  Sandd__V1__Status status;
} pool[32];
static size_t used;

Frame craft(uint64_t seq, uint64_t stream_id, int kind) {
  Frame frame = SANDD__V1__FRAME__INIT;
  body *b = &pool[used++ % 32].body;
  frame.seq = seq;
  frame.stream_id = stream_id;
  frame.body_case = (Sandd__V1__Frame__BodyCase)kind;
  const ProtobufCFieldDescriptor *field =
      protobuf_c_message_descriptor_get_field(&sandd__v1__frame__descriptor, (unsigned)kind);
  ck_assert_ptr_nonnull(field);
  protobuf_c_message_init(field->descriptor, (ProtobufCMessage *)b);
  frame.data = &b->data; /* all members of the union are pointers */
  return frame;
}

Frame craft_data(uint64_t stream_id, int channel, uint64_t offset, const void *bytes, size_t len) {
  Frame frame = craft(0, stream_id, BODY(DATA));
  frame.data->channel = (Sandd__V1__ChannelId)channel;
  frame.data->offset = offset;
  frame.data->bytes = (ProtobufCBinaryData){.len = len, .data = (uint8_t *)(uintptr_t)bytes};
  return frame;
}

Frame craft_skip(uint64_t stream_id, int channel, uint64_t from, uint64_t to) {
  Frame frame = craft(0, stream_id, BODY(SKIP));
  frame.skip->channel = (Sandd__V1__ChannelId)channel;
  frame.skip->from = from;
  frame.skip->to = to;
  return frame;
}

Frame craft_window(uint64_t stream_id, int channel, uint64_t next, uint64_t consumed, uint64_t limit) {
  Frame frame = craft(0, stream_id, BODY(WINDOW));
  frame.window->channel = (Sandd__V1__ChannelId)channel;
  frame.window->next = next;
  frame.window->consumed = consumed;
  frame.window->limit = limit;
  return frame;
}

Frame craft_status(uint64_t seq, uint64_t stream_id, int kind, int code) {
  Sandd__V1__Status *status = &pool[used % 32].status;
  Frame frame = craft(seq, stream_id, kind);
  sandd__v1__status__init(status);
  status->code = (Sandd__V1__StatusCode)code;
  if (kind == BODY(END))
    frame.end->status = status;
  else if (kind == BODY(RESET))
    frame.reset->status = status;
  else
    frame.goodbye->status = status;
  return frame;
}

int pair_feed(pair *p, int to, const uint8_t *data, size_t len) {
  int error = sandd_link_feed(p->link[to], data, len, p->now);
  pair_drain(p, to);
  if (!error && pair_closing(p, to))
    error = SANDD_E_PROTOCOL;
  return error;
}

int pair_say(pair *p, int to, uint64_t ack, size_t n, const Frame *frames) {
  Sandd__V1__Packet packet = SANDD__V1__PACKET__INIT;
  Frame *list[64];
  ck_assert_uint_le(n, 64);
  for (size_t i = 0; i < n; i++)
    list[i] = (Frame *)(uintptr_t)&frames[i];
  packet.ack = ack;
  packet.n_frames = n;
  packet.frames = list;
  size_t len = sandd__v1__packet__get_packed_size(&packet);
  uint8_t *bytes = malloc(len + 1);
  ck_assert_ptr_nonnull(bytes);
  sandd__v1__packet__pack(&packet, bytes);
  int error = pair_feed(p, to, bytes, len);
  free(bytes);
  return error;
}

uint16_t pair_closing(const pair *p, int at) {
  uint16_t code = 0;
  const char *text;
  if (!p->link[at] || !sandd_link_closing(p->link[at], &code, &text))
    return 0;
  return code ? code : 1;
}

int main(void) {
  SRunner *runner = srunner_create(suite());
  srunner_run_all(runner, CK_ENV);
  int failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
