// SPDX-License-Identifier: MIT
// A small daemon for the tests of the guard: starts a command, says what it hears, and ends as it is told.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "daemon/guard/guard.h"
#include "daemon/platform/system.h"

static sandd_spawner *spawner;
static sandd_process *process;

static void say(const char *what, long number) {
  printf("%s %ld\n", what, number);
  fflush(stdout);
}

static void on_started(sandd_process *p, const sandd_platform_error *error, void *data) {
  (void)data;
  say(error == NULL ? "started" : "failed", (long)sandd_process_id(p));
}

static void on_guard_died(void *data) {
  (void)data;
  unsigned left = sandd_guard_kill_all(spawner);
  say("guard died", (long)left);
  _exit(9);
}

static void on_signal(uv_signal_t *handle, int number) {
  (void)handle;
  say("signal", number);
  if (number == SIGTERM)
    exit(7);
}

// guarded LINE: runs LINE; guarded --exit N: exits with N; guarded --die N: dies of signal N
int main(int argc, char **argv) {
  sandd_platform_error error;
  if (argc < 2 || sandd_guard_enter(argc, argv, &error) != 0)
    return 120;
  sandd_platform_init();
  if (strcmp(argv[1], "--exit") == 0)
    return atoi(argv[2]);
  if (strcmp(argv[1], "--die") == 0) {
    signal(atoi(argv[2]), SIG_DFL);
    raise(atoi(argv[2]));
    pause();
  }
  uv_loop_t *loop = uv_default_loop();
  sandd_spawner_config config = {.size = sizeof(config), .loop = loop, .adopt = true};
  if (sandd_spawner_new(&spawner, &config) != 0 || sandd_guard_watch(loop, on_guard_died, NULL) != 0)
    return 121;
  static const int numbers[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGQUIT, SIGWINCH, SIGCONT};
  static uv_signal_t signals[sizeof(numbers) / sizeof(numbers[0])];
  for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
    uv_signal_init(loop, &signals[i]);
    uv_signal_start(&signals[i], on_signal, numbers[i]);
  }
  say("daemon", getpid());
  say("guard", getppid());
  sandd_process_config command = {.size = sizeof(command),
                                  .shell_line = {argv[1], strlen(argv[1])},
                                  .exec_id = "guarded",
                                  .on_started = on_started};
  if (sandd_process_start(&process, spawner, &command, &error) != 0)
    return 122;
  return uv_run(loop, UV_RUN_DEFAULT);
}
