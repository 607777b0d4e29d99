// SPDX-License-Identifier: MIT
#include "daemon/platform/linux/sweep.h"

#include <signal.h>
#include <stdlib.h>

enum { LOOKS = 200 }; // a fork bomb grows only until it has been stopped once; this bounds what nothing can stop

static bool is_seen(const sandd_sweep_job *job, const sandd_scan_entry *entry) {
  for (size_t i = 0; i < job->seen_count; i++)
    if (job->seen[i].pid == entry->pid && job->seen[i].start == entry->start)
      return true;
  return false;
}

static bool remember(sandd_sweep_job *job, const sandd_scan_entry *entry) {
  if (job->seen_count == job->seen_room) {
    size_t room = job->seen_room > 0 ? job->seen_room * 2 : 64;
    void *bigger = realloc(job->seen, room * sizeof(*job->seen));
    if (bigger == NULL)
      return false;
    job->seen = bigger;
    job->seen_room = room;
  }
  job->seen[job->seen_count].pid = entry->pid;
  job->seen[job->seen_count++].start = entry->start;
  return true;
}

static void reach(sandd_sweep_job *job, const sandd_scan_entry *entry) {
  if (is_seen(job, entry))
    return;
  int number = job->mode == SANDD_SWEEP_KILL ? SIGSTOP : job->number;
  bool sent = sandd_scan_signal(entry->pid, entry->start, number);
  if (sent && job->mode == SANDD_SWEEP_SIGNAL && number == SIGTERM)
    sandd_scan_signal(entry->pid, entry->start, SIGCONT); // what is stopped would not hear it
  if (remember(job, entry) && sent)
    job->grew = true;
}

static void look(sandd_sweep_job *job, sandd_scan *scan) {
  sandd_scan_target target = {job->exec_id[0] != 0 ? job->exec_id : NULL, job->leader, job->leader_reaped};
  job->grew = false;
  job->left = sandd_scan_mark(scan, &target);
  if (job->mode == SANDD_SWEEP_COUNT || job->left == 0)
    return;
  for (size_t i = 0; i < scan->count; i++)
    if (scan->list[i].mark)
      reach(job, &scan->list[i]);
}

static void finish(sandd_sweep_job *job) {
  if (job->mode == SANDD_SWEEP_KILL)
    for (size_t i = job->seen_count; i > 0; i--)
      sandd_scan_signal(job->seen[i - 1].pid, job->seen[i - 1].start, SIGKILL);
  free(job->seen);
  job->seen = NULL;
  job->seen_count = job->seen_room = 0;
}

void sandd_sweep_run(sandd_sweep_job *jobs, size_t count, const char *tag) {
  bool again = true;
  for (int n = 0; again && n < LOOKS; n++) {
    sandd_scan scan;
    again = false;
    if (!sandd_scan_take(&scan, tag))
      break;
    for (size_t i = 0; i < count; i++) {
      if (n > 0 && !jobs[i].grew)
        continue;
      look(&jobs[i], &scan);
      again = again || jobs[i].grew;
    }
    sandd_scan_free(&scan);
  }
  for (size_t i = 0; i < count; i++)
    finish(&jobs[i]);
}
