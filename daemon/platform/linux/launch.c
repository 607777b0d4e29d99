// SPDX-License-Identifier: MIT
// Making the child.
//
// clone(CLONE_VM) without CLONE_VFORK: the child borrows our memory until exec, as with vfork, but our loop goes on at once.
// There is no thread to hand the work to and none to wake us, and a child that hangs in chdir or exec hangs alone. What that
// asks for: a stack of its own for the child, a child that touches no storage of our thread (child.c), and signals blocked
// from before clone until the child has reset its dispositions. The end of file on the error pipe, which close-on-exec
// brings after the child has left our memory, says that exec succeeded and that stack and plan are ours again.
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

enum { STACK_SIZE = 32768 };

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

static pid_t make_child(sandd_process *process, void *stack_top, int *pidfd) {
  sandd_child_plan *plan = &process->command.plan;
  // A child that changes its user is never one with our memory: whoever may trace that user could reach into us.
  bool shared = !process->spawner->plain && !plan->set_user;
  int flags = SIGCHLD;
  if (!process->spawner->plain && process->spawner->adopted_fd < 0)
    flags |= CLONE_PIDFD;
  if (shared)
    flags |= SANDD_RAWSYS_NATIVE ? CLONE_VM : CLONE_VM | CLONE_VFORK;
  *pidfd = -1;
  pid_t pid = clone(sandd_child_main, stack_top, flags, plan, pidfd);
  if (pid < 0 && flags != SIGCHLD && (errno == EINVAL || errno == ENOSYS || errno == EPERM)) {
    *pidfd = -1;
    pid = clone(sandd_child_main, stack_top, SIGCHLD, plan);
  }
  return pid;
}

int sandd_launch_child(sandd_process *process, sandd_platform_error *error) {
  int report_fd = -1;
  sandd_child_plan *plan = &process->command.plan;
  int r = 0;
  process->stack = malloc(STACK_SIZE);
  if (process->stack == NULL)
    return system_error(error, ENOMEM, "no process can be made");
  if (make_pipe(&process->error_fd, &report_fd) != 0 || fcntl(process->error_fd, F_SETFL, O_NONBLOCK) != 0) {
    r = system_error(error, errno, "no pipe can be made");
    goto out;
  }
  fill_stdio(process, plan);
  plan->error_fd = report_fd;
  uint64_t all = ~(uint64_t)0, before = 0;
  uintptr_t top = ((uintptr_t)process->stack + STACK_SIZE) & ~(uintptr_t)63;
  process->started_ns = sandd_platform_boottime_ns();
  SANDD_RAW4(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before,
             sizeof(all)); // the C library would leave out two of its own
  process->pid = make_child(process, (void *)top, &process->pidfd);
  int saved = errno;
  SANDD_RAW4(SYS_rt_sigprocmask, SIG_SETMASK, &before, 0, sizeof(before));
  if (process->pid < 0) {
    process->pid = 0;
    r = system_error(error, saved, "no process can be made");
  }
out:
  if (report_fd >= 0)
    close(report_fd);
  if (r != 0) {
    if (process->error_fd >= 0)
      close(process->error_fd);
    process->error_fd = -1;
    free(process->stack);
    process->stack = NULL;
  }
  return r;
}
