// SPDX-License-Identifier: MIT
// Execs by deadline: a binary heap under the server's mutex, looked at by one timer of the loop.
#ifndef SANDD_SERVER_DEADLINE_H
#define SANDD_SERVER_DEADLINE_H

#include <sandd/server.h>

typedef struct deadline_heap {
  sandd_exec **execs;
  size_t count, cap;
} deadline_heap;

/* An exec's place in the heap. */
typedef struct deadline {
  uint64_t at_us; /* sandd_carrier_now_us */
  size_t index;   /* from 1; 0: not in the heap */
} deadline;

/* Sets or moves an exec's deadline. errors: SANDD_E_NOMEM (none is set). */
int sandd_deadline_set(sandd_server *server, sandd_exec *exec, uint64_t at_us);
void sandd_deadline_clear(sandd_server *server, sandd_exec *exec);
/* The exec that is due, taken out; NULL when none is. */
sandd_exec *sandd_deadline_next(sandd_server *server, uint64_t now_us);
uint64_t sandd_deadline_first(const sandd_server *server);

#endif
