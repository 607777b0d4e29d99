// SPDX-License-Identifier: MIT
#ifndef SANDD_DAEMON_DAEMON_H
#define SANDD_DAEMON_DAEMON_H

#include "options.h"

/* Runs the daemon on the calling thread until a signal or the server ends it. Returns the program's exit code.
 * options: borrowed for the call. */
int sandd_daemon_run(const sandd_options *options);

#endif
