// SPDX-License-Identifier: MIT
// Signals to whole trees, many in one go. Runs on a worker thread: /proc can block.
#ifndef SANDD_PLATFORM_LINUX_SWEEP_H
#define SANDD_PLATFORM_LINUX_SWEEP_H

#include <stddef.h>

#include "daemon/platform/linux/scan.h"

typedef enum {
  SANDD_SWEEP_COUNT,  // who is left
  SANDD_SWEEP_SIGNAL, // each gets it once, those that appear meanwhile too
  SANDD_SWEEP_KILL,   // stopped first, so that nobody escapes by forking, then killed
} sandd_sweep_mode;

typedef struct {
  char exec_id[129]; // "": every command of ours
  pid_t leader;
  bool leader_reaped;
  sandd_sweep_mode mode;
  int number;
  size_t left; // out: the living at the last look
  struct {
    pid_t pid;
    uint64_t start;
  } *seen; // who was signalled in this sweep
  size_t seen_count, seen_room;
  bool grew;
} sandd_sweep_job;

/* Works on all jobs together; each look at /proc serves them all. Frees what it put into seen. */
void sandd_sweep_run(sandd_sweep_job *jobs, size_t count, const char *tag);

#endif
