// SPDX-License-Identifier: MIT
#include <malloc.h>
#include <stdio.h>

#include "daemon.h"
#include "daemon/guard/guard.h"
#include "daemon/platform/system.h"
#include "options.h"

static int put(const char *text) {
  return fputs(text, stdout) < 0 || fflush(stdout) != 0 ? 1 : 0;
}

/* One heap that gives back what it can: a daemon is idle most of its life. */
static void set_up_memory(void) {
#ifdef __GLIBC__
  mallopt(M_ARENA_MAX, 1);
  mallopt(M_TRIM_THRESHOLD, 256 * 1024);
  mallopt(M_MMAP_THRESHOLD, 256 * 1024);
#endif
}

static int run(int argc, char **argv, const sandd_options *options) {
  sandd_platform_error error;
  sandd_log_set_level(options->log_level);
  sandd_platform_raise_fd_limit();
  if (sandd_guard_enter(argc, argv, &error) != 0) {
    sandd_log(SANDD_LOG_WARN, "no guard process: %s", error.message);
  }
  if (!sandd_platform_harden()) {
    sandd_log(SANDD_LOG_WARN, "commands of the same user can read this process's memory");
  }
  return sandd_daemon_run(options);
}

int main(int argc, char **argv) {
  set_up_memory();
  sandd_platform_init();
  sandd_options options;
  char error[1024];
  int code = 0;
  if (sandd_options_parse(&options, argc, argv, error, sizeof(error)) != 0) {
    fprintf(stderr, "sandd: %s\n", error);
    code = 2;
  } else if (options.help) {
    code = put(sandd_options_help());
  } else if (options.version) {
    code = put("sandd " SANDD_VERSION "\n");
  } else {
    code = run(argc, argv, &options);
  }
  sandd_options_free(&options);
  return code;
}
