// SPDX-License-Identifier: MIT
#include "exec_stdin.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"

/* Bytes of one process before others get their turn. */
#define BYTES_PER_TURN (256 * 1024)

struct sandd_exec_stdin {
  sandd_inbox *inbox;
  uint8_t *bytes; /* without an inbox */
  size_t len, written;
  sandd_pipe *pipe; /* NULL before open and after the end */
  bool opened, closed_by_process;
};

int sandd_exec_stdin_new_stream(sandd_exec_stdin **out, sandd_endpoint *endpoint) {
  *out = NULL;
  sandd_exec_stdin *in = calloc(1, sizeof(*in));
  if (!in) {
    return SANDD_E_NOMEM;
  }
  int error = sandd_inbox_new(&in->inbox, endpoint, NULL, true);
  if (error) {
    free(in);
    return error;
  }
  sandd_inbox_set_user(in->inbox, in);
  *out = in;
  return 0;
}

int sandd_exec_stdin_new_inline(sandd_exec_stdin **out, const uint8_t *data, size_t len) {
  *out = NULL;
  sandd_exec_stdin *in = calloc(1, sizeof(*in));
  if (!in) {
    return SANDD_E_NOMEM;
  }
  in->bytes = malloc(len ? len : 1);
  if (!in->bytes) {
    free(in);
    return SANDD_E_NOMEM;
  }
  if (len > 0) {
    memcpy(in->bytes, data, len);
  }
  in->len = len;
  *out = in;
  return 0;
}

void sandd_exec_stdin_free(sandd_exec_stdin *in) {
  if (!in) {
    return;
  }
  sandd_pipe_close(in->pipe);
  sandd_inbox_free(in->inbox);
  free(in->bytes);
  free(in);
}

static void close_pipe(sandd_exec_stdin *in) {
  sandd_pipe_close(in->pipe);
  in->pipe = NULL;
  free(in->bytes);
  in->bytes = NULL;
}

static void give_up(sandd_exec_stdin *in) {
  in->closed_by_process = true;
  close_pipe(in);
  if (in->inbox) {
    sandd_inbox_discard(in->inbox, sandd_clock_now_us());
  }
}

/* The next bytes to write. Closes the pipe at the end. */
static bool next_bytes(sandd_exec_stdin *in, const uint8_t **data, size_t *len) {
  if (!in->inbox) {
    *data = in->bytes + in->written;
    *len = in->len - in->written;
    if (*len == 0) {
      close_pipe(in);
    }
    return *len > 0;
  }
  uint64_t ready = 0;
  for (;;) {
    switch (sandd_inbox_peek(in->inbox, data, &ready)) {
    case SANDD_INBOX_DATA: *len = (size_t)ready; return true;
    case SANDD_INBOX_SKIP: sandd_inbox_consume(in->inbox, ready, sandd_clock_now_us()); break;
    case SANDD_INBOX_END: close_pipe(in); return false;
    default: sandd_pipe_stop(in->pipe); return false;
    }
  }
}

static void on_writable(sandd_pipe *pipe, void *data);

static void pump(sandd_exec_stdin *in) {
  const uint8_t *data = NULL;
  size_t len = 0, budget = BYTES_PER_TURN;
  while (in->pipe && next_bytes(in, &data, &len)) {
    size_t put = 0;
    int result = budget > 0 ? sandd_pipe_write(in->pipe, data, len < budget ? len : budget, &put) : SANDD_PIPE_AGAIN;
    if (result == SANDD_PIPE_AGAIN) {
      if (sandd_pipe_start(in->pipe, on_writable, in) != 0) {
        give_up(in);
      }
      return;
    }
    if (result != 0) {
      give_up(in);
      return;
    }
    budget -= put;
    in->written += put;
    if (in->inbox) {
      sandd_inbox_consume(in->inbox, put, sandd_clock_now_us());
    }
  }
}

static void on_writable(sandd_pipe *pipe, void *data) {
  (void)pipe;
  pump(data);
}

void sandd_exec_stdin_open(sandd_exec_stdin *in, sandd_pipe *pipe) {
  in->opened = true;
  in->pipe = pipe;
  if (pipe) {
    pump(in);
  }
}

void sandd_exec_stdin_readable(sandd_exec_stdin *in) {
  if (in->pipe) {
    pump(in);
  }
}

void sandd_exec_stdin_close(sandd_exec_stdin *in) {
  if (!in->closed_by_process) {
    give_up(in);
  }
}

sandd_inbox *sandd_exec_stdin_inbox(const sandd_exec_stdin *in) {
  return in->inbox;
}

bool sandd_exec_stdin_closed(const sandd_exec_stdin *in) {
  uint64_t end;
  bool drain_limit;
  return in->closed_by_process || (in->inbox && sandd_inbox_final(in->inbox, &end, &drain_limit));
}
