// SPDX-License-Identifier: MIT
#ifndef SANDD_SERVER_H
#define SANDD_SERVER_H

#include <sandd/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A server inside your own process: daemons dial in, and you run commands on them.
 *
 *   sandd_server   listens, knows the daemons, has one thread of its own that does all the I/O
 *   sandd_exec     one command on one daemon: its output, input, signals and result
 *   sandd_waitset  many execs behind one descriptor
 *
 * threads:  every function may be called from any thread, two threads may use one handle at the same time, and no
 *           function calls back into you, but for the log callback (if you set one; it runs on the server's thread).
 * signals:  the server's thread blocks them all. A wait that a signal handler interrupts returns SANDD_E_INTR; nothing
 *           is lost by calling again.
 * fork:     in a forked child every handle is dead: calls return SANDD_E_CLOSED. The free functions may be called there;
 *           sandd_server_free closes the child's copies of the descriptors and touches nothing else.
 * timeouts: in milliseconds; negative waits without end, 0 only looks. A wait that ends without what it waited for
 *           returns SANDD_E_TIMEOUT.
 * structs:  those that begin with size are yours; set size = sizeof of it and the rest to zero before you fill it in.
 *           They grow at their end. Strings are UTF-8 and zero-terminated; sandd_bytes may hold anything.
 * SIGPIPE:  is ignored in the process from the first server on.
 * since:    0.1, if nothing else is said. */
typedef struct sandd_server sandd_server;
typedef struct sandd_exec sandd_exec;
typedef struct sandd_waitset sandd_waitset;

/* Bytes that the callee borrows for the call (or, in results, that live as long as it says there). */
typedef struct sandd_bytes {
  const void *data;
  size_t len;
} sandd_bytes;

/* Why a call failed, for people and for programs. Pass NULL if you do not care. It is only written on failure. */
typedef struct sandd_failure {
  int error;             /* the SANDD_E_* that the function returned */
  int status;            /* the closest StatusCode (docs/status-codes.md), 0 if there is none */
  int64_t away_since_ns; /* SANDD_E_AWAY: wall clock, ns since 1970, when the daemon's connection went; else 0 */
  char errno_name[24];   /* "EADDRINUSE", if the system said so and it is known; else "" */
  char text[512];        /* one sentence: what failed, on what, what to do */
} sandd_failure;

/* ---- server ------------------------------------------------------------------------------------------------------ */

/* levels of log lines */
enum { SANDD_LOG_ERROR = 1, SANDD_LOG_WARNING = 2, SANDD_LOG_INFO = 3, SANDD_LOG_DEBUG = 4, SANDD_LOG_TRACE = 5 };

typedef struct sandd_server_config {
  size_t size;
  const char *host;             /* name or address to listen on; NULL for 0.0.0.0 */
  int port;                     /* 0: any free one, see sandd_server_port */
  const char *token;            /* what a daemon must show as bearer token, else 401; NULL: none. Never logged. */
  const char *tls_cert;         /* PEM file with the certificate chain: set this and tls_key for wss */
  const char *tls_key;          /* PEM file with its key */
  const char *tls_client_ca;    /* PEM file: daemons must have a certificate signed by one of these; NULL: no need to */
  int64_t heartbeat_ms;         /* 0: 10 s; the smaller of this and a daemon's wish counts */
  int64_t session_retention_ms; /* how long daemons keep streams without a connection; 0: 10 min */
  uint64_t max_message;         /* largest message taken from a daemon, bytes; 0: 1 MiB */
  uint64_t recv_budget;         /* bytes of unread output per daemon; 0: 64 MiB */
  uint64_t ring_budget;         /* bytes of unsent input per daemon; 0: 64 MiB */
  uint64_t window;              /* first credit of an output channel, bytes; 0: 256 KiB */
  int log_level; /* the highest level that is told; 0: SANDD_LOG_WARNING; SANDD_LOG_TRACE shows each frame */
  /* Log lines, without newline, on the server's thread: it must be quick and must not use the server. NULL: lines go to
   * a queue, if sandd_server_log_fd is called, else nowhere. */
  void (*log)(void *user, int level, const char *text);
  void *log_user;
} sandd_server_config;

/* Starts a server: when this returns 0 it listens, and sandd_server_port and sandd_server_address tell where.
 * config:  borrowed for the call.     out: yours, sandd_server_free; NULL on failure.
 * errors:  SANDD_E_ADDRESS (in use, unknown host, privileged port), SANDD_E_TLS (certificate, key), SANDD_E_INVALID,
 *          SANDD_E_NOMEM, SANDD_E_SYSTEM; failure->text names the address, the file, the reason. */
SANDD_API int sandd_server_new(sandd_server **out, const sandd_server_config *config, sandd_failure *failure);

/* Stops it: daemons get Goodbye(SHUTTING_DOWN), calls of other threads return SANDD_E_CLOSED, the port is free when this
 * returns, at most a second later. Commands that run are ended by their daemons, unless kept. Every later call on the
 * server, its execs and waitsets says SANDD_E_CLOSED; all are still to be freed. A second call waits for the first. */
SANDD_API void sandd_server_close(sandd_server *server);

/* Closes it if need be, and frees it. Its execs and waitsets stay valid, closed, until they are freed. Calls that are
 * under way in other threads end with SANDD_E_CLOSED; none may begin. NULL is fine. In a forked child: see above. */
SANDD_API void sandd_server_free(sandd_server *server);

/* Where it listens. address: "127.0.0.1:8765", "[::1]:8765"; lives as long as the server. */
SANDD_API int sandd_server_port(const sandd_server *server);
SANDD_API const char *sandd_server_address(const sandd_server *server);

/* Version of this library: "0.1.0". Static. */
SANDD_API const char *sandd_server_version(void);

/* Name of a StatusCode without its prefix: "NOT_FOUND"; "UNKNOWN" for one that this version does not have. Static. */
SANDD_API const char *sandd_server_status_name(int status);

/* Sends log lines to a queue of 1,000 from now on (config.log must be NULL). Returns a descriptor that is readable while
 * lines wait; it belongs to the server. errors: SANDD_E_STATE (there is a callback), SANDD_E_SYSTEM, SANDD_E_CLOSED. */
SANDD_API int sandd_server_log_fd(sandd_server *server);
/* Takes the oldest line: its level, and its text in text (cut to cap). 0 when there is none. A line says so when lines
 * were lost because nobody read. errors: SANDD_E_CLOSED. */
SANDD_API int sandd_server_next_log(sandd_server *server, char *text, size_t cap);

/* ---- daemons ----------------------------------------------------------------------------------------------------- */

typedef struct sandd_daemon_label {
  const char *key, *value;
} sandd_daemon_label;

typedef struct sandd_daemon_capability {
  const char *name;       /* "exec", "exec.attach", "exec.pty", "exec.user" */
  const char *off_reason; /* NULL: it is there. Else why it is off: "needs root" */
} sandd_daemon_capability;

/* A daemon that is connected, at the moment of the call. */
typedef struct sandd_daemon_info {
  const char *id;
  const char *instance;                       /* new at each start of the daemon program */
  const char *software;                       /* "sandd 0.1.0" */
  const char *os, *arch, *release, *hostname; /* "" when the daemon does not say */
  const sandd_daemon_label *labels;
  size_t n_labels;
  const sandd_daemon_capability *capabilities;
  size_t n_capabilities;
  const char *address;        /* "10.0.0.7:51234" */
  int64_t connected_since_ns; /* wall clock, ns since 1970, when this connection was confirmed */
  int64_t connected_for_ns;   /* age of the connection */
  int64_t session_for_ns;     /* age of the session, which outlives connections */
  int64_t last_seen_ns;       /* time since anything came from it */
  int64_t round_trip_ns;      /* of the last heartbeat; 0: not known yet */
  uint64_t streams;           /* operations that are open: it is busy when not 0 */
} sandd_daemon_info;

/* A copy of what the server knew at one moment. */
typedef struct sandd_daemon_list sandd_daemon_list;

/* Lists the connected daemons, by id, that have each of the n labels with exactly that value (n = 0: all of them).
 * out: yours, sandd_daemon_list_free. errors: SANDD_E_NOMEM, SANDD_E_CLOSED. */
SANDD_API int sandd_server_daemons(sandd_server *server, const sandd_daemon_label *labels, size_t n,
                                   sandd_daemon_list **out);
/* The same for the one daemon with that id. errors: also SANDD_E_NOT_FOUND, SANDD_E_AWAY (not connected now). */
SANDD_API int sandd_server_daemon(sandd_server *server, const char *id, sandd_daemon_list **out);
SANDD_API size_t sandd_daemon_list_count(const sandd_daemon_list *list);
/* index below count, else NULL. Lives as long as the list. */
SANDD_API const sandd_daemon_info *sandd_daemon_list_get(const sandd_daemon_list *list, size_t index);
SANDD_API void sandd_daemon_list_free(sandd_daemon_list *list);

/* How many daemons are connected; 0 after the end of the server. */
SANDD_API size_t sandd_server_daemon_count(sandd_server *server);

/* Waits until a daemon with that id is connected: 0. errors: SANDD_E_TIMEOUT, SANDD_E_INTR, SANDD_E_CLOSED. */
SANDD_API int sandd_server_wait_daemon(sandd_server *server, const char *id, int64_t timeout_ms);

typedef enum sandd_daemon_event_type {
  SANDD_DAEMON_NONE = 0,
  SANDD_DAEMON_CONNECTED = 1,    /* listed from now on; resumed: it came back, with all its commands, after a cut */
  SANDD_DAEMON_DISCONNECTED = 2, /* listed no more; its session waits for it. These two alternate for an id. */
  SANDD_DAEMON_GONE = 3          /* its session is over: what ran is lost. Follows DISCONNECTED. */
} sandd_daemon_event_type;

typedef struct sandd_daemon_event {
  size_t size;
  int type;
  bool resumed;
  int status;      /* DISCONNECTED, GONE: a StatusCode, 0 if it just went away */
  int64_t time_ns; /* wall clock, ns since 1970 */
  char id[256];
  char instance[65];
  char text[256]; /* for people; may be empty */
} sandd_daemon_event;

/* Records daemon events from now on (those that are connected already come first as CONNECTED). Returns a descriptor
 * that is readable while events wait; it belongs to the server. The queue is bounded by the application's patience, not
 * by memory: above 65,536 events the oldest are dropped and a warning is logged. errors: SANDD_E_SYSTEM, SANDD_E_NOMEM,
 * SANDD_E_CLOSED. */
SANDD_API int sandd_server_events_fd(sandd_server *server);
/* Takes the oldest event: its type, or SANDD_DAEMON_NONE when there is none. event->size must be set.
 * errors: SANDD_E_INVALID, SANDD_E_CLOSED. */
SANDD_API int sandd_server_next_daemon_event(sandd_server *server, sandd_daemon_event *event);

typedef struct sandd_server_stats {
  size_t size;
  uint64_t connected;           /* daemons that are listed */
  uint64_t away;                /* sessions that wait for their daemon */
  uint64_t connections;         /* open WebSockets, those without a session included */
  uint64_t streams;             /* open operations */
  int64_t oldest_connection_ns; /* age of the oldest connection of a listed daemon; 0 without one */
  uint64_t sessions_total;      /* begun since the start */
  uint64_t resumes_total;       /* connections that went on with a session */
  uint64_t execs_total;         /* commands opened since the start */
  uint64_t recv_bytes;          /* unread output in memory */
  uint64_t ring_bytes;          /* unsent input in memory */
  uint64_t control_bytes;       /* unacknowledged control frames in memory */
} sandd_server_stats;

/* Counts. stats->size must be set. By platform: list the daemons. errors: SANDD_E_INVALID, SANDD_E_CLOSED. */
SANDD_API int sandd_server_get_stats(sandd_server *server, sandd_server_stats *stats);

/* ---- exec -------------------------------------------------------------------------------------------------------- */

/* Channels. On a terminal, and with merge_stderr, everything comes on stdout. */
enum { SANDD_STDIN = 1, SANDD_STDOUT = 2, SANDD_STDERR = 3 };

/* May it start a process, may it attach to one? (ExecMode) */
enum { SANDD_EXEC_START = 1, SANDD_EXEC_ATTACH_OR_START = 2, SANDD_EXEC_ATTACH = 3 };
/* Owns it; types beside others (terminals only); only reads. (ExecRole) */
enum { SANDD_EXEC_HOLD = 1, SANDD_EXEC_SHARE = 2, SANDD_EXEC_WATCH = 3 };
/* Where stdin comes from: /dev/null; sandd_exec_write; config.input, then end of file. */
enum { SANDD_EXEC_STDIN_NONE = 1, SANDD_EXEC_STDIN_STREAM = 2, SANDD_EXEC_STDIN_INPUT = 3 };
/* Where reading begins when attaching. (StartAt) */
enum { SANDD_EXEC_AT_OFFSET = 0, SANDD_EXEC_AT_EARLIEST = 1, SANDD_EXEC_AT_NEWEST = 2 };
/* Why a process ended. (ExitReason) */
enum {
  SANDD_EXIT_OWN = 1,
  SANDD_EXIT_DEADLINE = 2,
  SANDD_EXIT_IDLE = 3,
  SANDD_EXIT_CANCELLED = 4,
  SANDD_EXIT_LIMIT = 5,
  SANDD_EXIT_DAEMON_STOPPING = 6
};
/* Whom a signal reaches. (SignalScope) */
enum { SANDD_SIGNAL_PROCESS = 1, SANDD_SIGNAL_FOREGROUND = 2, SANDD_SIGNAL_TREE = 3 };

typedef struct sandd_env_var {
  sandd_bytes name, value;
} sandd_env_var;

typedef struct sandd_exec_config {
  size_t size;
  const char *daemon_id;
  /* A daemon that is known but not connected now: how long the command may wait for its return before it fails with
   * SANDD_E_AWAY, without having run. 0: fails at once. */
  int64_t wait_ms;

  /* what: argv (n_argv > 0), or a line for the daemon's shell; neither with ATTACH. No zero bytes inside. */
  const sandd_bytes *argv;
  size_t n_argv;
  sandd_bytes shell_line;
  const sandd_env_var *env; /* set in the process, a later one wins */
  size_t n_env;
  bool replace_env;  /* nothing but env */
  bool merge_stderr; /* stderr goes into stdout, in the order of writing */
  bool has_uid;      /* run as uid, or as user_name if that is set; needs the daemon to be root */
  uint32_t uid;
  const char *user_name;
  sandd_bytes cwd; /* empty: the daemon's, or the user's home */

  int stdin_mode;    /* 0: NONE, or INPUT when input has bytes */
  sandd_bytes input; /* with INPUT; copied */

  int64_t timeout_ns;      /* TERM to its whole tree when so much has passed since its start; 0: no limit */
  int64_t grace_ns;        /* then KILL after this; 0: 5 s */
  int64_t idle_timeout_ns; /* the same as a timeout, without output for so long; 0: no limit */
  uint64_t head_bytes;     /* output cap per channel: this much of its begin ... */
  uint64_t tail_bytes;     /* ... and of its end (at most 16 MiB), the middle is skipped; both 0: no cap */

  uint16_t pty_rows, pty_cols; /* both not 0: on a terminal of that size */
  const char *pty_term;        /* TERM; NULL: "xterm-256color" */

  /* identity; all may be left out */
  int mode;                 /* 0: START */
  const char *exec_id;      /* 1 to 128 printable ASCII; needed for ATTACH_OR_START and ATTACH */
  const char *instance;     /* the daemon instance that is meant; another one refuses */
  int64_t age_ns;           /* time since the first try with this exec_id */
  int role;                 /* 0: HOLD */
  int stdout_at, stderr_at; /* where an attach begins; 0: at the offsets here */
  uint64_t stdout_offset, stderr_offset;
  bool keep;           /* it survives the loss of its session, to be attached to by exec_id */
  bool block_unread;   /* with keep and no reader: a full ring blocks it, instead of dropping the oldest */
  uint64_t keep_bytes; /* read output that stays for attach; 0: 1 MiB with keep or an exec_id, else none */

  /* how this side takes the output */
  bool collect;        /* gather it in memory as it comes: see sandd_exec_output. sandd_exec_read is not for these */
  uint64_t max_output; /* collect: most bytes per channel, head and tail, as an output cap; 0: no bound */
  bool discard_stdout, discard_stderr; /* throw it away as it comes */
  /* Give up on a daemon that does not come back: with timeout_ns, the exec ends with SANDD_E_TIMEOUT when timeout + grace
   * + 5 s have passed here, whatever the connection does, and is cancelled over there. true: never. */
  bool no_deadline;
} sandd_exec_config;

/* Sends a command to a daemon, or has it wait for the daemon's return. Never blocks.
 * config:  borrowed for the call.    out: yours, sandd_exec_free; NULL on failure.
 * errors:  SANDD_E_NOT_FOUND (no daemon of that id), SANDD_E_AWAY (away, and wait_ms is 0), SANDD_E_UNSUPPORTED (it can't
 *          do this; says why), SANDD_E_INVALID, SANDD_E_TOO_LARGE (above the daemon's message limit), SANDD_E_LIMIT (it
 *          has as many streams as it takes), SANDD_E_NOMEM, SANDD_E_CLOSED. None of them lets the command run. */
SANDD_API int sandd_exec_open(sandd_exec **out, sandd_server *server, const sandd_exec_config *config,
                              sandd_failure *failure);

/* Frees the handle. A command that runs is cancelled (its tree killed, unless keep), if it was not detached. Waits of
 * other threads on it end with SANDD_E_CLOSED; no call may begin. NULL is fine. */
SANDD_API void sandd_exec_free(sandd_exec *exec);

/* What can be so of an exec, as bits. */
enum {
  SANDD_EXEC_STARTED = 1,      /* the process exists: pid and the like are known */
  SANDD_EXEC_READABLE = 2,     /* stdout has bytes, a skip or its end to read */
  SANDD_EXEC_READABLE_ERR = 4, /* the same for stderr */
  SANDD_EXEC_WRITABLE = 8,     /* stdin has room, or is closed: a write does not wait */
  SANDD_EXEC_EXITED = 16,      /* the process was reaped: exit code and the like are known; output may still come */
  SANDD_EXEC_ENDED = 32        /* all is over, one way or another: the result is final */
};

/* Waits until any bit of mask is so, or ENDED, and returns all the bits that are: > 0.
 * errors: SANDD_E_TIMEOUT, SANDD_E_INTR, SANDD_E_CLOSED (the server ended; the result says SANDD_E_CLOSED too). */
SANDD_API int sandd_exec_wait(sandd_exec *exec, unsigned mask, int64_t timeout_ms);

typedef struct sandd_exec_result {
  size_t size;
  bool started;       /* the process exists or existed */
  bool attached;      /* it was there before this exec */
  bool detached;      /* sandd_exec_detach was called */
  bool exited;        /* exit_code or signal, reason and the times are known */
  bool ended;         /* nothing below changes any more */
  bool may_have_run;  /* false: the command certainly has not run */
  bool away;          /* the daemon is not connected now, or never came */
  bool truncated;     /* output is missing: skipped by the cap, or not delivered */
  bool drain_limited; /* something that it left behind still held its pipe; later output was not waited for */
  /* Why this side gave up, or 0: SANDD_E_AWAY, SANDD_E_NOT_FOUND (the daemon), SANDD_E_UNSUPPORTED, SANDD_E_LIMIT,
   * SANDD_E_TOO_LARGE, SANDD_E_NOMEM: never sent. SANDD_E_TIMEOUT: see no_deadline. SANDD_E_CLOSED: the server ended.
   * What the daemon says is no error, but a status: the command ran to its end and its output is complete, whatever its
   * exit code, if ended && error == 0 && status == 1. */
  int error;
  int status;               /* StatusCode: 1 (OK), or why not; 0 until it ended */
  const char *text;         /* with a status: a sentence, or "". These strings live as long as the exec. */
  const char *errno_name;   /* "ENOENT", if a system call failed over there, or "" */
  uint64_t earliest_offset; /* OUT_OF_RANGE: the lowest offset that an attach can have */
  int64_t away_since_ns;    /* SANDD_E_AWAY: as in sandd_failure */

  const char *exec_id;  /* "" until started */
  const char *instance; /* of the daemon that it runs on; "" until started */
  uint64_t pid;         /* on that machine; 0 until started */

  uint32_t exit_code; /* if exited and signal is "" */
  const char *signal; /* "KILL", or "" */
  int reason;         /* SANDD_EXIT_* */
  int64_t wall_ns;    /* from start to reap, on the daemon */
  int64_t user_ns, system_ns;
  uint64_t max_rss_bytes;

  uint64_t stdout_start, stderr_start;     /* offset at which this exec began to read */
  uint64_t stdout_offset, stderr_offset;   /* offset that has been read up to */
  uint64_t stdout_skipped, stderr_skipped; /* bytes in between that were dropped on purpose */
  uint64_t stdin_offset;                   /* what the process has taken of its input */
} sandd_exec_result;

/* What is known now; never waits. result->size must be set. errors: SANDD_E_INVALID. Works after the server's end. */
SANDD_API int sandd_exec_get_result(sandd_exec *exec, sandd_exec_result *result);

/* With collect: what came so far on stdout or stderr. *skip_at: offset in data where something is missing (skipped bytes
 * in result), or len. data lives until sandd_exec_free, once ENDED; before that until the next call on the exec.
 * errors: SANDD_E_STATE (not collecting), SANDD_E_INVALID (channel). Works after the server's end. */
SANDD_API int sandd_exec_output(sandd_exec *exec, int channel, const uint8_t **data, size_t *len, size_t *skip_at);

typedef enum sandd_read_kind { SANDD_READ_END = 0, SANDD_READ_DATA = 1, SANDD_READ_SKIP = 2 } sandd_read_kind;

/* Reads output: DATA with *len bytes in buf (1 to cap), SKIP where *len bytes were dropped on purpose, END at its end.
 * What nobody reads holds the process up, when the window is full.
 * errors: SANDD_E_TIMEOUT, SANDD_E_INTR, SANDD_E_INVALID, SANDD_E_STATE (collect, discard), SANDD_E_CLOSED: the exec ended
 *         before the end of its output came: the result says why. Bytes that came before are given first. */
SANDD_API int sandd_exec_read(sandd_exec *exec, int channel, void *buf, size_t cap, uint64_t *len, int64_t timeout_ms);

/* Throws a channel's output away from now on, what is unread too: for a reader that has seen enough, while the process
 * goes on. errors: SANDD_E_INVALID (channel), SANDD_E_STATE (collect), SANDD_E_CLOSED. */
SANDD_API int sandd_exec_discard(sandd_exec *exec, int channel);

/* Writes to stdin, as much as there is room for, waiting for the first byte of room: how many bytes were taken, 1 to len.
 * They are sent and, after a cut, sent again by the library. errors: SANDD_E_TIMEOUT, SANDD_E_INTR, SANDD_E_STATE (no
 * stdin stream, or its end was said), SANDD_E_CLOSED (nobody reads it any more: the process closed it, or all is over). */
SANDD_API int64_t sandd_exec_write(sandd_exec *exec, const void *data, size_t len, int64_t timeout_ms);
/* Says that stdin ends behind what was written. Twice is fine. errors: SANDD_E_STATE (no stdin stream), SANDD_E_CLOSED,
 * SANDD_E_NOMEM. */
SANDD_API int sandd_exec_close_stdin(sandd_exec *exec);

/* Sends a signal: name without SIG, "TERM". scope: SANDD_SIGNAL_*. Not an error if the process has just ended.
 * errors: SANDD_E_INVALID, SANDD_E_STATE (a watcher may not; not sent yet), SANDD_E_AGAIN (too many wait), SANDD_E_CLOSED. */
SANDD_API int sandd_exec_signal(sandd_exec *exec, const char *name, int scope);
/* Tells the terminal its size. errors: SANDD_E_INVALID, SANDD_E_STATE (no terminal), SANDD_E_CLOSED. */
SANDD_API int sandd_exec_resize(sandd_exec *exec, uint16_t rows, uint16_t cols);
/* Lets the process go on without this handle; ENDED follows. errors: SANDD_E_STATE (not sent yet), SANDD_E_CLOSED. */
SANDD_API int sandd_exec_detach(sandd_exec *exec);
/* Kills its tree, unless keep, and ends the exec: ENDED at once, with CANCELLED. Fine when it ended before. */
SANDD_API int sandd_exec_cancel(sandd_exec *exec);

/* A descriptor for select, poll or an event loop: it becomes readable when a bit of mask becomes so (or ENDED), and stays
 * readable until sandd_exec_poll. It belongs to the exec. errors: SANDD_E_SYSTEM (no descriptors left), SANDD_E_CLOSED. */
SANDD_API int sandd_exec_fd(sandd_exec *exec, unsigned mask);
/* The bits that are so now; also takes back the descriptor's readiness. Never waits. */
SANDD_API int sandd_exec_poll(sandd_exec *exec);

/* ---- waitset: thousands of execs, one descriptor ----------------------------------------------------------------- */

typedef struct sandd_ready {
  sandd_exec *exec;
  void *user;    /* what was given to sandd_waitset_add */
  unsigned bits; /* SANDD_EXEC_*, as they are now */
} sandd_ready;

/* out: yours, sandd_waitset_free. errors: SANDD_E_NOMEM, SANDD_E_SYSTEM, SANDD_E_CLOSED. */
SANDD_API int sandd_waitset_new(sandd_waitset **out, sandd_server *server);
/* Its execs leave it; they are not freed. NULL is fine. */
SANDD_API void sandd_waitset_free(sandd_waitset *set);
/* Readable while anything is ready. Belongs to the set. */
SANDD_API int sandd_waitset_fd(const sandd_waitset *set);
/* Puts an exec in, to be told when a bit of mask becomes so, or ENDED; at once if one is. An exec is in one set at most
 * (another add moves it); freeing it takes it out. user is given back as it is. errors: SANDD_E_INVALID (other server). */
SANDD_API int sandd_waitset_add(sandd_waitset *set, sandd_exec *exec, unsigned mask, void *user);
SANDD_API void sandd_waitset_remove(sandd_waitset *set, sandd_exec *exec);
/* Takes up to n that became ready, each once for any number of changes: how many. Waits for the first, as timeout_ms
 * says. errors: SANDD_E_TIMEOUT, SANDD_E_INTR, SANDD_E_CLOSED (the server ended and nothing is left to tell). */
SANDD_API int sandd_waitset_next(sandd_waitset *set, sandd_ready *out, size_t n, int64_t timeout_ms);

#ifdef __cplusplus
}
#endif
#endif
