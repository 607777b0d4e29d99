// SPDX-License-Identifier: MIT
#ifndef SANDD_NET_CARRIER_H
#define SANDD_NET_CARRIER_H

#include <sandd/proto/endpoint.h>

/* Binds a protocol endpoint to the network: each WebSocket connection of a sandd_net gets a link of the endpoint, its
 * messages are fed and pulled, its deadlines are kept by timers of the loop, and every event goes to one callback. The
 * same for both roles. All functions are for the loop thread, except sandd_carrier_notify. */
typedef struct sandd_carrier sandd_carrier;
typedef struct sandd_net sandd_net;

typedef struct sandd_carrier_config {
  size_t size;
  sandd_net *net;           /* borrowed */
  sandd_endpoint *endpoint; /* borrowed */
  /* Every event of the endpoint, on the loop thread, with the lock held. */
  void (*event)(void *user, const sandd_event *event);
  /* Daemon: the dialled connection is gone or never came to be (error SANDD_NET_*), when the link was freed already. */
  void (*dial_ended)(void *user, int error, uint16_t ws_code, const char *text);
  /* Taken around every use of the endpoint, and not while a system call on a socket runs; NULL when one thread has it. */
  void (*lock)(void *user);
  void (*unlock)(void *user);
  void (*log)(void *user, int level, const char *text);
  void *user;
} sandd_carrier_config;

int sandd_carrier_new(sandd_carrier **out, const sandd_carrier_config *config);
/* Drops its connections; before sandd_net_free. */
void sandd_carrier_free(sandd_carrier *carrier);

/* To be called after any use of the endpoint on the loop thread, outside the lock: events are told, links are pulled,
 * timers are set. */
void sandd_carrier_flush(sandd_carrier *carrier);
/* The same from any thread: wakes the loop, which flushes. Many calls make one wake-up. */
void sandd_carrier_notify(sandd_carrier *carrier);

/* CLOCK_BOOTTIME in microseconds: the now_us of every call on the endpoint. Any thread. */
uint64_t sandd_carrier_now_us(void);

#endif
