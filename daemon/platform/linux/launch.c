// SPDX-License-Identifier: MIT
// Making the child.
//
// clone(CLONE_VM) without CLONE_VFORK: the child borrows our memory until exec, as with vfork, but our loop goes on at once.
// There is no thread to hand the work to and none to wake us, and a child that hangs in chdir or exec hangs alone. What that
// asks for: a stack of its own for the child, a child that touches no storage of our thread (child.c), and signals blocked
// from before clone until the child has reset its dispositions; clone3 makes a child without our handlers, and that is not
// needed. Stack and plan are ours again when the child has left our memory. Where SIGCHLD tells of every end, a word that
// the kernel clears says so (settle.c); elsewhere the end of file on the error pipe, which close-on-exec brings after that.
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "daemon/platform/linux/internal.h"
#include "daemon/platform/linux/rawsys.h"
#include "daemon/platform/system.h"

#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x00001000
#endif

#ifndef CLONE_CLEAR_SIGHAND
#define CLONE_CLEAR_SIGHAND 0x100000000ULL
#endif
#ifndef SYS_clone3
#define SYS_clone3 435
#endif

enum { STACK_SIZE = 32768 };

/* What clone3 reads: its first version. */
typedef struct {
  uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
} clone3_args;

static int system_error(sandd_platform_error *error, int number, const char *what) {
  return sandd_error_errno(error, SANDD_PLATFORM_AT_SYSTEM, number, what);
}

// The child puts its descriptors at 0 to 2 one by one, so none of them may stand there before.
static int above_stdio(int fd) {
  if (fd < 0 || fd > 2)
    return fd;
  int moved = fcntl(fd, F_DUPFD_CLOEXEC, 3);
  int saved = errno;
  close(fd);
  errno = saved;
  return moved;
}

static int make_pipe(int *reader, int *writer) {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0)
    return -1;
  *reader = above_stdio(fds[0]);
  *writer = above_stdio(fds[1]);
  return *reader >= 0 && *writer >= 0 ? 0 : -1; // the caller closes what is there
}

static int own_end(sandd_process *process, sandd_process_channel channel, int fd, int events) {
  if (fcntl(fd, F_SETFL, O_NONBLOCK) != 0 ||
      sandd_pipe_new(&process->pipe[channel], process->spawner->loop, fd, events) != 0) {
    close(fd);
    errno = ENOMEM;
    return -1;
  }
  return 0;
}

static int make_output(sandd_process *process, sandd_process_channel channel) {
  int reader = -1;
  if (make_pipe(&reader, &process->child_fd[channel]) != 0) {
    int saved = errno;
    if (reader >= 0)
      close(reader);
    errno = saved;
    return -1;
  }
  return own_end(process, channel, reader, UV_READABLE);
}

static int make_input(sandd_process *process) {
  int writer = -1;
  if (make_pipe(&process->child_fd[0], &writer) != 0) {
    int saved = errno;
    if (writer >= 0)
      close(writer);
    errno = saved;
    return -1;
  }
  return own_end(process, SANDD_PROCESS_STDIN, writer, UV_WRITABLE);
}

static int make_terminal(sandd_process *process, const sandd_pty_config *pty) {
  int master = above_stdio(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (master < 0)
    return -1;
  process->terminal_fd = master;
  char name[64];
  struct winsize size = {.ws_row = pty->rows, .ws_col = pty->cols};
  if (grantpt(master) != 0 || unlockpt(master) != 0 || ptsname_r(master, name, sizeof(name)) != 0 ||
      ioctl(master, TIOCSWINSZ, &size) != 0)
    return -1;
  process->child_fd[0] = above_stdio(open(name, O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (process->child_fd[0] < 0)
    return -1;
  int input = fcntl(master, F_DUPFD_CLOEXEC, 3), output = fcntl(master, F_DUPFD_CLOEXEC, 3);
  if (input < 0 || output < 0) {
    int saved = errno;
    if (input >= 0)
      close(input);
    errno = saved;
    return -1;
  }
  if (own_end(process, SANDD_PROCESS_STDIN, input, UV_WRITABLE) != 0) {
    close(output);
    return -1;
  }
  return own_end(process, SANDD_PROCESS_STDOUT, output, UV_READABLE);
}

int sandd_launch_open(sandd_process *process, const sandd_process_config *config, sandd_platform_error *error) {
  int r = 0;
  if (config->pty != NULL) {
    r = make_terminal(process, config->pty);
    return r == 0 ? 0 : system_error(error, errno, "no terminal can be made");
  }
  if (config->stdin_pipe)
    r = make_input(process);
  if (r == 0)
    r = make_output(process, SANDD_PROCESS_STDOUT);
  if (r == 0 && !config->merge_stderr)
    r = make_output(process, SANDD_PROCESS_STDERR);
  return r == 0 ? 0 : system_error(error, errno, "no pipe can be made");
}

void sandd_launch_close(sandd_process *process) {
  for (int i = 0; i < 3; i++) {
    if (process->child_fd[i] >= 0)
      close(process->child_fd[i]);
    process->child_fd[i] = -1;
  }
}

static void fill_stdio(sandd_process *process, sandd_child_plan *plan) {
  const int *fd = process->child_fd;
  plan->terminal = process->terminal_fd >= 0;
  plan->stdio[0] = fd[0] >= 0 ? fd[0] : process->spawner->null_fd;
  plan->stdio[1] = plan->terminal ? fd[0] : fd[1];
  plan->stdio[2] = plan->terminal ? fd[0] : fd[2] >= 0 ? fd[2] : fd[1];
}

// A child that changes its user is never one with our memory: whoever may trace that user could reach into us.
static bool shares_memory(const sandd_process *process) {
  return !process->spawner->plain && !process->command.plan.set_user;
}

static uint64_t flags_of(const sandd_process *process) {
  uint64_t flags = 0;
  if (!process->spawner->plain && process->spawner->adopted_fd < 0)
    flags |= CLONE_PIDFD;
  if (shares_memory(process))
    flags |= SANDD_RAWSYS_NATIVE ? CLONE_VM : CLONE_VM | CLONE_VFORK;
  if (process->by_word)
    flags |= CLONE_CHILD_CLEARTID;
  return flags;
}

// The child begins on a stack of its own, so it can't return from here: it calls.
static long call_clone3(const clone3_args *args, sandd_child_plan *plan) {
  long r = -ENOSYS;
#if defined(__x86_64__) && defined(__LP64__)
  register int (*entry)(void *) __asm__("r8") = sandd_child_main;
  register void *arg __asm__("r9") = plan;
  __asm__ volatile("syscall\n\t"
                   "test %%rax, %%rax\n\t"
                   "jnz 1f\n\t"
                   "xor %%ebp, %%ebp\n\t"
                   "mov %%r9, %%rdi\n\t"
                   "call *%%r8\n\t"
                   "hlt\n"
                   "1:"
                   : "=a"(r)
                   : "a"((long)SYS_clone3), "D"(args), "S"(sizeof(*args)), "r"(entry), "r"(arg)
                   : "rcx", "r11", "memory", "cc");
#elif defined(__aarch64__)
  register long x8 __asm__("x8") = SYS_clone3;
  register long x0 __asm__("x0") = (long)args;
  register long x1 __asm__("x1") = sizeof(*args);
  register int (*entry)(void *) __asm__("x9") = sandd_child_main;
  register void *arg __asm__("x10") = plan;
  __asm__ volatile("svc #0\n\t"
                   "cbnz x0, 1f\n\t"
                   "mov x29, xzr\n\t"
                   "mov x30, xzr\n\t"
                   "mov x0, x10\n\t"
                   "blr x9\n\t"
                   "brk #1\n"
                   "1:"
                   : "+r"(x0)
                   : "r"(x8), "r"(x1), "r"(entry), "r"(arg)
                   : "x30", "memory", "cc");
  r = x0;
#else
  (void)args;
  (void)plan;
#endif
  return r;
}

static pid_t make_newly(sandd_process *process) {
  sandd_child_plan *plan = &process->command.plan;
  clone3_args args = {.flags = flags_of(process) | CLONE_CLEAR_SIGHAND,
                      .pidfd = (uintptr_t)&process->pidfd,
                      .child_tid = (uintptr_t)&process->inside,
                      .exit_signal = SIGCHLD,
                      .stack = (uintptr_t)process->stack,
                      .stack_size = STACK_SIZE};
  plan->reset_signals = process->spawner->ignored;
  long r = call_clone3(&args, plan);
  if (r < 0)
    errno = (int)-r;
  return r < 0 ? -1 : (pid_t)r;
}

static pid_t make_blocked(sandd_process *process, int flags) {
  uint64_t all = ~(uint64_t)0, before = 0;
  uintptr_t top = ((uintptr_t)process->stack + STACK_SIZE) & ~(uintptr_t)63;
  process->command.plan.reset_signals = all;
  SANDD_RAW4(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before,
             sizeof(all)); // the C library would leave out two of its own
  pid_t pid = clone(sandd_child_main, (void *)top, flags | SIGCHLD, &process->command.plan, &process->pidfd, NULL,
                    &process->inside);
  int saved = errno;
  SANDD_RAW4(SYS_rt_sigprocmask, SIG_SETMASK, &before, 0, sizeof(before));
  errno = saved;
  return pid;
}

static bool is_unknown(int number) {
  return number == EINVAL || number == ENOSYS || number == EPERM;
}

static pid_t make_child(sandd_process *process) {
  sandd_spawner *spawner = process->spawner;
  if (shares_memory(process) && SANDD_RAWSYS_NATIVE && !spawner->old_clone) {
    pid_t pid = make_newly(process);
    if (pid >= 0 || !is_unknown(errno))
      return pid;
    spawner->old_clone = true;
  }
  return make_blocked(process, (int)flags_of(process));
}

static bool open_report(sandd_process *process) {
  sandd_child_plan *plan = &process->command.plan;
  plan->report = process->by_word ? &process->report : NULL;
  process->inside = process->by_word;
  return process->by_word ||
         (make_pipe(&process->error_fd, &plan->error_fd) == 0 && fcntl(process->error_fd, F_SETFL, O_NONBLOCK) == 0);
}

// The plan stays as it is: the child may be reading it.
static void close_report(const sandd_process *process) {
  if (process->command.plan.error_fd >= 0)
    close(process->command.plan.error_fd);
}

static void close_errors(sandd_process *process) {
  if (process->error_fd >= 0)
    close(process->error_fd);
  process->error_fd = -1;
}

int sandd_launch_child(sandd_process *process, sandd_platform_error *error) {
  sandd_child_plan *plan = &process->command.plan;
  sandd_spawner *spawner = process->spawner;
  int r = 0;
  process->stack = malloc(STACK_SIZE);
  if (process->stack == NULL)
    return system_error(error, ENOMEM, "no process can be made");
  fill_stdio(process, plan);
  plan->parent = spawner->self;
  plan->error_fd = -1;
  // Whoever has a stdin or a terminal is talked to, and wants to know at once that it runs.
  process->by_word = SANDD_RAWSYS_NATIVE && spawner->adopted_fd >= 0 && shares_memory(process) &&
                     process->pipe[SANDD_PROCESS_STDIN] == NULL;
  if (!open_report(process)) {
    r = system_error(error, errno, "no pipe can be made");
    goto out;
  }
  process->started_ns = sandd_platform_boottime_ns();
  process->pid = make_child(process);
  if (process->pid < 0 && is_unknown(errno) && flags_of(process) != 0) { // as on old or emulated systems
    spawner->plain = true;
    close_report(process);
    plan->error_fd = -1;
    close_errors(process);
    process->pidfd = -1;
    process->by_word = false;
    process->pid = open_report(process) ? make_child(process) : -1;
  }
  if (process->pid < 0) {
    r = system_error(error, errno, "no process can be made");
    process->pid = 0;
  }
out:
  close_report(process);
  if (r != 0) {
    close_errors(process);
    free(process->stack);
    process->stack = NULL;
  }
  return r;
}
