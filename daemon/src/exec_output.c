// SPDX-License-Identifier: MIT
#include "exec_output.h"

#include <stdlib.h>

#include "clock.h"
#include "exec_tail.h"

/* How long the pipe of an exited process may stay empty before we stop listening to what it left behind. */
#define DRAIN_US 2000000
/* Reads of one output before others get their turn. */
#define READS_PER_TURN 2

typedef enum phase { READING = 0, TAIL, ENDED } phase;

struct sandd_exec_output {
  sandd_exec_output_config config;
  sandd_ring *ring; /* NULL: shed; kept_end is then its base and end */
  uint64_t kept_end;
  sandd_pipe *pipe;
  sandd_exec_tail tail;
  uint64_t head_left;
  phase phase;
  bool exited, link_up, blocked, drain_limit;
  bool empty; /* the last read found nothing */
  uint64_t drain_used_us;
  uint64_t drain_since_us; /* 0: the clock stands */
  uint64_t moved_us;
};

static int make_ring(sandd_exec_output *output, uint64_t base) {
  sandd_ring_config config = {.size = sizeof(config),
                              .base = base,
                              .keep_bytes = output->config.keep_bytes,
                              .drop_unread = output->config.drop_unread};
  int error = sandd_ring_new(&output->ring, output->config.endpoint, NULL, &config);
  if (!error) {
    sandd_ring_set_user(output->ring, output);
  }
  return error;
}

int sandd_exec_output_new(sandd_exec_output **out, const sandd_exec_output_config *config) {
  *out = NULL;
  sandd_exec_output *output = calloc(1, sizeof(*output));
  if (!output) {
    return SANDD_E_NOMEM;
  }
  output->config = *config;
  output->head_left = config->capped ? config->head_bytes : UINT64_MAX;
  sandd_exec_tail_init(&output->tail, config->capped ? config->tail_bytes : 0, config->tail_budget);
  int error = make_ring(output, 0);
  if (error) {
    free(output);
    return error;
  }
  *out = output;
  return 0;
}

void sandd_exec_output_free(sandd_exec_output *output) {
  if (!output) {
    return;
  }
  sandd_pipe_drain(output->pipe);
  sandd_exec_tail_free(&output->tail);
  sandd_ring_free(output->ring);
  free(output);
}

static void run_drain_clock(sandd_exec_output *output, uint64_t now_us) {
  bool runs = output->phase == READING && output->exited && output->link_up && output->empty && !output->blocked;
  if (!runs && output->drain_since_us) {
    output->drain_used_us += now_us - output->drain_since_us;
    output->drain_since_us = 0;
  } else if (runs && !output->drain_since_us) {
    output->drain_since_us = now_us;
  }
}

static void set_ended(sandd_exec_output *output) {
  sandd_ring_finish(output->ring);
  sandd_exec_tail_free(&output->tail);
  output->phase = ENDED;
}

/* Puts what was held back into the ring, as far as there is room. */
static void send_tail(sandd_exec_output *output) {
  sandd_exec_tail *tail = &output->tail;
  if (tail->dropped > 0) {
    if (sandd_ring_skip(output->ring, tail->dropped) != 0) {
      output->blocked = true;
      return;
    }
    tail->dropped = 0;
  }
  while (tail->len > 0) {
    const uint8_t *data;
    size_t len = sandd_exec_tail_peek(tail, &data);
    int64_t put = sandd_ring_room(output->ring) > 0 ? sandd_ring_write(output->ring, data, len) : 0;
    if (put <= 0) {
      output->blocked = true;
      return;
    }
    sandd_exec_tail_consume(tail, (size_t)put);
  }
  set_ended(output);
}

static void end_reading(sandd_exec_output *output, bool drain_limit, uint64_t now_us) {
  if (drain_limit) {
    sandd_pipe_drain(output->pipe);
  } else {
    sandd_pipe_close(output->pipe);
  }
  output->pipe = NULL;
  output->phase = TAIL;
  output->blocked = false;
  output->drain_limit = drain_limit;
  run_drain_clock(output, now_us);
  send_tail(output);
}

static size_t wanted(sandd_exec_output *output) {
  size_t cap = output->config.buffer_size;
  if (output->head_left == 0) {
    return cap; // goes to the tail, which takes everything
  }
  size_t room = sandd_ring_room(output->ring);
  cap = room < cap ? room : cap;
  return output->head_left < cap ? (size_t)output->head_left : cap;
}

/* What was read was read for room that was there: a ring that takes less has no memory. Bytes are lost only with a mark;
 * false if not even that could be made. */
static bool store(sandd_exec_output *output, size_t len) {
  if (output->head_left == 0) {
    sandd_exec_tail_write(&output->tail, output->config.buffer, len);
    return true;
  }
  if (output->config.capped) {
    output->head_left -= len;
  }
  int64_t put = sandd_ring_write(output->ring, output->config.buffer, len);
  size_t stored = put > 0 ? (size_t)put : 0;
  return stored == len || sandd_ring_skip(output->ring, len - stored) == 0;
}

/* Reads once. Returns true if there may be more: before the exit only after a read that filled the buffer, as asking again
 * would mostly find nothing, and the loop asks anyway. */
static bool read_once(sandd_exec_output *output, uint64_t now_us) {
  size_t want = wanted(output);
  if (want == 0) {
    output->blocked = true;
    sandd_pipe_stop(output->pipe);
    return false;
  }
  size_t got = 0;
  int result = sandd_pipe_read(output->pipe, output->config.buffer, want, &got);
  if (result == 0) {
    output->empty = false;
    output->moved_us = now_us;
    if (store(output, got)) {
      return got == want || output->exited;
    }
    end_reading(output, true, now_us);
    return false;
  }
  output->empty = true;
  if (result != SANDD_PIPE_AGAIN) {
    end_reading(output, result != SANDD_PIPE_CLOSED, now_us); // a failed read must not look like the end of file
  }
  return false;
}

static void read_many(sandd_exec_output *output, int reads) {
  uint64_t now_us = sandd_clock_now_us();
  while (reads > 0 && output->phase == READING && read_once(output, now_us)) {
    reads--;
  }
  run_drain_clock(output, now_us);
}

static void on_ready(sandd_pipe *pipe, void *data) {
  (void)pipe;
  sandd_exec_output *output = data;
  read_many(output, READS_PER_TURN);
  output->config.moved(output->config.owner);
}

static void watch(sandd_exec_output *output) {
  if (sandd_pipe_start(output->pipe, on_ready, output) != 0) {
    end_reading(output, true, sandd_clock_now_us()); // its bytes can't be had: that must not look like its end
  }
}

void sandd_exec_output_open(sandd_exec_output *output, sandd_pipe *pipe) {
  output->pipe = pipe;
}

void sandd_exec_output_watch(sandd_exec_output *output) {
  if (output->phase == READING && output->pipe && !output->blocked) {
    watch(output);
  }
}

void sandd_exec_output_exited(sandd_exec_output *output, uint64_t now_us) {
  output->exited = true;
  if (output->phase == READING && output->pipe && !output->blocked) {
    read_many(output, READS_PER_TURN);
  }
  sandd_exec_output_watch(output);
  run_drain_clock(output, now_us);
}

void sandd_exec_output_link(sandd_exec_output *output, bool up, uint64_t now_us) {
  output->link_up = up;
  run_drain_clock(output, now_us);
}

void sandd_exec_output_writable(sandd_exec_output *output, uint64_t now_us) {
  output->moved_us = now_us;
  if (output->phase == TAIL) {
    output->blocked = false;
    send_tail(output);
  } else if (output->phase == READING && output->blocked && output->pipe) {
    output->blocked = false;
    watch(output);
  }
}

uint64_t sandd_exec_output_deadline(const sandd_exec_output *output) {
  if (!output->drain_since_us || output->drain_used_us >= DRAIN_US) {
    return output->drain_since_us ? output->drain_since_us : UINT64_MAX;
  }
  return output->drain_since_us + (DRAIN_US - output->drain_used_us);
}

void sandd_exec_output_due(sandd_exec_output *output, uint64_t now_us) {
  if (sandd_exec_output_deadline(output) > now_us) {
    return;
  }
  // the time may have been our own: what came meanwhile is still read
  read_many(output, READS_PER_TURN);
  if (output->phase == READING && sandd_exec_output_deadline(output) <= now_us) {
    end_reading(output, true, now_us);
  }
}

void sandd_exec_output_expire(sandd_exec_output *output) {
  if (output->phase == ENDED) {
    return;
  }
  uint64_t lost = output->tail.dropped + output->tail.len;
  sandd_pipe_drain(output->pipe);
  output->pipe = NULL;
  output->drain_limit = true;
  output->blocked = false;
  output->drain_since_us = 0;
  if (lost > 0) {
    sandd_ring_skip(output->ring, lost);
  }
  set_ended(output);
}

bool sandd_exec_output_ended(const sandd_exec_output *output) {
  return output->phase == ENDED;
}

bool sandd_exec_output_drain_limit(const sandd_exec_output *output) {
  return output->drain_limit;
}

bool sandd_exec_output_blocked(const sandd_exec_output *output) {
  return output->blocked;
}

uint64_t sandd_exec_output_moved_us(const sandd_exec_output *output) {
  return output->moved_us;
}

int sandd_exec_output_channel(const sandd_exec_output *output) {
  return output->config.channel;
}

void sandd_exec_output_kept(const sandd_exec_output *output, uint64_t *base, uint64_t *end) {
  *base = output->ring ? sandd_ring_base(output->ring) : output->kept_end;
  *end = output->ring ? sandd_ring_end(output->ring) : output->kept_end;
}

int sandd_exec_output_ring(sandd_exec_output *output, sandd_ring **out) {
  if (!output->ring) {
    int error = make_ring(output, output->kept_end);
    if (error) {
      return error;
    }
    sandd_ring_finish(output->ring);
  }
  *out = output->ring;
  return 0;
}

void sandd_exec_output_shed(sandd_exec_output *output) {
  if (output->ring && output->phase == ENDED && sandd_ring_base(output->ring) == sandd_ring_end(output->ring)) {
    output->kept_end = sandd_ring_end(output->ring);
    sandd_ring_free(output->ring);
    output->ring = NULL;
  }
}

void *sandd_exec_output_owner(const sandd_exec_output *output) {
  return output->config.owner;
}
