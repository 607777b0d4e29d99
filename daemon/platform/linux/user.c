// SPDX-License-Identifier: MIT
// Whom a command runs as. The user database may be far away: this runs on a worker thread.
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/platform/linux/internal.h"

enum { ENTRY_MAX = 1 << 20, GROUPS_MAX = 65536 };

static int find(const char *name, uint32_t uid, struct passwd *entry, char **buf, bool *found) {
  for (size_t size = 4096;; size *= 2) {
    char *bigger = realloc(*buf, size);
    if (bigger == NULL)
      return ENOMEM;
    *buf = bigger;
    struct passwd *result = NULL;
    int r = name != NULL ? getpwnam_r(name, entry, *buf, size, &result) : getpwuid_r(uid, entry, *buf, size, &result);
    *found = result != NULL;
    if (r != ERANGE || size >= ENTRY_MAX)
      return r == ENOENT || r == ESRCH ? 0 : r;
  }
}

static int set_groups(sandd_command *command, const struct passwd *entry) {
  int count = 64;
  for (;;) {
    gid_t *groups = sandd_pool_get(&command->pool, (size_t)count * sizeof(*groups));
    if (groups == NULL)
      return ENOMEM;
    int room = count;
    if (getgrouplist(entry->pw_name, entry->pw_gid, groups, &count) >= 0) {
      command->plan.groups = groups;
      command->plan.group_count = (size_t)count;
      return 0;
    }
    if (count <= room)
      count = room * 2;
    if (count > GROUPS_MAX)
      return ERANGE;
  }
}

static bool add_env(sandd_command *command, bool present, const char *name, const char *value) {
  if (present || value == NULL)
    return true;
  char *entry = sandd_pool_join(&command->pool, name, strlen(name), value, strlen(value));
  if (entry == NULL)
    return false;
  command->plan.envp[command->env_count++] = entry;
  command->plan.envp[command->env_count] = NULL;
  return true;
}

static int apply(sandd_command *command, const struct passwd *entry) {
  int r = set_groups(command, entry);
  if (r != 0)
    return r;
  const char *home = entry->pw_dir != NULL && entry->pw_dir[0] != 0 ? entry->pw_dir : "/";
  const char *shell = entry->pw_shell != NULL && entry->pw_shell[0] != 0 ? entry->pw_shell : "/bin/sh";
  command->plan.set_user = true;
  command->plan.uid = entry->pw_uid;
  command->plan.gid = entry->pw_gid;
  if (!add_env(command, command->has_home, "HOME=", home) ||
      !add_env(command, command->has_user, "USER=", entry->pw_name) ||
      !add_env(command, command->has_logname, "LOGNAME=", entry->pw_name) ||
      !add_env(command, command->has_shell, "SHELL=", shell))
    return ENOMEM;
  if (command->default_cwd) {
    command->plan.cwd = sandd_pool_join(&command->pool, home, strlen(home), NULL, 0);
    if (command->plan.cwd == NULL)
      return ENOMEM;
  }
  return 0;
}

// A number that the database does not know is a user all the same, with the one group of that number.
static int apply_bare(sandd_command *command, uint32_t uid) {
  gid_t *group = sandd_pool_get(&command->pool, sizeof(*group));
  if (group == NULL)
    return ENOMEM;
  *group = uid;
  command->plan.set_user = true;
  command->plan.uid = uid;
  command->plan.gid = uid;
  command->plan.groups = group;
  command->plan.group_count = 1;
  if (command->default_cwd)
    command->plan.cwd = "/";
  return add_env(command, command->has_home, "HOME=", "/") ? 0 : ENOMEM;
}

int sandd_command_set_user(sandd_command *command, const char *name, uint32_t uid, sandd_platform_error *error) {
  struct passwd entry;
  char *buf = NULL, quoted[200], what[256];
  bool found = false;
  int r = find(name, uid, &entry, &buf, &found);
  if (r == 0 && found)
    r = apply(command, &entry);
  else if (r == 0 && name == NULL)
    r = apply_bare(command, uid);
  else if (r == 0) {
    free(buf);
    snprintf(what, sizeof(what), "no such user: %s", sandd_error_quote(quoted, sizeof(quoted), name, strlen(name)));
    return sandd_error_set(error, SANDD_PLATFORM_NOT_FOUND, SANDD_PLATFORM_AT_USER, 0, what);
  }
  free(buf);
  return r == 0 ? 0 : sandd_error_errno(error, SANDD_PLATFORM_AT_USER, r, "the user can't be looked up");
}
