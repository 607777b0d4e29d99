// SPDX-License-Identifier: MIT
#include "exec.h"
#include "log.h"

static uint64_t nearer(uint64_t a, uint64_t b) {
  return a < b ? a : b;
}

static bool blocked(const sandd_exec *exec) {
  for (int i = 0; i < SANDD_EXEC_OUTPUTS; i++) {
    if (exec->outputs[i] && sandd_exec_output_blocked(exec->outputs[i])) {
      return true;
    }
  }
  return false;
}

/* When bytes last came from the process or left for a reader, but not before from. */
static uint64_t last_moved(const sandd_exec *exec, uint64_t from) {
  for (int i = 0; i < SANDD_EXEC_OUTPUTS; i++) {
    if (exec->outputs[i] && sandd_exec_output_moved_us(exec->outputs[i]) > from) {
      from = sandd_exec_output_moved_us(exec->outputs[i]);
    }
  }
  return from;
}

static uint64_t timeout_deadline(const sandd_exec *exec) {
  bool counts = exec->timeout_us && exec->phase <= SANDD_EXEC_RUNNING && !exec->killing;
  return counts ? exec->start_us + exec->timeout_us : UINT64_MAX;
}

static uint64_t idle_deadline(const sandd_exec *exec) {
  bool counts = exec->idle_us && exec->phase == SANDD_EXEC_RUNNING && !exec->killing;
  return counts ? last_moved(exec, exec->idle_from_us) + exec->idle_us : UINT64_MAX;
}

/* Nobody took a byte for so long: what is not in the ring by now never will be. */
static uint64_t unread_deadline(const sandd_exec *exec) {
  return exec->phase == SANDD_EXEC_EXITED ? last_moved(exec, exec->exited_us) + exec->execs->config.retention_us
                                          : UINT64_MAX;
}

static uint64_t expiry(const sandd_exec *exec) {
  bool counts = exec->phase == SANDD_EXEC_CLOSED && !exec->streams;
  return counts ? exec->closed_us + exec->execs->config.retention_us : UINT64_MAX;
}

void sandd_exec_rearm(sandd_exec *exec) {
  uint64_t deadline = nearer(timeout_deadline(exec), idle_deadline(exec));
  deadline = nearer(deadline, nearer(unread_deadline(exec), expiry(exec)));
  deadline = nearer(deadline, exec->held ? exec->hold_us : UINT64_MAX);
  if (exec->phase == SANDD_EXEC_EXITED) {
    for (int i = 0; i < SANDD_EXEC_OUTPUTS; i++) {
      if (exec->outputs[i]) {
        deadline = nearer(deadline, sandd_exec_output_deadline(exec->outputs[i]));
      }
    }
  }
  if (sandd_timers_set(&exec->execs->timers, &exec->timer, deadline) != 0) {
    sandd_log(SANDD_LOG_ERROR, "exec %s: no memory for its timer", exec->entry.id);
  }
}

void sandd_exec_due(void *data, uint64_t now_us) {
  sandd_exec *exec = data;
  sandd_exec_touch(exec); // which sets the timer again
  if (exec->held && exec->hold_us <= now_us) {
    sandd_exec_unhold(exec);
  }
  if (timeout_deadline(exec) <= now_us) {
    sandd_exec_kill(exec, SANDD__V1__EXIT_REASON__EXIT_REASON_DEADLINE, SANDD_CODE(DEADLINE_EXCEEDED),
                    "its timeout passed before it could be started");
  } else if (idle_deadline(exec) <= now_us) {
    // a process that we don't read is not idle
    if (blocked(exec)) {
      exec->idle_from_us = now_us;
    } else {
      sandd_exec_kill(exec, SANDD__V1__EXIT_REASON__EXIT_REASON_IDLE, SANDD_CODE(DEADLINE_EXCEEDED), "it was idle");
    }
  }
  if (exec->phase == SANDD_EXEC_EXITED) {
    bool unread = unread_deadline(exec) <= now_us;
    for (int i = 0; i < SANDD_EXEC_OUTPUTS; i++) {
      if (exec->outputs[i] && unread) {
        sandd_exec_output_expire(exec->outputs[i]);
      } else if (exec->outputs[i]) {
        sandd_exec_output_due(exec->outputs[i], now_us);
      }
    }
  }
  if (expiry(exec) <= now_us) {
    sandd_exec_expire(exec);
  }
}
