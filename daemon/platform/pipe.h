// SPDX-License-Identifier: MIT
// Our end of a process's stdin, stdout, stderr or terminal. Never blocks. All calls belong on the loop's thread.
#ifndef SANDD_PLATFORM_PIPE_H
#define SANDD_PLATFORM_PIPE_H

#include <stddef.h>

#include "daemon/platform/error.h"

typedef struct sandd_pipe sandd_pipe;

/* Positive results of reading and writing. */
enum {
  SANDD_PIPE_AGAIN = 1,  // nothing to read, or no room to write, just now: watch
  SANDD_PIPE_CLOSED = 2, // read: end of file; write: the process closed its end
};

/* Called on the loop when the pipe can be read (an output) or written (a stdin), or has been closed by the process: the
 * next read or write tells which. Called again until stopped, also when nothing was read. May close the pipe. */
typedef void (*sandd_pipe_ready_cb)(sandd_pipe *pipe, void *data);

/* Reads at most cap bytes; *got is set on every return. Returns 0 with *got > 0, SANDD_PIPE_AGAIN, SANDD_PIPE_CLOSED at the
 * end of file (also of a terminal that hung up), or SANDD_PLATFORM_SYSTEM. */
int sandd_pipe_read(sandd_pipe *pipe, void *buf, size_t cap, size_t *got);

/* Writes what fits; *put is set on every return. Returns 0 with *put > 0 (or len == 0), SANDD_PIPE_AGAIN, SANDD_PIPE_CLOSED
 * when nobody can read it any more (which is no failure: the process closed its stdin), or SANDD_PLATFORM_SYSTEM. */
int sandd_pipe_write(sandd_pipe *pipe, const void *buf, size_t len, size_t *put);

/* Watches until sandd_pipe_stop: cb is called from the loop while the pipe is ready. Starting again replaces cb and data.
 * Errors: SANDD_PLATFORM_RESOURCE; the pipe is then not watched. */
int sandd_pipe_start(sandd_pipe *pipe, sandd_pipe_ready_cb cb, void *data);

/* Pauses the callback. What the process writes stays in the pipe, and the process blocks when that is full. */
void sandd_pipe_stop(sandd_pipe *pipe);

/* Reads the pipe to nowhere from now on, so that the process neither blocks nor gets a broken pipe, and frees it at its end
 * of file. Takes the pipe: it must not be used afterwards. NULL is fine. */
void sandd_pipe_drain(sandd_pipe *pipe);

/* Closes our end and frees the pipe; closing a stdin gives the process its end of file. NULL is fine. */
void sandd_pipe_close(sandd_pipe *pipe);

#endif
