// SPDX-License-Identifier: MIT
#ifndef SANDD_DAEMON_EXEC_STDIN_H
#define SANDD_DAEMON_EXEC_STDIN_H

#include <sandd/proto/inbox.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/platform/pipe.h"

/* A process's standard input: from an inbox that outlives streams, or from bytes that came with the opening, to the pipe.
 * The pipe is closed only at the channel's explicit end, or when the process closed it. Loop thread. */
typedef struct sandd_exec_stdin sandd_exec_stdin;

/* From a channel: makes the inbox, whose user pointer it becomes. errors: SANDD_E_LIMIT, SANDD_E_NOMEM. */
int sandd_exec_stdin_new_stream(sandd_exec_stdin **out, sandd_endpoint *endpoint);
/* From bytes, which are copied. errors: SANDD_E_NOMEM. */
int sandd_exec_stdin_new_inline(sandd_exec_stdin **out, const uint8_t *data, size_t len);
/* Closes the pipe and frees the inbox with what is unread. NULL is fine. */
void sandd_exec_stdin_free(sandd_exec_stdin *in);

/* Takes the pipe and begins to write. Once. */
void sandd_exec_stdin_open(sandd_exec_stdin *in, sandd_pipe *pipe);
/* The inbox has something new. */
void sandd_exec_stdin_readable(sandd_exec_stdin *in);
/* The process is gone for good: the pipe is closed, what still comes is dropped. */
void sandd_exec_stdin_close(sandd_exec_stdin *in);

/* The inbox; NULL with bytes from the opening. */
sandd_inbox *sandd_exec_stdin_inbox(const sandd_exec_stdin *in);
/* True if its end was given, or the process closed it. */
bool sandd_exec_stdin_closed(const sandd_exec_stdin *in);

#endif
