// SPDX-License-Identifier: MIT
// The guard program. Its arguments are those of sandd, for `ps`; what it has to know stands in the environment.
#include "daemon/guard/loop.h"
#include "daemon/platform/linux/rawsys.h"

static int number(const char **text) {
  int n = 0;
  for (; **text >= '0' && **text <= '9'; (*text)++)
    n = n * 10 + (**text - '0');
  if (**text == ',')
    (*text)++;
  return n;
}

static _Noreturn void guard(char **env) {
  static const char name[] = "SANDD_GUARD=";
  SANDD_RAW3(SYS_close_range, 4, ~0U, 0); // 3 tells the daemon that we live
  for (; *env != 0; env++) {
    const char *p = *env;
    int i = 0;
    while (name[i] != 0 && p[i] == name[i])
      i++;
    if (name[i] != 0)
      continue;
    p += i;
    int daemon = number(&p);
    sandd_guard_loop(daemon, number(&p));
  }
  for (;;)
    SANDD_RAW1(SYS_exit_group, 2);
}

#if SANDD_RAWSYS_NATIVE
_Noreturn __attribute__((used)) void sandd_guard_main(long *stack);

_Noreturn void sandd_guard_main(long *stack) {
  guard((char **)(stack + 1 + stack[0] + 1));
}

#if defined(__x86_64__)
__asm__(
    ".text\n.globl _start\n_start:\n  xor %ebp, %ebp\n  mov %rsp, %rdi\n  and $-16, %rsp\n  call sandd_guard_main\n");
#else
__asm__(".text\n.globl _start\n_start:\n  mov x29, #0\n  mov x30, #0\n  mov x0, sp\n  bl sandd_guard_main\n");
#endif
#else
int main(int argc, char **argv, char **env) {
  (void)argc;
  (void)argv;
  guard(env);
}
#endif
