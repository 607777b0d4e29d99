// SPDX-License-Identifier: MIT
// System calls that touch no errno and no library: for code that runs in a child which shares our memory and our thread's
// storage, and for the guard, which has no library at all. The result is negative errno on failure.
#ifndef SANDD_PLATFORM_LINUX_RAWSYS_H
#define SANDD_PLATFORM_LINUX_RAWSYS_H

#include <sys/syscall.h>

#if defined(__x86_64__) && defined(__LP64__)
#define SANDD_RAWSYS_NATIVE 1
static inline long sandd_raw(long n, long a, long b, long c, long d, long e) {
  long r;
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  __asm__ volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8) : "rcx", "r11", "memory");
  return r;
}
#elif defined(__aarch64__)
#define SANDD_RAWSYS_NATIVE 1
static inline long sandd_raw(long n, long a, long b, long c, long d, long e) {
  register long x8 __asm__("x8") = n;
  register long x0 __asm__("x0") = a;
  register long x1 __asm__("x1") = b;
  register long x2 __asm__("x2") = c;
  register long x3 __asm__("x3") = d;
  register long x4 __asm__("x4") = e;
  __asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
  return x0;
}
#else
#define SANDD_RAWSYS_NATIVE 0
#include <errno.h>
#include <unistd.h>
static inline long sandd_raw(long n, long a, long b, long c, long d, long e) {
  long r = syscall(n, a, b, c, d, e, 0L);
  return r == -1 ? -errno : r;
}
#endif

#define SANDD_RAW0(n)                sandd_raw((n), 0, 0, 0, 0, 0)
#define SANDD_RAW1(n, a)             sandd_raw((n), (long)(a), 0, 0, 0, 0)
#define SANDD_RAW2(n, a, b)          sandd_raw((n), (long)(a), (long)(b), 0, 0, 0)
#define SANDD_RAW3(n, a, b, c)       sandd_raw((n), (long)(a), (long)(b), (long)(c), 0, 0)
#define SANDD_RAW4(n, a, b, c, d)    sandd_raw((n), (long)(a), (long)(b), (long)(c), (long)(d), 0)
#define SANDD_RAW5(n, a, b, c, d, e) sandd_raw((n), (long)(a), (long)(b), (long)(c), (long)(d), (long)(e))

#endif
