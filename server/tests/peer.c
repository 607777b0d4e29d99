// SPDX-License-Identifier: MIT
#include "peer.h"

#include <assert.h>
#include <pthread.h>
#include <sandd/net/carrier.h>
#include <sandd/net/dial.h>
#include <sandd/proto/inbox.h>
#include <sandd/proto/link.h>
#include <sandd/proto/ring.h>
#include <sandd/proto/session.h>
#include <sandd/proto/stream.h>
#include <sandd/v1/packet.pb-c.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define OK            SANDD__V1__STATUS_CODE__STATUS_CODE_OK
#define NOT_FOUND     SANDD__V1__STATUS_CODE__STATUS_CODE_NOT_FOUND
#define UNIMPLEMENTED SANDD__V1__STATUS_CODE__STATUS_CODE_UNIMPLEMENTED

typedef struct job {
  struct job *next, **prev;
  test_peer *peer;
  sandd_stream *stream;
  sandd_ring *out, *err;
  sandd_inbox *in;
  uint64_t left, at; /* of count */
  bool cat, hang, done;
} job;

struct test_peer {
  test_peer_options options;
  char url[64];
  pthread_t thread;
  sandd_net *net;
  sandd_endpoint *endpoint;
  sandd_carrier *carrier;
  sandd_conn *conn;
  uv_async_t async;
  uv_timer_t redial;
  job *jobs;
  atomic_uint dials, resets, refused;
  atomic_bool stop, cut;
  pthread_mutex_t mutex;
  char id[256];
};

static void dial(test_peer *p);

/* ---- jobs ---- */

static void finish(job *j, unsigned code, const char *signal) {
  uint64_t now_us = sandd_carrier_now_us();
  j->done = true;
  Sandd__V1__ExecExited exited = SANDD__V1__EXEC_EXITED__INIT;
  exited.reason = SANDD__V1__EXIT_REASON__EXIT_REASON_OWN;
  exited.wall_ns = 1000000;
  exited.outcome_case = signal ? SANDD__V1__EXEC_EXITED__OUTCOME_SIGNAL : SANDD__V1__EXEC_EXITED__OUTCOME_EXIT_CODE;
  if (signal)
    exited.signal = (char *)(uintptr_t)signal;
  else
    exited.exit_code = code;
  Sandd__V1__Frame frame = SANDD__V1__FRAME__INIT;
  frame.body_case = SANDD__V1__FRAME__BODY_EXEC_EXITED;
  frame.exec_exited = &exited;
  sandd_stream_send(j->stream, &frame, now_us);
  sandd_ring_finish(j->out);
  sandd_ring_finish(j->err);
  sandd_stream_finish(j->stream, 2, false, now_us);
  sandd_stream_finish(j->stream, 3, false, now_us);
  sandd_stream_end(j->stream, &(sandd_status){.code = OK}, now_us);
}

static void produce(job *j) {
  uint8_t chunk[65536];
  while (j->left && !j->done) {
    size_t n = j->left < sizeof chunk ? (size_t)j->left : sizeof chunk;
    for (size_t i = 0; i < n; i++)
      chunk[i] = (uint8_t)((j->at + i) % 251);
    int64_t taken = sandd_ring_write(j->out, chunk, n);
    if (taken <= 0)
      return;
    j->at += (uint64_t)taken;
    j->left -= (uint64_t)taken;
  }
  if (!j->left && j->at && !j->done)
    finish(j, 0, NULL);
}

static void copy_input(job *j) {
  uint64_t now_us = sandd_carrier_now_us();
  const uint8_t *data;
  uint64_t len;
  if (j->done)
    return;
  for (;;) {
    sandd_inbox_state state = sandd_inbox_peek(j->in, &data, &len);
    if (state == SANDD_INBOX_END) {
      finish(j, 0, NULL);
      return;
    }
    if (state != SANDD_INBOX_DATA)
      return;
    int64_t taken = sandd_ring_write(j->out, data, (size_t)len);
    if (taken <= 0)
      return;
    sandd_inbox_consume(j->in, (uint64_t)taken, now_us);
  }
}

static void free_job(job *j) {
  sandd_stream_release(j->stream, sandd_carrier_now_us());
  sandd_ring_free(j->out);
  sandd_ring_free(j->err);
  sandd_inbox_free(j->in);
  *j->prev = j->next;
  if (j->next)
    j->next->prev = j->prev;
  free(j);
}

static void answer(job *j, const Sandd__V1__ExecOpen *open) {
  uint64_t now_us = sandd_carrier_now_us();
  Sandd__V1__OutputState outputs[2];
  Sandd__V1__KeptRange kept[2];
  Sandd__V1__OutputState *list[2] = {&outputs[0], &outputs[1]};
  Sandd__V1__ExecStarted started = SANDD__V1__EXEC_STARTED__INIT;
  Sandd__V1__StdinState in = SANDD__V1__STDIN_STATE__INIT;
  for (int i = 0; i < 2; i++) {
    sandd__v1__output_state__init(&outputs[i]);
    sandd__v1__kept_range__init(&kept[i]);
    kept[i].channel = (Sandd__V1__ChannelId)(2 + i);
    outputs[i].kept = &kept[i];
  }
  started.exec_id = *open->exec_id ? open->exec_id : (char *)(uintptr_t)"made-by-the-daemon";
  started.instance = (char *)(uintptr_t)sandd_endpoint_instance_id(j->peer->endpoint);
  started.pid = 4711;
  started.state = SANDD__V1__EXEC_STATE__EXEC_STATE_RUNNING;
  started.outputs = list;
  started.n_outputs = 2;
  started.stdin = j->in ? &in : NULL;
  Sandd__V1__Frame frame = SANDD__V1__FRAME__INIT;
  frame.body_case = SANDD__V1__FRAME__BODY_EXEC_STARTED;
  frame.exec_started = &started;
  sandd_stream_send(j->stream, &frame, now_us);
  for (size_t i = 0; i < open->n_starts; i++) {
    const Sandd__V1__ChannelStart *s = open->starts[i];
    sandd_stream_write(j->stream, (int)s->channel, s->channel == 2 ? j->out : j->err, 0, s->grant, SANDD_READER_HOLDS);
  }
}

static void begin(job *j, const Sandd__V1__ExecOpen *open, const char *line) {
  const Sandd__V1__ExecSpec *spec = open->spec;
  uint64_t now_us = sandd_carrier_now_us();
  sandd_endpoint *endpoint = j->peer->endpoint;
  assert(sandd_ring_new(&j->out, endpoint, NULL, NULL) == 0 && sandd_ring_new(&j->err, endpoint, NULL, NULL) == 0);
  sandd_ring_set_user(j->out, j);
  sandd_ring_set_user(j->err, j);
  if (spec->stdin_mode == SANDD__V1__STDIN_MODE__STDIN_MODE_STREAM) {
    assert(sandd_inbox_new(&j->in, endpoint, NULL, false) == 0);
    sandd_inbox_set_user(j->in, j);
  }
  answer(j, open);
  if (j->in)
    sandd_stream_read(j->stream, 1, j->in, true, now_us);
  if (!strncmp(line, "exit ", 5)) {
    finish(j, (unsigned)atoi(line + 5), NULL);
  } else if (!strncmp(line, "echo ", 5)) {
    sandd_ring_write(j->out, (const uint8_t *)line + 5, strlen(line + 5));
    finish(j, 0, NULL);
  } else if (!strncmp(line, "err ", 4)) {
    sandd_ring_write(j->err, (const uint8_t *)line + 4, strlen(line + 4));
    finish(j, 0, NULL);
  } else if (!strncmp(line, "count ", 6)) {
    j->left = strtoull(line + 6, NULL, 10);
    produce(j);
  } else if (!strcmp(line, "cat") && j->in) {
    j->cat = true;
    copy_input(j);
  } else if (!strcmp(line, "cat")) {
    sandd_ring_write(j->out, spec->stdin_inline.data, spec->stdin_inline.len);
    finish(j, 0, NULL);
  } else if (!strcmp(line, "nothing")) {
    sandd_stream_end(j->stream, &(sandd_status){.code = OK}, now_us);
  } else {
    j->hang = true;
  }
}

static void open_job(test_peer *p, const sandd_event *event) {
  uint64_t now_us = sandd_carrier_now_us();
  const Sandd__V1__ExecOpen *open =
      event->frame->body_case == SANDD__V1__FRAME__BODY_EXEC_OPEN ? event->frame->exec_open : NULL;
  char line[1024] = "";
  if (open && open->spec && open->spec->command_case == SANDD__V1__EXEC_SPEC__COMMAND_SHELL_LINE &&
      open->spec->shell_line.len < sizeof line)
    memcpy(line, open->spec->shell_line.data, open->spec->shell_line.len);
  if (!*line || !strncmp(line, "fail ", 5)) {
    sandd_status status = {
        .code = *line ? NOT_FOUND : UNIMPLEMENTED, .text = "refused", .errno_name = *line ? line + 5 : ""};
    sandd_stream_reset(event->stream, &status, now_us);
    sandd_stream_release(event->stream, now_us);
    return;
  }
  job *j = calloc(1, sizeof *j);
  assert(j);
  j->peer = p;
  j->stream = event->stream;
  j->next = p->jobs;
  j->prev = &p->jobs;
  if (p->jobs)
    p->jobs->prev = &j->next;
  p->jobs = j;
  sandd_stream_set_user(j->stream, j);
  begin(j, open, line);
}

static void on_event(void *user, const sandd_event *event) {
  test_peer *p = user;
  job *j;
  switch (event->type) {
  case SANDD_EVENT_REFUSED: atomic_store(&p->refused, (unsigned)event->status); break;
  case SANDD_EVENT_IDENTITY_CHANGED:
    pthread_mutex_lock(&p->mutex);
    snprintf(p->id, sizeof p->id, "%s", event->text);
    pthread_mutex_unlock(&p->mutex);
    break;
  case SANDD_EVENT_STREAM_OPENED: open_job(p, event); break;
  case SANDD_EVENT_STREAM_FRAME:
    j = sandd_stream_user(event->stream);
    if (j && j->hang && !j->done && event->frame->body_case == SANDD__V1__FRAME__BODY_SIGNAL)
      finish(j, 0, event->frame->signal->name);
    else if (j && event->frame->body_case == SANDD__V1__FRAME__BODY_DETACH && !j->done)
      sandd_stream_end(j->stream, &(sandd_status){.code = OK}, sandd_carrier_now_us());
    break;
  case SANDD_EVENT_INBOX_READABLE:
    j = sandd_inbox_user(event->inbox);
    if (j->cat)
      copy_input(j);
    break;
  case SANDD_EVENT_RING_WRITABLE:
    j = sandd_ring_user(event->ring);
    if (j->cat)
      copy_input(j);
    else
      produce(j);
    break;
  case SANDD_EVENT_STREAM_ENDED:
    if (event->by_reset)
      atomic_fetch_add(&p->resets, 1);
    break;
  case SANDD_EVENT_STREAM_CLOSED: free_job(sandd_stream_user(event->stream)); break;
  default: break;
  }
}

/* ---- connection ---- */

static void on_redial(uv_timer_t *timer) {
  dial(timer->data);
}

static void on_dial_ended(void *user, int error, uint16_t ws_code, const char *text) {
  test_peer *p = user;
  (void)ws_code;
  (void)text;
  p->conn = NULL;
  if (error == SANDD_NET_UNAUTHORIZED || error == SANDD_NET_HANDSHAKE)
    atomic_store(&p->refused, (unsigned)-error);
  if (!p->options.no_redial && !atomic_load(&p->stop) && error != SANDD_NET_UNAUTHORIZED)
    uv_timer_start(&p->redial, on_redial, 20, 0);
}

static void dial(test_peer *p) {
  sandd_dial_config config = {.size = sizeof config,
                              .url = p->url,
                              .token = p->options.token,
                              .handler = sandd_carrier_handler(),
                              .user = p->carrier};
  atomic_fetch_add(&p->dials, 1);
  assert(sandd_dial(p->net, &config, &p->conn, NULL, 0) == 0);
}

static void on_async(uv_async_t *async) {
  test_peer *p = async->data;
  if (atomic_exchange(&p->cut, false) && p->conn)
    sandd_conn_abort(p->conn);
  if (atomic_load(&p->stop)) {
    if (p->conn)
      sandd_conn_abort(p->conn);
    sandd_net_stop(p->net);
  }
}

static void random_bytes(void *ctx, uint8_t *out, size_t len) {
  (void)ctx;
  assert(getrandom(out, len, 0) == (ssize_t)len);
}

static void *run(void *user) {
  test_peer *p = user;
  dial(p);
  sandd_net_run(p->net);
  sandd_conn *conn = p->conn;
  if (conn)
    sandd_conn_set_user(conn, NULL);
  while (p->jobs)
    free_job(p->jobs);
  uv_close((uv_handle_t *)&p->async, NULL);
  uv_close((uv_handle_t *)&p->redial, NULL);
  sandd_carrier_free(p->carrier);
  sandd_net_free(p->net);
  sandd_endpoint_free(p->endpoint);
  return NULL;
}

test_peer *test_peer_start_with(test_peer_options options) {
  test_peer *p = calloc(1, sizeof *p);
  assert(p);
  p->options = options;
  pthread_mutex_init(&p->mutex, NULL);
  snprintf(p->url, sizeof p->url, "ws://127.0.0.1:%d", options.port);
  snprintf(p->id, sizeof p->id, "%s", options.id ? options.id : "worker");
  sandd_capability capabilities[] = {
      {"exec", NULL}, {"exec.attach", NULL}, {"exec.user", options.without_user ? "needs root" : NULL}};
  sandd_label label = {"role", options.label};
  sandd_endpoint_config config = {.size = sizeof config,
                                  .role = SANDD_ROLE_DAEMON,
                                  .random = random_bytes,
                                  .software = "test-peer 1",
                                  .daemon_id = p->id,
                                  .instance_id = options.instance,
                                  .os = "linux",
                                  .arch = "x86_64",
                                  .hostname = "testhost",
                                  .labels = &label,
                                  .n_labels = options.label ? 1 : 0,
                                  .capabilities = capabilities,
                                  .n_capabilities = 3};
  assert(sandd_net_new(&p->net, NULL) == 0);
  assert(sandd_endpoint_new(&p->endpoint, &config) == 0);
  sandd_carrier_config carrier = {.size = sizeof carrier,
                                  .net = p->net,
                                  .endpoint = p->endpoint,
                                  .event = on_event,
                                  .dial_ended = on_dial_ended,
                                  .user = p};
  assert(sandd_carrier_new(&p->carrier, &carrier) == 0);
  uv_timer_init(sandd_net_loop(p->net), &p->redial);
  uv_async_init(sandd_net_loop(p->net), &p->async, on_async);
  p->redial.data = p->async.data = p;
  assert(pthread_create(&p->thread, NULL, run, p) == 0);
  return p;
}

void test_peer_stop(test_peer *p) {
  atomic_store(&p->stop, true);
  uv_async_send(&p->async);
  pthread_join(p->thread, NULL);
  pthread_mutex_destroy(&p->mutex);
  free(p);
}

unsigned test_peer_dials(test_peer *p) {
  return atomic_load(&p->dials);
}

unsigned test_peer_resets(test_peer *p) {
  return atomic_load(&p->resets);
}

unsigned test_peer_refused(test_peer *p) {
  return atomic_load(&p->refused);
}

bool test_peer_wait_id(test_peer *p, const char *prefix) {
  for (int i = 0; i < 1000; i++) {
    pthread_mutex_lock(&p->mutex);
    bool is = !strncmp(p->id, prefix, strlen(prefix));
    pthread_mutex_unlock(&p->mutex);
    if (is)
      return true;
    nanosleep(&(struct timespec){0, 10000000}, NULL);
  }
  return false;
}

void test_peer_cut(test_peer *p) {
  atomic_store(&p->cut, true);
  uv_async_send(&p->async);
}
