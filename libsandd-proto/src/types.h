// SPDX-License-Identifier: MIT
#ifndef SANDD_PROTO_TYPES_H
#define SANDD_PROTO_TYPES_H

/* The state behind the public handles, in one place because its parts point at each other:
 *
 *   endpoint -+- names --- session -+- control (unacked, pending)
 *             +- links ---- link    +- streams --- cursor --> ring   (what we write)
 *             +- notices            |          +-- inbox             (what we read)
 *             +- arena (one packet) +- due, untold, ready: work for the scheduler
 */
#include "arena.h"
#include "list.h"
#include "map.h"
#include "rules.h"

#include <sandd/proto/endpoint.h>
#include <sandd/proto/inbox.h>
#include <sandd/proto/link.h>
#include <sandd/proto/ring.h>
#include <sandd/proto/session.h>
#include <sandd/proto/status.h>
#include <sandd/proto/stream.h>
#include <sandd/v1/packet.pb-c.h>
#include <string.h>

#define NEVER              UINT64_MAX
#define MS                 1000ull
#define SECOND             1000000ull
#define OFFSET_MAX         (1ull << 62)
#define CHANNEL_MIN        4096u /* bytes that every channel may always use, in both budgets */
#define CHANNELS           6     /* ids 1 to 5 */
#define CHUNK              65536u
#define FIRST_MESSAGE      65536u
#define ACK_US             (25 * MS)
#define OPENING_US         (10 * SECOND)
#define PROBE_US           (2 * SECOND)
#define UNCONFIRMED_US     (20 * SECOND)
#define JUMP_US            (10 * SECOND)
#define SESSION_ID_LEN     16
#define SECRET_LEN         32
#define STREAM_WAITING_MAX 65536u /* bytes of control frames that may wait on one stream */

typedef Sandd__V1__Frame Frame;
typedef Sandd__V1__Hello Hello;

/* Something to tell the application. Which event it becomes is decided when it is pulled. */
typedef enum notice_kind {
  NOTICE_LINK,
  NOTICE_SESSION,
  NOTICE_STREAM,
  NOTICE_INBOX,
  NOTICE_RING,
  NOTICE_IDENTITY
} notice_kind;
typedef struct sandd_notice {
  sandd_node node;
  notice_kind kind;
  unsigned bits;
} sandd_notice;
enum {
  BIT_UP = 1,
  BIT_AWAY = 2,
  BIT_LOST = 4,
  BIT_REFUSED = 8,
  BIT_ENDED = 16,
  BIT_CLOSED = 32,
  BIT_READABLE = 64,
  BIT_WRITABLE = 128,
  BIT_DRAINED = 256,
  BIT_IDENTITY = 512
};

/* Bytes that several channels share. Each has CHANNEL_MIN of its own; only what is above that is shared. */
typedef struct sandd_budget {
  unsigned refs;
  const sandd_allocator *allocator;
  uint64_t total, channels, channels_used;
  uint64_t shared_used; /* sum over channels of what is above CHANNEL_MIN */
  uint64_t used;        /* sum over channels */
  sandd_node waiting;   /* rings that found no room */
} sandd_budget;

/* A control frame, encoded without its seq. */
typedef struct sandd_control {
  sandd_node node;
  uint64_t seq, stream_id;
  int body;
  bool lazy;  /* may wait 25 ms for company */
  bool spare; /* lives inside a stream */
  uint32_t len;
  uint8_t *data;
} sandd_control;

typedef struct sandd_segment {
  sandd_node node;
  uint64_t offset, len, cap;
  uint8_t *data; /* NULL: dropped on purpose */
} sandd_segment;

/* One reader's position on a ring. */
typedef struct sandd_cursor {
  sandd_node node; /* ring->cursors */
  sandd_ring *ring;
  sandd_stream *stream;
  int channel;
  uint64_t sent, most_sent, next, consumed, limit;
  uint64_t told; /* consumed of the newest Window: stdin that changed hands may be below where this writer began */
  bool watches;
  bool wait; /* resumed: silent until the reader's first Window */
} sandd_cursor;

struct sandd_ring {
  sandd_endpoint *endpoint;
  sandd_budget *budget;
  void *user;
  sandd_notice notice;
  sandd_node segments, cursors, wait_node;
  uint64_t base, floor, end; /* kept from base, consumed up to floor, written up to end */
  uint64_t held, kept;       /* bytes in memory above and below floor */
  uint64_t max_bytes, keep_bytes;
  bool drop_unread, finished, drained_told;
};

struct sandd_inbox {
  sandd_endpoint *endpoint;
  sandd_budget *budget;
  void *user;
  sandd_notice notice;
  sandd_stream *stream;
  int channel;
  sandd_node segments;
  uint64_t bytes, committed;
  uint64_t next, consumed, limit, told_consumed, told_limit, final, skipped;
  uint64_t want, told_at, since;
  sandd_node due_node, untold_node;
  bool persistent, open, known, need, has_final, drain_limit, discard;
};

struct sandd_stream {
  sandd_endpoint *endpoint;
  sandd_session *session;
  void *user;
  sandd_map_node map_node; /* key: id */
  sandd_node session_node, ready_node, orphan_node;
  sandd_notice notice;
  sandd_cursor *out[CHANNELS];
  sandd_inbox *in[CHANNELS];
  uint64_t id;
  uint32_t waiting;     /* bytes of its control frames that have no number yet */
  uint8_t finished_out; /* bit per channel whose ChannelEnd was queued */
  uint8_t turn;         /* the channel that the scheduler looks at first */
  uint8_t reads;        /* bit per channel that this side reads, or did */
  bool mine, mapped, sent_first, opened, answered, answer_in, end_out, end_in, reset_out, reset_in, lost, released,
      ended;
  int status;
  uint64_t earliest;
  char *text, *errno_name;
  sandd_control spare; /* so that our End can always be sent */
  uint8_t spare_data[32];
};

typedef struct sandd_name {
  sandd_map_node map_node; /* key: hash of the id */
  sandd_node sessions;     /* all with this daemon id */
  sandd_session *current;
  sandd_link *probing;
  char id[];
} sandd_name;

struct sandd_session {
  sandd_endpoint *endpoint;
  void *user;
  sandd_notice notice;
  sandd_link *link;
  sandd_name *name; /* server */
  sandd_map_node map_node;
  sandd_node name_node, all_node, timer_node;
  uint8_t id[64], secret[64], prev[64];
  size_t id_len, secret_len, prev_len;
  Hello *hello;
  sandd_limits peer;
  char *instance;
  Sandd__V1__Welcome *welcome; /* daemon: the newest, for its capabilities */
  uint64_t attempt, created_us, changed_us, retention_us, heartbeat_us;
  bool confirmed, told_up, resumed, lost;
  int lost_status;
  char *lost_text;
  uint64_t lost_retry_us; /* the hint of the Goodbye that ended it */
  uint64_t out_seq, acked, in_seq;
  sandd_node unacked, pending;
  uint64_t unacked_bytes, pending_bytes;
  size_t n_urgent; /* of pending: those that are not lazy */
  size_t n_finals; /* of pending: Ends and Resets */
  sandd_map streams;
  sandd_node stream_list, due, untold, ready;
  size_t n_streams, n_mine, n_theirs;
  uint64_t next_id, highest; /* ours to give next; highest opened by the peer */
  sandd_budget *recv, *rings;
};

typedef enum link_state {
  LINK_HELLO,   /* server: Hello is to come */
  LINK_WELCOME, /* daemon: Welcome is to come */
  LINK_PROBING, /* server: Hello waits for what the probe of the old connection says */
  LINK_UP,      /* carries its session */
  LINK_CLOSING, /* says what is left (Goodbye), then closes */
  LINK_DEAD     /* nothing more */
} link_state;

struct sandd_link {
  sandd_endpoint *endpoint;
  void *user;
  sandd_notice notice;
  sandd_node all_node, ready_node, probe_node;
  link_state state;
  sandd_session *session;
  int error; /* SANDD_E_*: what every later call returns */
  int status;
  uint16_t close_code;
  bool close_wanted, confirmed;
  char text[124];
  uint64_t retry_after_us;
  sandd_control *first, *goodbye; /* Hello or Welcome; Goodbye */
  uint64_t replies[8], beat;
  unsigned n_replies;
  bool beat_due;
  uint64_t stamp, next_control, ack_due;
  uint64_t last_ack; /* that went out: Goodbye repeats it */
  bool offered;      /* daemon: Hello asked to resume */
  uint64_t born, received, deadline, beat_at, round_trip, least_trip;
  uint64_t proof;  /* after a clock jump: only the reply to this stamp is a sign of life */
  bool suspect;    /* one tick found it silent for too long */
  Hello *hello;    /* PROBING */
  sandd_link *old; /* PROBING: the connection that is asked */
  uint64_t probe_stamp, probe_until;
};

struct sandd_endpoint {
  sandd_allocator allocator;
  ProtobufCAllocator pb_allocator;
  void (*random)(void *ctx, uint8_t *out, size_t len);
  void *random_ctx;
  bool server;
  sandd_limits limits;
  uint64_t recv_budget, ring_budget, ring_count, window_bytes, heartbeat_us, session_retention_us, exec_retention_us;
  int64_t wall_clock_ns;
  uint64_t rules_off;
  char *software, *daemon_id, *instance_id;
  size_t base_id_len; /* of daemon_id without a clone's suffix */
  Hello *self;        /* daemon: what Hello says of this machine; server: only its capabilities are used */
  uint64_t attempt;
  sandd_map names, sessions;
  sandd_node all_sessions, all_links, ready, notices, probes, away, unconfirmed, orphans;
  sandd_session *session;     /* daemon */
  sandd_session *dying;       /* told LOST, freed by the next call */
  sandd_link *dialled;        /* daemon: its newest link */
  sandd_budget *recv, *rings; /* daemon */
  uint64_t keep_budget, keep_used;
  sandd_notice identity;
  sandd_arena arena;
  Sandd__V1__Packet *packet; /* being handled */
  size_t packet_at;
  sandd_link *packet_link;
  sandd_event direct; /* of the frame just handled; told after the notices that it caused */
  uint64_t hash_seed;
};

/* memory.c */
void *sandd_alloc(sandd_endpoint *endpoint, size_t size); /* zeroed */
void sandd_free(sandd_endpoint *endpoint, void *ptr);
char *sandd_copy_text(sandd_endpoint *endpoint, const char *text, size_t len); /* NULL when there is no memory */

#endif
