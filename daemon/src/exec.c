// SPDX-License-Identifier: MIT
#include "exec.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "log.h"

/* So long a new command's first words wait for its end. */
#define HOLD_US 1500

void sandd_exec_touch(sandd_exec *exec) {
  if (!exec->touched) {
    exec->touched = true;
    exec->next_touched = exec->execs->touched;
    exec->execs->touched = exec;
  }
}

static void set_phase(sandd_exec *exec, sandd_exec_phase phase) {
  bool before = exec->phase < SANDD_EXEC_CLOSED, after = phase < SANDD_EXEC_CLOSED;
  exec->phase = phase;
  exec->execs->running -= before && !after;
}

static void leave_table(sandd_exec *exec) {
  if (exec->in_table) {
    sandd_exec_table_remove(&exec->execs->table, &exec->entry);
    exec->in_table = false;
  }
}

static void untouch(sandd_exec *exec) {
  sandd_exec **at = &exec->execs->touched;
  while (exec->touched && *at) {
    if (*at == exec) {
      *at = exec->next_touched;
      exec->touched = false;
    } else {
      at = &(*at)->next_touched;
    }
  }
}

void sandd_exec_free(sandd_exec *exec) {
  sandd_execs *execs = exec->execs;
  leave_table(exec);
  untouch(exec);
  set_phase(exec, SANDD_EXEC_DEAD);
  sandd_timers_clear(&execs->timers, &exec->timer);
  if (exec->prev) {
    exec->prev->next = exec->next;
  } else if (execs->first == exec) {
    execs->first = exec->next;
  }
  if (exec->next) {
    exec->next->prev = exec->prev;
  }
  sandd_process_free(exec->process);
  for (int i = 0; i < SANDD_EXEC_OUTPUTS; i++) {
    sandd_exec_output_free(exec->outputs[i]);
  }
  sandd_exec_stdin_free(exec->in);
  free(exec->signals);
  free(exec->entry.id);
  free(exec);
}

void sandd_exec_used(sandd_exec *exec, uint64_t now_us) {
  sandd_execs *execs = exec->execs;
  if (now_us >= exec->hold_us || exec->phase != SANDD_EXEC_RUNNING) {
    execs->used = true;
  } else if (exec->hold_us < execs->flush_us) {
    execs->flush_us = exec->hold_us;
  }
}

static void on_moved(void *owner) {
  sandd_exec *exec = owner;
  sandd_exec_used(exec, sandd_clock_now_us());
  sandd_exec_touch(exec);
}

/* No process came of it: whoever waits is told, and the id is free again. */
static void fail(sandd_exec *exec, const sandd_fault *fault, uint64_t now_us) {
  set_phase(exec, SANDD_EXEC_DEAD);
  leave_table(exec);
  sandd_timers_clear(&exec->execs->timers, &exec->timer);
  while (exec->streams) {
    sandd_exec_stream_reset(exec->streams, fault, now_us);
  }
  sandd_exec_touch(exec);
}

static void deliver_signals(sandd_exec *exec) {
  for (size_t i = 0; i < exec->n_signals; i++) {
    sandd_process_signal(exec->process, exec->signals[i].name, exec->signals[i].scope);
  }
  free(exec->signals);
  exec->signals = NULL;
  exec->n_signals = 0;
}

void sandd_exec_unhold(sandd_exec *exec) {
  exec->held = false;
  for (int i = 0; i < SANDD_EXEC_OUTPUTS; i++) {
    if (exec->outputs[i]) {
      sandd_exec_output_watch(exec->outputs[i]);
    }
  }
}

static void open_pipes(sandd_exec *exec) {
  static const sandd_process_channel channels[SANDD_EXEC_OUTPUTS] = {SANDD_PROCESS_STDOUT, SANDD_PROCESS_STDERR};
  for (int i = 0; i < SANDD_EXEC_OUTPUTS; i++) {
    if (exec->outputs[i]) {
      sandd_exec_output_link(exec->outputs[i], exec->execs->link_up, exec->start_us);
      sandd_exec_output_open(exec->outputs[i], sandd_process_take_pipe(exec->process, channels[i]));
    }
  }
  if (exec->in) {
    sandd_exec_stdin_open(exec->in, sandd_process_take_pipe(exec->process, SANDD_PROCESS_STDIN));
  }
}

static void on_started(sandd_process *process, const sandd_platform_error *error, void *data) {
  sandd_exec *exec = data;
  uint64_t now_us = sandd_clock_now_us();
  (void)process;
  if (error) {
    sandd_fault fault;
    sandd_fault_from_platform(&fault, error);
    sandd_log(SANDD_LOG_DEBUG, "exec %s was not started: %s", exec->entry.id, error->message);
    fail(exec, &fault, now_us);
    return;
  }
  set_phase(exec, SANDD_EXEC_RUNNING);
  exec->hold_us =
      exec->in && sandd_exec_stdin_inbox(exec->in) ? now_us : exec->start_us + HOLD_US; // the writer waits for credit
  exec->pid = sandd_process_id(exec->process);
  sandd_log(SANDD_LOG_DEBUG, "exec %s runs as pid %llu", exec->entry.id, (unsigned long long)exec->pid);
  for (sandd_exec_stream *stream = exec->streams, *next; stream; stream = next) {
    next = stream->next;
    sandd_exec_stream_answer(stream, now_us);
  }
  open_pipes(exec);
  exec->held = true; // until its turn, at least: it may have ended, and then its pipes need no watch
  deliver_signals(exec);
  sandd_exec_touch(exec);
}

static void on_exited(sandd_process *process, const sandd_process_exit *ended, void *data) {
  sandd_exec *exec = data;
  (void)process;
  exec->exit = *ended;
  exec->exited_us = sandd_clock_now_us(); // a deadline may be looked at before the exec has its turn
  set_phase(exec, SANDD_EXEC_EXITED);
  sandd_exec_touch(exec);
}

/* ---- starting ---- */

static bool make_id(sandd_exec *exec, const char *wanted, sandd_fault *fault) {
  char made[40];
  if (!*wanted) { // nobody can guess it, and no system call is needed
    uint64_t count = exec->execs->started;
    sandd_digest random = sandd_digest_make(&exec->execs->id_key, (const uint8_t *)&count, sizeof(count));
    snprintf(made, sizeof(made), "%016" PRIx64 "%016" PRIx64, random.high, random.low);
    wanted = made;
  }
  exec->entry.id = strdup(wanted);
  return exec->entry.id || sandd_fault_from_error(fault, SANDD_E_NOMEM, "exec id");
}

static void read_spec(sandd_exec *exec, const Sandd__V1__ExecSpec *spec) {
  exec->keep = spec->on_session_lost == SANDD__V1__ON_SESSION_LOST__ON_SESSION_LOST_KEEP;
  exec->timeout_us = (uint64_t)spec->timeout_ns / 1000 + (spec->timeout_ns % 1000 > 0);
  exec->idle_us = (uint64_t)spec->idle_timeout_ns / 1000 + (spec->idle_timeout_ns % 1000 > 0);
  exec->grace_ns = spec->grace_ns ? spec->grace_ns : SANDD_EXEC_GRACE_NS;
}

static bool make_output(sandd_exec *exec, int i, const Sandd__V1__ExecSpec *spec, sandd_fault *fault) {
  sandd_execs *execs = exec->execs;
  sandd_exec_output_config config = {.size = sizeof(config),
                                     .endpoint = execs->config.endpoint,
                                     .channel = i == 0 ? SANDD__V1__CHANNEL_ID__CHANNEL_ID_STDOUT
                                                       : SANDD__V1__CHANNEL_ID__CHANNEL_ID_STDERR,
                                     .keep_bytes = spec->keep_bytes       ? spec->keep_bytes
                                                   : exec->entry.retained ? SANDD_EXEC_KEEP_BYTES
                                                                          : 0,
                                     .drop_unread = !(exec->keep && spec->block_unread),
                                     .capped = spec->output_cap != NULL,
                                     .tail_budget = &execs->tail_budget,
                                     .buffer = execs->buffer,
                                     .buffer_size = sizeof(execs->buffer),
                                     .moved = on_moved,
                                     .owner = exec};
  if (spec->output_cap) {
    config.head_bytes = spec->output_cap->head_bytes;
    config.tail_bytes = (size_t)spec->output_cap->tail_bytes;
  }
  int error = sandd_exec_output_new(&exec->outputs[i], &config);
  return !error || sandd_fault_from_error(fault, error, i == 0 ? "stdout" : "stderr");
}

static bool make_channels(sandd_exec *exec, const Sandd__V1__ExecSpec *spec, sandd_fault *fault) {
  if (!make_output(exec, 0, spec, fault) || (!spec->merge_stderr && !make_output(exec, 1, spec, fault))) {
    return false;
  }
  int error = 0;
  if (spec->stdin_mode == SANDD__V1__STDIN_MODE__STDIN_MODE_STREAM) {
    error = sandd_exec_stdin_new_stream(&exec->in, exec->execs->config.endpoint);
  } else if (spec->stdin_mode == SANDD__V1__STDIN_MODE__STDIN_MODE_INLINE) {
    error = sandd_exec_stdin_new_inline(&exec->in, spec->stdin_inline.data, spec->stdin_inline.len);
  }
  return !error || sandd_fault_from_error(fault, error, "stdin");
}

static sandd_bytes as_bytes(ProtobufCBinaryData data) {
  return (sandd_bytes){.data = data.data, .len = data.len};
}

static bool start_process(sandd_exec *exec, const Sandd__V1__ExecSpec *spec, sandd_fault *fault) {
  sandd_execs *execs = exec->execs;
  sandd_platform_error error;
  sandd_process_config config = {.size = sizeof(config),
                                 .shell = execs->config.shell,
                                 .env_count = spec->n_env,
                                 .replace_env = spec->replace_env,
                                 .cwd = as_bytes(spec->cwd),
                                 .stdin_pipe = exec->in != NULL,
                                 .merge_stderr = spec->merge_stderr,
                                 .exec_id = exec->entry.id,
                                 .on_started = on_started,
                                 .on_exited = on_exited,
                                 .data = exec};
  const sandd_bytes empty_line[] = {{config.shell, strlen(config.shell)}, {"-c", 2}, {"", 0}};
  bool has_argv = spec->command_case == SANDD__V1__EXEC_SPEC__COMMAND_ARGV;
  size_t argc = has_argv ? spec->argv->n_args : 0;
  sandd_bytes *argv = calloc(argc + 1, sizeof(*argv));
  sandd_env_entry *env = calloc(spec->n_env + 1, sizeof(*env));
  int result = 0;
  if (argv && env) {
    for (size_t i = 0; i < argc; i++) {
      argv[i] = as_bytes(spec->argv->args[i]);
    }
    for (size_t i = 0; i < spec->n_env; i++) {
      env[i] = (sandd_env_entry){as_bytes(spec->env[i]->name), as_bytes(spec->env[i]->value)};
    }
    config.argv = argv;
    config.argc = argc;
    config.env = env;
    if (!has_argv && spec->shell_line.len > 0) {
      config.shell_line = as_bytes(spec->shell_line);
    } else if (!has_argv) { // which the platform takes for none
      config.argv = empty_line;
      config.argc = 3;
    }
    if (spec->user && spec->user->who_case == SANDD__V1__USER__WHO_NAME) {
      config.user_name = spec->user->name;
    } else if (spec->user) {
      config.has_uid = true;
      config.uid = spec->user->uid;
    }
    result = sandd_process_start(&exec->process, execs->config.spawner, &config, &error);
    if (result) {
      sandd_fault_from_platform(fault, &error);
    }
  } else {
    result = -1;
    sandd_fault_from_error(fault, SANDD_E_NOMEM, "argv");
  }
  free(argv);
  free(env);
  return result == 0;
}

sandd_exec *sandd_exec_start(sandd_execs *execs, const Sandd__V1__ExecOpen *open, sandd_digest spec, uint64_t now_us,
                             sandd_fault *fault) {
  sandd_exec *exec = calloc(1, sizeof(*exec));
  if (!exec) {
    sandd_fault_from_error(fault, SANDD_E_NOMEM, "exec");
    return NULL;
  }
  *exec = (sandd_exec){.execs = execs,
                       .entry.spec = spec,
                       .reason = SANDD__V1__EXIT_REASON__EXIT_REASON_OWN,
                       .start_us = now_us,
                       .idle_from_us = now_us,
                       .timer = {.cb = sandd_exec_due, .data = exec}};
  exec->next = execs->first;
  if (execs->first) {
    execs->first->prev = exec;
  }
  execs->first = exec;
  execs->running++;
  execs->started++;
  read_spec(exec, open->spec);
  exec->entry.retained = open->exec_id[0] != '\0' || exec->keep;
  if (!make_id(exec, open->exec_id, fault) || !make_channels(exec, open->spec, fault)) {
    sandd_exec_free(exec);
    return NULL;
  }
  if (sandd_timers_reserve(&execs->timers, execs->table.count + 2) != 0) {
    sandd_fault_from_error(fault, SANDD_E_NOMEM, "timers");
    sandd_exec_free(exec);
    return NULL;
  }
  if (!start_process(exec, open->spec, fault)) {
    sandd_exec_free(exec);
    return NULL;
  }
  sandd_exec_table_add(&execs->table, &exec->entry);
  exec->in_table = true;
  sandd_exec_touch(exec);
  return exec;
}

/* ---- ending ---- */

void sandd_exec_kill(sandd_exec *exec, int reason, int code, const char *why) {
  if (exec->phase == SANDD_EXEC_STARTING && exec->process) {
    sandd_process_look(exec->process); // it may have been running for a little while
  }
  if (exec->phase == SANDD_EXEC_STARTING) {
    sandd_fault fault;
    sandd_fault_set(&fault, code, "exec %s: %s", exec->entry.id, why);
    sandd_process_free(exec->process);
    exec->process = NULL;
    fail(exec, &fault, sandd_clock_now_us());
    return;
  }
  if (exec->phase >= SANDD_EXEC_CLOSED || !exec->process) {
    return;
  }
  if (exec->reason == SANDD__V1__EXIT_REASON__EXIT_REASON_OWN && exec->phase == SANDD_EXEC_RUNNING) {
    exec->reason = reason;
  }
  exec->killing = true;
  if (sandd_process_kill_tree(exec->process, exec->grace_ns, NULL, NULL) != 0) {
    sandd_log(SANDD_LOG_WARN, "exec %s: no memory to end its tree in good order; its process is killed",
              exec->entry.id);
    sandd_process_signal(exec->process, "KILL", SANDD_SCOPE_PROCESS);
  }
  sandd_exec_touch(exec);
}

void sandd_exec_link(sandd_exec *exec, bool up, uint64_t now_us) {
  for (int i = 0; i < SANDD_EXEC_OUTPUTS; i++) {
    if (exec->outputs[i]) {
      sandd_exec_output_link(exec->outputs[i], up, now_us);
    }
  }
  sandd_exec_touch(exec);
}

static bool outputs_ended(const sandd_exec *exec) {
  for (int i = 0; i < SANDD_EXEC_OUTPUTS; i++) {
    if (exec->outputs[i] && !sandd_exec_output_ended(exec->outputs[i])) {
      return false;
    }
  }
  return true;
}

/* What only a running process needs goes; what stays is what an attach can ask for. */
static void close_exec(sandd_exec *exec, uint64_t now_us) {
  set_phase(exec, SANDD_EXEC_CLOSED);
  exec->closed_us = now_us;
  if (exec->in) {
    sandd_exec_stdin_close(exec->in);
  }
  sandd_process_free(exec->process);
  exec->process = NULL;
}

void sandd_exec_expire(sandd_exec *exec) {
  leave_table(exec);
  exec->entry.retained = false;
  sandd_exec_touch(exec);
}

/* An exited process that nobody can ever read again needs no drain clock. */
static bool abandoned(const sandd_exec *exec) {
  return exec->phase == SANDD_EXEC_EXITED && !exec->streams && !exec->entry.retained;
}

void sandd_exec_turn(sandd_exec *exec, uint64_t now_us) {
  if (exec->phase == SANDD_EXEC_DEAD || abandoned(exec)) {
    sandd_exec_free(exec);
    return;
  }
  if (exec->phase == SANDD_EXEC_RUNNING && exec->held && exec->hold_us <= now_us) {
    sandd_exec_unhold(exec);
  }
  if (exec->phase == SANDD_EXEC_EXITED && !exec->drained) {
    exec->drained = true;
    exec->held = false;
    for (int i = 0; i < SANDD_EXEC_OUTPUTS; i++) {
      if (exec->outputs[i]) {
        sandd_exec_output_exited(exec->outputs[i], now_us);
      }
    }
  }
  if (exec->phase == SANDD_EXEC_EXITED && outputs_ended(exec)) {
    close_exec(exec, now_us);
  }
  for (sandd_exec_stream *stream = exec->streams, *next; stream; stream = next) {
    next = stream->next;
    sandd_exec_stream_tell(stream, now_us);
  }
  if (exec->phase == SANDD_EXEC_CLOSED && !exec->streams) {
    if (!exec->entry.retained) {
      sandd_exec_free(exec);
      return;
    }
    for (int i = 0; i < SANDD_EXEC_OUTPUTS; i++) {
      if (exec->outputs[i]) {
        sandd_exec_output_shed(exec->outputs[i]);
      }
    }
  }
  sandd_exec_rearm(exec);
}
