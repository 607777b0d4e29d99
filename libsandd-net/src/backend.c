// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "internal.h"

/* See start_destroy and close_forgotten. */
#define CLOSES_TWICE (LWS_LIBRARY_VERSION_NUMBER < 4002000)
#define FORGETS      (!CLOSES_TWICE && LWS_LIBRARY_VERSION_NUMBER < 4004000)

#define IDLE_VHOST_MS 1000

/* rx_buffer_size is allocated per connection and is also how much is read at once. Plain connections hardly touch it; with
 * TLS it takes the place of memory that OpenSSL has used. tx_packet_size only keeps libwebsockets from cutting writes. See
 * README.md for what each of these costs. */
#define RX_BUFFER_PLAIN     16384
#define RX_BUFFER_TLS       4096
#define SERV_BUFFER         (16384 + LWS_PRE)
#define HEADER_BUFFER       8192
#define HANDSHAKE_TIMEOUT_S 20

/* Making and freeing contexts touches globals of libwebsockets (plugin loading, OpenSSL's ex_data indexes). */
static pthread_mutex_t global_lock = PTHREAD_MUTEX_INITIALIZER;

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len);

#define PROTOCOL(rx_buffer) {SUBPROTOCOL, on_event, 0, rx_buffer, 0, NULL, 64u * 1024 * 1024}
#define PROTOCOL_END        {NULL, NULL, 0, 0, 0, NULL, 0}

static const struct lws_protocols protocols_plain[] = {PROTOCOL(RX_BUFFER_PLAIN), PROTOCOL_END};
static const struct lws_protocols protocols_tls[] = {PROTOCOL(RX_BUFFER_TLS), PROTOCOL_END};

/* All zero: no pings and no hang-ups of its own; by default it ends even busy connections after 300 s. */
const lws_retry_bo_t backend_no_keepalive;

static int on_client_event(sandd_conn *conn, enum lws_callback_reasons reason, void *in, size_t len) {
  switch (reason) {
  case LWS_CALLBACK_WSI_CREATE: dial_connected(conn); return 0;
  case LWS_CALLBACK_CLIENT_APPEND_HANDSHAKE_HEADER: return dial_headers(conn, in, len);
  case LWS_CALLBACK_CLIENT_CONNECTION_ERROR: dial_error(conn, in, in ? len : 0); return 0;
  case LWS_CALLBACK_CLOSED_CLIENT_HTTP:
  case LWS_CALLBACK_CLIENT_CLOSED: dial_last_words(conn); return 0;
  case LWS_CALLBACK_CLIENT_ESTABLISHED: conn_opened(conn); return conn->aborted ? -1 : 0;
  case LWS_CALLBACK_CLIENT_RECEIVE: return conn_receive(conn, in, len);
  case LWS_CALLBACK_CLIENT_WRITEABLE: return conn_writeable(conn);
  default: return 0;
  }
}

static int on_server_event(sandd_conn *conn, struct lws *wsi, enum lws_callback_reasons reason, void *in, size_t len) {
  switch (reason) {
  case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE: return http_upgrade(conn, wsi, in);
  case LWS_CALLBACK_HTTP: return http_get(conn, wsi, in);
  case LWS_CALLBACK_HTTP_BODY:
  case LWS_CALLBACK_HTTP_BODY_COMPLETION: return -1;
  case LWS_CALLBACK_ESTABLISHED: conn_opened(conn); return conn->aborted ? -1 : 0;
  case LWS_CALLBACK_RECEIVE: return conn_receive(conn, in, len);
  case LWS_CALLBACK_SERVER_WRITEABLE: return conn_writeable(conn);
  default: return 0;
  }
}

static int configure_server_ctx(struct lws *wsi, SSL_CTX *ctx) {
  char text[TEXT_SIZE];
  backend_vhost *vhost = lws_vhost_user(lws_get_vhost(wsi));
  if (!vhost->files.server) {
    return 0;
  }
  return tls_configure(ctx, &vhost->files, text, sizeof text) ? -1 : 0;
}

/* A connect that fails at once leaves libwebsockets 4.1's poll handle open for ever. */
static void free_handle(uv_handle_t *handle) {
  free(handle);
}

static void close_orphan(uv_handle_t *handle, void *wsi) {
  if (handle->type == UV_POLL && handle->data == wsi && !uv_is_closing(handle)) {
    uv_close(handle, free_handle);
  }
}

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len) {
  if (reason == LWS_CALLBACK_OPENSSL_LOAD_EXTRA_SERVER_VERIFY_CERTS) {
    return configure_server_ctx(wsi, user);
  }
  if (reason == LWS_CALLBACK_OPENSSL_PERFORM_CLIENT_CERT_VERIFICATION ||
      reason == LWS_CALLBACK_OPENSSL_PERFORM_SERVER_CERT_VERIFICATION) {
    return len ? 0 : 1; /* len is OpenSSL's own verdict */
  }
  if (reason == LWS_CALLBACK_PROTOCOL_INIT || reason == LWS_CALLBACK_PROTOCOL_DESTROY) {
    return 0;
  }
  sandd_conn *conn = lws_get_opaque_user_data(wsi);
  if (!conn && reason == LWS_CALLBACK_WSI_CREATE) {
    /* Within adopt, whose opaque pointer comes a moment later. */
    backend_vhost *vhost = lws_vhost_user(lws_get_vhost(wsi));
    conn = vhost->net->adopting;
  }
  if (!conn) {
    return 0;
  }
  if (reason == LWS_CALLBACK_WSI_DESTROY) {
    if (conn->dial) {
      uv_walk(&conn->net->loop, close_orphan, wsi);
    }
    conn_destroyed(conn);
    return 0;
  }
  if (reason == LWS_CALLBACK_WS_PEER_INITIATED_CLOSE) {
    return conn_peer_close(conn, in, len);
  }
  conn->wsi = wsi;
  return conn->listener ? on_server_event(conn, wsi, reason, in, len) : on_client_event(conn, reason, in, len);
}

/* Numbers below that of the wake-up descriptor, see start_destroy. */
static void open_spares(sandd_net *net, int which) {
  if (!CLOSES_TWICE) {
    return;
  }
  for (int i = 0; i < BACKEND_SPARES; i++) {
    net->spares[which][i] = eventfd(0, EFD_CLOEXEC);
  }
}

void backend_close_spares(sandd_net *net, int which) {
  for (int i = 0; i < BACKEND_SPARES; i++) {
    if (net->spares[which][i] >= 0) {
      close(net->spares[which][i]);
      net->spares[which][i] = -1;
    }
  }
}

static void last_poll(uv_handle_t *handle, void *last) {
  if (handle->type == UV_POLL) {
    *(uv_handle_t **)last = handle;
  }
}

static void note_wakeup(sandd_net *net, int which) {
  uv_handle_t *handle = NULL;
  uv_os_fd_t fd;
  uv_walk(&net->loop, last_poll, &handle);
  net->wakeup_fd[which] = handle && !uv_fileno(handle, &fd) ? fd : -1;
  net->wakeup[which] = handle;
}

static int make_context(sandd_net *net, int which) {
  void *loops[1] = {&net->loop};
  struct lws_context_creation_info info = {
      .options = LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_EXPLICIT_VHOSTS |
                 LWS_SERVER_OPTION_UV_NO_SIGSEGV_SIGFPE_SPIN |
                 (which == BACKEND_TLS ? LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT : 0),
      .foreign_loops = loops,
      .pcontext = &net->context[which],
      .gid = (gid_t)-1,
      .uid = (uid_t)-1,
      .fd_limit_per_thread = net->fd_limit,
      .pt_serv_buf_size = SERV_BUFFER,
      .max_http_header_data2 = HEADER_BUFFER,
      .timeout_secs = HANDSHAKE_TIMEOUT_S,
      .connect_timeout_secs = HANDSHAKE_TIMEOUT_S,
      .retry_and_idle_policy = &backend_no_keepalive,
  };
  if (net->context[which]) {
    return SANDD_NET_OK;
  }
  log_silence_backend();
  open_spares(net, which);
  pthread_mutex_lock(&global_lock);
  net->context[which] = lws_create_context(&info);
  pthread_mutex_unlock(&global_lock);
  if (!net->context[which]) {
    backend_close_spares(net, which);
    return SANDD_NET_SYSTEM;
  }
  note_wakeup(net, which);
  return SANDD_NET_OK;
}

static int make_vhost(sandd_net *net, backend_vhost *vhost, bool secure) {
  struct lws_context_creation_info info = {
      .options = LWS_SERVER_OPTION_EXPLICIT_VHOSTS | (secure ? LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT : 0) |
                 (secure && vhost->files.server ? LWS_SERVER_OPTION_CREATE_VHOST_SSL_CTX : 0),
      .port = secure && !vhost->files.server ? CONTEXT_PORT_NO_LISTEN : CONTEXT_PORT_NO_LISTEN_SERVER,
      .protocols = secure ? protocols_tls : protocols_plain,
      .vhost_name = vhost->key ? vhost->key : "plain",
      .user = vhost,
      .gid = (gid_t)-1,
      .uid = (uid_t)-1,
      .alpn = "http/1.1",
      .http_proxy_address = "", /* else $http_proxy decides */
      .retry_and_idle_policy = &backend_no_keepalive,
      .timeout_secs = HANDSHAKE_TIMEOUT_S,
      .connect_timeout_secs = HANDSHAKE_TIMEOUT_S,
      .provided_client_ssl_ctx = vhost->client_ctx,
  };
  vhost->net = net;
  pthread_mutex_lock(&global_lock);
  vhost->vh = lws_create_vhost(net->context[secure ? BACKEND_TLS : BACKEND_PLAIN], &info);
  pthread_mutex_unlock(&global_lock);
  return vhost->vh ? SANDD_NET_OK : SANDD_NET_SYSTEM;
}

struct lws_context *backend_context(const backend_vhost *vhost) {
  return vhost->net->context[vhost == &vhost->net->plain ? BACKEND_PLAIN : BACKEND_TLS];
}

int backend_plain(sandd_net *net, backend_vhost **out) {
  int rc;
  if (!net->plain.vh) {
    if ((rc = make_context(net, BACKEND_PLAIN)) || (rc = make_vhost(net, &net->plain, false))) {
      return rc;
    }
  }
  net->plain.refs++;
  *out = &net->plain;
  return SANDD_NET_OK;
}

/* Two setups are the same when they name the same files and the files did not change. The key begins with a byte that no
 * Host header of a client matches, as libwebsockets compares vhosts' names with it. */
static char *vhost_key(const tls_files *files, size_t *len, tls_files *copy) {
  const char *names[3] = {files->ca, files->cert, files->key};
  char *key = NULL, *fields[3] = {0};
  FILE *out = open_memstream(&key, len);
  long at[3];
  if (!out) {
    return NULL;
  }
  fprintf(out, "\001%c%c", files->server ? 's' : 'c', files->insecure ? 'i' : 'v');
  for (int i = 0; i < 3; i++) {
    struct stat st = {0};
    if (names[i]) {
      (void)stat(names[i], &st);
    }
    fprintf(out, " %ld.%ld.%ld.%lld ", (long)st.st_ino, (long)st.st_mtim.tv_sec, (long)st.st_mtim.tv_nsec,
            (long long)st.st_size);
    at[i] = ftell(out);
    fprintf(out, "%s", names[i] ? names[i] : "");
    fputc('\0', out);
  }
  if (fclose(out)) {
    free(key);
    return NULL;
  }
  for (int i = 0; i < 3; i++) {
    fields[i] = names[i] ? key + at[i] : NULL;
  }
  *copy = (tls_files){files->server, files->insecure, fields[0], fields[1], fields[2]};
  return key;
}

static void free_vhost(backend_vhost *vhost) {
  list_remove(&vhost->node);
  SSL_CTX_free(vhost->client_ctx);
  free(vhost->key);
  free(vhost);
}

/* Server vhosts stay: libwebsockets moves connections between vhosts by Host header, so that none is ever known to be
 * unused. There is one per certificate that was ever listened with. */
static void reap_idle(sandd_net *net) {
  uint64_t now = uv_now(&net->loop);
  for (list *node = net->vhosts.next; node != &net->vhosts;) {
    backend_vhost *vhost = LIST_ENTRY(node, backend_vhost, node);
    node = node->next;
    if (!vhost->refs && !vhost->files.server && now - vhost->idle_since_ms >= IDLE_VHOST_MS) {
      pthread_mutex_lock(&global_lock);
      lws_vhost_destroy(vhost->vh);
      pthread_mutex_unlock(&global_lock);
      free_vhost(vhost);
    }
  }
}

static backend_vhost *find_vhost(sandd_net *net, const char *key, size_t len) {
  for (list *node = net->vhosts.next; node != &net->vhosts; node = node->next) {
    backend_vhost *vhost = LIST_ENTRY(node, backend_vhost, node);
    if (vhost->key_len == len && !memcmp(vhost->key, key, len)) {
      return vhost;
    }
  }
  return NULL;
}

int backend_tls(sandd_net *net, const tls_files *files, backend_vhost **out, char *text, size_t text_size) {
  tls_files copy;
  size_t len = 0;
  char *key = vhost_key(files, &len, &copy);
  if (!key) {
    return SANDD_NET_NOMEM;
  }
  backend_vhost *vhost = find_vhost(net, key, len);
  if (vhost) {
    free(key);
    vhost->refs++;
    *out = vhost;
    return SANDD_NET_OK;
  }
  reap_idle(net);
  vhost = calloc(1, sizeof *vhost);
  if (!vhost) {
    free(key);
    return SANDD_NET_NOMEM;
  }
  *vhost = (backend_vhost){.net = net, .files = copy, .key = key, .key_len = len, .refs = 1};
  list_init(&vhost->node);
  int rc = tls_client_ctx(&vhost->client_ctx, &vhost->files, text, text_size);
  if (!rc) {
    SSL_CTX_set_app_data(vhost->client_ctx, net);
  }
  if (!rc && (rc = make_context(net, BACKEND_TLS))) {
    snprintf(text, text_size, "libwebsockets could not be set up for TLS");
  }
  if (!rc && (rc = make_vhost(net, vhost, true))) {
    snprintf(text, text_size, "libwebsockets did not take the TLS setup");
  }
  if (rc) {
    free_vhost(vhost);
    return rc;
  }
  list_add(&net->vhosts, &vhost->node);
  *out = vhost;
  return SANDD_NET_OK;
}

void backend_release(backend_vhost *vhost) {
  if (vhost && !--vhost->refs) {
    vhost->idle_since_ms = uv_now(&vhost->net->loop);
  }
}

static void destroy_context(sandd_net *net, int which) {
  pthread_mutex_lock(&global_lock);
  lws_context_destroy(net->context[which]);
  pthread_mutex_unlock(&global_lock);
}

/* libwebsockets 4.1 closes its wake-up descriptor twice, now and when the loop runs: in a program with threads the second
 * one would hit whatever another thread has opened meanwhile. So the number is taken in between; and as the lowest free
 * number is given out first, lower ones are freed just before, for the others. What takes it is a pipe, of
 * which it shows whether it was closed, should a newer libwebsockets close once only. */
typedef struct placeholder {
  int fd;    /* the read end, -1: none */
  int other; /* the write end: tells whether fd is still open without touching a number that may be another's by now */
} placeholder;

static void close_place(placeholder *place) {
  struct pollfd other = {.fd = place->other, .events = POLLOUT};
  if (place->fd >= 0 && poll(&other, 1, 0) >= 0 && !(other.revents & POLLERR)) {
    close(place->fd);
  }
  if (place->other >= 0) {
    close(place->other);
  }
}

static void detach(uv_handle_t *handle) {
  (void)handle;
}

static void close_detached(uv_handle_t *handle, void *unused) {
  (void)unused;
  if (!uv_is_closing(handle)) {
    uv_close(handle, detach);
  }
}

/* Another thread has the number all the same: the context is left behind in memory rather than its descriptor closed. */
static void leave_behind(sandd_net *net, int which) {
  static struct lws_context *kept[64] __attribute__((used)); /* so that it can be found, and is no leak to a checker */
  static unsigned count;
  pthread_mutex_lock(&global_lock);
  kept[count++ % 64] = net->context[which];
  pthread_mutex_unlock(&global_lock);
  net_log(net, SANDD_NET_LOG_WARN, "a libwebsockets context could not be freed safely and stays in memory");
  net->wakeup[which]->close_cb = detach;
  net->context[which] = NULL;
  net->left_behind = true;
}

static void start_destroy(sandd_net *net, int which, placeholder *place) {
  if (!CLOSES_TWICE) {
    destroy_context(net, which);
    return;
  }
  int ends[2] = {-1, -1}, fd = net->wakeup_fd[which];
  bool have_pipe = !pipe2(ends, O_CLOEXEC); /* without: no descriptors at all, and the race is the smaller evil */
  backend_close_spares(net, which);
  destroy_context(net, which);
  if (!have_pipe) {
    return;
  }
  *place = (placeholder){fcntl(ends[0], F_DUPFD_CLOEXEC, fd), ends[1]};
  close(ends[0]);
  if (place->fd != fd) {
    if (place->fd >= 0) {
      close(place->fd);
      place->fd = -1;
    }
    leave_behind(net, which);
  }
}

/* What the kernel calls an eventfd, -1 if fd is none. */
static long eventfd_id(int fd) {
  char path[48], line[128];
  long id = -1;
  snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
  FILE *info = fd >= 0 ? fopen(path, "re") : NULL;
  while (info && fgets(line, sizeof line, info)) {
    sscanf(line, "eventfd-id: %ld", &id);
  }
  if (info) {
    fclose(info);
  }
  return id;
}

/* libwebsockets 4.3 never closes the wake-up descriptor of a foreign loop. */
typedef struct forgotten {
  int fd[BACKEND_COUNT];
  long id[BACKEND_COUNT];
  int count;
} forgotten;

static void note_forgotten(uv_handle_t *handle, void *data) {
  forgotten *f = data;
  uv_os_fd_t fd;
  if (handle->type != UV_POLL || uv_fileno(handle, &fd) || f->count == BACKEND_COUNT) {
    return;
  }
  f->fd[f->count] = fd;
  f->id[f->count] = eventfd_id(fd);
  f->count += f->id[f->count] >= 0;
}

static void close_forgotten(const forgotten *f) {
  for (int i = 0; i < f->count; i++) {
    if (eventfd_id(f->fd[i]) == f->id[i]) {
      close(f->fd[i]);
    }
  }
}

/* With a foreign loop a context goes in two steps: what it closes in the first has to be run off the loop before the
 * second frees the memory that those handles lie in. */
void backend_free(sandd_net *net) {
  placeholder places[BACKEND_COUNT] = {{-1, -1}, {-1, -1}};
  forgotten forgotten = {.count = 0};
  if (FORGETS) {
    uv_walk(&net->loop, note_forgotten, &forgotten);
  }
  for (int which = 0; which < BACKEND_COUNT; which++) {
    if (net->context[which]) {
      start_destroy(net, which, &places[which]);
    }
  }
  net_drain(net);
  for (int which = 0; which < BACKEND_COUNT; which++) {
    close_place(&places[which]);
    if (net->context[which]) {
      destroy_context(net, which);
    }
  }
  if (net->left_behind) {
    uv_walk(&net->loop, close_detached, NULL);
  }
  net_drain(net);
  close_forgotten(&forgotten);
  while (!list_empty(&net->vhosts)) {
    free_vhost(LIST_ENTRY(net->vhosts.next, backend_vhost, node));
  }
}
