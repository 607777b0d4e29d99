// SPDX-License-Identifier: MIT
// Runs real processes through the platform layer, for its tests.
#ifndef SANDD_PLATFORM_TESTS_RUN_H
#define SANDD_PLATFORM_TESTS_RUN_H

#include <check.h>
#include <stdbool.h>
#include <uv.h>

#include "daemon/platform/process.h"

typedef struct {
  const char *const *argv; // NULL-terminated, or
  sandd_bytes raw_argv[4]; // with zero-free bytes of any value, or
  const char *line;        // for the shell
  const sandd_env_entry *env;
  size_t env_count;
  bool replace_env;
  const char *cwd;
  const char *user;
  bool has_uid;
  uint32_t uid;
  const char *input; // written to stdin, then closed; NULL: the null device
  size_t input_len;  // 0: strlen
  bool keep_stdin;   // a pipe that stays open and silent
  bool merge;
  const sandd_pty_config *pty;
  const char *exec_id;
  bool leave_output; // does not wait for the end of file of the outputs
} run_options;

typedef struct {
  sandd_process *process;
  sandd_pipe *in, *out, *err;
  sandd_platform_error error;
  sandd_process_exit exit;
  bool started, failed, exited, stdin_broken;
  char *out_bytes, *err_bytes;
  size_t out_len, err_len;
  const char *input;
  size_t input_left;
  bool keep_stdin;
} run;

extern uv_loop_t *loop;
extern sandd_spawner *spawner;
extern bool run_plain, run_adopt; // the spawner's options

/* Before and after each test; teardown fails on descriptors, children and handles that are left. */
void run_setup(void);
void run_teardown(void);

run *run_begin(run_options options);
/* Runs the loop until *flag, at most 20 s. */
void run_until(const bool *flag);
/* Until condition() holds; polls often, in the loop. */
void run_until_true(bool (*condition)(void *), void *data);
/* Until it has exited and its output is complete, or it failed to start. */
void run_finish(run *r);
void run_free(run *r);

/* Begins and finishes. */
run *run_all(run_options options);

#define RUN(...)  run_all((run_options){__VA_ARGS__})
#define ARGV(...) ((const char *const[]){__VA_ARGS__, NULL})

#endif
