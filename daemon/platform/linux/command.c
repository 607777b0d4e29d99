// SPDX-License-Identifier: MIT
// From a config to what the child needs: argument vector, environment, and the paths to try.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/platform/linux/internal.h"
#include "daemon/platform/system.h"

enum { SPARE_ENV = 4 }; // HOME, USER, LOGNAME, SHELL of another user

static const char FALLBACK_PATH[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

static int invalid(sandd_platform_error *error, const char *what) {
  return sandd_error_set(error, SANDD_PLATFORM_INVALID, SANDD_PLATFORM_AT_REQUEST, 0, what);
}

static int no_memory(sandd_platform_error *error) {
  return sandd_error_errno(error, SANDD_PLATFORM_AT_SYSTEM, ENOMEM, "the command can't be prepared");
}

static bool has_zero(sandd_bytes bytes) {
  return bytes.len > 0 && memchr(bytes.data, 0, bytes.len) != NULL;
}

static int check(const sandd_process_config *config, sandd_platform_error *error) {
  if (config->size != sizeof(*config) || config->on_started == NULL || config->exec_id == NULL)
    return invalid(error, "the process config is incomplete");
  if (config->exec_id[0] == 0 || strlen(config->exec_id) > 128)
    return invalid(error, "an exec id has 1 to 128 bytes");
  if (config->argc == 0 && config->shell_line.data == NULL)
    return invalid(error, "neither a program nor a command line was given");
  for (size_t i = 0; i < config->argc; i++)
    if (has_zero(config->argv[i]))
      return invalid(error, "an argument has a zero byte");
  if (has_zero(config->shell_line))
    return invalid(error, "the command line has a zero byte");
  if (has_zero(config->cwd))
    return invalid(error, "the working directory has a zero byte");
  for (size_t i = 0; i < config->env_count; i++) {
    sandd_bytes name = config->env[i].name;
    if (name.len == 0 || has_zero(name) || memchr(name.data, '=', name.len) != NULL)
      return invalid(error, "a variable's name is empty or has '=' or a zero byte");
    if (has_zero(config->env[i].value))
      return invalid(error, "a variable's value has a zero byte");
  }
  return 0;
}

static int build_argv(sandd_command *command, const sandd_process_config *config, sandd_platform_error *error) {
  size_t count = config->argc > 0 ? config->argc : 3;
  char **argv = sandd_pool_get(&command->pool, (count + 1) * sizeof(*argv));
  char **script = sandd_pool_get(&command->pool, (count + 2) * sizeof(*script));
  if (argv == NULL || script == NULL)
    return no_memory(error);
  const char *shell = config->shell != NULL ? config->shell : sandd_platform_default_shell();
  sandd_bytes line[3] = {{shell, strlen(shell)}, {"-c", 2}, config->shell_line};
  const sandd_bytes *from = config->argc > 0 ? config->argv : line;
  for (size_t i = 0; i < count; i++)
    if ((argv[i] = sandd_pool_join(&command->pool, from[i].data, from[i].len, NULL, 0)) == NULL)
      return no_memory(error);
  argv[count] = NULL;
  script[0] = (char *)(uintptr_t)sandd_platform_default_shell();
  script[1] = NULL;
  memcpy(script + 2, argv + 1, count * sizeof(*argv));
  command->plan.argv = argv;
  command->plan.script_argv = script;
  return 0;
}

/* The environment while it grows; the table finds the place of a name. */
typedef struct {
  sandd_pool *pool;
  char **list;
  size_t count, mask;
  uint32_t *table; // index + 1
} environment;

static size_t name_len(const char *entry) {
  const char *equals = strchr(entry + (entry[0] != 0), '=');
  return equals != NULL ? (size_t)(equals - entry) : strlen(entry);
}

static uint32_t *slot_of(environment *env, const void *name, size_t len) {
  const unsigned char *bytes = name;
  uint64_t hash = 1469598103934665603u;
  for (size_t i = 0; i < len; i++)
    hash = (hash ^ bytes[i]) * 1099511628211u;
  for (size_t i = (size_t)(hash ^ (hash >> 32)) & env->mask;; i = (i + 1) & env->mask) {
    uint32_t *slot = &env->table[i];
    if (*slot == 0)
      return slot;
    const char *entry = env->list[*slot - 1];
    if (name_len(entry) == len && memcmp(entry, name, len) == 0)
      return slot;
  }
}

static bool set_entry(environment *env, const void *name, size_t len, char *entry) {
  if (entry == NULL)
    return false;
  uint32_t *slot = slot_of(env, name, len);
  if (*slot != 0) {
    env->list[*slot - 1] = entry;
    return true;
  }
  env->list[env->count++] = entry;
  *slot = (uint32_t)env->count;
  return true;
}

static bool set_pair(environment *env, sandd_bytes name, const void *value, size_t len) {
  char *entry = sandd_pool_get(env->pool, name.len + len + 2);
  if (entry == NULL)
    return false;
  memcpy(entry, name.data, name.len);
  entry[name.len] = '=';
  if (len > 0)
    memcpy(entry + name.len + 1, value, len);
  entry[name.len + 1 + len] = 0;
  return set_entry(env, name.data, name.len, entry);
}

static bool set_text(environment *env, const char *name, const char *value) {
  return set_pair(env, (sandd_bytes){name, strlen(name)}, value, strlen(value));
}

static bool is_name(const char *entry, size_t len, const char *name) {
  return strlen(name) == len && memcmp(entry, name, len) == 0;
}

static bool is_ours_alone(const char *entry, size_t len) {
  return strncmp(entry, "SANDD_", 6) == 0 || is_name(entry, len, "SERVER_URL") || is_name(entry, len, "DAEMON_ID");
}

static bool is_of_user(const char *entry, size_t len) {
  return is_name(entry, len, "HOME") || is_name(entry, len, "USER") || is_name(entry, len, "LOGNAME") ||
         is_name(entry, len, "SHELL");
}

static bool inherit(environment *env, bool other_user) {
  for (char **p = environ; p != NULL && *p != NULL; p++) {
    size_t len = name_len(*p);
    if (is_ours_alone(*p, len) || (other_user && is_of_user(*p, len)))
      continue;
    if (!set_entry(env, *p, len, sandd_pool_join(env->pool, *p, strlen(*p), NULL, 0)))
      return false;
  }
  return true;
}

static bool fill_env(environment *env, const sandd_process_config *config, const char *tag) {
  bool other_user = config->user_name != NULL || config->has_uid;
  if (!config->replace_env && !inherit(env, other_user))
    return false;
  if (config->pty != NULL) {
    const char *term = config->pty->term;
    if (!set_text(env, "TERM", term != NULL && term[0] != 0 ? term : "xterm-256color"))
      return false;
  }
  for (size_t i = 0; i < config->env_count; i++)
    if (!set_pair(env, config->env[i].name, config->env[i].value.data, config->env[i].value.len))
      return false;
  return set_text(env, "SANDD_EXEC", config->exec_id) && set_text(env, "SANDD_DAEMON", tag);
}

static bool have(environment *env, const char *name) {
  return *slot_of(env, name, strlen(name)) != 0;
}

static int build_env(sandd_command *command, const sandd_process_config *config, const char *tag, const char **path,
                     sandd_platform_error *error) {
  size_t room = config->env_count + 4;
  if (!config->replace_env)
    for (char **p = environ; p != NULL && *p != NULL; p++)
      room++;
  size_t slots = 16;
  while (slots < room * 2)
    slots *= 2;
  environment env = {.pool = &command->pool, .mask = slots - 1};
  env.list = sandd_pool_get(&command->pool, (room + SPARE_ENV + 1) * sizeof(*env.list));
  env.table = calloc(slots, sizeof(*env.table));
  bool ok = env.list != NULL && env.table != NULL && fill_env(&env, config, tag);
  if (ok) {
    command->has_home = have(&env, "HOME");
    command->has_user = have(&env, "USER");
    command->has_logname = have(&env, "LOGNAME");
    command->has_shell = have(&env, "SHELL");
    uint32_t *slot = slot_of(&env, "PATH", 4);
    *path = *slot != 0 ? env.list[*slot - 1] + 5 : FALLBACK_PATH;
    env.list[env.count] = NULL;
    command->plan.envp = env.list;
    command->env_count = env.count;
  }
  free(env.table);
  return ok ? 0 : no_memory(error);
}

static int build_candidates(sandd_command *command, const char *path, sandd_platform_error *error) {
  const char *program = command->plan.argv[0];
  size_t len = strlen(program), count = 1;
  for (const char *p = path; *p != 0; p++)
    count += *p == ':';
  char **list = sandd_pool_get(&command->pool, (count + 1) * sizeof(*list));
  if (list == NULL)
    return no_memory(error);
  command->plan.candidates = list;
  if (len == 0 || strchr(program, '/') != NULL) {
    list[0] = command->plan.argv[0];
    list[1] = NULL;
    return 0;
  }
  size_t used = 0;
  for (const char *p = path;; p++) {
    size_t part = strcspn(p, ":");
    char *dir = sandd_pool_join(&command->pool, p, part, part > 0 ? "/" : "", part > 0);
    char *full = dir != NULL ? sandd_pool_join(&command->pool, dir, strlen(dir), program, len) : NULL;
    if (full == NULL)
      return no_memory(error);
    list[used++] = full;
    p += part;
    if (*p == 0)
      break;
  }
  list[used] = NULL;
  return 0;
}

int sandd_command_build(sandd_command *command, const sandd_process_config *config, const char *tag,
                        sandd_platform_error *error) {
  memset(command, 0, sizeof(*command));
  int r = check(config, error);
  const char *path = FALLBACK_PATH;
  if (r == 0)
    r = build_argv(command, config, error);
  if (r == 0)
    r = build_env(command, config, tag, &path, error);
  if (r == 0)
    r = build_candidates(command, path, error);
  if (r == 0 && config->cwd.len > 0) {
    command->plan.cwd = sandd_pool_join(&command->pool, config->cwd.data, config->cwd.len, NULL, 0);
    if (command->plan.cwd == NULL)
      r = no_memory(error);
  }
  if (r != 0) {
    sandd_command_free(command);
    return r;
  }
  command->default_cwd = config->cwd.len == 0;
  command->plan.restore_nofile = sandd_system_nofile(&command->plan.nofile.soft, &command->plan.nofile.hard);
  return 0;
}

void sandd_command_free(sandd_command *command) {
  sandd_pool_free(&command->pool);
  memset(&command->plan, 0, sizeof(command->plan));
}
