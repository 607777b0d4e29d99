// SPDX-License-Identifier: MIT
#ifndef SANDD_NET_DIAL_H
#define SANDD_NET_DIAL_H

#include "sandd/net/conn.h"
#include "sandd/net/net.h"

typedef struct sandd_dial_config {
  size_t size;           /* sizeof(sandd_dial_config) */
  const char *url;       /* ws://host[:port][/path] or wss://…; the path is /ws unless given, ports 80 and 443; [::1] */
  const char *token;     /* sent as Authorization: Bearer; NULL: none; printable ASCII, at most 4096 bytes */
  const char *ca_file;   /* wss: trust these (PEM) and no others; NULL: what the system trusts */
  const char *cert_file; /* wss: the client's certificate chain (PEM); with key_file, or NULL */
  const char *key_file;  /* wss: its key */
  const char *server_name;     /* wss: name for SNI, certificate check and Host instead of the URL's; NULL: the URL's */
  bool insecure;               /* wss: take any certificate */
  unsigned connect_timeout_ms; /* for all of it, from resolving to the upgrade; 0: 20 s */
  size_t max_message;          /* first limit, see sandd_conn_set_max_message; 0: 1 MiB */
  const sandd_conn_handler *handler; /* copied */
  void *user;
} sandd_dial_config;

/* Starts to dial: resolves without blocking, then tries each address in turn. The outcome is opened or closed, never
 * before this returns. OpenSSL is loaded into memory at the first wss only. config is copied.
 * out:    set on success only; belongs to net.
 * text:   NULL or a buffer of text_size bytes that gets a sentence on failure.
 * errors: SANDD_NET_INVALID (what is wrong with the URL or an option), SANDD_NET_CERTIFICATE, SANDD_NET_NOMEM,
 *         SANDD_NET_SYSTEM. closed gets RESOLVE, REFUSED, UNREACHABLE, TIMEOUT, TLS, UNAUTHORIZED, HANDSHAKE, LOST.
 * thread: the loop's. since: 0.1 */
int sandd_dial(sandd_net *net, const sandd_dial_config *config, sandd_conn **out, char *text, size_t text_size);

#endif
