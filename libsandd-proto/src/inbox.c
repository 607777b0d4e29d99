// SPDX-License-Identifier: MIT
#include "inbox.h"

#include "budget.h"
#include "notice.h"
#include "session.h"

#define WINDOW_STEP (256u * 1024)
#define GROWTH      32 /* a window grows to so many times its first size */

int sandd_inbox_new(sandd_inbox **out, sandd_endpoint *endpoint, sandd_session *session, bool persistent) {
  sandd_inbox *inbox = sandd_alloc(endpoint, sizeof *inbox);
  if (!inbox)
    return SANDD_E_NOMEM;
  inbox->budget = session ? session->recv : endpoint->recv;
  if (!inbox->budget || !sandd_budget_join(inbox->budget)) {
    sandd_free(endpoint, inbox);
    return SANDD_E_LIMIT;
  }
  inbox->endpoint = endpoint;
  inbox->persistent = persistent;
  inbox->want = endpoint->window_bytes;
  list_init(&inbox->segments);
  *out = inbox;
  return 0;
}

static void drop_segments(sandd_inbox *inbox) {
  LIST_EACH(&inbox->segments, node) {
    sandd_segment *segment = SANDD_OF(node, sandd_segment, node);
    list_remove(node);
    sandd_free(inbox->endpoint, segment->data);
    sandd_free(inbox->endpoint, segment);
  }
  inbox->bytes = 0;
}

/* What this inbox may come to hold: its credit while bytes may come, afterwards what it has. */
static void recharge(sandd_inbox *inbox) {
  uint64_t now;
  if (!inbox->open || sandd_inbox_complete(inbox))
    now = RULE(inbox->endpoint, HOLD_UNREAD) ? inbox->bytes : 0;
  else
    now = inbox->limit > inbox->consumed ? inbox->limit - inbox->consumed : 0;
  sandd_budget_charge(inbox->budget, inbox->committed, now);
  inbox->committed = now;
}

void sandd_inbox_free(sandd_inbox *inbox) {
  if (!inbox)
    return;
  sandd_inbox_detach(inbox, true);
  inbox->open = false;
  drop_segments(inbox);
  recharge(inbox);
  sandd_budget_leave(inbox->budget);
  sandd_notice_drop(&inbox->notice);
  sandd_free(inbox->endpoint, inbox);
}

void sandd_inbox_set_user(sandd_inbox *inbox, void *user) {
  inbox->user = user;
}
void *sandd_inbox_user(const sandd_inbox *inbox) {
  return inbox->user;
}
uint64_t sandd_inbox_next(const sandd_inbox *inbox) {
  return inbox->next;
}
uint64_t sandd_inbox_consumed(const sandd_inbox *inbox) {
  return inbox->consumed;
}
uint64_t sandd_inbox_skipped(const sandd_inbox *inbox) {
  return inbox->skipped;
}
uint64_t sandd_inbox_bytes(const sandd_inbox *inbox) {
  return inbox->bytes;
}

bool sandd_inbox_final(const sandd_inbox *inbox, uint64_t *final, bool *drain_limit) {
  if (final)
    *final = inbox->final;
  if (drain_limit)
    *drain_limit = inbox->drain_limit;
  return inbox->has_final;
}

bool sandd_inbox_complete(const sandd_inbox *inbox) {
  return inbox->has_final && inbox->next >= inbox->final;
}

void sandd_inbox_attach(sandd_inbox *inbox, sandd_stream *stream, int channel, bool known, uint64_t now_us) {
  if (inbox->stream)
    sandd_inbox_detach(inbox, false);
  if (!sandd_inbox_complete(inbox))
    inbox->has_final = false; /* an end whose bytes never came is the new writer's to say */
  inbox->stream = stream;
  inbox->channel = channel;
  inbox->known = known;
  inbox->open = true;
  inbox->told_at = now_us;
  stream->in[channel] = inbox;
  stream->reads |= (uint8_t)(1u << channel);
  sandd_inbox_grant(inbox);
  if (stream->mine) { /* the opening frame tells the credit */
    inbox->told_limit = inbox->limit;
    inbox->told_consumed = inbox->consumed;
  } else {
    sandd_inbox_due(inbox);
  }
}

void sandd_inbox_detach(sandd_inbox *inbox, bool clear) {
  if (inbox->stream)
    inbox->stream->in[inbox->channel] = NULL;
  inbox->stream = NULL;
  inbox->need = false;
  inbox->since = 0;
  list_remove(&inbox->due_node);
  list_remove(&inbox->untold_node);
  if (inbox->persistent)
    return;
  inbox->open = false;
  if (clear)
    drop_segments(inbox);
  recharge(inbox);
}

void sandd_inbox_start(sandd_inbox *inbox, uint64_t offset) {
  if (inbox->known)
    return;
  inbox->known = true;
  inbox->next = inbox->consumed = inbox->told_consumed = offset;
  inbox->limit += offset;
  inbox->told_limit = inbox->limit;
  if (inbox->need)
    sandd_inbox_due(inbox);
}

void sandd_inbox_grant(sandd_inbox *inbox) {
  sandd_budget *budget = inbox->budget;
  uint64_t committed = inbox->committed, share;
  sandd_budget_charge(budget, committed, 0); /* what the others leave */
  if (RULE(inbox->endpoint, RECV_RESERVE))
    share = sandd_budget_shared(budget);
  else
    share = budget->total > budget->used ? budget->total - budget->used : 0;
  sandd_budget_charge(budget, 0, committed);
  uint64_t limit = inbox->consumed + CHANNEL_MIN + (inbox->want < share ? inbox->want : share);
  if (limit > OFFSET_MAX)
    limit = OFFSET_MAX;
  if (limit > inbox->limit)
    inbox->limit = limit;
  recharge(inbox);
}

void sandd_inbox_due(sandd_inbox *inbox) {
  sandd_stream *stream = inbox->stream;
  inbox->need = true;
  if (!stream || !stream->session || !sandd_stream_may_send(stream))
    return;
  if (!inbox->known && RULE(inbox->endpoint, START_KNOWN))
    return;
  if (!list_linked(&inbox->due_node))
    list_append(&stream->session->due, &inbox->due_node);
  sandd_link_mark(stream->session->link);
}

void sandd_inbox_told(sandd_inbox *inbox, uint64_t now_us) {
  sandd_session *session = inbox->stream->session;
  uint64_t trip = session->link && session->link->least_trip ? session->link->least_trip : MS;
  /* Half a window was used within two round trips: the window is what holds the writer, so it grows. By the shortest trip
   * that was seen: one that waited behind a queue would have the window, and so the queue, grow without end. */
  if (inbox->consumed - inbox->told_consumed >= inbox->want / 2 && now_us - inbox->told_at < 2 * trip + MS / 4 &&
      inbox->want < inbox->endpoint->window_bytes * GROWTH)
    inbox->want *= 2;
  inbox->told_consumed = inbox->consumed;
  inbox->told_limit = inbox->limit;
  inbox->told_at = now_us;
  inbox->need = false;
  list_remove(&inbox->due_node);
  list_remove(&inbox->untold_node);
}

static void readable(sandd_inbox *inbox) {
  sandd_notice_add(inbox->endpoint, &inbox->notice, NOTICE_INBOX, BIT_READABLE);
}

/* consumed moved: the writer is told at half the window or 256 KiB, and otherwise after 25 ms. */
static void advance(sandd_inbox *inbox, uint64_t consumed, uint64_t now_us) {
  inbox->consumed = consumed;
  recharge(inbox);
  sandd_stream *stream = inbox->stream;
  if (!stream || !stream->session || inbox->need || stream->end_out)
    return;
  uint64_t window = inbox->told_limit > inbox->told_consumed ? inbox->told_limit - inbox->told_consumed : 0;
  uint64_t step = window > CHANNEL_MIN ? window / 2 : CHANNEL_MIN / 2;
  if (step > WINDOW_STEP)
    step = WINDOW_STEP;
  if (inbox->consumed - inbox->told_consumed >= step) {
    sandd_inbox_due(inbox);
  } else if (inbox->consumed > inbox->told_consumed && !list_linked(&inbox->untold_node)) {
    inbox->since = now_us;
    list_append(&stream->session->untold, &inbox->untold_node);
    sandd_link_timer(stream->session->link);
  }
}

static sandd_segment *tail_segment(sandd_inbox *inbox) {
  sandd_node *node = list_last(&inbox->segments);
  return node ? SANDD_OF(node, sandd_segment, node) : NULL;
}

static sandd_segment *new_segment(sandd_inbox *inbox, size_t cap) {
  sandd_segment *segment = sandd_alloc(inbox->endpoint, sizeof *segment);
  if (!segment)
    return NULL;
  if (cap && !(segment->data = inbox->endpoint->allocator.alloc(inbox->endpoint->allocator.ctx, cap))) {
    sandd_free(inbox->endpoint, segment);
    return NULL;
  }
  segment->cap = cap;
  segment->offset = inbox->next;
  list_append(&inbox->segments, &segment->node);
  return segment;
}

const char *sandd_inbox_data(sandd_inbox *inbox, uint64_t offset, const uint8_t *data, size_t len, uint64_t now_us,
                             bool *no_memory) {
  if (!len)
    return "empty Data";
  if (offset > OFFSET_MAX || len > OFFSET_MAX - offset)
    return "Data above offset 2^62";
  if (offset > inbox->next)
    return "a gap before Data";
  if (offset + len > inbox->limit)
    return "Data beyond the granted limit";
  if (inbox->has_final && offset + len > inbox->final)
    return "Data after ChannelEnd";
  if (offset + len <= inbox->next && RULE(inbox->endpoint, OVERLAP_TRIM))
    return NULL;
  if (RULE(inbox->endpoint, OVERLAP_TRIM)) {
    data += inbox->next - offset;
    len -= (size_t)(inbox->next - offset);
  }
  if (inbox->discard) {
    inbox->next += len;
    advance(inbox, inbox->next, now_us);
    readable(inbox);
    return NULL;
  }
  sandd_segment *tail = tail_segment(inbox);
  size_t fits = tail && tail->data ? (size_t)(tail->cap - tail->len) : 0;
  if (fits < len) { /* capacity grows with what waits, so that many small Data cost no more than their bytes twice */
    size_t rest = len - fits, cap = inbox->bytes < 512 ? 512 : inbox->bytes < 16384 ? (size_t)inbox->bytes : 16384;
    if (cap < rest)
      cap = rest;
    sandd_segment *fresh = new_segment(inbox, inbox->bytes ? cap : rest);
    if (!fresh) {
      *no_memory = true;
      return NULL;
    }
    fresh->offset = inbox->next + fits;
    memcpy(fresh->data, data + fits, rest);
    fresh->len = rest;
  }
  if (fits) {
    size_t n = fits < len ? fits : len;
    memcpy(tail->data + tail->len, data, n);
    tail->len += n;
  }
  inbox->next += len;
  inbox->bytes += len;
  recharge(inbox);
  readable(inbox);
  return NULL;
}

const char *sandd_inbox_skip(sandd_inbox *inbox, uint64_t from, uint64_t to, uint64_t now_us, bool *no_memory) {
  if (to > OFFSET_MAX)
    return "Skip above offset 2^62";
  if (from >= to)
    return "empty Skip";
  if (from > inbox->next)
    return "a gap before Skip";
  if (inbox->has_final && to > inbox->final)
    return "Skip after ChannelEnd";
  if (to <= inbox->next)
    return NULL;
  if (inbox->discard) {
    inbox->next = to;
    advance(inbox, to, now_us);
    readable(inbox);
    return NULL;
  }
  sandd_segment *tail = tail_segment(inbox);
  if (!tail || tail->data) {
    if (!(tail = new_segment(inbox, 0))) {
      *no_memory = true;
      return NULL;
    }
  }
  tail->len += to - inbox->next;
  inbox->next = to;
  recharge(inbox);
  readable(inbox);
  return NULL;
}

const char *sandd_inbox_channel_end(sandd_inbox *inbox, uint64_t final, bool drain_limit) {
  if (inbox->has_final)
    return "a second ChannelEnd";
  if (final > OFFSET_MAX)
    return "ChannelEnd above offset 2^62";
  if (inbox->known && final < inbox->next)
    return "ChannelEnd below what was received";
  inbox->has_final = true;
  inbox->final = final;
  inbox->drain_limit = drain_limit;
  recharge(inbox);
  readable(inbox);
  return NULL;
}

sandd_inbox_state sandd_inbox_peek(const sandd_inbox *inbox, const uint8_t **data, uint64_t *len) {
  sandd_node *node = list_first(&inbox->segments);
  if (!node)
    return inbox->has_final && inbox->consumed >= inbox->final ? SANDD_INBOX_END : SANDD_INBOX_EMPTY;
  sandd_segment *segment = SANDD_OF(node, sandd_segment, node);
  uint64_t gone = inbox->consumed > segment->offset ? inbox->consumed - segment->offset : 0;
  if (data)
    *data = segment->data ? segment->data + gone : NULL;
  if (len)
    *len = segment->len - gone;
  return segment->data ? SANDD_INBOX_DATA : SANDD_INBOX_SKIP;
}

void sandd_inbox_consume(sandd_inbox *inbox, uint64_t len, uint64_t now_us) {
  sandd_node *node = list_first(&inbox->segments);
  if (!node)
    return;
  sandd_segment *segment = SANDD_OF(node, sandd_segment, node);
  uint64_t left = segment->offset + segment->len - inbox->consumed;
  if (!segment->data) {
    len = left;
    inbox->skipped += len;
  } else {
    if (len > left)
      len = left;
    inbox->bytes -= len;
  }
  uint64_t consumed = inbox->consumed + len;
  if (len == left) {
    list_remove(node);
    sandd_free(inbox->endpoint, segment->data);
    sandd_free(inbox->endpoint, segment);
  }
  advance(inbox, consumed, now_us);
}

size_t sandd_inbox_take(sandd_inbox *inbox, uint8_t *out, size_t cap, uint64_t now_us) {
  size_t done = 0;
  const uint8_t *data;
  uint64_t len;
  while (done < cap && sandd_inbox_peek(inbox, &data, &len) == SANDD_INBOX_DATA) {
    size_t n = len < cap - done ? (size_t)len : cap - done;
    memcpy(out + done, data, n);
    sandd_inbox_consume(inbox, n, now_us);
    done += n;
  }
  return done;
}

void sandd_inbox_discard(sandd_inbox *inbox, uint64_t now_us) {
  inbox->discard = true;
  drop_segments(inbox);
  advance(inbox, inbox->next, now_us);
}
