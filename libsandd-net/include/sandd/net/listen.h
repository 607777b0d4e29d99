// SPDX-License-Identifier: MIT
#ifndef SANDD_NET_LISTEN_H
#define SANDD_NET_LISTEN_H

#include "sandd/net/conn.h"
#include "sandd/net/net.h"

/* One port that accepts connections. Freed by sandd_listener_free or with its net. since: 0.1 */
typedef struct sandd_listener sandd_listener;

/* The answer to a plain GET. body is borrowed until the callback's caller has sent it: static, or the user's own. */
typedef struct sandd_http_answer {
  unsigned status;          /* 200 and so on */
  const char *content_type; /* NULL: text/plain */
  const char *body;         /* NULL: empty */
  size_t body_len;
} sandd_http_answer;

typedef struct sandd_listen_config {
  size_t size;           /* sizeof(sandd_listen_config) */
  const char *host;      /* name or address; NULL or "": every IPv4 and IPv6 address */
  unsigned port;         /* 0: any free one */
  const char *path;      /* of the WebSocket; NULL: /ws */
  const char *token;     /* NULL: none asked; else an upgrade without Authorization: Bearer and this is answered 401 */
  const char *cert_file; /* TLS: certificate chain (PEM), with key_file; NULL: plain ws */
  const char *key_file;  /* TLS: its key (PEM) */
  const char *client_ca_file; /* TLS: ask for a client certificate that one of these has signed; NULL: do not ask */
  size_t max_first_message;   /* limit until sandd_conn_set_max_message; 0: 64 KiB */
  const sandd_conn_handler *handler; /* copied; for each connection that opens */
  void *user;                        /* of the new connections, until sandd_conn_set_user; and of http */
  /* Answers GET path (without the query). Return true with *answer filled, false for 404. NULL: always 404. */
  bool (*http)(void *user, const char *path, sandd_http_answer *answer);
} sandd_listen_config;

/* Binds, listens and accepts from now on. config is copied.
 * out:    set on success only. text: NULL or a buffer of text_size bytes that gets a sentence on failure.
 * errors: SANDD_NET_ADDRESS_IN_USE, SANDD_NET_ADDRESS, SANDD_NET_PERMISSION, SANDD_NET_CERTIFICATE, SANDD_NET_INVALID,
 *         SANDD_NET_NOMEM, SANDD_NET_SYSTEM. A port that was left a moment ago is no longer in use.
 * A host name is resolved here and may block. thread: the loop's, or before the loop runs. since: 0.1 */
int sandd_listen(sandd_net *net, const sandd_listen_config *config, sandd_listener **out, char *text, size_t text_size);

/* The real port. since: 0.1 */
unsigned sandd_listener_port(const sandd_listener *listener);

/* The bound address with its port, "127.0.0.1:8765" or "[::]:8765". Lives as long as the listener. since: 0.1 */
const char *sandd_listener_address(const sandd_listener *listener);

/* Replaces the token for upgrades from now on; connections that are open stay. NULL: none asked. token is copied, the old
 * one wiped. errors: SANDD_NET_INVALID, SANDD_NET_NOMEM (the old one stays). thread: the loop's. since: 0.1 */
int sandd_listener_set_token(sandd_listener *listener, const char *token);

/* Frees the port at once, and aborts the connections that it accepted: their closed callbacks follow at the next turn of
 * the loop. NULL is fine. thread: the loop's. since: 0.1 */
void sandd_listener_free(sandd_listener *listener);

#endif
