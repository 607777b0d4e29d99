// SPDX-License-Identifier: MIT
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/platform/system.h"

static const struct {
  int number;
  const char *name;
} SIGNALS[] = {
#define S(n) {SIG##n, #n}
    S(HUP),           S(INT),          S(QUIT),          S(ILL),  S(TRAP), S(ABRT), S(BUS),  S(FPE),
    S(KILL),          S(USR1),         S(SEGV),          S(USR2), S(PIPE), S(ALRM), S(TERM), S(CHLD),
    S(CONT),          S(STOP),         S(TSTP),          S(TTIN), S(TTOU), S(URG),  S(XCPU), S(XFSZ),
    S(VTALRM),        S(PROF),         S(WINCH),         S(IO),   S(SYS),
#ifdef SIGPWR
    S(PWR),
#endif
#ifdef SIGSTKFLT
    S(STKFLT),
#endif
#undef S
    {SIGABRT, "IOT"}, {SIGIO, "POLL"}, {SIGCHLD, "CLD"}, // other names of the same; the first is the one that is told
};
enum { COUNT = sizeof(SIGNALS) / sizeof(SIGNALS[0]) };

// The real-time range is the kernel's; the two below it are the C library's own.
static int real_time(const char *name) {
  int base;
  if (strncmp(name, "RTMIN", 5) == 0)
    base = SIGRTMIN;
  else if (strncmp(name, "RTMAX", 5) == 0)
    base = SIGRTMAX;
  else
    return 0;
  const char *rest = name + 5;
  if (*rest == 0)
    return base;
  char *end;
  if ((*rest != '+' && *rest != '-') || rest[1] < '0' || rest[1] > '9')
    return 0;
  long offset = strtol(rest, &end, 10);
  long number = base + offset;
  return *end == 0 && offset > -64 && offset < 64 && number >= SIGRTMIN && number <= SIGRTMAX ? (int)number : 0;
}

int sandd_platform_signal_number(const char *name) {
  for (int i = 0; i < COUNT; i++)
    if (strcmp(SIGNALS[i].name, name) == 0)
      return SIGNALS[i].number;
  return real_time(name);
}

const char *sandd_platform_signal_name(int number, char *buf, size_t size) {
  for (int i = 0; i < COUNT; i++)
    if (SIGNALS[i].number == number) {
      snprintf(buf, size, "%s", SIGNALS[i].name);
      return buf;
    }
  if (number == SIGRTMIN)
    snprintf(buf, size, "RTMIN");
  else if (number == SIGRTMAX)
    snprintf(buf, size, "RTMAX");
  else if (number > SIGRTMIN && number < SIGRTMAX)
    snprintf(buf, size, "RTMIN+%d", number - SIGRTMIN);
  else
    snprintf(buf, size, "%d", number);
  return buf;
}

const char *const *sandd_platform_signal_names(void) {
  static const char *names[COUNT + 3];
  if (names[0] == NULL) {
    for (int i = 1; i < COUNT; i++)
      names[i] = SIGNALS[i].name;
    names[COUNT] = "RTMIN";
    names[COUNT + 1] = "RTMAX";
    names[0] = SIGNALS[0].name;
  }
  return names;
}
