// SPDX-License-Identifier: MIT
#ifndef SANDD_NET_CONN_H
#define SANDD_NET_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sandd/net/error.h"

/* One WebSocket connection, dialled or accepted. It belongs to its net: it is never freed by the caller, lives until its
 * closed callback has returned, and is used on the loop's thread only. since: 0.1 */
typedef struct sandd_conn sandd_conn;

/* What a connection calls, on the loop's thread. user is the conn's user pointer at that moment. Any may be NULL. Every
 * function of this header may be called from within. since: 0.1 */
typedef struct sandd_conn_handler {
  /* The WebSocket handshake is done. Nothing was sent yet, and nothing is until pull is asked. */
  void (*opened)(sandd_conn *conn, void *user);
  /* One whole binary message of at most max_message bytes, perhaps empty. data: borrowed for the call. */
  void (*message)(sandd_conn *conn, const uint8_t *data, size_t len, void *user);
  /* The socket can take one more message: fill buf with at most cap bytes and return how many, 0 for nothing now (then
   * it is asked again after sandd_conn_wake). Called repeatedly until 0, or until the socket is full. */
  size_t (*pull)(sandd_conn *conn, uint8_t *buf, size_t cap, void *user);
  /* Bytes of a message have arrived (more than once for a big one), before message is called: the peer lives. */
  void (*received)(sandd_conn *conn, void *user);
  /* Once, last, also for a dial that failed; conn is freed when it returns. An accepted connection that never opened
   * gets none. error: SANDD_NET_OK if Close frames ended it. ws_code: of the Close frame of whoever closed first (see
   * sandd_conn_closed_by_peer), 1005 for one without a code, 0 without a Close. text: why, borrowed, never NULL. */
  void (*closed)(sandd_conn *conn, int error, uint16_t ws_code, const char *text, void *user);
} sandd_conn_handler;

/* Asks for pull soon. Cheap; many calls make one turn. Before opened it is remembered. since: 0.1 */
void sandd_conn_wake(sandd_conn *conn);

/* Sends what was pulled already, then a Close frame with exactly ws_code and reason, and ends when the peer has answered
 * or after 5 s (then closed gets SANDD_NET_TIMEOUT). pull and message are not called any more. Before opened it is an
 * abort. Only the first call counts. reason: NULL or UTF-8, cut to 120 bytes; copied. ws_code: 1000 to 4999. since: 0.1 */
void sandd_conn_close(sandd_conn *conn, uint16_t ws_code, const char *reason);

/* Ends it without a word, at the next turn of the loop; closed follows (SANDD_NET_ABORTED). since: 0.1 */
void sandd_conn_abort(sandd_conn *conn);

/* The pointer that every callback gets. since: 0.1 */
void *sandd_conn_user(const sandd_conn *conn);
void sandd_conn_set_user(sandd_conn *conn, void *user);

/* The largest message that is taken from now on, in bytes; a bigger one closes with 1009 before it is stored. since: 0.1 */
void sandd_conn_set_max_message(sandd_conn *conn, size_t max_message);

/* "192.0.2.1:4711" or "[2001:db8::1]:4711"; "" before a dial has connected. Lives as long as conn. since: 0.1 */
const char *sandd_conn_peer(const sandd_conn *conn);

/* True for a connection that a listener accepted. since: 0.1 */
bool sandd_conn_is_server(const sandd_conn *conn);

/* True once the peer's Close frame came before any of ours. For use in closed. since: 0.1 */
bool sandd_conn_closed_by_peer(const sandd_conn *conn);

#endif
