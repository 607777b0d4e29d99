// SPDX-License-Identifier: MIT
#include "daemon/platform/system.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "daemon/platform/linux/internal.h"

static struct rlimit original_nofile;
static bool nofile_changed;

static void copy_printable(char *out, size_t size, const char *in) {
  size_t i = 0;
  for (; in[i] != 0 && i + 1 < size; i++)
    out[i] = in[i] >= 0x20 && in[i] < 0x7f ? in[i] : '?';
  out[i] = 0;
}

void sandd_platform_get_info(sandd_platform_info *info) {
  *info = (sandd_platform_info){.os = "linux"};
  struct utsname name;
  if (uname(&name) != 0)
    return;
  copy_printable(info->arch, sizeof(info->arch), name.machine);
  copy_printable(info->release, sizeof(info->release), name.release);
  copy_printable(info->hostname, sizeof(info->hostname), name.nodename);
}

void sandd_platform_init(void) {
  int fd;
  do
    fd = open("/dev/null", O_RDWR);
  while (fd >= 0 && fd < 3);
  if (fd >= 3)
    close(fd);
  signal(SIGPIPE, SIG_IGN);
}

uint64_t sandd_platform_raise_fd_limit(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
    return 0;
  if (limit.rlim_cur >= limit.rlim_max)
    return limit.rlim_cur;
  struct rlimit raised = {.rlim_cur = limit.rlim_max, .rlim_max = limit.rlim_max};
  if (setrlimit(RLIMIT_NOFILE, &raised) != 0)
    return limit.rlim_cur;
  if (!nofile_changed)
    original_nofile = limit;
  nofile_changed = true;
  return raised.rlim_cur;
}

bool sandd_system_nofile(uint64_t *soft, uint64_t *hard) {
  *soft = original_nofile.rlim_cur;
  *hard = original_nofile.rlim_max;
  return nofile_changed;
}

bool sandd_platform_harden(void) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return true;
#else
  return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0;
#endif
}

const char *sandd_platform_default_shell(void) {
  return "/bin/sh";
}

int64_t sandd_platform_boottime_ns(void) {
  struct timespec now;
  if (clock_gettime(CLOCK_BOOTTIME, &now) != 0)
    clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}
