// SPDX-License-Identifier: MIT
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"

#define BACKLOG          1024
#define ACCEPTS_PER_TURN 64
#define RETRY_MS         100

static void on_readable(uv_poll_t *poll, int status, int events);

void listener_unref(sandd_listener *listener) {
  if (--listener->refs) {
    return;
  }
  backend_release(listener->vhost);
  free(listener->path);
  if (listener->token) {
    explicit_bzero(listener->token, strlen(listener->token));
  }
  free(listener->token);
  free(listener);
}

static void on_retry(uv_timer_t *timer) {
  sandd_listener *listener = timer->data;
  uv_poll_start(&listener->poll, UV_READABLE, on_readable);
}

/* Out of descriptors: the socket would stay readable and the loop would spin. */
static void pause_accepting(sandd_listener *listener, int why) {
  net_log(listener->net, SANDD_NET_LOG_WARN, "%s: cannot accept: %s", listener->address, strerror(why));
  uv_poll_stop(&listener->poll);
  uv_timer_start(&listener->retry, on_retry, RETRY_MS, 0);
}

static void adopt(sandd_listener *listener, int fd, const struct sockaddr *peer) {
  sandd_net *net = listener->net;
  sandd_conn *conn = conn_new(net, &listener->handler, listener->user, listener->max_first_message);
  if (!conn) {
    close(fd);
    return;
  }
  conn->listener = listener;
  listener->refs++;
  conn->phase = CONN_UPGRADING;
  address_text(peer, conn->peer, sizeof conn->peer);
  conn_tune_socket(fd);
  lws_adopt_desc_t info = {
      .vh = listener->vhost->vh,
      .type = LWS_ADOPT_SOCKET | LWS_ADOPT_HTTP | LWS_ADOPT_ALLOW_SSL,
      .fd.sockfd = fd,
      .opaque = conn,
  };
  conn->in_lws_call = true;
  net->adopting = conn;
  struct lws *wsi = lws_adopt_descriptor_vhost_via_info(&info);
  net->adopting = NULL;
  conn->in_lws_call = false;
  if (wsi) {
    conn->wsi = wsi;
    return;
  }
  net_log(net, SANDD_NET_LOG_INFO, "%s: a connection from %s could not be taken", listener->address, conn->peer);
  /* If there was a wsi it is closing, and the end of that is told later. */
  if (!conn->wsi) {
    conn_free(conn);
  }
}

static void on_readable(uv_poll_t *poll, int status, int events) {
  sandd_listener *listener = poll->data;
  (void)status;
  (void)events;
  for (int i = 0; i < ACCEPTS_PER_TURN && !listener->freed; i++) {
    struct sockaddr_storage peer;
    socklen_t len = sizeof peer;
    int fd = accept4(listener->fd, (struct sockaddr *)&peer, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0) {
      adopt(listener, fd, (const struct sockaddr *)&peer);
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      pause_accepting(listener, errno);
      return;
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      return;
    }
  }
}

static int bind_error(const char *host, unsigned port, int why, char *text, size_t size) {
  switch (why) {
  case EADDRINUSE: snprintf(text, size, "port %u of %s is in use already", port, host); return SANDD_NET_ADDRESS_IN_USE;
  case EADDRNOTAVAIL: snprintf(text, size, "%s is not an address of this machine", host); return SANDD_NET_ADDRESS;
  case EACCES:
  case EPERM:
    snprintf(text, size, "no permission to listen on port %u: ports below 1024 are privileged", port);
    return SANDD_NET_PERMISSION;
  default: snprintf(text, size, "cannot listen on %s port %u: %s", host, port, strerror(why)); return SANDD_NET_SYSTEM;
  }
}

static int open_socket(const struct addrinfo *ai, bool both) {
  int one = 1, zero = 0;
  int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) {
    return -1;
  }
  /* REUSEADDR lets a port be taken that was left a moment ago; on Linux it never shares one that somebody listens on. */
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (ai->ai_family == AF_INET6) {
    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, both ? &zero : &one, sizeof one);
  }
  if (bind(fd, ai->ai_addr, ai->ai_addrlen) || listen(fd, BACKLOG)) {
    int why = errno;
    close(fd);
    errno = why;
    return -1;
  }
  return fd;
}

static int bind_host(sandd_listener *listener, const char *host, unsigned port, char *text, size_t size) {
  bool any = !host || !*host;
  struct addrinfo hints = {.ai_family = any ? AF_INET6 : AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
  struct addrinfo *found = NULL;
  char service[8];
  snprintf(service, sizeof service, "%u", port);
  int rc = getaddrinfo(any ? NULL : host, service, &hints, &found);
  if (rc) {
    snprintf(text, size, "%s does not resolve: %s", any ? "::" : host, gai_strerror(rc));
    return SANDD_NET_ADDRESS;
  }
  int why = EADDRNOTAVAIL, fd = -1;
  for (struct addrinfo *ai = found; ai && fd < 0; ai = ai->ai_next) {
    fd = open_socket(ai, any);
    if (fd < 0) {
      why = errno;
      if (why == EADDRINUSE) {
        break; /* the next address of "localhost" would hide it */
      }
    }
  }
  freeaddrinfo(found);
  if (fd < 0 && any && (why == EAFNOSUPPORT || why == EADDRNOTAVAIL)) {
    return bind_host(listener, "0.0.0.0", port, text, size);
  }
  if (fd < 0) {
    return bind_error(any ? "this machine" : host, port, why, text, size);
  }
  struct sockaddr_storage bound;
  socklen_t len = sizeof bound;
  getsockname(fd, (struct sockaddr *)&bound, &len);
  address_text((const struct sockaddr *)&bound, listener->address, sizeof listener->address);
  listener->port = ntohs(bound.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&bound)->sin6_port
                                                     : ((struct sockaddr_in *)&bound)->sin_port);
  listener->fd = fd;
  return SANDD_NET_OK;
}

static bool token_ok(const char *token) {
  size_t len = strlen(token);
  for (const char *p = token; *p; p++) {
    if (*p <= ' ' || *p > '~') {
      return false;
    }
  }
  return len && len <= MAX_TOKEN;
}

static int check_config(const sandd_listen_config *c, char *text, size_t size) {
  if (c->port > 65535) {
    snprintf(text, size, "port %u is above 65535", c->port);
  } else if (c->path && *c->path != '/') {
    snprintf(text, size, "the path \"%s\" does not begin with /", c->path);
  } else if (c->token && !token_ok(c->token)) {
    snprintf(text, size, "the token is not 1 to %d printable ASCII characters without spaces", MAX_TOKEN);
  } else if (!c->cert_file != !c->key_file) {
    snprintf(text, size, "TLS needs a certificate file and a key file, not one of them");
  } else if (c->client_ca_file && !c->cert_file) {
    snprintf(text, size, "client certificates need TLS: certificate file and key file");
  } else if (!c->handler) {
    snprintf(text, size, "a listener needs a handler");
  } else {
    return SANDD_NET_OK;
  }
  return SANDD_NET_INVALID;
}

static int set_up(sandd_listener *listener, const sandd_listen_config *c, char *text, size_t size) {
  int rc = check_config(c, text, size);
  if (rc) {
    return rc;
  }
  listener->path = strdup(c->path ? c->path : DEFAULT_PATH);
  if (!listener->path || (c->token && !(listener->token = strdup(c->token)))) {
    return SANDD_NET_NOMEM;
  }
  if (c->cert_file) {
    tls_files files = {.server = true, .ca = c->client_ca_file, .cert = c->cert_file, .key = c->key_file};
    rc = backend_tls(listener->net, &files, &listener->vhost, text, size);
  } else if ((rc = backend_plain(listener->net, &listener->vhost))) {
    snprintf(text, size, "libwebsockets could not be set up");
  }
  return rc ? rc : bind_host(listener, c->host, c->port, text, size);
}

int sandd_listen(sandd_net *net, const sandd_listen_config *config, sandd_listener **out, char *text,
                 size_t text_size) {
  char scratch[TEXT_SIZE] = "";
  sandd_listen_config c = {0};
  if (!config || config->size < sizeof(size_t)) {
    return SANDD_NET_INVALID;
  }
  memcpy(&c, config, config->size < sizeof c ? config->size : sizeof c);
  sandd_listener *listener = calloc(1, sizeof *listener);
  if (!listener) {
    return SANDD_NET_NOMEM;
  }
  listener->net = net;
  listener->fd = -1;
  listener->refs = 1;
  list_init(&listener->node);
  int rc = set_up(listener, &c, scratch, sizeof scratch);
  if (!rc && uv_poll_init(&net->loop, &listener->poll, listener->fd)) {
    snprintf(scratch, sizeof scratch, "the loop does not take the socket");
    close(listener->fd);
    rc = SANDD_NET_SYSTEM;
  }
  if (rc) {
    if (text && text_size) {
      snprintf(text, text_size, "%s", *scratch ? scratch : sandd_net_error_name(rc));
    }
    listener_unref(listener);
    return rc;
  }
  listener->handler = *c.handler;
  listener->user = c.user;
  listener->http = c.http;
  listener->max_first_message = c.max_first_message ? c.max_first_message : 64 * 1024;
  uv_timer_init(&net->loop, &listener->retry);
  listener->refs++;
  listener->poll.data = listener->retry.data = listener;
  uv_poll_start(&listener->poll, UV_READABLE, on_readable);
  list_add(&net->listeners, &listener->node);
  *out = listener;
  return SANDD_NET_OK;
}

unsigned sandd_listener_port(const sandd_listener *listener) {
  return listener->port;
}

const char *sandd_listener_address(const sandd_listener *listener) {
  return listener->address;
}

int sandd_listener_set_token(sandd_listener *listener, const char *token) {
  char *copy = NULL;
  if (token && !token_ok(token)) {
    return SANDD_NET_INVALID;
  }
  if (token && !(copy = strdup(token))) {
    return SANDD_NET_NOMEM;
  }
  if (listener->token) {
    explicit_bzero(listener->token, strlen(listener->token));
  }
  free(listener->token);
  listener->token = copy;
  return SANDD_NET_OK;
}

static void on_poll_closed(uv_handle_t *handle) {
  listener_unref(handle->data);
}

static void on_retry_closed(uv_handle_t *handle) {
  listener_unref(handle->data);
}

void sandd_listener_free(sandd_listener *listener) {
  if (!listener || listener->freed) {
    return;
  }
  listener->freed = true;
  list_remove(&listener->node);
  uv_close((uv_handle_t *)&listener->retry, on_retry_closed);
  uv_poll_stop(&listener->poll);
  close(listener->fd); /* now, not in the close callback: the port is free when this returns */
  uv_close((uv_handle_t *)&listener->poll, on_poll_closed);
  sandd_net *net = listener->net;
  for (list *node = net->conns.next; node != &net->conns; node = node->next) {
    sandd_conn *conn = LIST_ENTRY(node, sandd_conn, node);
    if (conn->listener == listener) {
      sandd_conn_abort(conn);
    }
  }
}
