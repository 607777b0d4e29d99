// SPDX-License-Identifier: MIT
// Finds processes by an argument that no other process has, whatever became of their parents and environment.
#ifndef SANDD_PLATFORM_TESTS_MARKED_H
#define SANDD_PLATFORM_TESTS_MARKED_H

#include <stdbool.h>

/* A new marker, good as an argument of sleep: 27 hours or more. Static, the last of it is overwritten. */
const char *marked_new(void);

/* How many living processes (no zombies) have the marker as one of their arguments. */
unsigned marked_count(const char *marker);

/* Kills them, for the end of a test that failed or means to leave some. */
void marked_kill(const char *marker);

#endif
