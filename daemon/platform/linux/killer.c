// SPDX-License-Identifier: MIT
// Kills under way. At most one sweep runs at a time, and it works on all of them: a thousand kills cost a few looks at
// /proc, not a thousand.
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/platform/linux/internal.h"
#include "daemon/platform/linux/sweep.h"
#include "daemon/platform/system.h"

enum { FIRST_WAIT_MS = 2, LONGEST_WAIT_MS = 100 };
static const int64_t GIVE_UP_NS = 5000000000; // after KILL: who lives then is stuck in the kernel

typedef enum { STEP_SIGNAL, STEP_TERM, STEP_GRACE, STEP_KILL } step;

typedef struct order order;
struct order {
  order *next;
  step step;
  int number;
  char exec_id[129];
  pid_t leader;
  bool leader_reaped;
  int64_t kill_at_ns, give_up_at_ns;
  sandd_tree_done_cb done;
  void *data;
  bool in_sweep;
};

struct sandd_killer {
  sandd_spawner *spawner;
  uv_timer_t timer;
  sandd_task task;
  order *orders;
  sandd_sweep_job *jobs; // of the sweep that runs
  order **job_orders;
  size_t job_count;
  unsigned wait_ms;
  char tag[64];
  bool sweeping, hurry, freed, timer_closed;
};

static void sweep_soon(sandd_killer *killer, unsigned ms);

static void run_sweep(void *data) {
  sandd_killer *killer = data;
  sandd_sweep_run(killer->jobs, killer->job_count, killer->tag);
}

static void drop(sandd_killer *killer, order *gone) {
  for (order **p = &killer->orders; *p != NULL; p = &(*p)->next)
    if (*p == gone) {
      *p = gone->next;
      break;
    }
  free(gone);
}

static void maybe_destroy(sandd_killer *killer) {
  if (!killer->freed || killer->sweeping || !killer->timer_closed)
    return;
  while (killer->orders != NULL)
    drop(killer, killer->orders);
  free(killer);
}

// What a sweep found of an order; true when the order is over.
static bool advance(order *o, const sandd_sweep_job *job, int64_t now) {
  switch (o->step) {
  case STEP_SIGNAL: return true;
  case STEP_TERM: o->step = STEP_GRACE; return false; // left was counted before they could react
  case STEP_GRACE: return job->left == 0;
  case STEP_KILL:
    if (o->give_up_at_ns == 0)
      o->give_up_at_ns = now + GIVE_UP_NS;
    return job->left == 0 || now >= o->give_up_at_ns;
  }
  return true;
}

// No longer than to the next KILL that is due.
static unsigned wait_for(const sandd_killer *killer, int64_t now) {
  int64_t wait = killer->wait_ms;
  for (const order *o = killer->orders; o != NULL; o = o->next) {
    int64_t due = (o->kill_at_ns - now + 999999) / 1000000;
    if (o->step == STEP_GRACE && due < wait)
      wait = due > 0 ? due : 0;
  }
  return (unsigned)wait;
}

static void on_swept(void *data) {
  sandd_killer *killer = data;
  sandd_sweep_job *jobs = killer->jobs;
  order **orders = killer->job_orders;
  size_t count = killer->job_count;
  int64_t now = sandd_platform_boottime_ns();
  killer->jobs = NULL;
  killer->job_orders = NULL;
  for (size_t i = 0; i < count; i++) {
    orders[i]->in_sweep = false;
    if (!advance(orders[i], &jobs[i], now))
      continue;
    sandd_tree_done_cb done = orders[i]->done;
    void *done_data = orders[i]->data;
    drop(killer, orders[i]);
    if (done != NULL && !killer->freed)
      done((unsigned)jobs[i].left, done_data);
  }
  free(jobs);
  free(orders);
  killer->sweeping = false;
  if (killer->freed) {
    maybe_destroy(killer);
    return;
  }
  if (killer->orders == NULL)
    return;
  sweep_soon(killer, killer->hurry ? 0 : wait_for(killer, now));
  killer->hurry = false;
  killer->wait_ms = killer->wait_ms * 2 > LONGEST_WAIT_MS ? LONGEST_WAIT_MS : killer->wait_ms * 2;
}

static void fill_job(sandd_sweep_job *job, order *o, int64_t now) {
  if ((o->step == STEP_TERM || o->step == STEP_GRACE) && now >= o->kill_at_ns)
    o->step = STEP_KILL;
  memcpy(job->exec_id, o->exec_id, sizeof(job->exec_id));
  job->leader = o->leader;
  job->leader_reaped = o->leader_reaped;
  job->number = o->step == STEP_TERM ? SIGTERM : o->number;
  job->mode = o->step == STEP_KILL ? SANDD_SWEEP_KILL : o->step == STEP_GRACE ? SANDD_SWEEP_COUNT : SANDD_SWEEP_SIGNAL;
}

static void sweep(uv_timer_t *timer) {
  sandd_killer *killer = timer->data;
  size_t count = 0;
  for (order *o = killer->orders; o != NULL; o = o->next)
    count++;
  if (killer->sweeping || count == 0)
    return;
  killer->jobs = calloc(count, sizeof(*killer->jobs));
  killer->job_orders = calloc(count, sizeof(order *));
  killer->job_count = 0;
  int64_t now = sandd_platform_boottime_ns();
  if (killer->jobs != NULL && killer->job_orders != NULL) {
    for (order *o = killer->orders; o != NULL; o = o->next) {
      o->in_sweep = true;
      killer->job_orders[killer->job_count] = o;
      fill_job(&killer->jobs[killer->job_count++], o, now);
    }
    killer->task = (sandd_task){.run = run_sweep, .done = on_swept, .data = killer};
    killer->sweeping = true;
    if (sandd_task_start(&killer->task, killer->spawner->loop) == 0)
      return;
    killer->sweeping = false;
  }
  free(killer->jobs);
  free(killer->job_orders);
  killer->jobs = NULL;
  killer->job_orders = NULL;
  sweep_soon(killer, LONGEST_WAIT_MS);
}

static void sweep_soon(sandd_killer *killer, unsigned ms) {
  if (!killer->sweeping && !killer->freed)
    uv_timer_start(&killer->timer, sweep, ms, 0);
}

void sandd_killer_poke(sandd_killer *killer, pid_t reaped) {
  if (killer == NULL || killer->orders == NULL)
    return;
  for (order *o = killer->orders; o != NULL; o = o->next)
    if (o->leader == reaped)
      o->leader_reaped = true;
  killer->hurry = true;
  sweep_soon(killer, 0);
}

static order *add_order(sandd_killer *killer, const char *exec_id, pid_t leader, bool reaped) {
  order *o = calloc(1, sizeof(*o));
  if (o == NULL)
    return NULL;
  if (exec_id != NULL) {
    size_t len = strnlen(exec_id, sizeof(o->exec_id) - 1);
    memcpy(o->exec_id, exec_id, len);
  }
  o->leader = leader;
  o->leader_reaped = reaped;
  o->next = killer->orders;
  killer->orders = o;
  killer->wait_ms = FIRST_WAIT_MS;
  killer->hurry = true;
  sweep_soon(killer, 0);
  return o;
}

int sandd_killer_signal(sandd_killer *killer, const char *exec_id, pid_t leader, bool reaped, int number) {
  order *o = add_order(killer, exec_id, leader, reaped);
  if (o == NULL)
    return SANDD_PLATFORM_RESOURCE;
  o->step = STEP_SIGNAL;
  o->number = number;
  return 0;
}

// A kill that is already under way is hastened, so that what it counts stays true for both callers.
static void hasten(sandd_killer *killer, const char *exec_id, int64_t kill_at) {
  for (order *o = killer->orders; o != NULL; o = o->next)
    if (o->step != STEP_SIGNAL && (exec_id == NULL || strcmp(o->exec_id, exec_id) == 0) && o->kill_at_ns > kill_at)
      o->kill_at_ns = kill_at;
}

int sandd_killer_kill(sandd_killer *killer, const char *exec_id, pid_t leader, bool reaped, int64_t grace_ns,
                      sandd_tree_done_cb done, void *data) {
  int64_t now = sandd_platform_boottime_ns();
  int64_t kill_at = grace_ns <= 0 ? now : grace_ns > INT64_MAX - now ? INT64_MAX : now + grace_ns;
  bool told = false; // TERM comes once, whoever asks
  for (order *o = killer->orders; o != NULL; o = o->next)
    told = told ||
           (o->step != STEP_SIGNAL && (o->exec_id[0] == 0 || (exec_id != NULL && strcmp(o->exec_id, exec_id) == 0)));
  hasten(killer, exec_id, kill_at);
  order *o = add_order(killer, exec_id, leader, reaped);
  if (o == NULL)
    return SANDD_PLATFORM_RESOURCE;
  o->step = grace_ns <= 0 ? STEP_KILL : told ? STEP_GRACE : STEP_TERM;
  o->kill_at_ns = kill_at;
  o->done = done;
  o->data = data;
  return 0;
}

int sandd_killer_new(sandd_killer **out, sandd_spawner *spawner) {
  sandd_killer *killer = calloc(1, sizeof(*killer));
  *out = killer;
  if (killer == NULL)
    return SANDD_PLATFORM_RESOURCE;
  killer->spawner = spawner;
  memcpy(killer->tag, spawner->tag, sizeof(killer->tag));
  uv_timer_init(spawner->loop, &killer->timer);
  killer->timer.data = killer;
  return 0;
}

static void on_timer_closed(uv_handle_t *handle) {
  sandd_killer *killer = handle->data;
  killer->timer_closed = true;
  maybe_destroy(killer);
}

void sandd_killer_free(sandd_killer *killer) {
  killer->freed = true;
  uv_close((uv_handle_t *)&killer->timer, on_timer_closed);
}

int sandd_tree_kill(sandd_spawner *spawner, const char *exec_id, int64_t grace_ns, sandd_tree_done_cb done,
                    void *data) {
  return sandd_killer_kill(spawner->killer, exec_id, 0, false, grace_ns, done, data);
}

int sandd_tree_signal(sandd_spawner *spawner, const char *exec_id, const char *name) {
  int number = sandd_platform_signal_number(name);
  return number == 0 ? SANDD_PLATFORM_INVALID : sandd_killer_signal(spawner->killer, exec_id, 0, false, number);
}

int sandd_tree_kill_all(sandd_spawner *spawner, int64_t grace_ns, sandd_tree_done_cb done, void *data) {
  return sandd_killer_kill(spawner->killer, NULL, 0, false, grace_ns, done, data);
}
