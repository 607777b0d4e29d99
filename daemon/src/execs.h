// SPDX-License-Identifier: MIT
#ifndef SANDD_DAEMON_EXECS_H
#define SANDD_DAEMON_EXECS_H

#include <sandd/proto/endpoint.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/platform/process.h"

/* Every process of the daemon and the streams on them. Fed with the endpoint's events; what it has to say is said in
 * sandd_execs_turn, once per turn of the loop, so that all that happened in a turn goes out together. Loop thread. */
typedef struct sandd_execs sandd_execs;

typedef struct sandd_execs_config {
  size_t size;
  sandd_endpoint *endpoint; /* borrowed; daemon role */
  sandd_spawner *spawner;   /* borrowed */
  const char *shell;        /* borrowed; NULL: the platform's */
  uint64_t retention_us;    /* how long the end and the tail of a finished exec stay */
  uint64_t inline_stdin_bytes;
  size_t max_retained; /* exec ids kept for attach; 0: 10,000 */
} sandd_execs_config;

/* errors: SANDD_E_NOMEM, SANDD_E_SYSTEM (no random bytes). */
int sandd_execs_new(sandd_execs **out, const sandd_execs_config *config);
/* Frees it with all execs, whose processes go on unwatched; before the spawner and the endpoint. NULL is fine. */
void sandd_execs_free(sandd_execs *execs);

/* Handles one event of the endpoint; those that are not about streams or the session's state do nothing. */
void sandd_execs_event(sandd_execs *execs, const sandd_event *event, uint64_t now_us);
/* Judges the deadlines that are due. To be called when the loop has just polled: what happened while it did not run (an
 * exit in time, output) must have been seen before. */
void sandd_execs_due(sandd_execs *execs, uint64_t now_us);
/* Sends what became known since the last turn. Returns true if the endpoint was used, so that its links must be flushed. */
bool sandd_execs_turn(sandd_execs *execs, uint64_t now_us);
/* When sandd_execs_due and sandd_execs_turn must be called at the latest; UINT64_MAX for never. */
uint64_t sandd_execs_deadline(const sandd_execs *execs);

/* The daemon stops: no opening is taken any more, every process and all that came of it gets TERM, and KILL after
 * grace_ns; 0: KILL at once. May be called again with a shorter grace. */
void sandd_execs_stop(sandd_execs *execs, int64_t grace_ns);
/* After stop: true when no process is left and every end was said. */
bool sandd_execs_stopped(const sandd_execs *execs);
/* Execs that were begun so far. */
uint64_t sandd_execs_started(const sandd_execs *execs);
/* Execs that have not ended. */
size_t sandd_execs_running(const sandd_execs *execs);

#endif
