// SPDX-License-Identifier: MIT
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "exec.h"
#include "internal.h"

#define VERSION SANDD_VERSION
/* How long a closing server waits for its daemons to have heard of it. */
#define GOODBYE_MS 500

/* ---- forks, the mutex, texts ---- */

static atomic_uint fork_generation;

static void after_fork(void) {
  atomic_fetch_add(&fork_generation, 1);
}

static void watch_forks(void) {
  pthread_atfork(NULL, NULL, after_fork);
}

bool sandd_server_alive(const sandd_server *server) {
  return server->generation == atomic_load(&fork_generation);
}

void sandd_server_lock(sandd_server *server) {
  pthread_mutex_lock(&server->mutex);
}

static void write_fd(int fd) {
  uint64_t one = 1;
  /* Only a counter that is full can refuse, and that one is readable. */
  ssize_t n = write(fd, &one, sizeof one);
  (void)n;
}

void sandd_server_wake(sandd_server *server, int fd) {
  if (server->n_to_wake < WAKES_MAX)
    server->to_wake[server->n_to_wake++] = fd;
  else
    write_fd(fd);
}

void sandd_server_unlock(sandd_server *server) {
  int fds[WAKES_MAX];
  size_t n = server->n_to_wake;
  if (n)
    memcpy(fds, server->to_wake, n * sizeof *fds);
  server->n_to_wake = 0;
  pthread_mutex_unlock(&server->mutex);
  for (size_t i = 0; i < n; i++)
    write_fd(fds[i]);
}

int sandd_server_enter(sandd_server *server) {
  if (!sandd_server_alive(server))
    return SANDD_E_CLOSED;
  sandd_server_lock(server);
  if (!server->closing)
    return 0;
  sandd_server_unlock(server);
  return SANDD_E_CLOSED;
}

int sandd_failure_set(sandd_failure *failure, int error, int status, const char *format, ...) {
  if (!failure)
    return error;
  *failure = (sandd_failure){.error = error, .status = status};
  va_list args;
  va_start(args, format);
  vsnprintf(failure->text, sizeof failure->text, format, args);
  va_end(args);
  return error;
}

int64_t sandd_wall_ns(void) {
  struct timespec ts;
  clock_gettime(CLOCK_REALTIME, &ts);
  return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

int64_t sandd_wall_at(uint64_t then_us, uint64_t now_us) {
  return sandd_wall_ns() - ((int64_t)now_us - (int64_t)then_us) * 1000;
}

const char *sandd_server_version(void) {
  return VERSION;
}

const char *sandd_server_status_name(int status) {
  return sandd_status_name(status);
}

/* ---- the loop's thread ---- */

static void carrier_lock(void *user) {
  sandd_server_lock(user);
}

static void carrier_unlock(void *user) {
  sandd_server_unlock(user);
}

static void on_deadline_timer(uv_timer_t *timer) {
  sandd_server *server = timer->data;
  sandd_server_lock(server);
  uint64_t now_us = sandd_carrier_now_us();
  sandd_execs_tick(server, now_us);
  uint64_t first_us = sandd_deadline_first(server);
  server->deadline_armed_us = first_us;
  sandd_server_unlock(server);
  if (first_us != UINT64_MAX)
    uv_timer_start(timer, on_deadline_timer, (first_us > now_us ? first_us - now_us : 0) / 1000 + 1, 0);
  sandd_carrier_flush(server->carrier);
}

static void on_deadline_async(uv_async_t *async) {
  sandd_server *server = async->data;
  uv_update_time(async->loop);
  on_deadline_timer(&server->deadline_timer);
}

static void on_stop_timer(uv_timer_t *timer) {
  sandd_server *server = timer->data;
  if (sandd_carrier_count(server->carrier) && uv_now(timer->loop) < server->stop_by_ms)
    return;
  uv_timer_stop(timer);
  sandd_net_stop(server->net);
}

/* Says goodbye, and leaves the loop when all daemons have gone, or after half a second. */
static void on_stop_async(uv_async_t *async) {
  sandd_server *server = async->data;
  sandd_server_lock(server);
  uint64_t now_us = sandd_carrier_now_us();
  sandd_execs_close(server, now_us);
  sandd_daemons_goodbye(server, now_us);
  sandd_server_unlock(server);
  sandd_carrier_flush(server->carrier);
  uv_update_time(async->loop);
  server->stop_by_ms = uv_now(async->loop) + GOODBYE_MS;
  uv_timer_start(&server->stop_timer, on_stop_timer, 0, 5);
}

/* Ends everything that belongs to the loop. On its thread, or before that has started. */
static void tear_down(sandd_server *server) {
  /* First out of reach of the other threads, which notify it with the mutex held. */
  sandd_server_lock(server);
  sandd_carrier *carrier = server->carrier;
  sandd_net *net = server->net;
  server->carrier = NULL;
  server->net = NULL;
  sandd_server_unlock(server);
  sandd_listener_free(server->listener);
  uv_close((uv_handle_t *)&server->stop_async, NULL);
  uv_close((uv_handle_t *)&server->deadline_async, NULL);
  uv_close((uv_handle_t *)&server->stop_timer, NULL);
  uv_close((uv_handle_t *)&server->deadline_timer, NULL);
  sandd_carrier_free(carrier);
  sandd_net_free(net);
  sandd_endpoint_free(server->endpoint);
  server->endpoint = NULL;
}

static void *run(void *user) {
  sandd_server *server = user;
  sandd_net_run(server->net); /* only this thread changes it */
  tear_down(server);
  return NULL;
}

/* ---- new ---- */

static void random_bytes(void *ctx, uint8_t *out, size_t len) {
  (void)ctx;
  while (len) {
    ssize_t n = getrandom(out, len, 0);
    if (n < 0)
      continue; /* EINTR; nothing else can fail once the kernel's pool is there */
    out += n;
    len -= (size_t)n;
  }
}

static int new_endpoint(sandd_server *server, const sandd_server_config *c) {
  static const sandd_capability capabilities[] = {
      {"exec", NULL}, {"exec.attach", NULL}, {"exec.pty", NULL}, {"exec.user", NULL}};
  sandd_endpoint_config config = {.size = sizeof config, .role = SANDD_ROLE_SERVER, .random = random_bytes};
  config.limits.message_bytes = c->max_message;
  config.recv_budget = c->recv_budget;
  config.ring_budget = c->ring_budget;
  config.window_bytes = c->window;
  config.heartbeat_us = (uint64_t)c->heartbeat_ms * 1000;
  config.session_retention_us = (uint64_t)c->session_retention_ms * 1000;
  config.wall_clock_ns = sandd_wall_at(0, sandd_carrier_now_us());
  config.software = "libsandd-server " VERSION;
  config.capabilities = capabilities;
  config.n_capabilities = sizeof capabilities / sizeof *capabilities;
  return sandd_endpoint_new(&server->endpoint, &config);
}

static int net_error(int rc, const char *text, sandd_failure *failure) {
  switch (rc) {
  case SANDD_NET_ADDRESS_IN_USE:
    sandd_failure_set(failure, SANDD_E_ADDRESS, STATUS(ALREADY_EXISTS), "%s", text);
    if (failure)
      strcpy(failure->errno_name, "EADDRINUSE");
    return SANDD_E_ADDRESS;
  case SANDD_NET_PERMISSION:
    sandd_failure_set(failure, SANDD_E_ADDRESS, STATUS(PERMISSION_DENIED), "%s", text);
    if (failure)
      strcpy(failure->errno_name, "EACCES");
    return SANDD_E_ADDRESS;
  case SANDD_NET_ADDRESS:
    sandd_failure_set(failure, SANDD_E_ADDRESS, STATUS(INVALID_ARGUMENT), "%s", text);
    if (failure)
      strcpy(failure->errno_name, "EADDRNOTAVAIL");
    return SANDD_E_ADDRESS;
  case SANDD_NET_CERTIFICATE: return sandd_failure_set(failure, SANDD_E_TLS, STATUS(INVALID_ARGUMENT), "%s", text);
  case SANDD_NET_INVALID: return sandd_failure_set(failure, SANDD_E_INVALID, STATUS(INVALID_ARGUMENT), "%s", text);
  case SANDD_NET_NOMEM: return sandd_failure_set(failure, SANDD_E_NOMEM, STATUS(RESOURCE_EXHAUSTED), "out of memory");
  default:
    return sandd_failure_set(failure, SANDD_E_SYSTEM, STATUS(SYSTEM), "%s", *text ? text : sandd_net_error_name(rc));
  }
}

static int start_listening(sandd_server *server, const sandd_server_config *c, sandd_failure *failure) {
  char text[512] = "";
  sandd_listen_config config = {.size = sizeof config,
                                .host = c->host ? c->host : "0.0.0.0",
                                .port = (unsigned)c->port,
                                .token = c->token,
                                .cert_file = c->tls_cert,
                                .key_file = c->tls_key,
                                .client_ca_file = c->tls_client_ca,
                                .handler = sandd_carrier_handler(),
                                .user = server->carrier,
                                .http = sandd_server_http};
  int rc = sandd_listen(server->net, &config, &server->listener, text, sizeof text);
  if (rc)
    return net_error(rc, text, failure);
  server->port = (int)sandd_listener_port(server->listener);
  server->address = strdup(sandd_listener_address(server->listener));
  if (!server->address)
    return sandd_failure_set(failure, SANDD_E_NOMEM, STATUS(RESOURCE_EXHAUSTED), "out of memory");
  return 0;
}

static void add_handles(sandd_server *server) {
  uv_loop_t *loop = sandd_net_loop(server->net);
  uv_timer_init(loop, &server->stop_timer);
  uv_timer_init(loop, &server->deadline_timer);
  uv_async_init(loop, &server->stop_async, on_stop_async);
  uv_async_init(loop, &server->deadline_async, on_deadline_async);
  server->stop_timer.data = server->deadline_timer.data = server;
  server->stop_async.data = server->deadline_async.data = server;
}

static int start_thread(sandd_server *server) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int rc = pthread_create(&server->thread, NULL, run, server);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return rc;
}

static int check(const sandd_server_config *c, sandd_failure *failure) {
  const char *wrong = NULL;
  if (!c || c->size < sizeof *c)
    wrong = "config->size is not set";
  else if (c->port < 0 || c->port > 65535)
    wrong = "a port is 0 to 65535";
  else if (c->heartbeat_ms < 0 || c->session_retention_ms < 0)
    wrong = "a time is negative";
  else if (!c->tls_cert != !c->tls_key)
    wrong = "a certificate needs its key, and a key its certificate";
  else if (c->tls_client_ca && !c->tls_cert)
    wrong = "a client CA makes sense with a certificate only";
  else if (c->max_message && (c->max_message < 65536 || c->max_message > (1u << 30)))
    wrong = "max_message is 64 KiB to 1 GiB";
  return wrong ? sandd_failure_set(failure, SANDD_E_INVALID, STATUS(INVALID_ARGUMENT), "%s", wrong) : 0;
}

static int start(sandd_server *server, const sandd_server_config *c, sandd_failure *failure) {
  sandd_net_config net_config = {.size = sizeof net_config, .log = sandd_log_from_net, .log_user = server};
  int rc = sandd_net_new(&server->net, &net_config);
  if (rc)
    return net_error(rc, "", failure);
  add_handles(server);
  rc = new_endpoint(server, c);
  if (rc)
    return sandd_failure_set(failure, rc, STATUS(INVALID_ARGUMENT),
                             rc == SANDD_E_INVALID ? "a budget is below its minimum" : "out of memory");
  sandd_carrier_config carrier = {.size = sizeof carrier,
                                  .net = server->net,
                                  .endpoint = server->endpoint,
                                  .event = sandd_server_event,
                                  .lock = carrier_lock,
                                  .unlock = carrier_unlock,
                                  .log = sandd_log_from_net,
                                  .trace = server->log.level >= SANDD_LOG_TRACE,
                                  .user = server};
  rc = sandd_carrier_new(&server->carrier, &carrier);
  if (rc)
    return sandd_failure_set(failure, rc, STATUS(RESOURCE_EXHAUSTED), "%s", sandd_error_text(rc));
  rc = start_listening(server, c, failure);
  if (rc)
    return rc;
  rc = start_thread(server);
  return rc ? sandd_failure_set(failure, SANDD_E_SYSTEM, STATUS(SYSTEM), "no thread: %s", strerror(rc)) : 0;
}

int sandd_server_new(sandd_server **out, const sandd_server_config *config, sandd_failure *failure) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  *out = NULL;
  int rc = check(config, failure);
  if (rc)
    return rc;
  pthread_once(&once, watch_forks);
  sandd_server *server = calloc(1, sizeof *server);
  if (!server)
    return sandd_failure_set(failure, SANDD_E_NOMEM, STATUS(RESOURCE_EXHAUSTED), "out of memory");
  pthread_mutex_init(&server->mutex, NULL);
  pthread_mutex_init(&server->close_mutex, NULL);
  atomic_store(&server->refs, 1);
  server->generation = atomic_load(&fork_generation);
  server->waiting_last = &server->waiting;
  server->deadline_armed_us = UINT64_MAX;
  server->started_us = sandd_carrier_now_us();
  sandd_events_init(&server->events);
  sandd_log_init(&server->log, config->log_level, config->log, config->log_user);
  rc = start(server, config, failure);
  if (rc == 0) {
    *out = server;
    return 0;
  }
  server->closing = server->closed = true;
  if (server->net)
    tear_down(server);
  sandd_server_unref(server);
  return rc;
}

/* ---- the end ---- */

void sandd_server_ref(sandd_server *server) {
  atomic_fetch_add(&server->refs, 1);
}

void sandd_server_unref(sandd_server *server) {
  if (atomic_fetch_sub(&server->refs, 1) != 1)
    return;
  sandd_daemons_free(&server->daemons);
  sandd_events_free(&server->events);
  sandd_log_free(&server->log);
  sandd_wake_pool_free(&server->wakes);
  free(server->deadlines.execs);
  free(server->stats_body);
  free(server->address);
  pthread_mutex_destroy(&server->mutex);
  pthread_mutex_destroy(&server->close_mutex);
  free(server);
}

void sandd_server_close(sandd_server *server) {
  if (!sandd_server_alive(server))
    return;
  pthread_mutex_lock(&server->close_mutex);
  sandd_server_lock(server);
  bool first = !server->closing;
  server->closing = true;
  if (first) {
    sandd_wake_all(server, &server->registry_waiters, ~0u);
    sandd_waitsets_close(server);
    if (server->events.fd >= 0)
      sandd_server_wake(server, server->events.fd);
    uv_async_send(&server->stop_async);
  }
  sandd_server_unlock(server);
  if (first) {
    pthread_join(server->thread, NULL);
    sandd_server_lock(server);
    server->closed = true;
    sandd_server_unlock(server);
    sandd_log_wake(&server->log);
  }
  pthread_mutex_unlock(&server->close_mutex);
}

void sandd_server_free(sandd_server *server) {
  if (!server)
    return;
  if (!sandd_server_alive(server)) {
    /* The mutex may be held by a thread that the child does not have, and the loop's epoll is the parent's, too. */
    if (server->net)
      sandd_net_abandon(server->net);
    if (server->events.fd >= 0)
      close(server->events.fd);
    if (server->log.fd >= 0)
      close(server->log.fd);
    for (size_t i = 0; i < server->wakes.n_free; i++)
      close(server->wakes.free_fds[i]);
    return;
  }
  sandd_server_close(server);
  sandd_server_unref(server);
}

int sandd_server_port(const sandd_server *server) {
  return server->port;
}

const char *sandd_server_address(const sandd_server *server) {
  return server->address;
}

int sandd_server_log_fd(sandd_server *server) {
  return sandd_server_alive(server) ? sandd_log_open(&server->log) : SANDD_E_CLOSED;
}

int sandd_server_next_log(sandd_server *server, char *text, size_t cap) {
  if (!sandd_server_alive(server))
    return SANDD_E_CLOSED;
  int level = sandd_log_next(&server->log, text, cap);
  if (level)
    return level;
  sandd_server_lock(server);
  level = server->closed ? SANDD_E_CLOSED : 0;
  sandd_server_unlock(server);
  return level;
}
