// SPDX-License-Identifier: MIT
// The guard: a tiny process above the daemon, so that whatever kills either of them, no command is left behind.
// Goes with a spawner that adopts orphans: they are then within reach of whichever of the two survives.
//
//   before:  sandd (the pid that was started)
//   after:   guard (the same pid, 100 KB, no library) ──> sandd
#ifndef SANDD_GUARD_H
#define SANDD_GUARD_H

#include "daemon/platform/error.h"
#include "daemon/platform/process.h"

/* Splits this process in two: the caller goes on as the daemon, with a new pid, and the pid that was started becomes the
 * guard, which never returns. The guard passes signals on, reaps what lost its parent, ends with the daemon's exit code or
 * signal, and when the daemon ends, however that comes about, it first kills all that is left. It is fit to be pid 1.
 * Call it once, at the top of main, when the options are known to be good, before any thread; it includes
 * sandd_platform_init.
 * Returns 0 in the daemon; SANDD_PLATFORM_RESOURCE or SANDD_PLATFORM_SYSTEM with *error filled if there is no guard: then
 * nothing has happened.
 * A Ctrl-C or kill of the whole group reaches the daemon itself too: count a second INT or TERM within 100 ms as the
 * first. */
int sandd_guard_enter(int argc, char **argv, sandd_platform_error *error);

/* True if whoever started us wanted hang-ups ignored (nohup): the daemon should leave HUP alone then. */
bool sandd_guard_ignores_hangup(void);

/* Tells that the guard died; the daemon should then call sandd_guard_kill_all and exit at once. */
typedef void (*sandd_guard_died_cb)(void *data);

/* Watches the guard from the loop, which the watch does not keep alive. cb comes once. Without a guard it is an error:
 * SANDD_PLATFORM_NOT_FOUND; SANDD_PLATFORM_RESOURCE as always. */
int sandd_guard_watch(struct uv_loop_s *loop, sandd_guard_died_cb cb, void *data);

/* Ends the watch; its handle is closed when the loop has run again. Fine without one. */
void sandd_guard_unwatch(void);

/* Kills every command of the spawner and all that came of them, now, and waits until none is left, at most 5 s. Returns how
 * many are left. Blocks; no spawner call but sandd_spawner_free may follow. */
unsigned sandd_guard_kill_all(const sandd_spawner *spawner);

#endif
