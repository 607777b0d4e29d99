// SPDX-License-Identifier: MIT
#include "ring.h"

#include "budget.h"
#include "notice.h"
#include "session.h"

#define DEFAULT_MAX (8u << 20)

int sandd_ring_new(sandd_ring **out, sandd_endpoint *endpoint, sandd_session *session,
                   const sandd_ring_config *config) {
  static const sandd_ring_config plain = {.size = sizeof plain};
  if (!config)
    config = &plain;
  if (config->base > OFFSET_MAX)
    return SANDD_E_INVALID;
  sandd_ring *ring = sandd_alloc(endpoint, sizeof *ring);
  if (!ring)
    return SANDD_E_NOMEM;
  ring->budget = session ? session->rings : endpoint->rings;
  if (!ring->budget || !sandd_budget_join(ring->budget)) {
    sandd_free(endpoint, ring);
    return SANDD_E_LIMIT;
  }
  ring->endpoint = endpoint;
  ring->base = ring->floor = ring->end = config->base;
  ring->max_bytes = config->max_bytes ? config->max_bytes : DEFAULT_MAX;
  ring->keep_bytes = config->keep_bytes;
  ring->drop_unread = config->drop_unread;
  list_init(&ring->segments);
  list_init(&ring->cursors);
  *out = ring;
  return 0;
}

static void segment_free(sandd_ring *ring, sandd_segment *segment) {
  list_remove(&segment->node);
  sandd_free(ring->endpoint, segment->data);
  sandd_free(ring->endpoint, segment);
}

/* Moves the charge of bytes above the floor; rings that wait may have room now. */
static void set_held(sandd_ring *ring, uint64_t held) {
  bool less = held < ring->held;
  sandd_budget_charge(ring->budget, ring->held, held);
  ring->held = held;
  if (!less)
    return;
  sandd_node *last = list_last(&ring->budget->waiting), *node = NULL;
  while (last && node != last) { /* one that still finds no room queues itself again, behind last */
    node = list_first(&ring->budget->waiting);
    sandd_ring *waiting = SANDD_OF(node, sandd_ring, wait_node);
    list_remove(node);
    if (sandd_ring_room(waiting))
      sandd_notice_add(waiting->endpoint, &waiting->notice, NOTICE_RING, BIT_WRITABLE);
  }
}

void sandd_ring_free(sandd_ring *ring) {
  if (!ring)
    return;
  LIST_EACH(&ring->cursors, node) sandd_cursor_free(SANDD_OF(node, sandd_cursor, node));
  LIST_EACH(&ring->segments, node) segment_free(ring, SANDD_OF(node, sandd_segment, node));
  list_remove(&ring->wait_node);
  ring->endpoint->keep_used -= ring->kept;
  set_held(ring, 0);
  sandd_budget_leave(ring->budget);
  sandd_notice_drop(&ring->notice);
  sandd_free(ring->endpoint, ring);
}

void sandd_ring_set_user(sandd_ring *ring, void *user) {
  ring->user = user;
}
void *sandd_ring_user(const sandd_ring *ring) {
  return ring->user;
}
uint64_t sandd_ring_base(const sandd_ring *ring) {
  return ring->base;
}
uint64_t sandd_ring_consumed(const sandd_ring *ring) {
  return ring->floor;
}
uint64_t sandd_ring_end(const sandd_ring *ring) {
  return ring->end;
}
bool sandd_ring_finished(const sandd_ring *ring) {
  return ring->finished;
}

bool sandd_ring_held(const sandd_ring *ring) {
  LIST_EACH(&ring->cursors, node) if (!SANDD_OF(node, sandd_cursor, node)->watches) return true;
  return false;
}

size_t sandd_ring_room(sandd_ring *ring) {
  if (ring->finished)
    return 0;
  uint64_t room;
  bool drops = ring->drop_unread && !sandd_ring_held(ring);
  if (drops)
    room = CHUNK; /* what is written is let go at once */
  else if (!RULE(ring->endpoint, RING_MIN))
    room = ring->budget->total > ring->budget->used ? ring->budget->total - ring->budget->used : 0;
  else
    room = (ring->held < CHANNEL_MIN ? CHANNEL_MIN - ring->held : 0) + sandd_budget_shared(ring->budget);
  if (!drops) {
    uint64_t own = ring->held < ring->max_bytes ? ring->max_bytes - ring->held : 0;
    if (room > own)
      room = own;
  }
  if (room > OFFSET_MAX - ring->end)
    room = OFFSET_MAX - ring->end;
  if (room == 0 && !list_linked(&ring->wait_node))
    list_append(&ring->budget->waiting, &ring->wait_node);
  return (size_t)room;
}

/* Lets go of what lies below base. */
static void drop_below(sandd_ring *ring, uint64_t base) {
  sandd_node *node;
  while ((node = list_first(&ring->segments))) {
    sandd_segment *segment = SANDD_OF(node, sandd_segment, node);
    if (segment->offset + segment->len > base)
      break;
    if (segment->data)
      ring->kept -= segment->len, ring->endpoint->keep_used -= segment->len;
    segment_free(ring, segment);
  }
  ring->base = base;
}

/* Bytes in memory of [from, to); both lie within the ring. */
static uint64_t bytes_between(const sandd_ring *ring, uint64_t from, uint64_t to) {
  uint64_t sum = 0;
  LIST_EACH(&ring->segments, node) {
    const sandd_segment *s = SANDD_OF(node, sandd_segment, node);
    uint64_t a = s->offset > from ? s->offset : from, b = s->offset + s->len < to ? s->offset + s->len : to;
    if (s->data && a < b)
      sum += b - a;
    if (s->offset >= to)
      break;
  }
  return sum;
}

void sandd_ring_trim(sandd_ring *ring) {
  uint64_t floor = ring->drop_unread ? ring->end : ring->floor, lowest = NEVER;
  bool held = false;
  LIST_EACH(&ring->cursors, node) {
    const sandd_cursor *cursor = SANDD_OF(node, sandd_cursor, node);
    if (cursor->watches)
      continue;
    held = true;
    if (RULE(ring->endpoint, SLOWEST_HOLDS) || lowest == NEVER ? cursor->consumed < lowest : cursor->consumed > lowest)
      lowest = cursor->consumed;
  }
  if (held)
    floor = lowest;
  if (floor > ring->floor) {
    uint64_t moved = bytes_between(ring, ring->floor, floor);
    ring->floor = floor;
    ring->kept += moved;
    ring->endpoint->keep_used += moved;
    set_held(ring, ring->held - moved);
  }
  uint64_t base = ring->floor - ring->base > ring->keep_bytes ? ring->floor - ring->keep_bytes : ring->base;
  if (held && lowest < base)
    base = lowest;
  /* The segment that base cuts stays whole in memory; what of it lies below counts as kept. */
  if (base > ring->base)
    drop_below(ring, base);
  uint64_t over = ring->endpoint->keep_used > ring->endpoint->keep_budget
                      ? ring->endpoint->keep_used - ring->endpoint->keep_budget
                      : 0;
  if (over && ring->keep_bytes) { /* the ring that grew pays, as far as it can */
    base = over < ring->floor - ring->base ? ring->base + over : ring->floor;
    if (held && lowest < base)
      base = lowest;
    if (base > ring->base)
      drop_below(ring, base);
  }
  if (ring->finished && held && lowest == ring->end && !ring->drained_told) {
    ring->drained_told = true;
    sandd_notice_add(ring->endpoint, &ring->notice, NOTICE_RING, BIT_DRAINED);
  }
}

static sandd_segment *segment_new(sandd_ring *ring, uint64_t cap) {
  sandd_segment *segment = sandd_alloc(ring->endpoint, sizeof *segment);
  if (!segment)
    return NULL;
  if (cap && !(segment->data = ring->endpoint->allocator.alloc(ring->endpoint->allocator.ctx, cap))) {
    sandd_free(ring->endpoint, segment);
    return NULL;
  }
  segment->cap = cap;
  return segment;
}

static sandd_segment *last_segment(const sandd_ring *ring) {
  sandd_node *node = list_last(&ring->segments);
  return node ? SANDD_OF(node, sandd_segment, node) : NULL;
}

static void tell_cursors(sandd_ring *ring) {
  LIST_EACH(&ring->cursors, node) sandd_stream_ready(SANDD_OF(node, sandd_cursor, node)->stream);
}

int64_t sandd_ring_write(sandd_ring *ring, const uint8_t *data, size_t len) {
  if (ring->finished)
    return SANDD_E_STATE;
  size_t room = sandd_ring_room(ring), done = 0;
  if (len > room)
    len = room;
  while (done < len) {
    sandd_segment *tail = last_segment(ring);
    if (!tail || !tail->data || tail->len == tail->cap) {
      uint64_t cap = 1024; /* little for a short output, whole chunks for a long one */
      while (cap < CHUNK && (cap < len - done || cap < ring->held))
        cap *= 2;
      if (!(tail = segment_new(ring, cap)))
        break;
      tail->offset = ring->end;
      list_append(&ring->segments, &tail->node);
    }
    size_t n = (size_t)(tail->cap - tail->len);
    if (n > len - done)
      n = len - done;
    memcpy(tail->data + tail->len, data + done, n);
    tail->len += n;
    ring->end += n;
    done += n;
  }
  if (!done)
    return len ? SANDD_E_NOMEM : 0;
  set_held(ring, ring->held + done);
  if (ring->drop_unread && !sandd_ring_held(ring))
    sandd_ring_trim(ring);
  tell_cursors(ring);
  return (int64_t)done;
}

int sandd_ring_skip(sandd_ring *ring, uint64_t len) {
  if (ring->finished)
    return SANDD_E_STATE;
  if (!len)
    return 0;
  if (len > OFFSET_MAX - ring->end)
    return SANDD_E_INVALID;
  sandd_segment *tail = last_segment(ring);
  if (!tail || tail->data) {
    if (!(tail = segment_new(ring, 0)))
      return SANDD_E_NOMEM;
    tail->offset = ring->end;
    list_append(&ring->segments, &tail->node);
  }
  tail->len += len;
  ring->end += len;
  if (ring->drop_unread && !sandd_ring_held(ring))
    sandd_ring_trim(ring);
  tell_cursors(ring);
  return 0;
}

void sandd_ring_finish(sandd_ring *ring) {
  ring->finished = true;
  list_remove(&ring->wait_node);
  sandd_ring_trim(ring);
}

/* Makes [a, b) of one segment a hole. The parts before and after keep their bytes. */
static int punch(sandd_ring *ring, sandd_segment *segment, uint64_t a, uint64_t b) {
  uint64_t start = segment->offset, end = start + segment->len;
  sandd_segment *hole = NULL, *after = NULL;
  if (a > start || b < end) {
    if (!(hole = segment_new(ring, 0)))
      return SANDD_E_NOMEM;
    hole->offset = a;
    hole->len = b - a;
  }
  if (b < end) {
    if (!(after = segment_new(ring, end - b))) {
      sandd_free(ring->endpoint, hole);
      return SANDD_E_NOMEM;
    }
    after->offset = b;
    after->len = end - b;
    memcpy(after->data, segment->data + (b - start), (size_t)after->len);
  }
  if (after)
    list_insert(segment->node.next, &after->node);
  if (hole)
    list_insert(segment->node.next, &hole->node);
  if (a > start) {
    segment->len = segment->cap = a - start;
  } else if (hole) {
    segment_free(ring, segment);
  } else {
    sandd_free(ring->endpoint, segment->data);
    segment->data = NULL;
    segment->cap = 0;
  }
  return 0;
}

static void merge_holes(sandd_ring *ring) {
  sandd_segment *before = NULL;
  LIST_EACH(&ring->segments, node) {
    sandd_segment *segment = SANDD_OF(node, sandd_segment, node);
    if (before && !before->data && !segment->data) {
      before->len += segment->len;
      segment_free(ring, segment);
    } else {
      before = segment;
    }
  }
}

int sandd_ring_drop_backlog(sandd_ring *ring, uint64_t keep) {
  uint64_t from = ring->floor, to = ring->end > keep ? ring->end - keep : 0, dropped = 0;
  LIST_EACH(&ring->cursors, node) {
    const sandd_cursor *cursor = SANDD_OF(node, sandd_cursor, node);
    if (cursor->most_sent > from)
      from = cursor->most_sent;
  }
  int error = 0;
  LIST_EACH(&ring->segments, node) {
    sandd_segment *s = SANDD_OF(node, sandd_segment, node);
    uint64_t a = s->offset > from ? s->offset : from, b = s->offset + s->len < to ? s->offset + s->len : to;
    if (!s->data || a >= b)
      continue;
    if ((error = punch(ring, s, a, b)))
      break;
    dropped += b - a;
  }
  merge_holes(ring);
  set_held(ring, ring->held - dropped);
  if (dropped)
    tell_cursors(ring);
  return error;
}

const sandd_segment *sandd_ring_find(const sandd_ring *ring, uint64_t offset) {
  /* Cursors are near the end or near the base: walk from the nearer side. */
  if (offset - ring->base > ring->end - offset) {
    for (sandd_node *n = ring->segments.prev; n != &ring->segments; n = n->prev) {
      const sandd_segment *s = SANDD_OF(n, sandd_segment, node);
      if (s->offset <= offset)
        return offset < s->offset + s->len ? s : NULL;
    }
    return NULL;
  }
  LIST_EACH(&ring->segments, node) {
    const sandd_segment *s = SANDD_OF(node, sandd_segment, node);
    if (offset < s->offset + s->len)
      return s;
  }
  return NULL;
}
