// SPDX-License-Identifier: MIT
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/platform/linux/internal.h"
#include "daemon/platform/linux/rawsys.h"

static int make_tag(sandd_spawner *spawner, const char *tag) {
  if (tag != NULL)
    return (size_t)snprintf(spawner->tag, sizeof(spawner->tag), "%s", tag) < sizeof(spawner->tag)
               ? 0
               : SANDD_PLATFORM_INVALID;
  unsigned char random[8];
  if (uv_random(NULL, NULL, random, sizeof(random), 0, NULL) != 0)
    return SANDD_PLATFORM_SYSTEM;
  for (size_t i = 0; i < sizeof(random); i++)
    snprintf(spawner->tag + 2 * i, 3, "%02x", random[i]);
  return 0;
}

static uint64_t ignored_signals(void) {
  uint64_t set = (uint64_t)1 << (SIGPIPE - 1); // which libraries like to ignore later
  for (int n = 1; n <= 64; n++) {
    uint64_t action[8] = {0}; // as the kernel has it, the handler first; the C library hides two of its own
    if (SANDD_RAW4(SYS_rt_sigaction, n, 0, action, sizeof(uint64_t)) == 0 && action[0] == (uintptr_t)SIG_IGN)
      set |= (uint64_t)1 << (n - 1);
  }
  return set;
}

static int open_null(void) {
  int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (fd >= 0 && fd < 3) {
    int moved = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    close(fd);
    return moved;
  }
  return fd;
}

int sandd_spawner_new(sandd_spawner **out, const sandd_spawner_config *config) {
  *out = NULL;
  if (config->size != sizeof(*config) || config->loop == NULL)
    return SANDD_PLATFORM_INVALID;
  sandd_spawner *spawner = calloc(1, sizeof(*spawner));
  if (spawner == NULL)
    return SANDD_PLATFORM_RESOURCE;
  spawner->loop = config->loop;
  spawner->plain = config->plain;
  spawner->null_fd = open_null();
  spawner->adopted_fd = -1;
  int r = spawner->null_fd >= 0 ? make_tag(spawner, config->tag) : SANDD_PLATFORM_SYSTEM;
  if (r == 0)
    r = sandd_killer_new(&spawner->killer, spawner);
  if (r == 0 && uv_signal_init(spawner->loop, &spawner->sigchld) != 0) {
    sandd_killer_free(spawner->killer);
    r = SANDD_PLATFORM_RESOURCE;
  }
  if (r != 0) {
    if (spawner->null_fd >= 0)
      close(spawner->null_fd);
    free(spawner);
    return r;
  }
  spawner->sigchld.data = spawner;
  uv_unref((uv_handle_t *)&spawner->sigchld);
  spawner->refs = 1;
  spawner->self = getpid();
  spawner->ignored = ignored_signals();
  sandd_settle_init(spawner);
  struct sigaction action;
  if (sigaction(SIGCHLD, NULL, &action) == 0 && action.sa_handler == SIG_IGN)
    signal(SIGCHLD, SIG_DFL);
  if (config->adopt && (r = sandd_reap_adopt(spawner)) != 0) {
    sandd_spawner_free(spawner);
    return r;
  }
  *out = spawner;
  return 0;
}

void sandd_spawner_unref(sandd_spawner *spawner) {
  if (--spawner->refs > 0)
    return;
  close(spawner->null_fd);
  free(spawner);
}

static void on_closed(uv_handle_t *handle) {
  sandd_spawner_unref(handle->data);
}

void sandd_spawner_free(sandd_spawner *spawner) {
  if (spawner == NULL)
    return;
  sandd_reap_unadopt(spawner);
  for (sandd_process *p = spawner->children, *next; p != NULL; p = next) {
    next = p->next;
    if (p->watched) // the others are being killed, and let go when that has come through
      sandd_reap_forget(p);
  }
  sandd_killer_free(spawner->killer);
  spawner->killer = NULL;
  sandd_settle_free(spawner);
  uv_close((uv_handle_t *)&spawner->sigchld, on_closed);
}

const char *sandd_spawner_tag(const sandd_spawner *spawner) {
  return spawner->tag;
}
