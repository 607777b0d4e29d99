// SPDX-License-Identifier: MIT
// The life of a process:
//
//   start ──> [lookup of the user] ──> launch ──> starting ──left our memory──> running ──reap──> gone
//                     │                  │            └─report─> failed ──reap──> gone
//                     └──────────────────┴──> failed
//
// Memory goes when the last of these has let go: the caller, the child (until its reap), each uv handle, the lookup.
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "daemon/platform/linux/internal.h"
#include "daemon/platform/system.h"

void sandd_process_unref(sandd_process *process) {
  if (--process->refs > 0)
    return;
  sandd_command_free(&process->command);
  for (int i = 0; i < 3; i++)
    sandd_pipe_close(process->pipe[i]);
  sandd_launch_close(process);
  if (process->terminal_fd >= 0)
    close(process->terminal_fd);
  if (process->pidfd >= 0)
    close(process->pidfd);
  free(process->stack);
  free(process->user_name);
  sandd_spawner_unref(process->spawner);
  free(process);
}

static void on_handle_closed(uv_handle_t *handle) {
  sandd_process_unref(handle->data);
}

void sandd_process_close_handle(uv_handle_t *handle) {
  uv_close(handle, on_handle_closed);
}

static void tell_started(sandd_process *process, const sandd_platform_error *error) {
  sandd_launch_close(process);
  sandd_command_free(&process->command);
  free(process->stack);
  process->stack = NULL;
  if (error == NULL)
    process->started = true;
  if (!process->freed)
    process->on_started(process, error, process->data);
}

static void describe(sandd_process *process, sandd_platform_error *error) {
  const sandd_child_report *report = &process->report;
  const sandd_child_plan *plan = &process->command.plan;
  char quoted[256], what[400];
  const char *subject = report->at == SANDD_PLATFORM_AT_CWD ? plan->cwd : plan->argv[0];
  sandd_error_quote(quoted, sizeof(quoted), subject, strlen(subject));
  switch (report->at) {
  case SANDD_PLATFORM_AT_CWD:
    snprintf(what, sizeof(what), "working directory %s%s", quoted,
             report->error == ENOENT ? ": no such directory" : "");
    break;
  case SANDD_PLATFORM_AT_USER: snprintf(what, sizeof(what), "this daemon may not run commands as another user"); break;
  case SANDD_PLATFORM_AT_PROGRAM:
    if (report->error == ENOENT || report->error == ENOTDIR)
      snprintf(what, sizeof(what), report->interpreter ? "the interpreter of %s does not exist" : "no such program: %s",
               quoted);
    else
      snprintf(what, sizeof(what), "%s can't be run", quoted);
    break;
  default: snprintf(what, sizeof(what), "the process can't be set up"); break;
  }
  sandd_error_errno(error, (sandd_platform_at)report->at, report->error, what);
  if (report->error == ENOENT || (report->at == SANDD_PLATFORM_AT_PROGRAM && report->error == ENOTDIR))
    snprintf(error->message, sizeof(error->message), "%s", what); // the sentence says it already
}

static bool has_report(const sandd_process *process) {
  return process->by_word ? process->report.error != 0 : process->report_len == sizeof(process->report);
}

void sandd_process_settled(sandd_process *process) {
  process->refs++;
  if (has_report(process)) {
    sandd_platform_error error;
    describe(process, &error);
    tell_started(process, &error);
  } else {
    tell_started(process, NULL);
  }
  sandd_reap_watch(process);
  sandd_process_unref(process);
}

// The report is complete at end of file only: until then the child may stand on our memory.
static void on_report(uv_poll_t *handle, int status, int events) {
  sandd_process *process = handle->data;
  (void)status;
  (void)events;
  for (;;) {
    char *at = (char *)&process->report + process->report_len;
    size_t room = sizeof(process->report) - process->report_len;
    char rest;
    ssize_t n = read(process->error_fd, room > 0 ? at : &rest, room > 0 ? room : 1);
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0 && errno == EAGAIN)
      return;
    if (n <= 0)
      break;
    if (room > 0)
      process->report_len += (size_t)n;
  }
  uv_poll_stop(&process->error_poll);
  sandd_process_close_handle((uv_handle_t *)&process->error_poll);
  close(process->error_fd);
  process->error_fd = -1;
  sandd_process_settled(process);
}

static void on_failed(uv_idle_t *handle) {
  sandd_process *process = handle->data;
  uv_idle_stop(handle);
  process->refs++;
  sandd_process_close_handle((uv_handle_t *)handle);
  tell_started(process, &process->error);
  sandd_process_unref(process);
}

static void fail_later(sandd_process *process) {
  uv_idle_init(process->spawner->loop, &process->failed);
  process->failed.data = process;
  process->refs++;
  uv_idle_start(&process->failed, on_failed);
}

static int launch(sandd_process *process, sandd_platform_error *error) {
  int r = sandd_launch_child(process, error);
  if (r != 0)
    return r;
  process->refs++; // the child's
  sandd_reap_add(process);
  sandd_launch_close(process);
  if (process->by_word) {
    sandd_settle_add(process);
    return 0;
  }
  if (uv_poll_init(process->spawner->loop, &process->error_poll, process->error_fd) == 0) {
    process->error_poll.data = process;
    process->refs++;
    if (uv_poll_start(&process->error_poll, UV_READABLE, on_report) == 0)
      return 0;
    sandd_process_close_handle((uv_handle_t *)&process->error_poll);
  }
  // Without a watch on the pipe there is no telling when the child has left our memory: end it, and wait for that.
  kill(process->pid, SIGKILL);
  char byte;
  while (read(process->error_fd, &byte, 1) != 0)
    usleep(100);
  close(process->error_fd);
  process->error_fd = -1;
  sandd_reap_watch(process);
  return sandd_error_errno(error, SANDD_PLATFORM_AT_SYSTEM, ENOMEM, "the process can't be watched");
}

static void lookup_user(void *data) {
  sandd_process *process = data;
  sandd_command_set_user(&process->command, process->user_name, process->uid, &process->error);
}

static void on_user(void *data) {
  sandd_process *process = data;
  if (!process->freed && (process->error.kind != 0 || launch(process, &process->error) != 0))
    fail_later(process);
  sandd_process_unref(process);
}

static int begin(sandd_process *process, const sandd_process_config *config, sandd_platform_error *error) {
  if (config->user_name == NULL && !config->has_uid)
    return launch(process, error);
  if (config->user_name != NULL && (process->user_name = strdup(config->user_name)) == NULL)
    return sandd_error_errno(error, SANDD_PLATFORM_AT_SYSTEM, ENOMEM, "the command can't be prepared");
  process->uid = config->uid;
  process->lookup = (sandd_task){.run = lookup_user, .done = on_user, .data = process};
  if (sandd_task_start(&process->lookup, process->spawner->loop) != 0)
    return sandd_error_errno(error, SANDD_PLATFORM_AT_SYSTEM, EMFILE, "the user can't be looked up");
  process->refs++;
  return 0;
}

int sandd_process_start(sandd_process **out, sandd_spawner *spawner, const sandd_process_config *config,
                        sandd_platform_error *error) {
  *out = NULL;
  memset(error, 0, sizeof(*error));
  sandd_process *process = calloc(1, sizeof(*process));
  if (process == NULL)
    return sandd_error_errno(error, SANDD_PLATFORM_AT_SYSTEM, ENOMEM, "the command can't be prepared");
  process->spawner = spawner;
  spawner->refs++;
  process->refs = 1;
  process->error_fd = process->pidfd = process->terminal_fd = -1;
  for (int i = 0; i < 3; i++)
    process->child_fd[i] = -1;
  int r = sandd_command_build(&process->command, config, spawner->tag, error);
  if (r == 0) {
    snprintf(process->exec_id, sizeof(process->exec_id), "%s", config->exec_id);
    process->on_started = config->on_started;
    process->on_exited = config->on_exited;
    process->data = config->data;
    r = sandd_launch_open(process, config, error);
  }
  if (r == 0)
    r = begin(process, config, error);
  if (r != 0) {
    process->freed = true;
    sandd_process_unref(process);
    return r;
  }
  *out = process;
  return 0;
}

void sandd_process_free(sandd_process *process) {
  if (process == NULL)
    return;
  process->freed = true;
  for (int i = 0; i < 3; i++) {
    sandd_pipe_close(process->pipe[i]);
    process->pipe[i] = NULL;
  }
  if (process->pid > 0 && !process->started && !process->reaped) {
    if (!has_report(process) && process->spawner->killer != NULL) // it may run already, and have made others
      sandd_killer_kill(process->spawner->killer, process->exec_id, process->pid, false, 0, NULL, NULL);
    kill(process->pid, SIGKILL);
  }
  sandd_process_unref(process);
}

void sandd_process_look(sandd_process *process) {
  sandd_settle_look(process);
}

sandd_pipe *sandd_process_take_pipe(sandd_process *process, sandd_process_channel channel) {
  sandd_pipe *pipe = process->started ? process->pipe[channel] : NULL;
  if (pipe != NULL)
    process->pipe[channel] = NULL;
  return pipe;
}

uint64_t sandd_process_id(const sandd_process *process) {
  return process->started ? (uint64_t)process->pid : 0;
}

// Until we reap it the number is the child's own, dead or alive: no stranger can be hit.
int sandd_process_signal(sandd_process *process, const char *name, sandd_signal_scope scope) {
  int number = sandd_platform_signal_number(name);
  if (number == 0)
    return SANDD_PLATFORM_INVALID;
  if (scope == SANDD_SCOPE_TREE)
    return sandd_killer_signal(process->spawner->killer, process->exec_id, process->pid, process->reaped, number);
  if (process->pid == 0 || process->reaped)
    return SANDD_PLATFORM_NOT_FOUND;
  pid_t target = process->pid;
  if (scope == SANDD_SCOPE_FOREGROUND) {
    pid_t group = process->terminal_fd >= 0 ? tcgetpgrp(process->terminal_fd) : 0;
    target = -(group > 0 ? group : process->pid);
  }
  if (kill(target, number) == 0)
    return 0;
  return errno == EPERM ? SANDD_PLATFORM_PERMISSION_DENIED : SANDD_PLATFORM_NOT_FOUND;
}

int sandd_process_resize(sandd_process *process, uint16_t rows, uint16_t cols) {
  struct winsize size = {.ws_row = rows, .ws_col = cols};
  if (process->terminal_fd < 0)
    return SANDD_PLATFORM_INVALID;
  return ioctl(process->terminal_fd, TIOCSWINSZ, &size) == 0 ? 0 : SANDD_PLATFORM_SYSTEM;
}

int sandd_process_kill_tree(sandd_process *process, int64_t grace_ns, sandd_tree_done_cb done, void *data) {
  return sandd_killer_kill(process->spawner->killer, process->exec_id, process->pid, process->reaped, grace_ns, done,
                           data);
}
