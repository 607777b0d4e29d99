// SPDX-License-Identifier: MIT
/* What an idle connection costs the side that listens: resident memory per connection, the dialling side being another
 * process. usage: sandd-bench-net-idle [connections] [certificate key] */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sandd/net/dial.h"
#include "sandd/net/listen.h"

#define DIALS_AT_ONCE 50

static unsigned opened, failed;

static void on_opened(sandd_conn *conn, void *user) {
  (void)conn;
  (void)user;
  opened++;
}

static void on_closed(sandd_conn *conn, int error, uint16_t ws_code, const char *text, void *user) {
  (void)conn;
  (void)error;
  (void)ws_code;
  (void)user;
  if (!failed++) {
    fprintf(stderr, "%s\n", text);
  }
}

static const sandd_conn_handler handler = {on_opened, NULL, NULL, NULL, on_closed};

static long resident_kib(void) {
  long pages = 0;
  FILE *f = fopen("/proc/self/statm", "r");
  if (!f || fscanf(f, "%*s %ld", &pages) != 1) {
    exit(1);
  }
  fclose(f);
  return pages * sysconf(_SC_PAGESIZE) / 1024;
}

static void dial_all(const char *url, unsigned count) {
  sandd_net *net = NULL;
  if (sandd_net_new(&net, NULL)) {
    exit(1);
  }
  for (unsigned dialled = 0; opened + failed < count;) {
    while (dialled < count && dialled - opened - failed < DIALS_AT_ONCE) {
      sandd_dial_config dial = {.size = sizeof dial, .url = url, .insecure = url[2] == 's', .handler = &handler};
      if (sandd_dial(net, &dial, NULL, NULL, 0)) {
        exit(1);
      }
      dialled++;
    }
    sandd_net_turn(net, 100);
  }
  sandd_net_run(net);
}

int main(int argc, char **argv) {
  unsigned count = argc > 1 ? (unsigned)atoi(argv[1]) : 2000;
  bool secure = argc > 3;
  char url[64], text[256] = "";
  struct rlimit limit;
  sandd_net *net = NULL;
  sandd_listener *listener = NULL;
  sandd_listen_config listen = {.size = sizeof listen,
                                .host = "127.0.0.1",
                                .cert_file = secure ? argv[2] : NULL,
                                .key_file = secure ? argv[3] : NULL,
                                .handler = &handler};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  if (sandd_net_new(&net, NULL) || sandd_listen(net, &listen, &listener, text, sizeof text)) {
    fprintf(stderr, "%s\n", text);
    return 1;
  }
  snprintf(url, sizeof url, "%s://%s", secure ? "wss" : "ws", sandd_listener_address(listener));
  pid_t child = fork();
  if (!child) {
    sandd_net_abandon(net);
    dial_all(url, count);
    _exit(0);
  }
  unsigned warm = count / 20 + 1;
  while (opened < warm) {
    sandd_net_turn(net, 100);
  }
  long before = resident_kib();
  unsigned first = opened;
  while (opened < count && !failed) {
    sandd_net_turn(net, 100);
  }
  for (int i = 0; i < 20; i++) {
    sandd_net_turn(net, 50);
  }
  printf("idle_kib_per_connection %.2f\nresident_kib_before %ld\n",
         (double)(resident_kib() - before) / (opened - first), before);
  kill(child, SIGKILL);
  waitpid(child, NULL, 0);
  sandd_net_free(net);
  return 0;
}
