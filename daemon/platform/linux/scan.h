// SPDX-License-Identifier: MIT
// A picture of all processes, and which of them came of a command. No loop, no thread of its own.
#ifndef SANDD_PLATFORM_LINUX_SCAN_H
#define SANDD_PLATFORM_LINUX_SCAN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct {
  pid_t pid, parent, group, session;
  uint64_t start; // since boot, in ticks: with pid it names a process for ever
  char state;
  bool mine;     // carries our SANDD_DAEMON
  char *exec_id; // its SANDD_EXEC, if mine
  uint8_t mark;
} sandd_scan_entry;

typedef struct {
  sandd_scan_entry *list; // by pid
  size_t count, room;
  uint64_t since; // processes older than this are nobody's command
} sandd_scan;

/* Whom to look for. */
typedef struct {
  const char *exec_id; // NULL: every command of ours
  pid_t leader;        // the process that was started; 0: unknown
  bool leader_reaped;  // then its number may be another's by now
} sandd_scan_target;

/* Takes the picture; false without memory or without /proc. Blocks for as long as /proc does. */
bool sandd_scan_take(sandd_scan *scan, const char *tag);
void sandd_scan_free(sandd_scan *scan);

/* Marks the living that belong to the target (entry.mark), and returns their number. */
size_t sandd_scan_mark(sandd_scan *scan, const sandd_scan_target *target);

/* Sends a signal to the process of that number and start, and to no other. False if it is gone or may not be reached. */
bool sandd_scan_signal(pid_t pid, uint64_t start, int number);

#endif
