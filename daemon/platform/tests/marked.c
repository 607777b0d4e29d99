// SPDX-License-Identifier: MIT
#include "daemon/platform/tests/marked.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

const char *marked_new(void) {
  static char marker[64];
  static unsigned count;
  snprintf(marker, sizeof(marker), "98765.%09ld%07d%04u", (long)time(NULL) % 1000000000, (int)getpid(), ++count);
  return marker;
}

static bool is_marked(const char *pid, const char *marker) {
  char path[300], buf[16384];
  snprintf(path, sizeof(path), "/proc/%s/cmdline", pid);
  FILE *f = fopen(path, "re");
  if (f == NULL)
    return false;
  size_t n = fread(buf, 1, sizeof(buf) - 1, f); // a zombie has none
  fclose(f);
  buf[n] = 0;
  for (size_t at = 0; at < n; at += strlen(buf + at) + 1)
    if (strcmp(buf + at, marker) == 0)
      return true;
  return false;
}

static unsigned each(const char *marker, int number) {
  unsigned count = 0;
  DIR *dir = opendir("/proc");
  for (struct dirent *d = readdir(dir); d != NULL; d = readdir(dir))
    if (d->d_name[0] >= '1' && d->d_name[0] <= '9' && is_marked(d->d_name, marker)) {
      count++;
      if (number != 0)
        kill((pid_t)atoi(d->d_name), number);
    }
  closedir(dir);
  return count;
}

unsigned marked_count(const char *marker) {
  return each(marker, 0);
}

void marked_kill(const char *marker) {
  each(marker, SIGKILL);
}
