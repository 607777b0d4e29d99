// SPDX-License-Identifier: MIT
/* The n-th allocation fails, for every n, over a scenario with everything in it: nothing leaks, nothing crashes, the error
 * is told, and after a new connection things work. */
#include "pair.h"

typedef struct scenario {
  pair *p;
  sandd_stream *mine, *theirs;
  sandd_ring *ring;
  sandd_inbox *inbox;
  uint8_t got[20000];
  size_t n_got;
} scenario;

static uint8_t content(size_t i) {
  return (uint8_t)(i * 7 + i / 251);
}

static void on_event(pair *p, int at, const sandd_event *event) {
  scenario *s = p->user;
  if (event->type == SANDD_EVENT_STREAM_OPENED) {
    sandd_stream_release(s->theirs, p->now);
    s->theirs = event->stream;
  } else if (event->type == SANDD_EVENT_INBOX_READABLE && at == SERVER) {
    const uint8_t *data;
    uint64_t len;
    while (sandd_inbox_peek(event->inbox, &data, &len) == SANDD_INBOX_DATA) {
      ck_assert_uint_le(s->n_got + len, sizeof s->got);
      memcpy(s->got + s->n_got, data, (size_t)len);
      s->n_got += (size_t)len;
      sandd_inbox_consume(event->inbox, len, p->now);
    }
  }
}

static void forget(scenario *s) {
  sandd_stream_release(s->mine, s->p->now);
  sandd_stream_release(s->theirs, s->p->now);
  sandd_ring_free(s->ring);
  sandd_inbox_free(s->inbox);
  s->mine = s->theirs = NULL;
  s->ring = NULL;
  s->inbox = NULL;
  s->n_got = 0;
}

/* True when it went through. False: some call said that there was no memory, or a connection broke. */
static bool run(scenario *s) {
  pair *p = s->p;
  pair_connect(p);
  if (!pair_session(p, SERVER) || !pair_session(p, DAEMON))
    return false;
  if (sandd_stream_new(&s->mine, pair_session(p, SERVER)))
    return false;
  if (sandd_inbox_new(&s->inbox, p->endpoint[SERVER], pair_session(p, SERVER), false))
    return false;
  int64_t grant = sandd_stream_read(s->mine, CHANNEL(STDOUT), s->inbox, true, p->now);
  if (grant < 0 || pair_open(p, s->mine, "", grant))
    return false;
  pair_pump(p);
  if (!s->theirs)
    return false;
  if (sandd_ring_new(&s->ring, p->endpoint[DAEMON], NULL, NULL))
    return false;
  if (sandd_stream_write(s->theirs, CHANNEL(STDOUT), s->ring, 0, (uint64_t)grant, SANDD_READER_HOLDS))
    return false;
  if (pair_answer(p, s->theirs))
    return false;
  uint8_t bytes[10000];
  for (size_t i = 0; i < sizeof bytes; i++)
    bytes[i] = content(i);
  size_t wrote = 0;
  for (int tries = 0; wrote < sizeof bytes && tries < 20; tries++) {
    int64_t n = sandd_ring_write(s->ring, bytes + wrote, sizeof bytes - wrote);
    if (n < 0 && n != SANDD_E_NOMEM)
      return false;
    if (n > 0)
      wrote += (size_t)n;
    if (tries == 1) { /* in the middle of it, the connection goes */
      pair_cut(p);
      pair_connect(p);
    }
    pair_pump(p);
  }
  if (wrote < sizeof bytes)
    return false;
  sandd_ring_finish(s->ring);
  Frame exited = craft(0, 0, BODY(EXEC_EXITED));
  if (sandd_stream_send(s->theirs, &exited, p->now) || sandd_stream_finish(s->theirs, CHANNEL(STDOUT), false, p->now))
    return false;
  if (sandd_stream_end(s->theirs, &(sandd_status){.code = STATUS(OK)}, p->now))
    return false;
  pair_pump(p);
  for (int tries = 0; tries < 4 && !pair_event(p, SERVER, SANDD_EVENT_STREAM_CLOSED); tries++)
    pair_connect(p);
  const recorded *ended = pair_event(p, SERVER, SANDD_EVENT_STREAM_ENDED);
  if (!ended || ended->event.status != STATUS(OK))
    return false;
  ck_assert_uint_eq(s->n_got, sizeof bytes); /* never a success with bytes missing */
  for (size_t i = 0; i < sizeof bytes; i++)
    ck_assert_uint_eq(s->got[i], content(i));
  return true;
}

static void fail_at(int side, size_t n, bool *reached) {
  static scenario s;
  memset(&s, 0, sizeof s);
  s.p = pair_new(.apart = true);
  s.p->user = &s;
  s.p->on_event = on_event;
  memory *m = &s.p->memory[side];
  m->calls = 0;
  m->fail_at = n;
  bool ok = run(&s);
  *reached = m->calls >= n;
  m->fail_at = 0;
  if (!ok) {
    ck_assert_msg(*reached, "it fails without a failure");
    forget(&s);
    pair_drain(s.p, SERVER);
    pair_drain(s.p, DAEMON);
    pair_forget(s.p);
    pair_cut(s.p);
    ck_assert_msg(run(&s), "after allocation %zu of the %s failed, a retry does not work", n,
                  side ? "daemon" : "server");
  }
  forget(&s);
  pair_free(s.p);
}

START_TEST(any_allocation_may_fail) {
  for (int side = 0; side < 2; side++) {
    bool reached = true;
    size_t n = 1;
    for (; reached; n++) {
      ck_assert_uint_lt(n, 5000);
      fail_at(side, n, &reached);
    }
    ck_assert_uint_gt(n, 20);
  }
}
END_TEST

START_TEST(endpoint_that_can_not_be_made_leaves_nothing) {
  pair *p = pair_new(.apart = true);
  for (int at = 0; at < 2; at++) {
    memory *m = &p->memory[at];
    size_t blocks = m->blocks;
    sandd_endpoint *endpoint = NULL;
    int error = SANDD_E_NOMEM;
    for (size_t n = 1; error; n++) {
      ck_assert_uint_lt(n, 200);
      m->calls = 0;
      m->fail_at = n;
      error = pair_endpoint(p, at, at == DAEMON ? "worker-2" : NULL, &endpoint);
      ck_assert(error == 0 || error == SANDD_E_NOMEM);
      if (error)
        ck_assert_uint_eq(m->blocks, blocks);
    }
    m->fail_at = 0;
    sandd_endpoint_free(endpoint);
    ck_assert_uint_eq(m->blocks, blocks);
  }
  pair_free(p);
}
END_TEST

Suite *suite(void) {
  Suite *s = suite_create("no memory");
  TCase *t = tcase_create("no memory");
  tcase_set_timeout(t, 60);
  tcase_add_test(t, any_allocation_may_fail);
  tcase_add_test(t, endpoint_that_can_not_be_made_leaves_nothing);
  suite_add_tcase(s, t);
  return s;
}
