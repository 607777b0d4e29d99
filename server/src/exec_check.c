// SPDX-License-Identifier: MIT
// What is refused before anything is sent: a frame that breaks a rule of the schema would end the whole session.
#include "exec_check.h"

#include <string.h>

#include "internal.h"

#define TAIL_MAX (16u << 20)

static bool has_zero(sandd_bytes b) {
  return b.len && memchr(b.data, 0, b.len);
}

static bool printable(const char *text, size_t max) {
  size_t len = strlen(text);
  if (len == 0 || len > max)
    return false;
  for (; *text; text++)
    if (*text < 0x21 || *text > 0x7e)
      return false;
  return true;
}

static bool utf8(const char *text) {
  const uint8_t *s = (const uint8_t *)text;
  while (*s) {
    unsigned n = *s < 0x80                   ? 0
                 : (*s >= 0xc2 && *s < 0xe0) ? 1
                 : (*s & 0xf0) == 0xe0       ? 2
                 : (*s >= 0xf0 && *s < 0xf5) ? 3
                                             : 9;
    if (n == 9)
      return false;
    if ((*s == 0xe0 && s[1] < 0xa0) || (*s == 0xed && s[1] > 0x9f) || (*s == 0xf0 && s[1] < 0x90) ||
        (*s == 0xf4 && s[1] > 0x8f))
      return false;
    for (s++; n; n--, s++)
      if ((*s & 0xc0) != 0x80)
        return false;
  }
  return true;
}

static const char *check_command(const sandd_exec_config *c) {
  bool argv = c->n_argv > 0, line = c->shell_line.data != NULL;
  if (c->mode == SANDD_EXEC_ATTACH)
    return argv || line ? "an attach takes no command" : NULL;
  if (argv == line)
    return argv ? "a command is either argv or a shell line, not both" : "there is no command";
  if (has_zero(c->shell_line))
    return "the command line has a zero byte";
  for (size_t i = 0; i < c->n_argv; i++)
    if (has_zero(c->argv[i]))
      return "an argument has a zero byte";
  if (argv && c->argv[0].len == 0)
    return "the program's name is empty";
  return NULL;
}

static const char *check_surroundings(const sandd_exec_config *c) {
  for (size_t i = 0; i < c->n_env; i++) {
    sandd_bytes name = c->env[i].name;
    if (name.len == 0 || has_zero(name) || memchr(name.data, '=', name.len))
      return "the name of an environment variable is empty or has '=' or a zero byte";
    if (has_zero(c->env[i].value))
      return "the value of an environment variable has a zero byte";
  }
  if (has_zero(c->cwd))
    return "the working directory has a zero byte";
  if (c->user_name && (!*c->user_name || !utf8(c->user_name)))
    return "the user's name is empty or not UTF-8";
  if ((c->pty_rows == 0) != (c->pty_cols == 0))
    return "a terminal needs rows and columns";
  if (c->pty_term && *c->pty_term && !printable(c->pty_term, 255))
    return "the terminal's type is not printable ASCII";
  return NULL;
}

static const char *check_numbers(const sandd_exec_config *c) {
  if (c->timeout_ns < 0 || c->grace_ns < 0 || c->idle_timeout_ns < 0 || c->age_ns < 0 || c->wait_ms < 0)
    return "a time is negative";
  if (c->tail_bytes > TAIL_MAX)
    return "at most 16 MiB of the output's tail can be kept back";
  return NULL;
}

static const char *check_stdin(const sandd_exec_config *c) {
  if (c->stdin_mode < 0 || c->stdin_mode > SANDD_EXEC_STDIN_INPUT)
    return "stdin_mode is not one of SANDD_EXEC_STDIN_*";
  bool takes_input = c->stdin_mode == 0 || c->stdin_mode == SANDD_EXEC_STDIN_INPUT;
  if (c->input.len && !takes_input)
    return "there is input, but stdin is not to come from it";
  if (c->role == SANDD_EXEC_WATCH && (c->input.len || c->stdin_mode > SANDD_EXEC_STDIN_NONE))
    return "a watcher has no stdin";
  if (c->pty_rows && c->stdin_mode == SANDD_EXEC_STDIN_INPUT)
    return "a terminal's input has no end: write to it with SANDD_EXEC_STDIN_STREAM";
  return NULL;
}

static const char *check_identity(const sandd_exec_config *c) {
  if (c->mode < 0 || c->mode > SANDD_EXEC_ATTACH || c->role < 0 || c->role > SANDD_EXEC_WATCH)
    return "mode or role is not one of SANDD_EXEC_*";
  if (c->exec_id && *c->exec_id && !printable(c->exec_id, 128))
    return "an exec id is 1 to 128 bytes of printable ASCII";
  if (c->mode > SANDD_EXEC_START && (!c->exec_id || !*c->exec_id))
    return "to attach, the exec id is needed";
  if (c->instance && *c->instance && !printable(c->instance, 64))
    return "an instance id is 1 to 64 bytes of printable ASCII";
  if (c->stdout_at < 0 || c->stdout_at > SANDD_EXEC_AT_NEWEST || c->stderr_at < 0 ||
      c->stderr_at > SANDD_EXEC_AT_NEWEST)
    return "stdout_at or stderr_at is not one of SANDD_EXEC_AT_*";
  if (c->stdout_offset >> 62 || c->stderr_offset >> 62)
    return "an offset is above 2^62";
  return NULL;
}

int sandd_exec_check(const sandd_exec_config *c, sandd_failure *failure) {
  static const char *(*const checks[])(const sandd_exec_config *) = {check_identity, check_command, check_surroundings,
                                                                     check_numbers, check_stdin};
  if (!c || c->size < sizeof *c || !c->daemon_id)
    return sandd_failure_set(failure, SANDD_E_INVALID, STATUS(INVALID_ARGUMENT),
                             "config->size or daemon_id is not set");
  for (size_t i = 0; i < sizeof checks / sizeof *checks; i++) {
    const char *wrong = checks[i](c);
    if (wrong)
      return sandd_failure_set(failure, SANDD_E_INVALID, STATUS(INVALID_ARGUMENT), "%s", wrong);
  }
  return 0;
}

int sandd_exec_check_peer(const Sandd__V1__ExecOpen *open, const sandd_session *session, sandd_failure *failure) {
  const Sandd__V1__ExecSpec *spec = open->spec;
  const struct {
    bool needed;
    const char *name, *what;
  } needs[] = {
      {true, "exec", "run commands"},
      {*open->exec_id || open->mode != SANDD__V1__EXEC_MODE__EXEC_MODE_START, "exec.attach", "keep commands by id"},
      {spec && spec->pty, "exec.pty", "run a command on a terminal"},
      {spec && spec->user, "exec.user", "run as another user"},
  };
  for (size_t i = 0; i < sizeof needs / sizeof *needs; i++) {
    const char *reason = NULL;
    if (!needs[i].needed || sandd_session_peer_has(session, needs[i].name, &reason))
      continue;
    return sandd_failure_set(failure, SANDD_E_UNSUPPORTED, STATUS(UNIMPLEMENTED), "daemon %s can't %s: %s",
                             sandd_daemon_name(session), needs[i].what,
                             reason && *reason ? reason : "its version does not offer it");
  }
  return 0;
}
