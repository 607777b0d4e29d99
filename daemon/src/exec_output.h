// SPDX-License-Identifier: MIT
#ifndef SANDD_DAEMON_EXEC_OUTPUT_H
#define SANDD_DAEMON_EXEC_OUTPUT_H

#include <sandd/proto/ring.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/platform/pipe.h"

/* One output of a process, from its pipe to its ring. The pipe is read only while the ring has room, so that a reader that
 * stops reading stops the process.
 *
 *   READING --- end of file, or the drain clock ran out ---> TAIL --- what was held back is in the ring ---> ENDED
 *
 * Time: CLOCK_BOOTTIME in microseconds. Loop thread. */
typedef struct sandd_exec_output sandd_exec_output;

typedef struct sandd_exec_output_config {
  size_t size;
  sandd_endpoint *endpoint;
  int channel;         /* ChannelId */
  uint64_t keep_bytes; /* for attach, below what was consumed */
  bool drop_unread;    /* without a reader: drop the oldest (true) or block the process (false) */
  bool capped;         /* send head_bytes, hold back the last tail_bytes until the end, drop what is between */
  uint64_t head_bytes;
  size_t tail_bytes;
  uint64_t *tail_budget; /* shared by all tails */
  uint8_t *buffer;       /* shared by all outputs of the loop */
  size_t buffer_size;
  void (*moved)(void *owner); /* bytes came, or the phase changed; never from inside a call of the owner but read */
  void *owner;
} sandd_exec_output_config;

/* Makes an output with its ring, whose user pointer it becomes. errors: SANDD_E_LIMIT, SANDD_E_NOMEM. */
int sandd_exec_output_new(sandd_exec_output **out, const sandd_exec_output_config *config);
/* Frees it with its ring, which no stream may have; a pipe that is still open is read to nowhere. NULL is fine. */
void sandd_exec_output_free(sandd_exec_output *output);

/* Takes the pipe. Once. */
void sandd_exec_output_open(sandd_exec_output *output, sandd_pipe *pipe);
/* Reads the pipe from now on; before, only sandd_exec_output_exited does. */
void sandd_exec_output_watch(sandd_exec_output *output);
/* The process was reaped: reads what is there at once, then the drain clock runs while the pipe is empty and the link up. */
void sandd_exec_output_exited(sandd_exec_output *output, uint64_t now_us);
/* The link went up or down. */
void sandd_exec_output_link(sandd_exec_output *output, bool up, uint64_t now_us);
/* The ring has room again. */
void sandd_exec_output_writable(sandd_exec_output *output, uint64_t now_us);
/* When sandd_exec_output_due must be called; UINT64_MAX for never. */
uint64_t sandd_exec_output_deadline(const sandd_exec_output *output);
void sandd_exec_output_due(sandd_exec_output *output, uint64_t now_us);
/* Nobody reads it any more: it ends where the ring ends, with a Skip for what was held back. */
void sandd_exec_output_expire(sandd_exec_output *output);

bool sandd_exec_output_ended(const sandd_exec_output *output);
/* It ended, but not at the end of file. */
bool sandd_exec_output_drain_limit(const sandd_exec_output *output);
/* The ring has no room, so the pipe is not read. */
bool sandd_exec_output_blocked(const sandd_exec_output *output);
/* When bytes last moved from the pipe or out of the ring; 0 if they never did. */
uint64_t sandd_exec_output_moved_us(const sandd_exec_output *output);
int sandd_exec_output_channel(const sandd_exec_output *output);
/* What is kept: base to end. */
void sandd_exec_output_kept(const sandd_exec_output *output, uint64_t *base, uint64_t *end);
/* The ring, made anew if it had been shed. errors: SANDD_E_LIMIT, SANDD_E_NOMEM. */
int sandd_exec_output_ring(sandd_exec_output *output, sandd_ring **out);
/* Frees the ring of an ended output that keeps no bytes; for when no stream has it. */
void sandd_exec_output_shed(sandd_exec_output *output);
void *sandd_exec_output_owner(const sandd_exec_output *output);

#endif
