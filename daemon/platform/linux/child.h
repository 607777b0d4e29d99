// SPDX-License-Identifier: MIT
// What a child does between clone and exec. It may share our memory while our loop goes on, so it reads a plan that nobody
// changes, uses raw system calls only, calls no library function, and writes nothing but its report.
#ifndef SANDD_PLATFORM_LINUX_CHILD_H
#define SANDD_PLATFORM_LINUX_CHILD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Why the program could not be run. */
typedef struct {
  int32_t at;          // sandd_platform_at
  int32_t candidate;   // AT_PROGRAM: which path
  int32_t interpreter; // AT_PROGRAM: the file is there, what its first line names is not
  int32_t error;       // written last; 0: there is no report
} sandd_child_report;

typedef struct {
  char **candidates;  // paths to try, NULL at the end
  char **argv;        // NULL at the end
  char **script_argv; // shell, a slot for the path, argv[1]...: for a file that is executable but has no known format
  char **envp;
  const char *cwd;                     // NULL: stay
  int stdio[3];                        // all above 2
  int error_fd;                        // above 2, for the report; end of file alone means that the program runs
  volatile sandd_child_report *report; // instead of error_fd, for a child in our memory
  bool terminal;                       // stdio[0] becomes the controlling terminal
  pid_t parent;
  uint64_t reset_signals; // bit n - 1: the disposition of signal n may not be the default
  struct {
    uint64_t soft, hard;
  } nofile;
  bool restore_nofile;
  bool set_user;
  uid_t uid;
  gid_t gid;
  const gid_t *groups;
  size_t group_count;
} sandd_child_plan;

/* The child's main; arg is a sandd_child_plan. Does not return. */
int sandd_child_main(void *arg);

#endif
