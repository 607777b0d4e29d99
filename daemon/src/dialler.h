// SPDX-License-Identifier: MIT
#ifndef SANDD_DAEMON_DIALLER_H
#define SANDD_DAEMON_DIALLER_H

#include <sandd/net/carrier.h>
#include <sandd/net/dial.h>
#include <sandd/net/net.h>

#include "options.h"

/* Keeps one connection to the server: dials, waits the back-off after a failure, reads the token anew for each dial, and
 * knows when it makes no sense to go on. Loop thread. */
typedef struct sandd_dialler sandd_dialler;

typedef struct sandd_dialler_config {
  size_t size;
  sandd_net *net;               /* borrowed */
  sandd_carrier *carrier;       /* borrowed */
  const sandd_options *options; /* borrowed */
  /* It gave up for good: what a person must do was logged. exit_code: of the program. */
  void (*gave_up)(void *user, int exit_code);
  void *user;
} sandd_dialler_config;

/* errors: SANDD_E_NOMEM. */
int sandd_dialler_new(sandd_dialler **out, const sandd_dialler_config *config);
/* Its handle is closed when the loop has run again. NULL is fine. */
void sandd_dialler_free(sandd_dialler *dialler);

/* Dials for the first time. */
void sandd_dialler_start(sandd_dialler *dialler);
/* No dial any more; a connection that is there stays. */
void sandd_dialler_stop(sandd_dialler *dialler);
/* A connection is there or on its way. */
bool sandd_dialler_busy(const sandd_dialler *dialler);

/* The endpoint's event: whether a session came up, and with which status the server ended it, matter here. */
void sandd_dialler_event(sandd_dialler *dialler, const sandd_event *event);
/* The carrier's dial_ended. */
void sandd_dialler_ended(sandd_dialler *dialler, int error, uint16_t ws_code, const char *text);

#endif
