// SPDX-License-Identifier: MIT
#include <signal.h>

#include "daemon/platform/linux/internal.h"

static void thread_main(void *arg) {
  sandd_task *task = arg;
  task->run(task->data);
  uv_async_send(&task->finished);
}

static void on_closed(uv_handle_t *handle) {
  sandd_task *task = handle->data;
  task->done(task->data);
}

static void on_finished(uv_async_t *handle) {
  sandd_task *task = handle->data;
  if (task->threaded)
    uv_thread_join(&task->thread);
  uv_close((uv_handle_t *)handle, on_closed);
}

int sandd_task_start(sandd_task *task, uv_loop_t *loop) {
  if (uv_async_init(loop, &task->finished, on_finished) != 0)
    return SANDD_PLATFORM_RESOURCE;
  task->finished.data = task;
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  uv_thread_options_t options = {.flags = UV_THREAD_HAS_STACK_SIZE, .stack_size = 256 * 1024};
  task->threaded = uv_thread_create_ex(&task->thread, &options, thread_main, task) == 0;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (!task->threaded)
    thread_main(task); // no thread left: a loop that waits is better than a tree that lives on
  return 0;
}
