// SPDX-License-Identifier: MIT
// What a command costs: `sh -c true` from start to reap and end of both outputs, in turns, so that all see the same machine.
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

#include "daemon/platform/process.h"
#include "daemon/platform/system.h"

extern char **environ;

typedef struct {
  sandd_process *process;
  int open; // outputs
  bool failed, exited;
} one;

static uv_loop_t loop;
static sandd_spawner *usual;

static void on_output(sandd_pipe *pipe, void *data) {
  char buf[4096];
  size_t got;
  if (sandd_pipe_read(pipe, buf, sizeof(buf), &got) != SANDD_PIPE_CLOSED)
    return;
  sandd_pipe_close(pipe);
  ((one *)data)->open--;
}

static void on_started(sandd_process *process, const sandd_platform_error *error, void *data) {
  one *o = data;
  o->failed = error != NULL;
  for (int channel = SANDD_PROCESS_STDOUT; !o->failed && channel <= SANDD_PROCESS_STDERR; channel++) {
    sandd_pipe_start(sandd_process_take_pipe(process, (sandd_process_channel)channel), on_output, o);
    o->open++;
  }
}

static void on_exited(sandd_process *process, const sandd_process_exit *exit, void *data) {
  (void)process;
  one *o = data;
  o->failed = exit->signaled || exit->exit_code != 0;
  o->exited = true;
}

static void run_usual(void) {
  one o = {0};
  sandd_platform_error error;
  sandd_process_config config = {.size = sizeof(config),
                                 .shell_line = {"true", 4},
                                 .exec_id = "bench",
                                 .on_started = on_started,
                                 .on_exited = on_exited,
                                 .data = &o};
  if (sandd_process_start(&o.process, usual, &config, &error) != 0)
    abort();
  while (!o.failed && (!o.exited || o.open > 0))
    uv_run(&loop, UV_RUN_ONCE);
  if (o.failed)
    abort();
  sandd_process_free(o.process);
}

static void read_to_end(int out, int err) {
  struct pollfd fds[2] = {{out, POLLIN, 0}, {err, POLLIN, 0}};
  char buf[4096];
  for (int left = 2; left > 0;) {
    poll(fds, 2, -1);
    for (int i = 0; i < 2; i++)
      if (fds[i].revents != 0 && read(fds[i].fd, buf, sizeof(buf)) == 0) {
        close(fds[i].fd);
        fds[i].fd = -1;
        left--;
      }
  }
}

static void collect(pid_t pid, int out[2], int err[2]) {
  int status;
  close(out[1]);
  close(err[1]);
  read_to_end(out[0], err[0]);
  if (waitpid(pid, &status, 0) != pid || status != 0)
    abort();
}

static char *const ARGV[] = {(char *)"sh", (char *)"-c", (char *)"true", NULL};

static void run_posix_spawn(void) {
  int out[2], err[2];
  pid_t pid;
  posix_spawn_file_actions_t actions;
  if (pipe2(out, O_CLOEXEC) != 0 || pipe2(err, O_CLOEXEC) != 0)
    abort();
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, out[1], 1);
  posix_spawn_file_actions_adddup2(&actions, err[1], 2);
  if (posix_spawn(&pid, "/bin/sh", &actions, NULL, ARGV, environ) != 0)
    abort();
  posix_spawn_file_actions_destroy(&actions);
  collect(pid, out, err);
}

static void run_vfork(void) {
  int out[2], err[2];
  if (pipe2(out, O_CLOEXEC) != 0 || pipe2(err, O_CLOEXEC) != 0)
    abort();
  pid_t pid = vfork();
  if (pid == 0) {
    dup2(out[1], 1);
    dup2(err[1], 2);
    execve("/bin/sh", ARGV, environ);
    _exit(127);
  }
  collect(pid, out, err);
}

static int by_value(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

int main(int argc, char **argv) {
  static const struct {
    const char *name;
    void (*run)(void);
  } ways[] = {{"sandd", run_usual}, {"posix_spawn", run_posix_spawn}, {"vfork", run_vfork}};
  enum { WAYS = sizeof(ways) / sizeof(ways[0]) };
  int rounds = argc > 1 ? atoi(argv[1]) : 1000;
  size_t ballast = argc > 2 ? (size_t)atoi(argv[2]) << 20 : 0; // MiB that this process holds
  if (ballast > 0)
    memset(malloc(ballast), 1, ballast);
  sandd_platform_init();
  uv_loop_init(&loop);
  sandd_spawner_config config = {.size = sizeof(config), .loop = &loop, .adopt = true}; // as the daemon has it
  if (rounds <= 0 || sandd_spawner_new(&usual, &config) != 0)
    return 1;
  int64_t *took[WAYS];
  for (int w = 0; w < WAYS; w++)
    took[w] = calloc((size_t)rounds, sizeof(int64_t));
  for (int i = -20; i < rounds; i++)
    for (int w = 0; w < WAYS; w++) {
      int64_t begin = sandd_platform_boottime_ns();
      ways[w].run();
      if (i >= 0)
        took[w][i] = sandd_platform_boottime_ns() - begin;
    }
  printf("%-14s %8s %8s  (us, %d rounds)\n", "sh -c true", "p50", "p99", rounds);
  for (int w = 0; w < WAYS; w++) {
    qsort(took[w], (size_t)rounds, sizeof(int64_t), by_value);
    printf("%-14s %8.0f %8.0f\n", ways[w].name, (double)took[w][rounds / 2] / 1e3,
           (double)took[w][rounds * 99 / 100] / 1e3);
    free(took[w]);
  }
  sandd_spawner_free(usual);
  uv_run(&loop, UV_RUN_DEFAULT);
  return uv_loop_close(&loop) == 0 ? 0 : 1;
}
