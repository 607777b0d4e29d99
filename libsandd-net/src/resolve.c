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

/* A look-up that is under way can't be stopped; it may outlive its conn. */
struct lookup {
  uv_getaddrinfo_t request;
  sandd_conn *conn; /* NULL: nobody wants to know any more */
};

static void take_result(sandd_conn *conn, int status, const struct addrinfo *found) {
  dial *d = conn->dial;
  char text[TEXT_SIZE + 300];
  for (const struct addrinfo *ai = found; !status && ai; ai = ai->ai_next) {
    if ((ai->ai_family == AF_INET || ai->ai_family == AF_INET6) && take(d, ai->ai_addr, ai->ai_addrlen)) {
      conn_fail(conn, SANDD_NET_NOMEM, "no memory for the addresses");
    }
  }
  if (status) {
    snprintf(text, sizeof text, "%s does not resolve: %s", d->host, uv_strerror(status));
    conn_fail(conn, SANDD_NET_RESOLVE, text);
  } else if (!d->address_count) {
    snprintf(text, sizeof text, "%s has no IPv4 or IPv6 address", d->host);
    conn_fail(conn, SANDD_NET_RESOLVE, text);
  }
  ready(conn);
}

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *found) {
  lookup *l = request->data;
  if (l->conn) {
    l->conn->dial->lookup = NULL;
    take_result(l->conn, status, found);
  }
  uv_freeaddrinfo(found);
  free(l);
}

void resolve_forget(dial *d) {
  if (d->lookup) {
    d->lookup->conn = NULL;
    uv_cancel((uv_req_t *)&d->lookup->request);
    d->lookup = NULL;
  }
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
  lookup *l = calloc(1, sizeof *l);
  if (!l) {
    return SANDD_NET_NOMEM;
  }
  l->conn = conn;
  l->request.data = l;
  if (uv_getaddrinfo(&conn->net->loop, &l->request, on_resolved, d->host, NULL, &hints)) {
    free(l);
    return SANDD_NET_SYSTEM;
  }
  d->lookup = l;
  conn_deadline(conn, d->deadline_ms);
  return SANDD_NET_OK;
}
