// SPDX-License-Identifier: MIT
#include "daemon/platform/tests/run.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

uv_loop_t *loop;
sandd_spawner *spawner;
bool run_plain, run_adopt;
static uv_loop_t the_loop;
static int descriptors_before;
static unsigned count;

static int count_descriptors(void) {
  int n = 0;
  DIR *dir = opendir("/proc/self/fd");
  while (dir != NULL && readdir(dir) != NULL)
    n++;
  closedir(dir);
  return n;
}

void run_setup(void) {
  signal(SIGPIPE, SIG_IGN);
  descriptors_before = count_descriptors();
  loop = &the_loop;
  ck_assert_int_eq(uv_loop_init(loop), 0);
  sandd_spawner_config config = {.size = sizeof(config), .loop = loop, .plain = run_plain, .adopt = run_adopt};
  ck_assert_int_eq(sandd_spawner_new(&spawner, &config), 0);
}

// A start that failed, or was given up, is reaped behind the scenes.
static bool has_no_child(void *data) {
  (void)data;
  siginfo_t info;
  return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 && errno == ECHILD;
}

void run_teardown(void) {
  run_until_true(has_no_child, NULL);
  sandd_spawner_free(spawner);
  uv_run(loop, UV_RUN_DEFAULT);
  ck_assert_int_eq(uv_loop_close(loop), 0);
  // libuv keeps a pipe for signals once it has a loop: allow for it.
  ck_assert_int_le(count_descriptors(), descriptors_before + 2);
}

static void read_into(sandd_pipe **pipe, char **bytes, size_t *len) {
  static char buf[65536];
  size_t got;
  int r = sandd_pipe_read(*pipe, buf, sizeof(buf), &got);
  if (r == SANDD_PIPE_AGAIN)
    return;
  ck_assert_int_ge(r, 0);
  if (r == SANDD_PIPE_CLOSED) {
    sandd_pipe_close(*pipe);
    *pipe = NULL;
    return;
  }
  *bytes = realloc(*bytes, *len + got + 1);
  memcpy(*bytes + *len, buf, got);
  *len += got;
  (*bytes)[*len] = 0;
}

static void on_out(sandd_pipe *pipe, void *data) {
  run *r = data;
  (void)pipe;
  read_into(&r->out, &r->out_bytes, &r->out_len);
}

static void on_err(sandd_pipe *pipe, void *data) {
  run *r = data;
  (void)pipe;
  read_into(&r->err, &r->err_bytes, &r->err_len);
}

static void on_in(sandd_pipe *pipe, void *data) {
  run *r = data;
  size_t put = 0;
  int result = sandd_pipe_write(pipe, r->input, r->input_left, &put);
  r->input += put;
  r->input_left -= put;
  if (result == SANDD_PIPE_AGAIN)
    return;
  r->stdin_broken = result == SANDD_PIPE_CLOSED;
  if (r->input_left > 0 && !r->stdin_broken)
    return;
  sandd_pipe_close(pipe);
  r->in = NULL;
}

static void on_started(sandd_process *process, const sandd_platform_error *error, void *data) {
  run *r = data;
  ck_assert(!r->started && !r->failed);
  if (error != NULL) {
    r->failed = true;
    r->error = *error;
    return;
  }
  r->started = true;
  r->in = sandd_process_take_pipe(process, SANDD_PROCESS_STDIN);
  r->out = sandd_process_take_pipe(process, SANDD_PROCESS_STDOUT);
  r->err = sandd_process_take_pipe(process, SANDD_PROCESS_STDERR);
  ck_assert_ptr_null(sandd_process_take_pipe(process, SANDD_PROCESS_STDOUT));
  ck_assert_int_eq(sandd_pipe_start(r->out, on_out, r), 0);
  if (r->err != NULL)
    ck_assert_int_eq(sandd_pipe_start(r->err, on_err, r), 0);
  if (r->in != NULL && !r->keep_stdin)
    ck_assert_int_eq(sandd_pipe_start(r->in, on_in, r), 0);
}

static void on_exited(sandd_process *process, const sandd_process_exit *exit, void *data) {
  run *r = data;
  (void)process;
  ck_assert(r->started && !r->exited);
  r->exited = true;
  r->exit = *exit;
}

run *run_begin(run_options o) {
  run *r = calloc(1, sizeof(*r));
  char id[32];
  snprintf(id, sizeof(id), "test-%d-%u", (int)getpid(), ++count);
  sandd_bytes argv[64];
  size_t argc = 0;
  for (; o.argv != NULL && o.argv[argc] != NULL; argc++)
    argv[argc] = (sandd_bytes){o.argv[argc], strlen(o.argv[argc])};
  for (; o.argv == NULL && argc < 4 && o.raw_argv[argc].data != NULL; argc++)
    argv[argc] = o.raw_argv[argc];
  r->input = o.input;
  r->keep_stdin = o.keep_stdin;
  r->input_left = o.input == NULL ? 0 : o.input_len > 0 ? o.input_len : strlen(o.input);
  sandd_process_config config = {
      .size = sizeof(config),
      .argv = argv,
      .argc = argc,
      .shell_line = {o.line, o.line != NULL ? strlen(o.line) : 0},
      .env = o.env,
      .env_count = o.env_count,
      .replace_env = o.replace_env,
      .cwd = {o.cwd, o.cwd != NULL ? strlen(o.cwd) : 0},
      .user_name = o.user,
      .has_uid = o.has_uid,
      .uid = o.uid,
      .stdin_pipe = o.input != NULL || o.keep_stdin,
      .merge_stderr = o.merge,
      .pty = o.pty,
      .exec_id = o.exec_id != NULL ? o.exec_id : id,
      .on_started = on_started,
      .on_exited = on_exited,
      .data = r,
  };
  int result = sandd_process_start(&r->process, spawner, &config, &r->error);
  if (result != 0) {
    ck_assert_int_eq(result, r->error.kind);
    ck_assert_ptr_null(r->process);
    r->failed = true;
  }
  return r;
}

static void on_tick(uv_timer_t *timer) {
  (void)timer;
}

static void on_tick_closed(uv_handle_t *tick) {
  *(bool *)tick->data = true;
}

void run_until_true(bool (*condition)(void *), void *data) {
  uv_timer_t tick;
  uv_timer_init(loop, &tick);
  uv_timer_start(&tick, on_tick, 5, 5);
  uint64_t deadline = uv_hrtime() + 20000000000u;
  while (!condition(data)) {
    ck_assert_msg(uv_hrtime() < deadline, "waited 20 s in vain");
    uv_run(loop, UV_RUN_ONCE);
  }
  bool closed = false;
  tick.data = &closed;
  uv_close((uv_handle_t *)&tick, on_tick_closed);
  while (!closed)
    uv_run(loop, UV_RUN_NOWAIT);
}

static bool is_set(void *data) {
  return *(const bool *)data;
}

void run_until(const bool *flag) {
  run_until_true(is_set, (void *)(uintptr_t)flag);
}

static bool is_finished(void *data) {
  const run *r = data;
  return r->failed || (r->exited && r->out == NULL && r->err == NULL);
}

void run_finish(run *r) {
  run_until_true(is_finished, r);
}

void run_free(run *r) {
  sandd_process_free(r->process);
  sandd_pipe_close(r->in);
  sandd_pipe_close(r->out);
  sandd_pipe_close(r->err);
  free(r->out_bytes);
  free(r->err_bytes);
  free(r);
}

run *run_all(run_options options) {
  run *r = run_begin(options);
  run_finish(r);
  return r;
}
