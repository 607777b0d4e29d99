// SPDX-License-Identifier: MIT
#include "daemon/platform/linux/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>

#include "daemon/platform/error.h"
#include "daemon/platform/linux/rawsys.h"

enum { ERROR_FD = 3, SIGNALS = 64, SIGSET_BYTES = 8 };

static _Noreturn void quit(void) {
  for (;;)
    SANDD_RAW1(SYS_exit_group, 127);
}

static _Noreturn void fail_through(const sandd_child_plan *plan, int fd, sandd_platform_at at, long error,
                                   int candidate, int interpreter) {
  sandd_child_report here;
  volatile sandd_child_report *report = plan->report != NULL ? plan->report : &here;
  report->at = (int32_t)at;
  report->candidate = candidate;
  report->interpreter = interpreter;
  report->error = (int32_t)-error;
  if (plan->report == NULL)
    SANDD_RAW3(SYS_write, fd, &here, sizeof(here));
  quit();
}

static _Noreturn void fail(const sandd_child_plan *plan, sandd_platform_at at, long error, int candidate,
                           int interpreter) {
  fail_through(plan, ERROR_FD, at, error, candidate, interpreter);
}

// A handler of ours must never run here, and an ignored signal would stay ignored across exec.
static void reset_signals(uint64_t set) {
  static const uint64_t default_action[8] = {0}; // SIG_DFL, no flags, empty mask, whatever the order of the fields
  for (int n = 1; n <= SIGNALS; n++)
    if ((set >> (n - 1) & 1) != 0 && n != SIGKILL && n != SIGSTOP)
      SANDD_RAW4(SYS_rt_sigaction, n, default_action, 0, SIGSET_BYTES);
}

// Should we die together with the guard, the commands die too. The parent may have died before this took hold.
static void die_with(pid_t parent) {
  SANDD_RAW2(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL);
  if (SANDD_RAW0(SYS_getppid) != parent)
    quit();
}

// Everything above is closed now and not at exec: a child that hangs in chdir must not keep another's pipe open.
static void place_descriptors(const sandd_child_plan *plan) {
  for (int i = 0; i < 3; i++) {
    long r = SANDD_RAW3(SYS_dup3, plan->stdio[i], i, 0);
    if (r < 0)
      fail_through(plan, plan->error_fd, SANDD_PLATFORM_AT_SYSTEM, r, 0, 0);
  }
  if (plan->report == NULL && plan->error_fd != ERROR_FD) {
    long r = SANDD_RAW3(SYS_dup3, plan->error_fd, ERROR_FD, O_CLOEXEC);
    if (r < 0)
      fail_through(plan, plan->error_fd, SANDD_PLATFORM_AT_SYSTEM, r, 0, 0);
  }
#ifdef SYS_close_range
  SANDD_RAW3(SYS_close_range, plan->report == NULL ? ERROR_FD + 1 : ERROR_FD, ~0U, 0);
#endif
}

static void become_user(const sandd_child_plan *plan) {
  long r = SANDD_RAW2(SYS_setgroups, plan->group_count, plan->groups);
  if (r >= 0)
    r = SANDD_RAW3(SYS_setresgid, plan->gid, plan->gid, plan->gid);
  if (r >= 0)
    r = SANDD_RAW3(SYS_setresuid, plan->uid, plan->uid, plan->uid);
  if (r < 0)
    fail(plan, SANDD_PLATFORM_AT_USER, r, 0, 0);
  die_with(plan->parent); // the kernel forgot it with the old user
}

static bool means_next(long error) {
  return error == -ENOENT || error == -ENOTDIR || error == -EACCES || error == -ESTALE || error == -ENODEV ||
         error == -ETIMEDOUT || error == -ENAMETOOLONG;
}

static bool exists(const char *path) {
  return SANDD_RAW3(SYS_faccessat, AT_FDCWD, path, 0) == 0;
}

static _Noreturn void run(const sandd_child_plan *plan) {
  long error = -ENOENT, denied = 0;
  int at = 0, denied_at = 0, interpreter = 0;
  for (int i = 0; plan->candidates[i] != NULL; i++) {
    at = i;
    error = SANDD_RAW3(SYS_execve, plan->candidates[i], plan->argv, plan->envp);
    if (error == -ENOEXEC) {
      plan->script_argv[1] = plan->candidates[i];
      error = SANDD_RAW3(SYS_execve, plan->script_argv[0], plan->script_argv, plan->envp);
      break;
    }
    if (error == -EACCES && plan->candidates[1] != NULL && !exists(plan->candidates[i]))
      error = -ENOENT; // a directory in PATH that we may not enter
    if (error == -EACCES && denied == 0) {
      denied = error;
      denied_at = i;
    }
    if (error == -ENOENT && exists(plan->candidates[i])) {
      interpreter = 1;
      break;
    }
    if (!means_next(error))
      break;
  }
  if (denied != 0 && means_next(error) && !interpreter)
    fail(plan, SANDD_PLATFORM_AT_PROGRAM, denied, denied_at, 0);
  fail(plan, SANDD_PLATFORM_AT_PROGRAM, error, at, interpreter);
}

int sandd_child_main(void *arg) {
  const sandd_child_plan *plan = arg;
  reset_signals(plan->reset_signals);
  die_with(plan->parent);
  SANDD_RAW0(SYS_setsid);
  place_descriptors(plan);
  if (plan->terminal)
    SANDD_RAW3(SYS_ioctl, 0, TIOCSCTTY, 0);
  if (plan->restore_nofile)
    SANDD_RAW4(SYS_prlimit64, 0, 7 /* RLIMIT_NOFILE */, &plan->nofile, 0);
  if (plan->set_user)
    become_user(plan);
  if (plan->cwd != NULL) {
    long r = SANDD_RAW1(SYS_chdir, plan->cwd);
    if (r < 0)
      fail(plan, SANDD_PLATFORM_AT_CWD, r, 0, 0);
  }
  static const uint64_t no_signals = 0;
  SANDD_RAW4(SYS_rt_sigprocmask, SIG_SETMASK, &no_signals, 0, SIGSET_BYTES);
  run(plan);
}
