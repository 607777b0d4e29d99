// SPDX-License-Identifier: MIT
// Waiting for the end of a child, in one of three ways: by its pidfd in the loop; where there are none, by SIGCHLD and a look
// at each child; or, when we adopt orphans, by SIGCHLD and a look at who has ended.
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
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

// What tells of children keeps the loop alive while there are any, as a pidfd would.
static void hold_loop(sandd_spawner *spawner, bool hold) {
  uv_handle_t *handle = spawner->adopted_fd >= 0 ? (uv_handle_t *)&spawner->adopted : (uv_handle_t *)&spawner->sigchld;
  if (hold)
    uv_ref(handle);
  else
    uv_unref(handle);
}

static void let_go(sandd_process *process) {
  sandd_spawner *spawner = process->spawner;
  *process->link = process->next;
  if (process->next != NULL)
    process->next->link = process->link;
  process->link = NULL;
  if (spawner->children == NULL)
    hold_loop(spawner, false);
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
    if (p->watched && !p->polled && reap(p))
      let_go(p);
  }
}

// Looks at who has ended before it reaps, so that no exit code of a command is taken by mistake. The system shows one at a
// time: a command whose end can't be told yet, as its start is not over, is in the way until it can.
static void reap_adopted(sandd_spawner *spawner) {
  spawner->adopted_waiting = false;
  while (spawner->killer != NULL) {
    siginfo_t info = {0};
    if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0)
      return;
    sandd_process *own = spawner->children;
    while (own != NULL && own->pid != info.si_pid)
      own = own->next;
    if (own == NULL) {
      waitpid(info.si_pid, NULL, WNOHANG);
    } else {
      own->refs++;
      own->inside = 0;        // some kernels do not say so when it dumps core
      sandd_settle_look(own); // which may have reaped it
      if (!own->watched && !own->reaped) {
        spawner->adopted_waiting = true;
        sandd_process_unref(own);
        return;
      }
      if (!own->reaped && spawner->killer != NULL && reap(own))
        let_go(own);
      sandd_process_unref(own);
    }
  }
}

static void on_adopted(uv_poll_t *handle, int status, int events) {
  sandd_spawner *spawner = handle->data;
  struct signalfd_siginfo info[2]; // there is one at a time, so that half a read says that there is no other
  (void)status;
  (void)events;
  while (read(spawner->adopted_fd, info, sizeof(info)) == (ssize_t)sizeof(info))
    ;
  spawner->refs++;
  reap_adopted(spawner);
  sandd_spawner_unref(spawner);
}

static void on_adopted_closed(uv_handle_t *handle) {
  sandd_spawner_unref(handle->data);
}

int sandd_reap_adopt(sandd_spawner *spawner) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0 || pthread_sigmask(SIG_BLOCK, &set, NULL) != 0)
    return SANDD_PLATFORM_SYSTEM;
  spawner->adopted_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
  if (spawner->adopted_fd < 0)
    return SANDD_PLATFORM_RESOURCE;
  if (uv_poll_init(spawner->loop, &spawner->adopted, spawner->adopted_fd) != 0) {
    close(spawner->adopted_fd);
    spawner->adopted_fd = -1;
    return SANDD_PLATFORM_RESOURCE;
  }
  spawner->adopted.data = spawner;
  uv_poll_start(&spawner->adopted, UV_READABLE, on_adopted);
  uv_unref((uv_handle_t *)&spawner->adopted);
  return 0;
}

void sandd_reap_unadopt(sandd_spawner *spawner) {
  if (spawner->adopted_fd < 0)
    return;
  spawner->refs++;
  uv_close((uv_handle_t *)&spawner->adopted, on_adopted_closed);
  close(spawner->adopted_fd);
  spawner->adopted_fd = -1;
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

void sandd_reap_add(sandd_process *process) {
  sandd_spawner *spawner = process->spawner;
  process->next = spawner->children;
  process->link = &spawner->children;
  if (process->next != NULL)
    process->next->link = &process->next;
  else
    hold_loop(spawner, true);
  spawner->children = process;
}

void sandd_reap_watch(sandd_process *process) {
  sandd_spawner *spawner = process->spawner;
  if (spawner->killer == NULL) { // the spawner was freed in mid-start, and the child killed with its process
    while (wait4(process->pid, NULL, 0, NULL) < 0 && errno == EINTR)
      ;
    process->reaped = true;
    let_go(process);
    return;
  }
  process->watched = true;
  if (spawner->adopted_fd >= 0) { // SIGCHLD tells of all, and a second wake-up for each would only cost
    if (spawner->adopted_waiting) {
      spawner->refs++;
      reap_adopted(spawner);
      sandd_spawner_unref(spawner);
    }
    return;
  }
  if (watch_pidfd(process))
    return;
  if (!spawner->sigchld_on)
    spawner->sigchld_on = uv_signal_start(&spawner->sigchld, on_sigchld, SIGCHLD) == 0;
  raise(SIGCHLD); // it may have ended before we listened
}
