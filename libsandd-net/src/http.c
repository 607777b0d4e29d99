// SPDX-License-Identifier: MIT
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

static const char *status_text(unsigned status) {
  switch (status) {
  case 200: return "OK";
  case 400: return "Bad Request";
  case 401: return "Unauthorized";
  case 404: return "Not Found";
  case 426: return "Upgrade Required";
  case 503: return "Service Unavailable";
  default: return "Status";
  }
}

static int answer(struct lws *wsi, const sandd_http_answer *a, const char *extra) {
  char head[512];
  int n = snprintf(head, sizeof head,
                   "HTTP/1.1 %u %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nCache-Control: no-store\r\n%s\r\n",
                   a->status, status_text(a->status), a->content_type ? a->content_type : "text/plain; charset=utf-8",
                   a->body_len, extra);
  uint8_t *buf = malloc(LWS_PRE + (size_t)n + a->body_len);
  if (!buf || n >= (int)sizeof head) {
    free(buf);
    return -1;
  }
  memcpy(buf + LWS_PRE, head, (size_t)n);
  if (a->body_len) {
    memcpy(buf + LWS_PRE + n, a->body, a->body_len);
  }
  int rc = lws_write(wsi, buf + LWS_PRE, (size_t)n + a->body_len, LWS_WRITE_HTTP);
  free(buf);
  return rc < 0 ? -1 : 0;
}

static int refuse(sandd_conn *conn, struct lws *wsi, unsigned status, const char *why, const char *extra) {
  char body[TEXT_SIZE];
  net_log(conn->net, SANDD_NET_LOG_WARN, "%s: upgrade refused with %u: %s", conn->peer, status, why);
  snprintf(body, sizeof body, "%s\n", why);
  const sandd_http_answer a = {status, NULL, body, strlen(body)};
  return answer(wsi, &a, extra) ? -1 : 1; /* 1: libwebsockets takes the request as answered */
}

static bool token_matches(const sandd_listener *listener, struct lws *wsi) {
  char given[MAX_TOKEN + 16], wanted[MAX_TOKEN + 16];
  memset(given, 0, sizeof given);
  memset(wanted, 0, sizeof wanted);
  int len = lws_hdr_copy(wsi, given, sizeof given, WSI_TOKEN_HTTP_AUTHORIZATION);
  size_t prefix = strlen("Bearer ");
  snprintf(wanted, sizeof wanted, "Bearer %s", listener->token);
  bool right = len > (int)prefix && !strncasecmp(given, "Bearer ", prefix);
  /* Whole buffers, so that neither the length nor the first wrong byte shows in the time. */
  right &= !CRYPTO_memcmp(given + prefix, wanted + prefix, sizeof given - prefix);
  explicit_bzero(given, sizeof given);
  explicit_bzero(wanted, sizeof wanted);
  return right;
}

static bool offers_subprotocol(struct lws *wsi) {
  char offered[256];
  char *rest = offered;
  if (lws_hdr_copy(wsi, offered, sizeof offered, WSI_TOKEN_PROTOCOL) <= 0) {
    return false;
  }
  for (char *name; (name = strtok_r(rest, ", \t", &rest));) {
    if (!strcmp(name, SUBPROTOCOL)) {
      return true;
    }
  }
  return false;
}

static bool path_is(struct lws *wsi, const char *path) {
  char *uri = NULL;
  int len = 0;
  return lws_http_get_uri_and_method(wsi, &uri, &len) == LWSHUMETH_GET && (size_t)len == strlen(path) &&
         !memcmp(uri, path, (size_t)len);
}

int http_upgrade(sandd_conn *conn, struct lws *wsi, const char *upgrade) {
  const sandd_listener *listener = conn->listener;
  if (strcasecmp(upgrade, "websocket")) {
    return refuse(conn, wsi, 400, "only an upgrade to websocket is known here", "Connection: close\r\n");
  }
  if (!path_is(wsi, listener->path)) {
    return refuse(conn, wsi, 404, "no WebSocket at this path", "Connection: close\r\n");
  }
  if (listener->token && !token_matches(listener, wsi)) {
    return refuse(conn, wsi, 401, "the bearer token is missing or wrong",
                  "Connection: close\r\nWWW-Authenticate: Bearer realm=\"sandd\"\r\n");
  }
  if (!offers_subprotocol(wsi)) {
    return refuse(conn, wsi, 400, "the WebSocket subprotocol " SUBPROTOCOL " was not offered", "Connection: close\r\n");
  }
  return 0;
}

int http_get(sandd_conn *conn, struct lws *wsi, const char *path) {
  const sandd_listener *listener = conn->listener;
  sandd_http_answer a = {.status = 404, .body = "not found\n", .body_len = 10};
  const char *extra = "";
  char *uri = NULL;
  int len = 0;
  if (lws_http_get_uri_and_method(wsi, &uri, &len) != LWSHUMETH_GET) {
    return -1;
  }
  if (!strcmp(path, listener->path)) {
    a = (sandd_http_answer){.status = 426, .body = "this is a WebSocket\n", .body_len = 20};
    extra = "Upgrade: websocket\r\n";
  } else if (listener->http) {
    sandd_http_answer theirs = {.status = 200};
    if (listener->http(listener->user, path, &theirs)) {
      a = theirs;
    }
  }
  if (answer(wsi, &a, extra) || lws_http_transaction_completed(wsi)) {
    return -1;
  }
  return 0;
}
