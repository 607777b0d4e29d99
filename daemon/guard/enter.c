// SPDX-License-Identifier: MIT
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <uv.h>

#include "daemon/guard/embed.h"
#include "daemon/guard/guard.h"
#include "daemon/guard/loop.h"
#include "daemon/platform/linux/internal.h"
#include "daemon/platform/system.h"

#ifndef MFD_CLOEXEC
#define MFD_CLOEXEC 1U
#endif
#define MFD_EXEC_FLAG 0x10U

enum { LIFELINE = 3 }; // in the guard: held open for as long as it lives

static int lifeline = -1; // in the daemon: the other end
static bool hangup_ignored;
static uv_poll_t watch;
static bool watching;
static sandd_guard_died_cb died_cb;
static void *died_data;

static int make_program(void) {
  int fd = (int)syscall(SYS_memfd_create, "sandd", MFD_CLOEXEC | MFD_EXEC_FLAG);
  if (fd < 0 && errno == EINVAL)
    fd = (int)syscall(SYS_memfd_create, "sandd", MFD_CLOEXEC);
  const unsigned char *p = sandd_guard_program;
  while (fd >= 0 && p < sandd_guard_program_end) {
    ssize_t n = write(fd, p, (size_t)(sandd_guard_program_end - p));
    if (n <= 0) {
      close(fd);
      return -1;
    }
    p += n;
  }
  return fd;
}

// Signals are blocked and stay so across exec: none is lost between here and the guard's loop.
static _Noreturn void become_guard(char **argv, pid_t daemon, bool ignore_hup, int held) {
  if (held != LIFELINE)
    dup3(held, LIFELINE, O_CLOEXEC);
  int program = make_program();
  if (program >= 0 && program != LIFELINE) {
    char env[64];
    snprintf(env, sizeof(env), "SANDD_GUARD=%d,%d", (int)daemon, ignore_hup);
    char *envp[] = {env, NULL};
    fcntl(LIFELINE, F_SETFD, 0);
    syscall(SYS_execveat, program, "", argv, envp, AT_EMPTY_PATH);
    fcntl(LIFELINE, F_SETFD, FD_CLOEXEC);
    close(program);
  }
  // Not every system executes from memory: then this process, larger than it need be, guards by itself.
  sandd_guard_loop(daemon, ignore_hup);
}

static int fail(sandd_platform_error *error, int number, const char *what) {
  return sandd_error_errno(error, SANDD_PLATFORM_AT_SYSTEM, number, what);
}

int sandd_guard_enter(int argc, char **argv, sandd_platform_error *error) {
  (void)argc;
  memset(error, 0, sizeof(*error));
  sandd_platform_init(); // or a pipe of ours could become descriptor 0
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0)
    return fail(error, errno, "no pipe can be made for the guard");
  struct sigaction hup;
  bool ignore_hup = sigaction(SIGHUP, NULL, &hup) == 0 && hup.sa_handler == SIG_IGN;
  hangup_ignored = ignore_hup;
  sigset_t all, before;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, &before);
  prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  signal(SIGCHLD, SIG_DFL);
  fflush(NULL);
  pid_t pid = fork();
  if (pid > 0)
    become_guard(argv, pid, ignore_hup, fds[1]);
  int saved = errno;
  sigprocmask(SIG_SETMASK, &before, NULL);
  close(fds[1]);
  if (pid < 0) {
    close(fds[0]);
    prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0);
    return fail(error, saved, "no process can be made for the guard");
  }
  lifeline = fds[0];
  return 0;
}

bool sandd_guard_ignores_hangup(void) {
  return hangup_ignored;
}

static void on_lifeline(uv_poll_t *handle, int status, int events) {
  (void)handle;
  (void)status;
  (void)events;
  char byte;
  if (read(lifeline, &byte, 1) < 0 && (errno == EAGAIN || errno == EINTR))
    return;
  sandd_guard_unwatch();
  died_cb(died_data);
}

int sandd_guard_watch(uv_loop_t *loop, sandd_guard_died_cb cb, void *data) {
  if (lifeline < 0)
    return SANDD_PLATFORM_NOT_FOUND;
  if (uv_poll_init(loop, &watch, lifeline) != 0)
    return SANDD_PLATFORM_RESOURCE;
  watching = true;
  died_cb = cb;
  died_data = data;
  if (uv_poll_start(&watch, UV_READABLE, on_lifeline) != 0) {
    sandd_guard_unwatch();
    return SANDD_PLATFORM_RESOURCE;
  }
  uv_unref((uv_handle_t *)&watch);
  return 0;
}

void sandd_guard_unwatch(void) {
  if (watching)
    uv_close((uv_handle_t *)&watch, NULL);
  watching = false;
}
