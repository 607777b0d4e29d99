// SPDX-License-Identifier: MIT
// When the start of a child is over, without a descriptor to wait on.
//
// The kernel clears a word of ours when the child leaves our memory, by exec or by its end, and a child that fails has put
// its report beside it before. The end of a child comes as a signal, and whoever looks at it looks at the word first: a
// command that is over within a millisecond or two costs nothing more. For all others a timer looks, less and less often
// while nothing happens.
#include "daemon/platform/linux/internal.h"

enum { FIRST_LOOK_MS = 2, LONGEST_MS = 50 };

static void remove_from_list(sandd_process *process) {
  *process->settle_link = process->settle_next;
  if (process->settle_next != NULL)
    process->settle_next->settle_link = process->settle_link;
  process->settle_link = NULL;
}

static void on_closed(uv_handle_t *handle) {
  sandd_spawner_unref(handle->data);
}

static void close_timer(sandd_spawner *spawner) {
  if (!uv_is_closing((uv_handle_t *)&spawner->settle))
    uv_close((uv_handle_t *)&spawner->settle, on_closed);
}

static void none_is_left(sandd_spawner *spawner) {
  if (spawner->killer == NULL)
    close_timer(spawner);
  else
    uv_timer_stop(&spawner->settle);
}

bool sandd_settle_look(sandd_process *process) {
  if (process->settle_link == NULL || __atomic_load_n(&process->inside, __ATOMIC_ACQUIRE) != 0)
    return false;
  sandd_spawner *spawner = process->spawner;
  spawner->refs++;
  remove_from_list(process);
  sandd_process_settled(process);
  if (spawner->settling == NULL)
    none_is_left(spawner);
  sandd_spawner_unref(spawner);
  return true;
}

// A callback may add some, in front, and take others away.
static void look_at_all(sandd_spawner *spawner) {
  for (sandd_process *process = spawner->settling, *next; process != NULL; process = next) {
    next = process->settle_next;
    if (next != NULL)
      next->refs++;
    sandd_settle_look(process);
    if (next != NULL) {
      bool gone = next->settle_link == NULL;
      sandd_process_unref(next);
      next = gone ? spawner->settling : next;
    }
  }
}

static void on_timer(uv_timer_t *timer) {
  sandd_spawner *spawner = timer->data;
  spawner->refs++;
  look_at_all(spawner);
  if (spawner->settling != NULL) {
    spawner->settle_ms = spawner->settle_ms * 2 > LONGEST_MS ? LONGEST_MS : spawner->settle_ms * 2;
    uv_timer_start(timer, on_timer, spawner->settle_ms, 0);
  }
  sandd_spawner_unref(spawner);
}

void sandd_settle_add(sandd_process *process) {
  sandd_spawner *spawner = process->spawner;
  process->settle_next = spawner->settling;
  process->settle_link = &spawner->settling;
  if (process->settle_next != NULL)
    process->settle_next->settle_link = &process->settle_next;
  spawner->settling = process;
  if (spawner->settle_ms != FIRST_LOOK_MS || !uv_is_active((uv_handle_t *)&spawner->settle)) {
    spawner->settle_ms = FIRST_LOOK_MS;
    uv_timer_start(&spawner->settle, on_timer, FIRST_LOOK_MS, 0);
  }
}

void sandd_settle_init(sandd_spawner *spawner) {
  uv_timer_init(spawner->loop, &spawner->settle);
  spawner->settle.data = spawner;
  spawner->refs++;
}

void sandd_settle_free(sandd_spawner *spawner) {
  if (spawner->settling == NULL)
    close_timer(spawner);
}
