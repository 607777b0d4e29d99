// SPDX-License-Identifier: MIT
/* Bytes from a ring to an inbox: credit, windows, skips, ends, several readers, and cuts in between. */
#include "pair.h"

typedef struct flow {
  pair *p;
  sandd_stream *here, *there; /* the server reads, the daemon writes */
  sandd_inbox *in;
  sandd_ring *ring;
  uint64_t grant;
} flow;

/* A further reader of ring, or the first. */
static void attach(flow *f, uint64_t start, sandd_reader_kind kind) {
  pair *p = f->p;
  pair_forget(p);
  ck_assert_int_eq(sandd_inbox_new(&f->in, p->endpoint[SERVER], pair_session(p, SERVER), false), 0);
  ck_assert_int_eq(sandd_stream_new(&f->here, pair_session(p, SERVER)), 0);
  f->grant = (uint64_t)sandd_stream_read(f->here, CHANNEL(STDOUT), f->in, start == 0, p->now);
  ck_assert_int_eq(pair_open(p, f->here, "", (int64_t)f->grant), 0);
  pair_pump(p);
  f->there = pair_event(p, DAEMON, SANDD_EVENT_STREAM_OPENED)->event.stream;
  ck_assert_int_eq(sandd_stream_write(f->there, CHANNEL(STDOUT), f->ring, start, f->grant, kind), 0);
  Frame started = craft(0, 0, BODY(EXEC_STARTED));
  Sandd__V1__OutputState state = SANDD__V1__OUTPUT_STATE__INIT, *states = &state;
  Sandd__V1__KeptRange kept = SANDD__V1__KEPT_RANGE__INIT;
  kept.channel = (Sandd__V1__ChannelId)CHANNEL(STDOUT);
  state.kept = &kept;
  state.start_offset = start;
  started.exec_started->n_outputs = 1;
  started.exec_started->outputs = &states;
  ck_assert_int_eq(sandd_stream_send(f->there, &started, p->now), 0);
  pair_pump(p);
}

static flow begin_with(pair *p, const sandd_ring_config *config) {
  flow f = {.p = p};
  ck_assert_int_eq(sandd_ring_new(&f.ring, p->endpoint[DAEMON], NULL, config), 0);
  attach(&f, 0, SANDD_READER_HOLDS);
  return f;
}
#define begin(...) begin_with(pair_new(__VA_ARGS__), NULL)

static void drop_reader(flow *f) {
  sandd_stream_release(f->here, f->p->now);
  sandd_stream_release(f->there, f->p->now);
  sandd_inbox_free(f->in);
  f->here = f->there = NULL;
  f->in = NULL;
}

static void end(flow *f) {
  drop_reader(f);
  sandd_ring_free(f->ring);
  sandd_usage u;
  for (int at = 0; at < 2; at++) {
    sandd_endpoint_usage(f->p->endpoint[at], &u);
    ck_assert_uint_eq(u.ring_bytes + u.recv_bytes + u.recv_granted + u.keep_bytes, 0);
  }
  pair_free(f->p);
}

static uint8_t content(uint64_t i) {
  return (uint8_t)(i * 7 + i / 253);
}

static void write_bytes(flow *f, size_t n) {
  uint8_t bytes[4096];
  while (n) {
    uint64_t at = sandd_ring_end(f->ring);
    size_t k = n < sizeof bytes ? n : sizeof bytes;
    for (size_t i = 0; i < k; i++)
      bytes[i] = content(at + i);
    ck_assert_int_eq(sandd_ring_write(f->ring, bytes, k), (int64_t)k);
    n -= k;
  }
}

static uint64_t read_all(flow *f) {
  const uint8_t *data;
  uint64_t len, n = 0;
  while (sandd_inbox_peek(f->in, &data, &len) == SANDD_INBOX_DATA) {
    for (uint64_t i = 0; i < len; i++)
      ck_assert_uint_eq(data[i], content(sandd_inbox_consumed(f->in) + i));
    n += len;
    sandd_inbox_consume(f->in, len, f->p->now);
  }
  return n;
}

START_TEST(writer_stops_at_the_limit_and_goes_on_with_the_window) {
  flow f = begin(.window_bytes = 8192);
  write_bytes(&f, 100000);
  pair_pump(f.p);
  ck_assert_uint_eq(sandd_inbox_next(f.in), f.grant);
  uint64_t got = 0;
  for (int i = 0; i < 100 && got < 100000; i++) {
    got += read_all(&f);
    pair_wait(f.p, 25 * MS);
  }
  ck_assert_uint_eq(got, 100000);
  end(&f);
}
END_TEST

START_TEST(what_was_consumed_is_told_after_25_ms) {
  flow f = begin(.window_bytes = 65536);
  write_bytes(&f, 10);
  pair_pump(f.p);
  ck_assert_uint_eq(read_all(&f), 10);
  pair_pump(f.p);
  ck_assert_uint_eq(sandd_ring_consumed(f.ring), 0);
  pair_wait(f.p, 25 * MS);
  ck_assert_uint_eq(sandd_ring_consumed(f.ring), 10);
  end(&f);
}
END_TEST

START_TEST(half_a_window_is_told_at_once) {
  flow f = begin(.window_bytes = 8192);
  write_bytes(&f, 100000);
  pair_pump(f.p);
  uint8_t got[8192];
  ck_assert_uint_eq(sandd_inbox_take(f.in, got, f.grant / 2, f.p->now), f.grant / 2);
  pair_pump(f.p);
  ck_assert_uint_eq(sandd_ring_consumed(f.ring), f.grant / 2);
  end(&f);
}
END_TEST

START_TEST(bytes_go_on_where_they_were_after_any_number_of_cuts) {
  static uint8_t buf[1 << 20];
  flow f = begin(.window_bytes = 30000);
  uint64_t got = 0;
  for (int i = 0; i < 60; i++) {
    if (sandd_ring_end(f.ring) < 100000)
      write_bytes(&f, 2000);
    pair_pump(f.p);
    if (i % 2) {
      write_bytes(&f, 500);
      pair_pull(f.p, DAEMON, buf, sizeof buf); /* lost */
      pair_cut(f.p);
      pair_connect(f.p);
    }
    got += read_all(&f);
    pair_wait(f.p, 25 * MS);
  }
  got += read_all(&f);
  ck_assert_uint_eq(got, sandd_ring_end(f.ring));
  end(&f);
}
END_TEST

START_TEST(end_takes_effect_after_the_last_byte) {
  flow f = begin(.window_bytes = 4096);
  write_bytes(&f, 20000);
  sandd_ring_finish(f.ring);
  ck_assert_int_eq(sandd_stream_finish(f.there, CHANNEL(STDOUT), false, f.p->now), 0);
  ck_assert_int_eq(sandd_stream_finish(f.there, CHANNEL(STDOUT), false, f.p->now), SANDD_E_STATE);
  ck_assert_int_eq(sandd_stream_end(f.there, &(sandd_status){.code = STATUS(OK)}, f.p->now), 0);
  pair_wait(f.p, 100 * MS);
  uint64_t final;
  bool drain;
  ck_assert(sandd_inbox_final(f.in, &final, &drain));
  ck_assert_uint_eq(final, 20000);
  ck_assert(!drain);
  uint64_t got = 0;
  while (sandd_inbox_next(f.in) < 20000) {
    ck_assert_ptr_null(pair_event(f.p, SERVER, SANDD_EVENT_STREAM_ENDED));
    got += read_all(&f);
    pair_wait(f.p, 25 * MS);
  }
  ck_assert_ptr_nonnull(pair_event(f.p, SERVER, SANDD_EVENT_STREAM_ENDED)); /* received: unread bytes may wait */
  got += read_all(&f);
  ck_assert_uint_eq(got, 20000);
  ck_assert_int_eq(sandd_inbox_peek(f.in, NULL, NULL), SANDD_INBOX_END);
  pair_wait(f.p, 100 * MS);
  ck_assert_ptr_nonnull(pair_event(f.p, DAEMON, SANDD_EVENT_STREAM_CLOSED));
  end(&f);
}
END_TEST

START_TEST(drained_is_told_once_when_the_reader_has_all) {
  flow f = begin(.window_bytes = 65536);
  write_bytes(&f, 1000);
  sandd_ring_finish(f.ring);
  pair_wait(f.p, 50 * MS);
  ck_assert_uint_eq(pair_count(f.p, DAEMON, SANDD_EVENT_RING_DRAINED), 0);
  read_all(&f);
  pair_wait(f.p, 50 * MS);
  ck_assert_uint_eq(pair_count(f.p, DAEMON, SANDD_EVENT_RING_DRAINED), 1);
  end(&f);
}
END_TEST

START_TEST(skip_passes_the_limit_and_takes_no_credit) {
  flow f = begin(.window_bytes = 4096);
  write_bytes(&f, 4096 * 2);
  ck_assert_int_eq(sandd_ring_skip(f.ring, 1 << 20), 0);
  write_bytes(&f, 10);
  uint64_t got = 0, len;
  for (int i = 0; i < 10; i++) {
    got += read_all(&f);
    if (sandd_inbox_peek(f.in, NULL, &len) == SANDD_INBOX_SKIP) {
      ck_assert_uint_eq(len, 1 << 20);
      sandd_inbox_consume(f.in, len, f.p->now);
    }
    pair_wait(f.p, 25 * MS);
  }
  ck_assert_uint_eq(got, 8192 + 10);
  ck_assert_uint_eq(sandd_inbox_skipped(f.in), 1 << 20);
  end(&f);
}
END_TEST

START_TEST(skip_is_made_again_after_a_cut) {
  static uint8_t buf[1 << 20];
  flow f = begin(.window_bytes = 4096);
  write_bytes(&f, 100);
  ck_assert_int_eq(sandd_ring_skip(f.ring, 5000), 0);
  write_bytes(&f, 100);
  ck_assert_uint_gt(pair_pull(f.p, DAEMON, buf, sizeof buf), 0); /* lost */
  pair_cut(f.p);
  pair_connect(f.p);
  ck_assert_uint_eq(read_all(&f), 100);
  uint64_t len;
  ck_assert_int_eq(sandd_inbox_peek(f.in, NULL, &len), SANDD_INBOX_SKIP);
  ck_assert_uint_eq(len, 5000);
  sandd_inbox_consume(f.in, len, f.p->now);
  ck_assert_uint_eq(read_all(&f), 100);
  end(&f);
}
END_TEST

START_TEST(dropped_backlog_is_what_no_reader_was_sent) {
  flow f = begin(.window_bytes = 4096);
  write_bytes(&f, 50000);
  pair_pump(f.p); /* the first window is under way */
  ck_assert_int_eq(sandd_ring_drop_backlog(f.ring, 1000), 0);
  uint64_t got = 0, skipped = 0, len;
  for (int i = 0; i < 20; i++) {
    got += read_all(&f);
    if (sandd_inbox_peek(f.in, NULL, &len) == SANDD_INBOX_SKIP) {
      skipped += len;
      sandd_inbox_consume(f.in, len, f.p->now);
    }
    pair_wait(f.p, 25 * MS);
  }
  ck_assert_uint_eq(got, f.grant + 1000);
  ck_assert_uint_eq(got + skipped, 50000);
  end(&f);
}
END_TEST

START_TEST(watcher_gets_skip_and_never_holds_the_writer) {
  sandd_ring_config config = {.size = sizeof config, .max_bytes = 16384};
  flow f = begin_with(pair_new(.window_bytes = 4096), &config);
  flow watcher = {.p = f.p, .ring = f.ring};
  attach(&watcher, 0, SANDD_READER_WATCHES);
  uint64_t written = 0, got = 0;
  for (int i = 0; i < 200 && written < 100000; i++) {
    size_t room = sandd_ring_room(f.ring);
    if (room > 2000)
      room = 2000;
    write_bytes(&f, room);
    written += room;
    pair_wait(f.p, 25 * MS);
    got += read_all(&f);
    pair_wait(f.p, 25 * MS);
  }
  ck_assert_uint_eq(written, 100000);
  ck_assert_uint_eq(read_all(&watcher), watcher.grant);
  pair_wait(f.p, 50 * MS);
  uint64_t len;
  ck_assert_int_eq(sandd_inbox_peek(watcher.in, NULL, &len), SANDD_INBOX_SKIP);
  ck_assert_uint_gt(len, 50000);
  got += read_all(&f);
  ck_assert_uint_eq(got, written);
  drop_reader(&watcher);
  end(&f);
}
END_TEST

START_TEST(slower_of_two_holders_counts) {
  sandd_ring_config config = {.size = sizeof config, .max_bytes = 20000};
  flow f = begin_with(pair_new(.window_bytes = 65536), &config);
  flow slow = {.p = f.p, .ring = f.ring};
  attach(&slow, 0, SANDD_READER_HOLDS);
  write_bytes(&f, 20000);
  pair_wait(f.p, 50 * MS);
  read_all(&f);
  pair_wait(f.p, 50 * MS);
  ck_assert_uint_eq(sandd_ring_room(f.ring), 0);
  pair_forget(f.p);
  read_all(&slow);
  pair_wait(f.p, 50 * MS);
  ck_assert_ptr_nonnull(pair_event(f.p, DAEMON, SANDD_EVENT_RING_WRITABLE));
  ck_assert_uint_eq(sandd_ring_room(f.ring), 20000);
  drop_reader(&slow);
  end(&f);
}
END_TEST

START_TEST(kept_bytes_can_be_attached_to) {
  sandd_ring_config config = {.size = sizeof config, .keep_bytes = 10000};
  flow f = begin_with(pair_new(.window_bytes = 65536), &config);
  for (int i = 0; i < 30; i++) {
    write_bytes(&f, 1000);
    pair_wait(f.p, 25 * MS);
    read_all(&f);
    pair_wait(f.p, 25 * MS);
  }
  ck_assert_uint_eq(sandd_ring_consumed(f.ring), 30000);
  ck_assert_uint_eq(sandd_ring_base(f.ring), 20000);
  drop_reader(&f);
  ck_assert_int_eq(sandd_ring_held(f.ring), false);
  attach(&f, 22000, SANDD_READER_HOLDS);
  ck_assert_uint_eq(sandd_inbox_consumed(f.in), 22000);
  ck_assert_uint_eq(read_all(&f), 8000);
  drop_reader(&f);
  sandd_stream *s = NULL;
  f.p->n_events[DAEMON] = 0;
  s = pair_exec(f.p, &f.there);
  f.here = s;
  ck_assert_int_eq(
      sandd_stream_write(f.there, CHANNEL(STDOUT), f.ring, sandd_ring_base(f.ring) - 1, 0, SANDD_READER_HOLDS),
      SANDD_E_INVALID);
  ck_assert_int_eq(sandd_stream_write(f.there, CHANNEL(STDOUT), f.ring, 30001, 0, SANDD_READER_HOLDS), SANDD_E_INVALID);
  end(&f);
}
END_TEST

START_TEST(reader_that_closes_its_end_lets_the_writer_go_on) {
  flow f = begin(.window_bytes = 4096);
  sandd_inbox_discard(f.in, f.p->now);
  for (int i = 0; i < 20; i++) {
    write_bytes(&f, 4000);
    pair_wait(f.p, 50 * MS);
  }
  ck_assert_uint_eq(sandd_ring_consumed(f.ring), 80000);
  ck_assert_uint_eq(sandd_inbox_skipped(f.in), 0);
  end(&f);
}
END_TEST

START_TEST(control_overtakes_a_long_download) {
  flow f = begin(.window_bytes = 4 << 20);
  write_bytes(&f, 3 << 20);
  static uint8_t buf[1 << 20];
  size_t len = pair_pull(f.p, DAEMON, buf, sizeof buf);
  ck_assert_uint_gt(len, 0);
  ck_assert_uint_le(len, 80000); /* a chunk or so: others come between */
  Frame exited = craft(0, 0, BODY(EXEC_EXITED));
  ck_assert_int_eq(sandd_stream_send(f.there, &exited, f.p->now), 0);
  len = pair_pull(f.p, DAEMON, buf, sizeof buf);
  Sandd__V1__Packet *packet = sandd__v1__packet__unpack(NULL, len, buf);
  ck_assert_int_eq(packet->frames[0]->body_case, BODY(EXEC_EXITED));
  sandd__v1__packet__free_unpacked(packet, NULL);
  end(&f);
}
END_TEST

Suite *suite(void) {
  Suite *s = suite_create("flow");
  TCase *t = tcase_create("flow");
  tcase_add_test(t, writer_stops_at_the_limit_and_goes_on_with_the_window);
  tcase_add_test(t, what_was_consumed_is_told_after_25_ms);
  tcase_add_test(t, half_a_window_is_told_at_once);
  tcase_add_test(t, bytes_go_on_where_they_were_after_any_number_of_cuts);
  tcase_add_test(t, end_takes_effect_after_the_last_byte);
  tcase_add_test(t, drained_is_told_once_when_the_reader_has_all);
  tcase_add_test(t, skip_passes_the_limit_and_takes_no_credit);
  tcase_add_test(t, skip_is_made_again_after_a_cut);
  tcase_add_test(t, dropped_backlog_is_what_no_reader_was_sent);
  tcase_add_test(t, watcher_gets_skip_and_never_holds_the_writer);
  tcase_add_test(t, slower_of_two_holders_counts);
  tcase_add_test(t, kept_bytes_can_be_attached_to);
  tcase_add_test(t, reader_that_closes_its_end_lets_the_writer_go_on);
  tcase_add_test(t, control_overtakes_a_long_download);
  suite_add_tcase(s, t);
  return s;
}
