// SPDX-License-Identifier: MIT
// One exec, inside the server. Everything is under the server's mutex.
//
//   WAITING --daemon up--> OPEN --ExecStarted--> (started) --ExecExited--> (exited) --End--> ENDED
//      |                     |                                                 ^
//      +--wait over----------+--Reset, session lost, cancel, deadline----------+
//
// started and exited are facts, not states: an attach to a process that is over may come in any order.
#ifndef SANDD_SERVER_EXEC_H
#define SANDD_SERVER_EXEC_H

#include <sandd/proto/endpoint.h>
#include <sandd/server.h>
#include <sandd/v1/exec.pb-c.h>

#include "collect.h"
#include "deadline.h"
#include "wait.h"

#define SANDD_EXEC_ALL 63u

typedef enum exec_phase { EXEC_WAITING = 1, EXEC_OPEN, EXEC_ENDED } exec_phase;

typedef struct exec_output {
  sandd_inbox *inbox; /* NULL: this channel does not exist, or is over and was collected */
  bool exists, discard;
  uint64_t start;
  collected data;   /* what was collected; else what was unread when this side gave up */
  size_t data_read; /* of the latter */
  /* as they were when the inbox went */
  uint64_t last_offset, last_skipped;
  bool complete, drain_limit;
} exec_output;

struct sandd_exec {
  sandd_server *server;
  unsigned refs; /* the handle, and each wait */
  bool freed;
  sandd_exec *next, **prev; /* of server->execs */

  exec_phase phase;
  bool waits;
  sandd_exec *wait_next, **wait_prev; /* of server->waiting, if waits */
  char *daemon_id;
  sandd_stream *stream;
  sandd_session *session; /* while there is a stream and its session lives */
  uint8_t *packed;        /* WAITING: the ExecOpen */
  size_t packed_len;
  deadline deadline;
  int64_t give_up_ns; /* from sending to SANDD_E_TIMEOUT; 0: never */

  exec_output out[2]; /* stdout, stderr */
  bool collect;
  uint64_t max_output;

  sandd_ring *in;
  bool stdin_stream; /* there is or will be a ring */
  bool stdin_finished;
  bool stdin_closing; /* its end was said before it started */
  int role;
  bool pty;
  uint8_t *input; /* what is still to be written by itself, or inline */
  size_t input_len, input_at;

  bool started, attached, exited, detached, sent;
  int error, status;
  char *text;
  char errno_name[24];
  bool by_reset;
  uint64_t earliest_offset;
  int64_t away_since_ns;
  char exec_id[129], instance[65], signal[33];
  uint64_t pid;
  uint32_t exit_code;
  int reason;
  int64_t wall_ns, user_ns, system_ns;
  uint64_t max_rss_bytes;

  waiter *waiters;
  int fd;
  unsigned fd_mask;
  sandd_waitset *set;
  unsigned set_mask;
  void *set_user;
  bool set_ready;
  sandd_exec *set_next_ready;
  sandd_exec *set_next, **set_prev;
};

/* What is so now. */
unsigned sandd_exec_bits(const sandd_exec *exec);
/* Something became so: whoever waits for one of the bits is woken. */
void sandd_exec_changed(sandd_exec *exec, unsigned bits);
/* Ends it for a reason of this side. The stream, if there is one, is reset. text is copied. */
void sandd_exec_fail(sandd_exec *exec, int error, int status, const char *text, uint64_t now_us);

/* exec_open.c: sends ExecOpen on a session. On failure nothing was sent, and failure says why. */
int sandd_exec_send(sandd_exec *exec, sandd_session *session, Sandd__V1__ExecOpen *open, uint64_t now_us,
                    sandd_failure *failure);

/* exec_wait.c: those that wait for a daemon, and deadlines. */
void sandd_exec_await(sandd_exec *exec);
void sandd_exec_await_no_more(sandd_exec *exec);
void sandd_execs_daemon_up(sandd_server *server, sandd_session *session, const char *id, uint64_t now_us);
void sandd_execs_tick(sandd_server *server, uint64_t now_us);
void sandd_execs_close(sandd_server *server, uint64_t now_us);

/* exec_event.c */
void sandd_exec_event(sandd_exec *exec, const sandd_event *event, uint64_t now_us);
void sandd_exec_pump_input(sandd_exec *exec, uint64_t now_us);
int sandd_exec_finish_input(sandd_exec *exec, uint64_t now_us);
/* Gives up stream, inboxes and ring; what was collected stays. */
void sandd_exec_drop(sandd_exec *exec, uint64_t now_us);

/* exec.c */
void sandd_exec_unref(sandd_exec *exec);
/* Takes the mutex if the exec can be used: 0, or SANDD_E_CLOSED without it. */
int sandd_exec_enter(sandd_exec *exec);
/* Index into out of a channel, or -1. */
int sandd_exec_out_index(int channel);

/* waitset.c */
void sandd_waitset_tell(sandd_exec *exec);
void sandd_waitset_forget(sandd_exec *exec);
void sandd_waitsets_close(sandd_server *server);

#endif
