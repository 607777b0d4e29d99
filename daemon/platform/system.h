// SPDX-License-Identifier: MIT
// The machine and this process on it.
#ifndef SANDD_PLATFORM_SYSTEM_H
#define SANDD_PLATFORM_SYSTEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
  char os[32];       // "linux"
  char arch[64];     // "x86_64", "aarch64"
  char release[128]; // of the kernel
  char hostname[256];
} sandd_platform_info;

/* Says what machine this is; a part that can't be known is "". Bytes that are not printable ASCII become '?'. Any thread. */
void sandd_platform_get_info(sandd_platform_info *info);

/* Readies this process for the work, at the start of main: descriptors 0, 1 and 2 are open (the null device where they were
 * not), a broken pipe is an error code and no signal. Before any thread. */
void sandd_platform_init(void);

/* Raises the soft limit of open descriptors to the hard one, for this process only: commands get the one that was before.
 * Returns the limit that now holds. Once, before the first command. */
uint64_t sandd_platform_raise_fd_limit(void);

/* Keeps commands of the same user from reading this process's environment and memory (its token). It also denies debuggers
 * and core dumps. Call it after every change of user. Returns false where the system can't. No effect under sanitizers,
 * whose leak check needs the access. */
bool sandd_platform_harden(void);

/* The shell that runs command lines: "/bin/sh". Static. */
const char *sandd_platform_default_shell(void);

/* Time since boot in ns, time in suspend included. Any thread. */
int64_t sandd_platform_boottime_ns(void);

/* The number of a signal by its name without SIG ("TERM", "RTMIN+1"), 0 if there is none such. */
int sandd_platform_signal_number(const char *name);

/* Writes the name of a signal to buf (16 bytes suffice) and returns buf; "SIG<n>"-less number for one without a name. */
const char *sandd_platform_signal_name(int number, char *buf, size_t size);

/* All names, NULL at the end, without the real-time ones but RTMIN and RTMAX. Static. */
const char *const *sandd_platform_signal_names(void);

#endif
