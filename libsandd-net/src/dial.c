// SPDX-License-Identifier: MIT
#include <errno.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"

#define DEFAULT_TIMEOUT_MS 20000

void dial_free(dial *d) {
  if (!d) {
    return;
  }
  resolve_forget(d);
  backend_release(d->vhost);
  if (d->token) {
    explicit_bzero(d->token, strlen(d->token));
  }
  free(d->token);
  free(d->addresses);
  free(d->host);
  free(d->path);
  free(d->host_header);
  free(d->server_name);
  free(d);
}

/* Few connections are dialled at once, and only during TLS handshakes is this asked. */
sandd_conn *dial_of_ssl(sandd_net *net, const SSL *ssl) {
  for (list *node = net->conns.next; node != &net->conns; node = node->next) {
    sandd_conn *conn = LIST_ENTRY(node, sandd_conn, node);
    if (conn->dial && conn->wsi && lws_get_ssl(conn->wsi) == ssl) {
      return conn;
    }
  }
  return NULL;
}

static void fail(sandd_conn *conn, int error, const char *text) {
  conn_fail(conn, error, text);
  conn->phase = CONN_FAILED;
  if (!conn->wsi) {
    conn_deadline(conn, uv_now(&conn->net->loop));
  }
}

static int errno_class(int why) {
  return why == ECONNREFUSED ? SANDD_NET_REFUSED : why == ETIMEDOUT ? SANDD_NET_TIMEOUT : SANDD_NET_UNREACHABLE;
}

/* A connection attempt that got no TCP connection: the next address, or the end. */
static void attempt_failed(sandd_conn *conn, int error, const char *why) {
  dial *d = conn->dial;
  char text[TEXT_SIZE];
  if (conn->aborted) {
    conn->phase = CONN_FAILED;
    conn_deadline(conn, uv_now(&conn->net->loop));
    return;
  }
  if (d->address_next < d->address_count && uv_now(&conn->net->loop) < d->deadline_ms) {
    net_log(conn->net, SANDD_NET_LOG_DEBUG, "%s: %s; trying the next address", conn->peer, why);
    conn->phase = CONN_NEXT;
    conn_deadline(conn, uv_now(&conn->net->loop));
    return;
  }
  snprintf(text, sizeof text, "cannot connect to %s (%s): %s", d->host_header, conn->peer, why);
  fail(conn, error, text);
}

/* What connect would say, for an attempt that libwebsockets gave up without telling why. */
static int probe(const struct sockaddr_storage *address) {
  socklen_t len = address->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
  int fd = socket(address->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  int why = 0;
  if (fd < 0 || (connect(fd, (const struct sockaddr *)address, len) && errno != EINPROGRESS)) {
    why = errno;
  }
  if (fd >= 0) {
    close(fd);
  }
  return why;
}

static struct sockaddr_storage *current_address(dial *d) {
  return &d->addresses[d->address_next - 1];
}

void dial_next(sandd_conn *conn) {
  dial *d = conn->dial;
  sandd_net *net = conn->net;
  char host[INET6_ADDRSTRLEN];
  uint64_t now = uv_now(&net->loop);
  struct sockaddr_storage *address = &d->addresses[d->address_next++];
  if (address->ss_family == AF_INET6) {
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)address;
    in6->sin6_port = htons((uint16_t)d->port);
    uv_ip6_name(in6, host, sizeof host);
  } else {
    struct sockaddr_in *in = (struct sockaddr_in *)address;
    in->sin_port = htons((uint16_t)d->port);
    uv_ip4_name(in, host, sizeof host);
  }
  address_text((const struct sockaddr *)address, conn->peer, sizeof conn->peer);
  struct lws_client_connect_info info = {
      .context = backend_context(d->vhost),
      .vhost = d->vhost->vh,
      .address = host,
      .port = (int)d->port,
      .ssl_connection =
          (d->secure ? LCCSCF_USE_SSL | LCCSCF_SKIP_SERVER_CERT_HOSTNAME_CHECK : 0) | LCCSCF_HTTP_NO_FOLLOW_REDIRECT,
      .path = d->path,
      .host = d->host_header,
      .protocol = SUBPROTOCOL,
      .local_protocol_name = SUBPROTOCOL,
      .alpn = "http/1.1",
      .opaque_user_data = conn,
      .retry_and_idle_policy = &backend_no_keepalive,
  };
  d->tcp_connected = d->tls_done = false;
  conn->phase = CONN_CONNECTING;
  /* What is left of the time is shared by the addresses that are left. */
  unsigned left = d->address_count - d->address_next + 1;
  conn_deadline(conn, now + (d->deadline_ms > now ? (d->deadline_ms - now) / left : 0));
  conn->in_lws_call = true;
  struct lws *wsi = lws_client_connect_via_info(&info);
  conn->in_lws_call = false;
  if (wsi) {
    conn->wsi = wsi;
  } else if (!conn->wsi) { /* else it is closing, and conn_destroyed goes on */
    int why = probe(address);
    conn_deadline(conn, 0);
    attempt_failed(conn, errno_class(why), why ? strerror(why) : "libwebsockets could not connect");
  }
}

void dial_connected(sandd_conn *conn) {
  conn->dial->tcp_connected = true;
  /* From here on there is no other address to try. */
  conn_deadline(conn, conn->dial->deadline_ms);
  conn_tune_socket(lws_get_socket_fd(conn->wsi));
}

int dial_headers(sandd_conn *conn, unsigned char **at, size_t space) {
  dial *d = conn->dial;
  if (!d->token) {
    return 0;
  }
  int n = snprintf((char *)*at, space, "Authorization: Bearer %s\r\n", d->token);
  if (n < 0 || (size_t)n >= space) {
    return -1;
  }
  *at += n;
  return 0;
}

static void tcp_failed(sandd_conn *conn) {
  int why = 0;
  socklen_t size = sizeof why;
  int fd = conn->wsi ? (int)lws_get_socket_fd(conn->wsi) : -1;
  if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_ERROR, &why, &size)) {
    why = 0;
  }
  if (!why) {
    why = probe(current_address(conn->dial));
  }
  char text[TEXT_SIZE];
  snprintf(text, sizeof text, "%s", why ? strerror(why) : "no connection");
  attempt_failed(conn, why ? errno_class(why) : SANDD_NET_UNREACHABLE, text);
}

/* There was a TCP connection, and what came after it failed. */
static void handshake_failed(sandd_conn *conn, unsigned status, const char *text, size_t len) {
  dial *d = conn->dial;
  char line[2 * TEXT_SIZE];
  int error = SANDD_NET_HANDSHAKE;
  /* With TLS 1.3 a server refuses the client's certificate when the client thinks it is done. */
  if (d->secure && (!d->tls_done || *d->tls_text)) {
    error = SANDD_NET_TLS;
    snprintf(line, sizeof line, "%s: %s", d->host_header,
             *d->tls_text ? d->tls_text : "the connection ended during the TLS handshake");
  } else if (status == 401) {
    error = SANDD_NET_UNAUTHORIZED;
    snprintf(line, sizeof line, "%s answered 401: the token is missing or wrong", d->host_header);
  } else if (status && status != 101) {
    snprintf(line, sizeof line, "%s answered HTTP %u instead of a WebSocket upgrade", d->host_header, status);
  } else if (text) {
    snprintf(line, sizeof line, "%s did not answer the WebSocket upgrade properly: %.*s", d->host_header, (int)len,
             text);
  } else {
    snprintf(line, sizeof line, "%s ended the connection during the WebSocket handshake", d->host_header);
  }
  fail(conn, error, line);
}

/* A server that refuses and resets is seen as reset before its alert was read; the alert is still there. */
void dial_last_words(sandd_conn *conn) {
  SSL *ssl = conn->phase == CONN_CONNECTING && conn->dial->tls_done ? lws_get_ssl(conn->wsi) : NULL;
  char ignored[64];
  if (ssl) {
    ERR_clear_error();
    SSL_read(ssl, ignored, sizeof ignored);
    ERR_clear_error();
  }
}

void dial_error(sandd_conn *conn, const char *text, size_t len) {
  if (conn->phase != CONN_CONNECTING) {
    return;
  }
  if (!conn->dial->tcp_connected) {
    tcp_failed(conn);
  } else {
    dial_last_words(conn);
    handshake_failed(conn, lws_http_client_http_response(conn->wsi), text, len);
  }
}

void dial_attempt_due(sandd_conn *conn) {
  dial *d = conn->dial;
  char text[TEXT_SIZE];
  if (conn->phase == CONN_RESOLVING) {
    snprintf(text, sizeof text, "%s did not resolve within %u ms", d->host, d->timeout_ms);
    resolve_forget(d);
    fail(conn, SANDD_NET_TIMEOUT, text);
    return;
  }
  if (!d->tcp_connected) {
    attempt_failed(conn, SANDD_NET_TIMEOUT, "no answer in time");
    if (conn->wsi) {
      conn_deadline(conn, 0); /* conn_destroyed goes on */
    }
  } else {
    snprintf(text, sizeof text, "%s did not finish the %s handshake within %u ms", d->host_header,
             d->secure && !d->tls_done ? "TLS" : "WebSocket", d->timeout_ms);
    fail(conn, SANDD_NET_TIMEOUT, text);
  }
  conn_kill_wsi(conn);
}

void dial_attempt_gone(sandd_conn *conn) {
  if (conn->phase == CONN_CONNECTING) {
    if (conn->dial->tcp_connected) {
      handshake_failed(conn, 0, NULL, 0);
    } else {
      attempt_failed(conn, SANDD_NET_UNREACHABLE, "the attempt ended without a reason");
    }
  }
  conn_deadline(conn, uv_now(&conn->net->loop));
}

static bool token_ok(const char *token) {
  for (const char *p = token; *p; p++) {
    if (*p <= ' ' || *p > '~') {
      return false;
    }
  }
  return *token && strlen(token) <= MAX_TOKEN;
}

static int check_config(const sandd_dial_config *c, const dial *d, char *text, size_t size) {
  bool tls_option = c->ca_file || c->cert_file || c->key_file || c->server_name || c->insecure;
  if (c->token && !token_ok(c->token)) {
    snprintf(text, size, "the token is not 1 to %d printable ASCII characters without spaces", MAX_TOKEN);
  } else if (tls_option && !d->secure) {
    snprintf(text, size, "CA, certificate, key, server name and insecure are for wss:// and the URL is ws://");
  } else if (!c->cert_file != !c->key_file) {
    snprintf(text, size, "a client certificate needs a certificate file and a key file, not one of them");
  } else if (!c->handler) {
    snprintf(text, size, "a dial needs a handler");
  } else {
    return SANDD_NET_OK;
  }
  return SANDD_NET_INVALID;
}

static int name_hosts(dial *d, const char *server_name) {
  const char *name = server_name ? server_name : d->host;
  bool bracket = strchr(name, ':') != NULL;
  char header[300];
  bool usual = d->port == (d->secure ? 443u : 80u);
  snprintf(header, sizeof header, usual ? "%s%.253s%s" : "%s%.253s%s:%u", bracket ? "[" : "", name, bracket ? "]" : "",
           d->port);
  d->host_header = strdup(header);
  d->server_name = strdup(name);
  return d->host_header && d->server_name ? SANDD_NET_OK : SANDD_NET_NOMEM;
}

static int set_up(sandd_net *net, dial *d, const sandd_dial_config *c, char *text, size_t size) {
  int rc = url_parse(c->url, d, text, size);
  if (rc || (rc = check_config(c, d, text, size)) || (rc = name_hosts(d, c->server_name))) {
    return rc;
  }
  if (c->token && !(d->token = strdup(c->token))) {
    return SANDD_NET_NOMEM;
  }
  d->handler = *c->handler;
  d->insecure = c->insecure;
  d->timeout_ms = c->connect_timeout_ms ? c->connect_timeout_ms : DEFAULT_TIMEOUT_MS;
  if (d->secure) {
    tls_files files = {.insecure = c->insecure, .ca = c->ca_file, .cert = c->cert_file, .key = c->key_file};
    return backend_tls(net, &files, &d->vhost, text, size);
  }
  rc = backend_plain(net, &d->vhost);
  if (rc) {
    snprintf(text, size, "libwebsockets could not be set up");
  }
  return rc;
}

int sandd_dial(sandd_net *net, const sandd_dial_config *config, sandd_conn **out, char *text, size_t text_size) {
  char scratch[TEXT_SIZE] = "";
  sandd_dial_config c = {0};
  sandd_conn *conn = NULL;
  if (!config || config->size < sizeof(size_t)) {
    return SANDD_NET_INVALID;
  }
  memcpy(&c, config, config->size < sizeof c ? config->size : sizeof c);
  int rc = c.url ? SANDD_NET_OK : SANDD_NET_INVALID;
  dial *d = calloc(1, sizeof *d);
  if (!d) {
    return SANDD_NET_NOMEM;
  }
  rc = rc ? rc : set_up(net, d, &c, scratch, sizeof scratch);
  if (!rc && !(conn = conn_new(net, &d->handler, c.user, c.max_message ? c.max_message : 1024 * 1024))) {
    rc = SANDD_NET_NOMEM;
  }
  if (conn) {
    conn->dial = d;
    d->conn = conn;
    uv_update_time(&net->loop);
    d->deadline_ms = uv_now(&net->loop) + d->timeout_ms;
    rc = resolve_start(conn);
  }
  if (rc) {
    if (text && text_size) {
      snprintf(text, text_size, "%s", *scratch ? scratch : sandd_net_error_name(rc));
    }
    if (conn) {
      conn_free(conn);
    } else {
      dial_free(d);
    }
    return rc;
  }
  if (out) {
    *out = conn;
  }
  return SANDD_NET_OK;
}
