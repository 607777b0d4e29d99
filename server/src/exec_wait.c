// SPDX-License-Identifier: MIT
// Execs that wait for a daemon's return, and execs whose time is up.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exec.h"
#include "internal.h"

/* They are sent in the order in which they were opened. */
void sandd_exec_await(sandd_exec *exec) {
  sandd_server *server = exec->server;
  exec->waits = true;
  exec->wait_next = NULL;
  exec->wait_prev = server->waiting_last;
  *server->waiting_last = exec;
  server->waiting_last = &exec->wait_next;
}

void sandd_exec_await_no_more(sandd_exec *exec) {
  if (!exec->waits)
    return;
  exec->waits = false;
  *exec->wait_prev = exec->wait_next;
  if (exec->wait_next)
    exec->wait_next->wait_prev = exec->wait_prev;
  else
    exec->server->waiting_last = exec->wait_prev;
}

static void open_now(sandd_exec *exec, sandd_session *session, uint64_t now_us) {
  sandd_failure failure = {.error = SANDD_E_NOMEM, .status = STATUS(RESOURCE_EXHAUSTED), .text = "out of memory"};
  sandd_exec_await_no_more(exec);
  sandd_deadline_clear(exec->server, exec);
  Sandd__V1__ExecOpen *open = sandd__v1__exec_open__unpack(NULL, exec->packed_len, exec->packed);
  int rc = open ? sandd_exec_send(exec, session, open, now_us, &failure) : SANDD_E_NOMEM;
  if (open) {
    /* Borrowed for the message: see choose_stdin. */
    if (open->spec)
      open->spec->stdin_inline = (ProtobufCBinaryData){0, NULL};
    sandd__v1__exec_open__free_unpacked(open, NULL);
  }
  free(exec->packed);
  exec->packed = NULL;
  if (rc)
    sandd_exec_fail(exec, failure.error, failure.status, failure.text, now_us);
  else
    sandd_exec_changed(exec, sandd_exec_bits(exec) & SANDD_EXEC_WRITABLE);
}

void sandd_execs_daemon_up(sandd_server *server, sandd_session *session, const char *id, uint64_t now_us) {
  for (sandd_exec *exec = server->waiting, *next; exec; exec = next) {
    next = exec->wait_next;
    if (!strcmp(exec->daemon_id, id))
      open_now(exec, session, now_us);
  }
}

static void expire(sandd_exec *exec, uint64_t now_us) {
  char text[400];
  if (exec->phase == EXEC_WAITING) {
    snprintf(text, sizeof text, "daemon %.255s is away, and did not come back in time; the command has not run",
             exec->daemon_id);
    sandd_exec_fail(exec, SANDD_E_AWAY, STATUS(UNAVAILABLE), text, now_us);
    return;
  }
  snprintf(text, sizeof text, "daemon %.255s did not end the command within its timeout, grace and 5 s more",
           exec->daemon_id);
  sandd_exec_fail(exec, SANDD_E_TIMEOUT, STATUS(DEADLINE_EXCEEDED), text, now_us);
}

void sandd_execs_tick(sandd_server *server, uint64_t now_us) {
  sandd_exec *exec;
  while ((exec = sandd_deadline_next(server, now_us)) != NULL)
    expire(exec, now_us);
}

void sandd_execs_close(sandd_server *server, uint64_t now_us) {
  for (sandd_exec *exec = server->execs; exec; exec = exec->next) {
    sandd_exec_fail(exec, SANDD_E_CLOSED, STATUS(UNAVAILABLE), "the server was closed", now_us);
    sandd_exec_drop(exec, now_us);
    sandd_exec_changed(exec, SANDD_EXEC_ALL);
  }
}
