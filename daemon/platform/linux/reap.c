// SPDX-License-Identifier: MIT
// Waiting for the end of a child: by its pidfd in the loop, or, where there are none, by SIGCHLD and a look at each child.
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/platform/linux/internal.h"
#include "daemon/platform/system.h"

static int64_t ns_of(struct timeval t) {
  return (int64_t)t.tv_sec * 1000000000 + (int64_t)t.tv_usec * 1000;
}

static void fill_exit(const sandd_process *process, int status, const struct rusage *usage, sandd_process_exit *exit) {
  exit->signaled = WIFSIGNALED(status);
  if (exit->signaled)
    sandd_platform_signal_name(WTERMSIG(status), exit->signal_name, sizeof(exit->signal_name));
  else
    exit->exit_code = (uint32_t)WEXITSTATUS(status);
  exit->wall_ns = sandd_platform_boottime_ns() - process->started_ns;
  exit->user_ns = ns_of(usage->ru_utime);
  exit->system_ns = ns_of(usage->ru_stime);
  exit->max_rss_bytes = (uint64_t)usage->ru_maxrss * 1024;
}

// Exactly this child: whoever waits for any child steals exit codes.
static bool reap(sandd_process *process) {
  int status = 0;
  struct rusage usage = {0};
  pid_t r;
  do
    r = wait4(process->pid, &status, WNOHANG, &usage);
  while (r < 0 && errno == EINTR);
  if (r == 0)
    return false;
  process->reaped = true;
  sandd_process_exit exit = {0};
  fill_exit(process, status, &usage, &exit);
  sandd_killer_poke(process->spawner->killer, process->pid);
  if (process->started && !process->freed && process->on_exited != NULL)
    process->on_exited(process, &exit, process->data);
  return true;
}

static void let_go(sandd_process *process) {
  *process->link = process->next;
  if (process->next != NULL)
    process->next->link = process->link;
  process->link = NULL;
  if (process->polled)
    sandd_process_close_handle((uv_handle_t *)&process->wait_poll);
  process->polled = false;
  if (process->pidfd >= 0)
    close(process->pidfd);
  process->pidfd = -1;
  sandd_process_unref(process);
}

void sandd_reap_forget(sandd_process *process) {
  let_go(process);
}

static void on_pidfd(uv_poll_t *handle, int status, int events) {
  sandd_process *process = handle->data;
  (void)status;
  (void)events;
  if (reap(process))
    let_go(process);
}

// A callback may add children, in front; only this loop takes one away.
static void on_sigchld(uv_signal_t *handle, int number) {
  sandd_spawner *spawner = handle->data;
  (void)number;
  for (sandd_process *p = spawner->children, *next; p != NULL; p = next) {
    next = p->next;
    if (!p->polled && reap(p))
      let_go(p);
  }
}

static bool watch_pidfd(sandd_process *process) {
  if (process->pidfd < 0 || uv_poll_init(process->spawner->loop, &process->wait_poll, process->pidfd) != 0)
    return false;
  process->wait_poll.data = process;
  process->refs++;
  process->polled = uv_poll_start(&process->wait_poll, UV_READABLE, on_pidfd) == 0;
  if (!process->polled)
    sandd_process_close_handle((uv_handle_t *)&process->wait_poll);
  return process->polled;
}

void sandd_reap_watch(sandd_process *process) {
  sandd_spawner *spawner = process->spawner;
  if (spawner->killer == NULL) { // the spawner was freed in mid-start, and the child killed with its process
    while (wait4(process->pid, NULL, 0, NULL) < 0 && errno == EINTR)
      ;
    process->reaped = true;
    sandd_process_unref(process);
    return;
  }
  process->next = spawner->children;
  process->link = &spawner->children;
  if (process->next != NULL)
    process->next->link = &process->next;
  spawner->children = process;
  if (watch_pidfd(process))
    return;
  if (!spawner->sigchld_on)
    spawner->sigchld_on = uv_signal_start(&spawner->sigchld, on_sigchld, SIGCHLD) == 0;
  raise(SIGCHLD); // it may have ended before we listened
}
