// SPDX-License-Identifier: MIT
#ifndef SANDD_PROTO_ENDPOINT_H
#define SANDD_PROTO_ENDPOINT_H

#include <sandd/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The protocol as a state machine: no sockets, clock, randomness, environment or logging. An endpoint is one side: a
 * daemon (which dials, and has one session at a time) or a server (with any number of links and sessions).
 *
 *   carrier --- sandd_link_feed ---> link --> session --> stream --> inbox ---> application
 *   carrier <-- sandd_link_pull ---- link <-- session <-- stream <-- ring <---- application
 *
 * All of it is pulled: after any call, drain sandd_endpoint_next_event() and sandd_endpoint_next_ready().
 * thread: one at a time per endpoint (everything that hangs on it included).
 * time:   now_us is CLOCK_BOOTTIME in microseconds, never going back. */
typedef struct sandd_endpoint sandd_endpoint;
typedef struct sandd_link sandd_link;       /* one end's state of one connection */
typedef struct sandd_session sandd_session; /* outlives its connections */
typedef struct sandd_stream sandd_stream;   /* one operation of a session */
typedef struct sandd_ring sandd_ring;       /* a channel's bytes at their sender */
typedef struct sandd_inbox sandd_inbox;     /* a channel's bytes at their reader */
struct Sandd__V1__Frame;                    /* generated: gen/c/sandd/v1/packet.pb-c.h */
struct Sandd__V1__Hello;

typedef enum sandd_role { SANDD_ROLE_SERVER = 1, SANDD_ROLE_DAEMON = 2 } sandd_role;

/* Where memory comes from. alloc may return NULL, which every caller survives. */
typedef struct sandd_allocator {
  void *(*alloc)(void *ctx, size_t size);
  void (*free)(void *ctx, void *ptr);
  void *ctx;
} sandd_allocator;

/* What this side is willing to receive and hold; 0 means the default in brackets. See Limits in link.proto. */
typedef struct sandd_limits {
  uint64_t message_bytes;      /* [1 MiB] */
  uint64_t streams;            /* opened by the peer, at once [1,024] */
  uint64_t channels;           /* that this side reads, at once [3 x streams] */
  uint64_t control_bytes;      /* of unacked control frames [1 MiB] */
  uint64_t inline_stdin_bytes; /* [64 KiB] */
} sandd_limits;

typedef struct sandd_label {
  const char *key, *value;
} sandd_label;

typedef struct sandd_capability {
  const char *name;       /* "exec", "exec.attach", "exec.pty", "exec.user" */
  const char *off_reason; /* NULL or "" when it is there */
} sandd_capability;

typedef struct sandd_endpoint_config {
  size_t size; /* sizeof(sandd_endpoint_config) */
  sandd_role role;
  const sandd_allocator *allocator;                    /* NULL: malloc and free */
  void (*random)(void *ctx, uint8_t *out, size_t len); /* unpredictable bytes; required */
  void *random_ctx;
  sandd_limits limits;
  uint64_t recv_budget;  /* bytes: all receive queues (of a server: per session) [64 MiB]; at least 4 KiB x channels */
  uint64_t ring_budget;  /* bytes: all rings, the same way [64 MiB] */
  uint64_t keep_budget;  /* bytes kept for attach, below what was consumed [256 MiB] */
  uint64_t rings;        /* rings that may exist at once per ring budget; 4 KiB is set aside for each [4 x streams] */
  uint64_t window_bytes; /* first credit of a channel [256 KiB]; windows grow to 32 times that */
  uint64_t heartbeat_us; /* daemon: 0 leaves it to the server; server [10 s] */
  uint64_t session_retention_us; /* server only [10 min] */
  uint64_t exec_retention_us;    /* daemon only [1 h] */
  int64_t wall_clock_ns;         /* server: wall clock minus now_us * 1000, for Welcome.server_time_ns; 0 = unknown */
  const char *software;          /* "sandd 0.1.0" */
  /* daemon only; copied */
  const char *daemon_id;
  const char *instance_id; /* NULL: made from random */
  const char *os, *arch, *release, *hostname;
  const sandd_label *labels;
  size_t n_labels;
  /* both; copied */
  const sandd_capability *capabilities;
  size_t n_capabilities;
  uint64_t rules_off; /* bit set of test switches; must be 0 in the product's build of the library */
} sandd_endpoint_config;

/* Makes an endpoint. config and all it points to is borrowed for the call.
 * errors: SANDD_E_INVALID (no random, no daemon id, a budget below its minimum), SANDD_E_NOMEM. since: 0.1 */
SANDD_API int sandd_endpoint_new(sandd_endpoint **out, const sandd_endpoint_config *config);

/* Frees the endpoint with its links and sessions. Streams, rings and inboxes belong to the application and must be
 * released before. NULL is fine. Nothing is sent: see sandd_session_goodbye. since: 0.1 */
SANDD_API void sandd_endpoint_free(sandd_endpoint *endpoint);

typedef enum sandd_event_type {
  SANDD_EVENT_NONE = 0,
  /* The session is connected and confirmed. resumed tells a new session from one that goes on. */
  SANDD_EVENT_SESSION_UP,
  /* Its connection is gone; the session waits for the next one. */
  SANDD_EVENT_SESSION_AWAY,
  /* The session is over. Every stream of it that had not ended got STREAM_ENDED(SESSION_LOST) before. The session
   * pointer dies with the next call of sandd_endpoint_next_event. status says why; retry_after_us is the hint of a
   * Goodbye. */
  SANDD_EVENT_SESSION_LOST,
  /* Server: a link was refused or closed before it had a session; daemon: the server said Goodbye, or the opening
   * failed. status and retry_after_us are set; daemon: dial again after the back-off unless status is UNAUTHENTICATED
   * or UNSUPPORTED_VERSION. */
  SANDD_EVENT_REFUSED,
  /* Daemon: the server took us for a clone; the endpoint has a new daemon id and instance id. text is the new id. */
  SANDD_EVENT_IDENTITY_CHANGED,
  /* The peer opened a stream; frame is its opening. Answer with sandd_stream_send or sandd_stream_reset, now or later.
   * The application owns the stream from here on and must release it. */
  SANDD_EVENT_STREAM_OPENED,
  /* A control frame for the stream, other than ChannelEnd, End and Reset. */
  SANDD_EVENT_STREAM_FRAME,
  /* The channel has something new: bytes, a Skip, or its end. */
  SANDD_EVENT_INBOX_READABLE,
  /* A ring that had no room has some again. */
  SANDD_EVENT_RING_WRITABLE,
  /* A ring's reader consumed everything up to the ring's final offset (told once, after sandd_ring_finish). */
  SANDD_EVENT_RING_DRAINED,
  /* The peer is done with the stream: status is that of its End (which has taken effect: every byte before each
   * ChannelEnd is in the inbox) or Reset, or SESSION_LOST. Told once. */
  SANDD_EVENT_STREAM_ENDED,
  /* Both sides are done and the state is gone; told once, after ENDED. */
  SANDD_EVENT_STREAM_CLOSED
} sandd_event_type;

typedef struct sandd_event {
  sandd_event_type type;
  sandd_link *link;
  sandd_session *session;
  sandd_stream *stream;
  sandd_inbox *inbox;
  sandd_ring *ring;
  const struct Sandd__V1__Frame *frame; /* valid until the next call of sandd_endpoint_next_event or sandd_link_feed */
  int status;                           /* a StatusCode of status.proto */
  const char *text;                     /* for people; valid as long as frame */
  const char *errno_name;               /* with a status; may be "" */
  uint64_t earliest_offset;             /* with OUT_OF_RANGE */
  uint64_t retry_after_us;
  bool resumed;
  bool by_reset; /* STREAM_ENDED: by Reset, not End */
} sandd_event;

/* Gives the next event: 1 and *event, or 0 when there is none. Frames of the last packet fed are handled here, one by
 * one, so this must be drained before the next feed. When there is no memory to handle a frame, its link is dropped (the
 * session resumes and gets it again). now_us: see above. since: 0.1 */
SANDD_API int sandd_endpoint_next_event(sandd_endpoint *endpoint, sandd_event *event, uint64_t now_us);

/* Gives a link that has a packet to send or wants to be closed, or NULL. Each is given once until it has been pulled dry
 * (sandd_link_pull gave length 0). since: 0.1 */
SANDD_API sandd_link *sandd_endpoint_next_ready(sandd_endpoint *endpoint);

/* When sandd_endpoint_tick must be called at the latest (probes and retentions; links have their own); UINT64_MAX for
 * never. */
SANDD_API uint64_t sandd_endpoint_deadline(const sandd_endpoint *endpoint);
SANDD_API void sandd_endpoint_tick(sandd_endpoint *endpoint, uint64_t now_us);

/* The daemon's ids as they are now (a clone changes both). Live as long as the endpoint and until IDENTITY_CHANGED. */
SANDD_API const char *sandd_endpoint_daemon_id(const sandd_endpoint *endpoint);
SANDD_API const char *sandd_endpoint_instance_id(const sandd_endpoint *endpoint);

/* Server: the confirmed session of a daemon id, connected or away; NULL if there is none. */
SANDD_API sandd_session *sandd_endpoint_find(sandd_endpoint *endpoint, const char *daemon_id);
/* Daemon: its session, or NULL. */
SANDD_API sandd_session *sandd_endpoint_session(sandd_endpoint *endpoint);

/* What the endpoint holds, for bounds and /stats. Units: bytes and counts. */
typedef struct sandd_usage {
  uint64_t links, sessions, sessions_connected, streams;
  uint64_t ring_bytes, recv_bytes, recv_granted, keep_bytes, control_bytes, control_waiting;
} sandd_usage;
SANDD_API void sandd_endpoint_usage(const sandd_endpoint *endpoint, sandd_usage *usage);

#endif
