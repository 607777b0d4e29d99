// SPDX-License-Identifier: MIT
#ifndef SANDD_DAEMON_TEST_PEER_H
#define SANDD_DAEMON_TEST_PEER_H

#include <check.h>
#include <sandd/net/carrier.h>
#include <sandd/net/listen.h>
#include <sandd/net/net.h>
#include <sandd/proto/inbox.h>
#include <sandd/proto/link.h>
#include <sandd/proto/ring.h>
#include <sandd/proto/session.h>
#include <sandd/proto/stream.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/types.h>

#include "fault.h"
#include "sandd/v1/packet.pb-c.h"

/* A server on loopback, made of the protocol library and the carrier, and the real daemon as a child of the test. */
typedef struct peer_options {
  const char *const *arguments; /* more arguments of the daemon, NULL-terminated */
  const char *const *variables; /* "NAME=value" to add to its environment, NULL-terminated */
  const char *token;            /* that the server asks for */
  uint64_t session_retention_us;
  bool no_daemon; /* start it later, with peer_start */
  bool keep_url;  /* the arguments say where to dial */
} peer_options;

typedef struct peer {
  sandd_net *net;
  sandd_endpoint *endpoint;
  sandd_carrier *carrier;
  sandd_listener *listener;
  sandd_session *session; /* the one that is up, or away */
  bool up;
  int ups, lost; /* sessions that came up, that were lost */
  bool resumed;  /* the last up */
  pid_t daemon;  /* the pid that was started: the guard's */
  int daemon_status;
  bool daemon_ended;
  char folder[64];
  char log_path[96];
  peer_options options;
  int goodbye_status; /* of the last SESSION_LOST */
} peer;

peer *peer_new(const peer_options *options);
#define PEER(...) peer_new(&(peer_options){__VA_ARGS__})
void peer_start(peer *p);
/* Stops the daemon with TERM, expects exit code 0, checks that it left no process, frees everything. */
void peer_free(peer *p);
/* Turns the loop until *flag; fails the test after 20 s. */
void peer_until(peer *p, const bool *flag, const char *what);
#define UNTIL(p, expression)                                                         \
  do {                                                                               \
    uint64_t deadline_ = peer_now() + PEER_PATIENCE_US;                              \
    while (!(expression)) {                                                          \
      ck_assert_msg(peer_now() < deadline_, "waited too long for: %s", #expression); \
      peer_turn(p);                                                                  \
    }                                                                                \
  } while (0)
#define PEER_PATIENCE_US UINT64_C(10000000)
uint64_t peer_now(void);
void peer_turn(peer *p);
/* Cuts the connection, as a network would. */
void peer_cut(peer *p);
/* The daemon's log so far; freed by the caller. */
char *peer_log(const peer *p);
void peer_signal(peer *p, int number);
/* The number of living processes with SANDD_EXEC=id in their environment; id NULL: any of this test's daemon. */
int peer_processes(const char *id);
/* The daemon proper: the guard's child. */
pid_t peer_inner(const peer *p);

/* What to run, as a designated initialiser. */
typedef struct run {
  const char *sh;
  const char *const *argv; /* NULL-terminated */
  int mode, role;          /* 0: START, HOLD */
  const char *id, *instance;
  int64_t age_ns;
  const char *const *env; /* "NAME=value", NULL-terminated */
  bool replace_env;
  const char *cwd, *user;
  bool has_uid;
  uint32_t uid;
  bool stdin_stream;
  const char *stdin_inline;
  bool merge;
  int64_t timeout_ms, grace_ms, idle_ms;
  bool capped;
  uint64_t head, tail;
  bool keep, block_unread, pty;
  uint64_t keep_bytes;
  int at[2]; /* StartAt of stdout and stderr */
  uint64_t offset[2];
  bool has_start[2];
  bool unread;    /* don't consume what comes until call_read */
  bool spec_none; /* send no spec */
} run;

typedef struct bytes {
  uint8_t *data;
  size_t len, cap;
} bytes;

typedef struct call {
  peer *p;
  sandd_stream *stream;
  sandd_inbox *in[4];
  sandd_ring *ring; /* stdin */
  bytes out[4];     /* by ChannelId */
  bool reading, closed;
  bool started, exited, ended; /* ended: by End or Reset */
  char exec_id[132], instance[72];
  uint64_t pid;
  bool attached, has_stdin, stdin_closed;
  int state;
  uint64_t kept_from[4], kept_to[4], start[4];
  uint64_t stdin_accepted, stdin_written;
  int exit_code; /* -1 when a signal ended it */
  char exit_signal[16];
  int reason;
  int64_t wall_ns;
  uint64_t skipped[4];
  bool channel_end[4], drain_limit[4];
  int status;
  bool by_reset;
  char text[1100], errno_name[24];
  uint64_t earliest;
  char order[64]; /* S started, X exited, O an output's end, '.' End, R Reset */
} call;

call *call_new(peer *p, const run *what);
#define RUN(p, ...) call_new(p, &(run){__VA_ARGS__})
/* Opens with a frame that the test made itself. */
call *call_open(peer *p, Sandd__V1__ExecOpen *open, bool stdin_stream);
void call_free(call *c);
/* Waits for the end of the stream. */
void call_wait(call *c);
/* Runs one to its end, checks that it was OK, frees it. Returns its exit code; *out gets stdout (freed by the caller). */
int call_run(peer *p, const run *what, char **out);
void call_read(call *c);
void call_write(call *c, const void *data, size_t len);
void call_close_stdin(call *c);
void call_signal(call *c, const char *name, int scope);
void call_detach(call *c);
void call_reset(call *c);
const char *call_text(call *c, int channel); /* zero-terminated; lives until the next byte comes */

#endif
