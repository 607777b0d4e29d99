// SPDX-License-Identifier: MIT
#include "daemon/platform/pipe.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "daemon/platform/linux/internal.h"

enum { USUAL_SIZE = 65536, BUSY_SIZE = 1 << 20 };

struct sandd_pipe {
  uv_poll_t poll;
  uv_loop_t *loop;
  int fd;
  int events; // UV_READABLE or UV_WRITABLE
  bool polled, active;
  bool busy; // it was seen full, and has a larger buffer since
  sandd_pipe_ready_cb cb;
  void *data;
};

int sandd_pipe_new(sandd_pipe **out, uv_loop_t *loop, int fd, int events) {
  sandd_pipe *pipe = calloc(1, sizeof(*pipe));
  *out = pipe;
  if (pipe == NULL)
    return SANDD_PLATFORM_RESOURCE;
  pipe->loop = loop;
  pipe->fd = fd;
  pipe->events = events;
  return 0;
}

int sandd_pipe_read(sandd_pipe *pipe, void *buf, size_t cap, size_t *got) {
  *got = 0;
  ssize_t n;
  do
    n = read(pipe->fd, buf, cap);
  while (n < 0 && errno == EINTR);
  if (n > 0) {
    *got = (size_t)n;
    if ((size_t)n >= USUAL_SIZE && !pipe->busy) {
      pipe->busy = true;
      fcntl(pipe->fd, F_SETPIPE_SZ, BUSY_SIZE); // fewer task switches for bulk; may be refused
    }
    return 0;
  }
  if (n == 0 || errno == EIO) // a terminal whose last holder is gone says EIO
    return SANDD_PIPE_CLOSED;
  return errno == EAGAIN ? SANDD_PIPE_AGAIN : SANDD_PLATFORM_SYSTEM;
}

int sandd_pipe_write(sandd_pipe *pipe, const void *buf, size_t len, size_t *put) {
  *put = 0;
  if (len == 0)
    return 0;
  ssize_t n;
  do
    n = write(pipe->fd, buf, len);
  while (n < 0 && errno == EINTR);
  if (n >= 0) {
    *put = (size_t)n;
    return 0;
  }
  if (errno == EPIPE || errno == EIO)
    return SANDD_PIPE_CLOSED;
  return errno == EAGAIN ? SANDD_PIPE_AGAIN : SANDD_PLATFORM_SYSTEM;
}

static void on_ready(uv_poll_t *handle, int status, int events) {
  sandd_pipe *pipe = handle->data;
  (void)events;
  if (status < 0)
    pipe->active = false; // the far end of a stdin is gone: libuv has stopped, and the next write tells
  pipe->cb(pipe, pipe->data);
}

int sandd_pipe_start(sandd_pipe *pipe, sandd_pipe_ready_cb cb, void *data) {
  if (!pipe->polled) {
    if (uv_poll_init(pipe->loop, &pipe->poll, pipe->fd) != 0)
      return SANDD_PLATFORM_RESOURCE;
    pipe->poll.data = pipe;
    pipe->polled = true;
  }
  pipe->cb = cb;
  pipe->data = data;
  if (pipe->active)
    return 0;
  if (uv_poll_start(&pipe->poll, pipe->events, on_ready) != 0)
    return SANDD_PLATFORM_RESOURCE;
  pipe->active = true;
  return 0;
}

// Leaves the epoll set altogether: a pipe that was hung up would wake the loop for ever.
void sandd_pipe_stop(sandd_pipe *pipe) {
  if (pipe->active)
    uv_poll_stop(&pipe->poll);
  pipe->active = false;
}

static void on_closed(uv_handle_t *handle) {
  free(handle->data);
}

void sandd_pipe_close(sandd_pipe *pipe) {
  if (pipe == NULL)
    return;
  if (pipe->polled)
    uv_close((uv_handle_t *)&pipe->poll, on_closed);
  close(pipe->fd);
  if (!pipe->polled)
    free(pipe);
}

static void on_drain(sandd_pipe *pipe, void *data) {
  (void)data;
  static char nowhere[65536];
  for (int i = 0; i < 4; i++) {
    size_t got;
    int r = sandd_pipe_read(pipe, nowhere, sizeof(nowhere), &got);
    if (r == SANDD_PIPE_AGAIN)
      return;
    if (r != 0) {
      sandd_pipe_close(pipe);
      return;
    }
  }
}

void sandd_pipe_drain(sandd_pipe *pipe) {
  if (pipe != NULL && sandd_pipe_start(pipe, on_drain, NULL) != 0)
    sandd_pipe_close(pipe); // without memory to watch it, a broken pipe is better than a process that hangs
}
