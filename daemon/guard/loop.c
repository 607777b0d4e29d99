// SPDX-License-Identifier: MIT
#include "daemon/guard/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/prctl.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>
#include <time.h>

#include "daemon/platform/linux/rawsys.h"

enum { SIGSET_BYTES = 8, PROCESSES_MAX = 65536, GIVE_UP_MS = 10000, SLOWEST_LOOK_MS = 50 };

// Room for every process there may be; pages that are never needed cost nothing.
static int pids[PROCESSES_MAX], parents[PROCESSES_MAX];
static unsigned char ours[PROCESSES_MAX];

static uint64_t bit(int number) {
  return (uint64_t)1 << (number - 1);
}

static void set_mask(uint64_t mask) {
  SANDD_RAW4(SYS_rt_sigprocmask, SIG_SETMASK, &mask, 0, SIGSET_BYTES);
}

static int wait_signal(uint64_t set, siginfo_t *info, long timeout_ms) {
  struct timespec timeout = {timeout_ms / 1000, timeout_ms % 1000 * 1000000};
  return (int)SANDD_RAW4(SYS_rt_sigtimedwait, &set, info, timeout_ms < 0 ? 0 : &timeout, SIGSET_BYTES);
}

// Reaps whatever has ended. True once the daemon is among them; *any tells whether a child is left.
static int reap(int daemon, int *status, int *any) {
  int ended = 0;
  for (;;) {
    int s = 0;
    long pid = SANDD_RAW4(SYS_wait4, -1, &s, WNOHANG, 0);
    if (pid == -EINTR)
      continue;
    *any = pid != -ECHILD;
    if (pid <= 0)
      return ended;
    if (pid == daemon) {
      *status = s;
      ended = 1;
    }
  }
}

static int parse(const char *text) {
  int n = 0;
  while (*text >= '0' && *text <= '9')
    n = n * 10 + (*text++ - '0');
  return n;
}

// "PID (name) S PARENT ...", where the name may hold anything.
static int parent_of(const char *pid) {
  char path[32] = "/proc/", buf[256];
  int len = 6;
  for (; *pid != 0 && len < 24; pid++)
    path[len++] = *pid;
  for (const char *s = "/stat"; *s != 0; s++)
    path[len++] = *s;
  path[len] = 0;
  long fd = SANDD_RAW4(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
  if (fd < 0)
    return 0;
  long n = SANDD_RAW3(SYS_read, fd, buf, sizeof(buf) - 1);
  SANDD_RAW1(SYS_close, fd);
  if (n <= 0)
    return 0;
  buf[n] = 0;
  while (n > 0 && buf[n] != ')')
    n--;
  return n > 0 && buf[n + 1] == ' ' && buf[n + 2] != 0 && buf[n + 3] == ' ' ? parse(buf + n + 4) : 0;
}

struct directory_entry {
  uint64_t inode;
  int64_t offset;
  unsigned short length;
  unsigned char type;
  char name[];
};

static int list_processes(void) {
  static _Alignas(16) char buf[8192];
  int count = 0;
  long fd = SANDD_RAW4(SYS_openat, AT_FDCWD, "/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
  if (fd < 0)
    return 0;
  for (;;) {
    long n = SANDD_RAW3(SYS_getdents64, fd, buf, sizeof(buf));
    if (n <= 0)
      break;
    for (long at = 0; at < n;) {
      const struct directory_entry *entry = (const void *)(buf + at);
      at += entry->length;
      if (entry->name[0] < '1' || entry->name[0] > '9' || count == PROCESSES_MAX)
        continue;
      pids[count] = parse(entry->name);
      parents[count] = parent_of(entry->name);
      ours[count++] = 0;
    }
  }
  SANDD_RAW1(SYS_close, fd);
  return count;
}

static int is_ours(int pid, int count) {
  for (int i = 0; i < count; i++)
    if (pids[i] == pid)
      return ours[i];
  return 0;
}

static void kill_descendants(int self) {
  int count = list_processes();
  for (int found = 1; found;) {
    found = 0;
    for (int i = 0; i < count; i++) {
      if (ours[i] || parents[i] == 0 || (parents[i] != self && !is_ours(parents[i], count)))
        continue;
      ours[i] = 1;
      found = 1;
      SANDD_RAW2(SYS_kill, pids[i], SIGKILL);
    }
  }
}

// Whoever loses its parent becomes our child, so when no child is left, nobody is.
static void kill_rest(void) {
  int self = (int)SANDD_RAW0(SYS_getpid), any = 0, unused = 0;
  siginfo_t info;
  for (long wait = 1, waited = 0; waited < GIVE_UP_MS;
       waited += wait, wait = wait < SLOWEST_LOOK_MS ? wait * 2 : wait) {
    reap(0, &unused, &any);
    if (!any)
      return;
    if (self == 1)
      SANDD_RAW2(SYS_kill, -1, SIGKILL);
    else
      kill_descendants(self);
    wait_signal(bit(SIGCHLD), &info, wait);
  }
}

static _Noreturn void end_as(int status) {
  if (WIFSIGNALED(status)) {
    int number = WTERMSIG(status);
    uint64_t no_core[2] = {0, 0};
    SANDD_RAW4(SYS_prlimit64, 0, 4 /* RLIMIT_CORE */, no_core, 0);
    SANDD_RAW2(SYS_kill, SANDD_RAW0(SYS_getpid), number);
    set_mask(~bit(number));
    status = (128 + number) << 8; // pid 1 survives its own signals
  }
  for (;;)
    SANDD_RAW1(SYS_exit_group, WEXITSTATUS(status));
}

// A terminal sends these to every process of the group, the daemon included.
static int came_to_both(int number, const siginfo_t *info) {
  return info->si_code == SI_KERNEL && (number == SIGINT || number == SIGQUIT || number == SIGWINCH);
}

static int is_passed_on(int number) {
  return number == SIGTERM || number == SIGINT || number == SIGHUP || number == SIGUSR1 || number == SIGUSR2 ||
         number == SIGQUIT || number == SIGWINCH || number == SIGCONT;
}

_Noreturn void sandd_guard_loop(int daemon, int ignore_hup) {
  static const uint64_t default_action[8];
  static const char name[16] = "sandd";
  int status = 0, any = 0;
  SANDD_RAW2(SYS_prctl, PR_SET_NAME, name);
  SANDD_RAW2(SYS_prctl, PR_SET_DUMPABLE, 0);
  SANDD_RAW2(SYS_prctl, PR_SET_CHILD_SUBREAPER, 1);
  SANDD_RAW4(SYS_rt_sigaction, SIGCHLD, default_action, 0, SIGSET_BYTES);
  // Blocked signals wait for us even where nobody handles them, as pid 1 too. Ctrl-Z stops us as it stops the daemon.
  uint64_t set = ~(bit(SIGTSTP) | bit(SIGTTIN) | bit(SIGTTOU));
  if (ignore_hup)
    set &= ~bit(SIGHUP);
  set_mask(set);
  while (!reap(daemon, &status, &any)) {
    siginfo_t info;
    int number = wait_signal(set, &info, -1);
    if (number > 0 && is_passed_on(number) && !came_to_both(number, &info))
      SANDD_RAW2(SYS_kill, daemon, number);
  }
  kill_rest();
  end_as(status);
}
