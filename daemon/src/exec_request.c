// SPDX-License-Identifier: MIT
#include "exec_request.h"

#include <inttypes.h>
#include <string.h>

#define INVALID SANDD_CODE(INVALID_ARGUMENT)

static bool has_zero(ProtobufCBinaryData bytes) {
  return bytes.len > 0 && memchr(bytes.data, 0, bytes.len) != NULL;
}

static bool check_id(const Sandd__V1__ExecOpen *open, sandd_fault *fault) {
  size_t len = strlen(open->exec_id);
  if (len == 0 && open->mode != SANDD__V1__EXEC_MODE__EXEC_MODE_START) {
    return sandd_fault_set(fault, INVALID, "an exec_id is needed to attach");
  }
  if (len > SANDD_EXEC_ID_MAX) {
    return sandd_fault_set(fault, INVALID, "the exec_id has %zu bytes, at most 128 are allowed", len);
  }
  for (size_t i = 0; i < len; i++) {
    if (open->exec_id[i] < 0x20 || open->exec_id[i] > 0x7e) {
      return sandd_fault_set(fault, INVALID, "the exec_id may only hold printable ASCII");
    }
  }
  return true;
}

static bool check_starts(const Sandd__V1__ExecOpen *open, sandd_fault *fault) {
  unsigned seen = 0;
  for (size_t i = 0; i < open->n_starts; i++) {
    const Sandd__V1__ChannelStart *start = open->starts[i];
    if (start->channel != SANDD__V1__CHANNEL_ID__CHANNEL_ID_STDOUT &&
        start->channel != SANDD__V1__CHANNEL_ID__CHANNEL_ID_STDERR) {
      return sandd_fault_set(fault, INVALID, "starts names channel %d, which is no output", (int)start->channel);
    }
    if (seen & 1u << start->channel) {
      return sandd_fault_set(fault, INVALID, "starts names channel %d twice", (int)start->channel);
    }
    seen |= 1u << start->channel;
    if (start->at != SANDD__V1__START_AT__START_AT_OFFSET && start->at != SANDD__V1__START_AT__START_AT_EARLIEST &&
        start->at != SANDD__V1__START_AT__START_AT_NEWEST) {
      return sandd_fault_set(fault, INVALID, "unknown value %d of ChannelStart.at", (int)start->at);
    }
  }
  return true;
}

static bool check_command(const Sandd__V1__ExecSpec *spec, sandd_fault *fault) {
  if (spec->command_case == SANDD__V1__EXEC_SPEC__COMMAND_SHELL_LINE) {
    return !has_zero(spec->shell_line) || sandd_fault_set(fault, INVALID, "the shell_line has a zero byte");
  }
  if (spec->command_case != SANDD__V1__EXEC_SPEC__COMMAND_ARGV) {
    return sandd_fault_set(fault, INVALID, "there is no command: argv or shell_line is needed");
  }
  if (spec->argv->n_args == 0 || spec->argv->args[0].len == 0) {
    return sandd_fault_set(fault, INVALID, "argv names no program");
  }
  for (size_t i = 0; i < spec->argv->n_args; i++) {
    if (has_zero(spec->argv->args[i])) {
      return sandd_fault_set(fault, INVALID, "argument %zu has a zero byte", i);
    }
  }
  return true;
}

static bool check_env(const Sandd__V1__ExecSpec *spec, sandd_fault *fault) {
  for (size_t i = 0; i < spec->n_env; i++) {
    ProtobufCBinaryData name = spec->env[i]->name;
    if (name.len == 0) {
      return sandd_fault_set(fault, INVALID, "environment variable %zu has an empty name", i);
    }
    if (has_zero(name) || memchr(name.data, '=', name.len)) {
      return sandd_fault_set(fault, INVALID, "the name of environment variable %zu has a '=' or a zero byte", i);
    }
    if (has_zero(spec->env[i]->value)) {
      return sandd_fault_set(fault, INVALID, "the value of environment variable %zu has a zero byte", i);
    }
  }
  return true;
}

static bool check_user(const Sandd__V1__User *user, sandd_fault *fault) {
  if (!user) {
    return true;
  }
  if (user->who_case != SANDD__V1__USER__WHO_NAME && user->who_case != SANDD__V1__USER__WHO_UID) {
    return sandd_fault_set(fault, INVALID, "user names nobody: a name or a uid is needed");
  }
  if (user->who_case == SANDD__V1__USER__WHO_NAME && user->name[0] == '\0') {
    return sandd_fault_set(fault, INVALID, "the user's name is empty");
  }
  return true;
}

static bool check_stdin(const Sandd__V1__ExecSpec *spec, uint64_t inline_max, sandd_fault *fault) {
  if (spec->stdin_mode < SANDD__V1__STDIN_MODE__STDIN_MODE_UNSPECIFIED ||
      spec->stdin_mode > SANDD__V1__STDIN_MODE__STDIN_MODE_INLINE) {
    return sandd_fault_set(fault, INVALID, "unknown value %d of stdin_mode", (int)spec->stdin_mode);
  }
  if (spec->stdin_inline.len > 0 && spec->stdin_mode != SANDD__V1__STDIN_MODE__STDIN_MODE_INLINE) {
    return sandd_fault_set(fault, INVALID, "stdin_inline is given, but stdin_mode is not INLINE");
  }
  if (spec->stdin_inline.len > inline_max) {
    return sandd_fault_set(fault, INVALID, "stdin_inline has %zu bytes, at most %" PRIu64 " are allowed",
                           spec->stdin_inline.len, inline_max);
  }
  return true;
}

static bool check_bounds(const Sandd__V1__ExecSpec *spec, sandd_fault *fault) {
  if (spec->timeout_ns < 0 || spec->grace_ns < 0 || spec->idle_timeout_ns < 0) {
    return sandd_fault_set(fault, INVALID, "timeout_ns, grace_ns and idle_timeout_ns may not be negative");
  }
  if (spec->output_cap && spec->output_cap->tail_bytes > SANDD_EXEC_TAIL_MAX) {
    return sandd_fault_set(fault, INVALID, "output_cap.tail_bytes is %" PRIu64 ", at most 16 MiB are allowed",
                           spec->output_cap->tail_bytes);
  }
  if (spec->on_session_lost < SANDD__V1__ON_SESSION_LOST__ON_SESSION_LOST_UNSPECIFIED ||
      spec->on_session_lost > SANDD__V1__ON_SESSION_LOST__ON_SESSION_LOST_KEEP) {
    return sandd_fault_set(fault, INVALID, "unknown value %d of on_session_lost", (int)spec->on_session_lost);
  }
  if (spec->keep_bytes > SANDD_EXEC_KEEP_MAX) {
    return sandd_fault_set(fault, INVALID, "keep_bytes is %" PRIu64 ", at most 256 MiB are allowed", spec->keep_bytes);
  }
  return true;
}

static bool check_pty(const Sandd__V1__Pty *pty, sandd_fault *fault) {
  if (!pty) {
    return true;
  }
  if (pty->rows < 1 || pty->rows > 65535 || pty->cols < 1 || pty->cols > 65535) {
    return sandd_fault_set(fault, INVALID, "a terminal has 1 to 65,535 rows and columns");
  }
  return sandd_fault_set(fault, SANDD_CODE(UNIMPLEMENTED), "this daemon has no terminals (capability exec.pty)");
}

static bool check_spec(const Sandd__V1__ExecSpec *spec, uint64_t inline_max, sandd_fault *fault) {
  return check_command(spec, fault) && check_env(spec, fault) &&
         (!has_zero(spec->cwd) || sandd_fault_set(fault, INVALID, "cwd has a zero byte")) &&
         check_user(spec->user, fault) && check_stdin(spec, inline_max, fault) && check_bounds(spec, fault) &&
         check_pty(spec->pty, fault);
}

bool sandd_exec_request_check(const Sandd__V1__ExecOpen *open, uint64_t inline_max, sandd_fault *fault) {
  if (open->mode < SANDD__V1__EXEC_MODE__EXEC_MODE_START || open->mode > SANDD__V1__EXEC_MODE__EXEC_MODE_ATTACH) {
    return sandd_fault_set(fault, INVALID, "unknown value %d of ExecOpen.mode", (int)open->mode);
  }
  if (open->role < SANDD__V1__EXEC_ROLE__EXEC_ROLE_HOLD || open->role > SANDD__V1__EXEC_ROLE__EXEC_ROLE_WATCH) {
    return sandd_fault_set(fault, INVALID, "unknown value %d of ExecOpen.role", (int)open->role);
  }
  if (open->age_ns < 0) {
    return sandd_fault_set(fault, INVALID, "age_ns may not be negative");
  }
  if (!check_id(open, fault) || !check_starts(open, fault)) {
    return false;
  }
  if (open->mode == SANDD__V1__EXEC_MODE__EXEC_MODE_ATTACH) {
    return true;
  }
  return open->spec ? check_spec(open->spec, inline_max, fault)
                    : sandd_fault_set(fault, INVALID, "there is no spec of what to start");
}
