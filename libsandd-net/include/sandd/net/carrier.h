// SPDX-License-Identifier: MIT
#ifndef SANDD_NET_CARRIER_H
#define SANDD_NET_CARRIER_H

#include <sandd/net/conn.h>
#include <sandd/net/net.h>
#include <sandd/proto/endpoint.h>
#include <stdbool.h>
#include <stdint.h>

/* Binds a protocol endpoint to the network: each WebSocket connection of a sandd_net gets a link of the endpoint, its
 * messages are fed and pulled, its deadlines are kept by timers of the loop, and every event goes to one callback. The
 * same for both roles. All functions are for the loop thread, except where it says otherwise. since: 0.1 */
typedef struct sandd_carrier sandd_carrier;

/* Beside the levels of sandd_net_log_level: the frames of each packet. */
enum { SANDD_CARRIER_LOG_TRACE = SANDD_NET_LOG_DEBUG + 1 };

typedef struct sandd_carrier_config {
  size_t size;
  sandd_net *net;           /* borrowed, as long as the carrier lives */
  sandd_endpoint *endpoint; /* borrowed, the same */
  /* Every event of the endpoint, on the loop thread, with the lock held. It may use the endpoint, but not flush. */
  void (*event)(void *user, const sandd_event *event);
  /* Daemon: the dialled connection is gone or never came to be (error SANDD_NET_*), when its link was freed and the
   * events of that were told. Without the lock; it may dial again. NULL is fine. */
  void (*dial_ended)(void *user, int error, uint16_t ws_code, const char *text);
  /* Taken around every use of the endpoint, and not while a system call on a socket runs; NULL when one thread has it. */
  void (*lock)(void *user);
  void (*unlock)(void *user);
  /* Lines for people, a net log level or SANDD_CARRIER_LOG_TRACE each; with the lock or without. NULL: silence. */
  void (*log)(void *user, int level, const char *text);
  bool trace; /* log the frames of each packet; secrets and payload are never shown */
  void *user;
} sandd_carrier_config;

/* Makes one. config is copied. errors: SANDD_E_INVALID, SANDD_E_NOMEM, SANDD_E_SYSTEM. since: 0.1 */
int sandd_carrier_new(sandd_carrier **out, const sandd_carrier_config *config);
/* Drops its connections and frees their links, without telling events; before sandd_net_free (which gives back the memory
 * of its handles), and before sandd_endpoint_free. A dial that is still under way must have lost its user before
 * (sandd_conn_set_user to NULL). NULL is fine. since: 0.1 */
void sandd_carrier_free(sandd_carrier *carrier);

/* What goes into sandd_listen_config or sandd_dial_config, together with the carrier itself as their user. Lives as long
 * as the program. since: 0.1 */
const sandd_conn_handler *sandd_carrier_handler(void);
/* config.user: for the http callback of a listener, whose user is the carrier. since: 0.1 */
void *sandd_carrier_user(const sandd_carrier *carrier);

/* To be called after any use of the endpoint on the loop thread, outside the lock and outside the event callback (after
 * which it happens by itself): events are told, links are pulled, timers are set. since: 0.1 */
void sandd_carrier_flush(sandd_carrier *carrier);
/* The same from any thread, with the lock or without: wakes the loop, which flushes. Many calls make one wake-up. */
void sandd_carrier_notify(sandd_carrier *carrier);
/* After a use of the endpoint that concerns one link alone and makes no events (a read from an inbox), by any thread with
 * the lock held: is sandd_carrier_notify needed? Spares the wake-up of most reads. link may be NULL. since: 0.1 */
bool sandd_carrier_pending(sandd_carrier *carrier, sandd_link *link);

/* The connection of a link, and how many there are. For the first: the loop thread, or any with the lock held, as long as
 * the link lives. since: 0.1 */
sandd_conn *sandd_carrier_conn(const sandd_link *link);
size_t sandd_carrier_count(const sandd_carrier *carrier);

/* CLOCK_BOOTTIME in microseconds: the now_us of every call on the endpoint. Any thread. since: 0.1 */
uint64_t sandd_carrier_now_us(void);

#endif
