// SPDX-License-Identifier: MIT
#include "daemon/platform/linux/scan.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { ENVIRON_MAX = 8 << 20 };
enum { MARK_UNKNOWN, MARK_NO, MARK_YES };

static bool read_stat(pid_t pid, sandd_scan_entry *entry) {
  char path[32], buf[1024];
  snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return false;
  ssize_t n = read(fd, buf, sizeof(buf) - 1);
  close(fd);
  if (n <= 0)
    return false;
  buf[n] = 0;
  char *p = strrchr(buf, ')'); // the name before it may hold anything
  int parent, group, session;
  unsigned long long start;
  if (p == NULL || sscanf(p + 1, " %c %d %d %d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
                          &entry->state, &parent, &group, &session, &start) != 5)
    return false;
  entry->pid = pid;
  entry->parent = parent;
  entry->group = group;
  entry->session = session;
  entry->start = start;
  return true;
}

static char *read_environ(pid_t pid, size_t *len) {
  char path[40];
  snprintf(path, sizeof(path), "/proc/%d/environ", (int)pid);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return NULL;
  size_t room = 8192, used = 0;
  char *buf = malloc(room + 1);
  while (buf != NULL) {
    ssize_t n = read(fd, buf + used, room - used);
    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      break;
    used += (size_t)n;
    if (used == room && room < ENVIRON_MAX) {
      char *bigger = realloc(buf, room * 2 + 1);
      if (bigger == NULL)
        break;
      buf = bigger;
      room *= 2;
    } else if (used == room) {
      break;
    }
  }
  close(fd);
  if (buf != NULL)
    buf[used] = 0;
  *len = used;
  return buf;
}

static void read_owner(sandd_scan_entry *entry, const char *tag) {
  size_t len = 0;
  char *env = read_environ(entry->pid, &len);
  const char *exec_id = NULL;
  for (size_t at = 0; env != NULL && at < len; at += strlen(env + at) + 1) {
    if (strncmp(env + at, "SANDD_EXEC=", 11) == 0)
      exec_id = env + at + 11;
    else if (strncmp(env + at, "SANDD_DAEMON=", 13) == 0 && strcmp(env + at + 13, tag) == 0)
      entry->mine = true;
  }
  if (entry->mine && exec_id != NULL)
    entry->exec_id = strdup(exec_id);
  free(env);
}

static int by_pid(const void *a, const void *b) {
  pid_t x = ((const sandd_scan_entry *)a)->pid, y = ((const sandd_scan_entry *)b)->pid;
  return (x > y) - (x < y);
}

static bool is_dead(const sandd_scan_entry *entry) {
  return entry->state == 'Z' || entry->state == 'X' || entry->state == 'x';
}

static bool add(sandd_scan *scan, pid_t pid, const char *tag) {
  if (scan->count == scan->room) {
    size_t room = scan->room > 0 ? scan->room * 2 : 256;
    sandd_scan_entry *bigger = realloc(scan->list, room * sizeof(*bigger));
    if (bigger == NULL)
      return false;
    scan->list = bigger;
    scan->room = room;
  }
  sandd_scan_entry *entry = &scan->list[scan->count];
  memset(entry, 0, sizeof(*entry));
  if (!read_stat(pid, entry))
    return true;
  scan->count++;
  if (!is_dead(entry) && entry->start >= scan->since && pid != getpid())
    read_owner(entry, tag);
  return true;
}

bool sandd_scan_take(sandd_scan *scan, const char *tag) {
  memset(scan, 0, sizeof(*scan));
  sandd_scan_entry self;
  if (read_stat(getpid(), &self))
    scan->since = self.start;
  DIR *dir = opendir("/proc");
  if (dir == NULL)
    return false;
  bool ok = true;
  for (struct dirent *d = readdir(dir); ok && d != NULL; d = readdir(dir))
    if (d->d_name[0] >= '1' && d->d_name[0] <= '9')
      ok = add(scan, (pid_t)atoi(d->d_name), tag);
  closedir(dir);
  if (!ok)
    sandd_scan_free(scan);
  else if (scan->count > 0)
    qsort(scan->list, scan->count, sizeof(*scan->list), by_pid);
  return ok;
}

void sandd_scan_free(sandd_scan *scan) {
  for (size_t i = 0; i < scan->count; i++)
    free(scan->list[i].exec_id);
  free(scan->list);
  memset(scan, 0, sizeof(*scan));
}

static sandd_scan_entry *find(sandd_scan *scan, pid_t pid) {
  if (scan->count == 0)
    return NULL;
  sandd_scan_entry key = {.pid = pid};
  return bsearch(&key, scan->list, scan->count, sizeof(key), by_pid);
}

static bool comes_from(sandd_scan *scan, const sandd_scan_entry *entry, pid_t ancestor) {
  for (size_t steps = 0; entry != NULL && steps <= scan->count; steps++) {
    if (entry->parent == ancestor)
      return true;
    entry = find(scan, entry->parent);
  }
  return false;
}

// By itself, whatever its parents are.
static bool belongs(sandd_scan *scan, const sandd_scan_entry *entry, const sandd_scan_target *target) {
  if (entry->mine &&
      (target->exec_id == NULL || (entry->exec_id != NULL && strcmp(entry->exec_id, target->exec_id) == 0)))
    return true;
  if (target->exec_id == NULL && entry->parent == getpid())
    return true;
  if (target->leader == 0 || entry->start < scan->since)
    return false;
  if (!target->leader_reaped)
    return entry->session == target->leader || (entry->pid == target->leader && entry->parent == getpid());
  // A number stays taken while a session has it. Once a process bears it again, or other people's do, it says nothing.
  return entry->session == target->leader && find(scan, target->leader) == NULL && !entry->mine &&
         (comes_from(scan, entry, getpid()) || (getppid() != 1 && comes_from(scan, entry, getppid())));
}

static uint8_t mark_of(sandd_scan *scan, sandd_scan_entry *entry, const sandd_scan_target *target, unsigned depth) {
  if (entry->mark != MARK_UNKNOWN)
    return entry->mark;
  entry->mark = MARK_NO; // ends a circle that processes moving under our eyes can make
  if (entry->pid == getpid())
    return MARK_NO;
  if (belongs(scan, entry, target))
    entry->mark = MARK_YES;
  else if (entry->start >= scan->since && depth < 4096) {
    sandd_scan_entry *parent = find(scan, entry->parent);
    if (parent != NULL)
      entry->mark = mark_of(scan, parent, target, depth + 1);
  }
  return entry->mark;
}

size_t sandd_scan_mark(sandd_scan *scan, const sandd_scan_target *target) {
  size_t count = 0;
  for (size_t i = 0; i < scan->count; i++)
    scan->list[i].mark = MARK_UNKNOWN;
  for (size_t i = 0; i < scan->count; i++)
    mark_of(scan, &scan->list[i], target, 0);
  for (size_t i = 0; i < scan->count; i++) {
    sandd_scan_entry *entry = &scan->list[i];
    entry->mark = entry->mark == MARK_YES && !is_dead(entry);
    count += entry->mark;
  }
  return count;
}

bool sandd_scan_signal(pid_t pid, uint64_t start, int number) {
  sandd_scan_entry now;
#if defined(SYS_pidfd_open) && defined(SYS_pidfd_send_signal)
  int fd = (int)syscall(SYS_pidfd_open, pid, 0);
  if (fd >= 0) {
    bool sent = read_stat(pid, &now) && now.start == start && syscall(SYS_pidfd_send_signal, fd, number, NULL, 0) == 0;
    close(fd);
    return sent;
  }
  if (errno == ESRCH)
    return false;
#endif
  return read_stat(pid, &now) && now.start == start && kill(pid, number) == 0;
}
