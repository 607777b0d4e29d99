// SPDX-License-Identifier: MIT
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#include "daemon/guard/guard.h"
#include "daemon/platform/linux/sweep.h"
#include "daemon/platform/system.h"

static const int64_t GIVE_UP_NS = 5000000000;

unsigned sandd_guard_kill_all(const sandd_spawner *spawner) {
  int64_t give_up = sandd_platform_boottime_ns() + GIVE_UP_NS;
  prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); // who loses its parent from here on stays within reach
  for (long wait_ns = 1000000;; wait_ns = wait_ns < 50000000 ? wait_ns * 2 : wait_ns) {
    sandd_sweep_job job = {.mode = SANDD_SWEEP_KILL};
    sandd_sweep_run(&job, 1, sandd_spawner_tag(spawner));
    while (waitpid(-1, NULL, WNOHANG) > 0)
      ;
    if (job.left == 0 || sandd_platform_boottime_ns() >= give_up)
      return (unsigned)job.left;
    struct timespec pause = {.tv_nsec = wait_ns};
    nanosleep(&pause, NULL);
  }
}
