// SPDX-License-Identifier: MIT
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

static int take(dial *d, const struct sockaddr *address, size_t len) {
  struct sockaddr_storage *grown = realloc(d->addresses, (d->address_count + 1) * sizeof *grown);
  if (!grown) {
    return SANDD_NET_NOMEM;
  }
  d->addresses = grown;
  memset(&grown[d->address_count], 0, sizeof *grown);
  memcpy(&grown[d->address_count++], address, len);
  return SANDD_NET_OK;
}

static int take_literal(dial *d, const char *host) {
  struct sockaddr_in in;
  struct sockaddr_in6 in6;
  if (!uv_ip4_addr(host, 0, &in)) {
    return take(d, (struct sockaddr *)&in, sizeof in);
  }
  if (!uv_ip6_addr(host, 0, &in6)) {
    return take(d, (struct sockaddr *)&in6, sizeof in6);
  }
  return SANDD_NET_RESOLVE;
}

static void ready(sandd_conn *conn) {
  conn->phase = conn->error ? CONN_FAILED : CONN_NEXT;
  conn_deadline(conn, uv_now(&conn->net->loop));
}

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *found) {
  sandd_conn *conn = request->data;
  dial *d = conn->dial;
  char text[TEXT_SIZE + 300];
  d->resolving = false;
  for (struct addrinfo *ai = found; !status && ai; ai = ai->ai_next) {
    if ((ai->ai_family == AF_INET || ai->ai_family == AF_INET6) && take(d, ai->ai_addr, ai->ai_addrlen)) {
      conn_fail(conn, SANDD_NET_NOMEM, "no memory for the addresses");
    }
  }
  uv_freeaddrinfo(found);
  if (status) {
    snprintf(text, sizeof text, "%s does not resolve: %s", d->host, uv_strerror(status));
    conn_fail(conn, SANDD_NET_RESOLVE, text);
  } else if (!d->address_count) {
    snprintf(text, sizeof text, "%s has no IPv4 or IPv6 address", d->host);
    conn_fail(conn, SANDD_NET_RESOLVE, text);
  }
  ready(conn);
}

/* Addresses and localhost (RFC 6761) need no resolver: libuv's starts a pool of threads. */
int resolve_start(sandd_conn *conn) {
  dial *d = conn->dial;
  const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
  int rc;
  if (!strcasecmp(d->host, "localhost")) {
    rc = take_literal(d, "127.0.0.1");
    rc = rc ? rc : take_literal(d, "::1");
  } else {
    rc = take_literal(d, d->host);
  }
  if (!rc) {
    ready(conn);
    return SANDD_NET_OK;
  }
  if (rc != SANDD_NET_RESOLVE) {
    return rc;
  }
  conn->phase = CONN_RESOLVING;
  d->request.data = conn;
  if (uv_getaddrinfo(&conn->net->loop, &d->request, on_resolved, d->host, NULL, &hints)) {
    return SANDD_NET_SYSTEM;
  }
  d->resolving = true;
  conn_deadline(conn, d->deadline_ms);
  return SANDD_NET_OK;
}
