// SPDX-License-Identifier: MIT
/* What the tests of libsandd-net share: peers that record, waiting for conditions, certificates, raw sockets. */
#ifndef SANDD_NET_TEST_SUPPORT_H
#define SANDD_NET_TEST_SUPPORT_H

#include <check.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sandd/net/conn.h"
#include "sandd/net/dial.h"
#include "sandd/net/listen.h"
#include "sandd/net/net.h"

/* One message that waits to be pulled, or that came. */
typedef struct message {
  struct message *next;
  size_t len;
  uint8_t data[];
} message;

/* One connection as its user sees it. */
typedef struct peer {
  struct peer *next;
  sandd_conn *conn; /* NULL after closed */
  message *out, *out_last, *in, *in_last;
  unsigned received, in_count, closed_count;
  size_t in_bytes;
  bool opened, closed, echo, endless;
  size_t endless_len;
  int error;
  bool by_peer;
  uint16_t ws_code;
  char text[512];
} peer;

/* A net, what was accepted on it, and its log. */
typedef struct world {
  sandd_net *net;
  sandd_listener *listener;
  peer *accepted; /* newest first */
  unsigned accepted_count, accepted_closed;
  bool echo; /* accepted peers send back what they get */
  peer *dialled;
  char log[16384];
} world;

extern const sandd_conn_handler peer_handler;
extern const sandd_conn_handler accept_handler;

void world_start(world *w);
void world_stop(world *w);
/* Listens on 127.0.0.1 with what config adds; fails the test on an error. */
void world_listen(world *w, sandd_listen_config config);
peer *world_dial(world *w, sandd_dial_config config);
peer *peer_dial_url(world *w, const char *url);
const char *world_url(world *w, const char *scheme);
void peer_send(peer *p, const void *data, size_t len);
void peer_send_fill(peer *p, size_t len, uint8_t seed);
bool message_is_fill(const message *m, size_t len, uint8_t seed);
uint64_t now_ms(void);

/* Turns the loop until condition, at most 10 s. */
#define WAIT_FOR(w, condition)                                                                     \
  do {                                                                                             \
    uint64_t give_up_ = now_ms() + 10000;                                                          \
    while (!(condition)) {                                                                         \
      ck_assert_msg(now_ms() < give_up_, "waited in vain for %s; log:\n%s", #condition, (w)->log); \
      sandd_net_turn((w)->net, 50);                                                                \
    }                                                                                              \
  } while (0)

int open_descriptors(void);

/* Files of a directory that is removed at exit: ca.pem, server.pem/.key (localhost, 127.0.0.1, ::1), client.pem/.key,
 * other-ca.pem (signed nothing), self.pem/.key (self-signed). */
const char *certificate(const char *name);

/* A blocking TCP client with 10 s time limits. */
int raw_connect(unsigned port);
void raw_send(int fd, const void *data, size_t len);
void raw_upgrade(int fd, const char *headers); /* sends the request, reads the answer up to the empty line */
size_t raw_frame(uint8_t *out, uint8_t first_byte, const void *payload, size_t len);

int run_suite(Suite *suite);

#endif
