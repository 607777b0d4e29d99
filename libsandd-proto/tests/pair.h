// SPDX-License-Identifier: MIT
#ifndef SANDD_TEST_PAIR_H
#define SANDD_TEST_PAIR_H

#include <check.h>
#include <sandd/proto/inbox.h>
#include <sandd/proto/link.h>
#include <sandd/proto/ring.h>
#include <sandd/proto/session.h>
#include <sandd/proto/status.h>
#include <sandd/proto/stream.h>
#include <sandd/v1/packet.pb-c.h>
#include <stdlib.h>
#include <string.h>

/* A server and a daemon wired in memory, with a clock that only the test moves. Every packet goes whole and in order;
 * a test that wants it otherwise pulls and feeds by hand. */

#define MS            1000ull
#define SECOND        1000000ull
#define STATUS(name)  SANDD__V1__STATUS_CODE__STATUS_CODE_##name
#define BODY(name)    SANDD__V1__FRAME__BODY_##name
#define CHANNEL(name) SANDD__V1__CHANNEL_ID__CHANNEL_ID_##name
typedef Sandd__V1__Frame Frame;

enum { SERVER, DAEMON, EVENTS = 4096 };

/* An allocator that counts, and that fails once on demand. */
typedef struct memory {
  sandd_allocator allocator;
  size_t blocks, bytes, most_bytes, calls;
  size_t fail_at; /* the call, counted from 1, that gets NULL; 0: none */
} memory;

typedef struct options {
  sandd_limits limits[2];
  uint64_t heartbeat_us, session_retention_us, recv_budget, ring_budget, keep_budget, rings, window_bytes;
  const sandd_label *labels; /* NULL: one of the fixture's */
  size_t n_labels;
  bool apart; /* no connection yet */
} options;

typedef struct recorded {
  sandd_event event; /* its pointers to frames are gone */
  int body;
  uint64_t seq;
  char text[128];
} recorded;

typedef struct pair {
  options options;
  memory memory[2];
  sandd_endpoint *endpoint[2];
  sandd_link *link[2];
  uint64_t now, random;
  recorded events[2][EVENTS];
  size_t n_events[2];
  int feed_error[2]; /* the newest */
  uint64_t packets[2];
  void (*on_event)(struct pair *p, int at, const sandd_event *event); /* while frames live; may be NULL */
  void *user;
} pair;

#define pair_new(...) pair_make(&(options){__VA_ARGS__})
pair *pair_make(const options *o);
/* Frees all, and fails the test when memory is left. Streams, rings and inboxes must be released before. */
void pair_free(pair *p);
int pair_endpoint(pair *p, int at, const char *daemon_id, sandd_endpoint **out);

void pair_connect(pair *p); /* new links, and the packets of the opening */
void pair_cut(pair *p);     /* both ends lose the connection */
void pair_pump(pair *p);    /* until nobody has anything to say now */
void pair_drain(pair *p, int at);
/* Moves the clock, with ticks at every deadline on the way and packets delivered at once. */
void pair_wait(pair *p, uint64_t us);
size_t pair_pull(pair *p, int at, uint8_t *buf, size_t cap); /* one packet; 0: nothing */

const recorded *pair_event(const pair *p, int at, sandd_event_type type); /* the newest such, or NULL */
size_t pair_count(const pair *p, int at, sandd_event_type type);
void pair_forget(pair *p); /* events so far */
sandd_session *pair_session(pair *p, int at);

/* An exec that the server opened and the daemon answered: its stream at both ends. */
sandd_stream *pair_exec(pair *p, sandd_stream **at_daemon);
int pair_open(pair *p, sandd_stream *stream, const char *id, int64_t stdout_grant);
int pair_answer(pair *p, sandd_stream *stream);

/* Frames made by hand; each lives until 32 others were made. */
Frame craft(uint64_t seq, uint64_t stream_id, int body);
Frame craft_data(uint64_t stream_id, int channel, uint64_t offset, const void *bytes, size_t len);
Frame craft_skip(uint64_t stream_id, int channel, uint64_t from, uint64_t to);
Frame craft_window(uint64_t stream_id, int channel, uint64_t next, uint64_t consumed, uint64_t limit);
Frame craft_status(uint64_t seq, uint64_t stream_id, int body, int code); /* END, RESET, GOODBYE */
/* Feeds them as one packet; the result of the feed, or of the events that followed. */
int pair_say(pair *p, int to, uint64_t ack, size_t n, const Frame *frames);
int pair_feed(pair *p, int to, const uint8_t *data, size_t len);
/* The close code that this end's link asks for; 0 when it does not want to close. */
uint16_t pair_closing(const pair *p, int at);

Suite *suite(void); /* each test program has one */

#endif
