// SPDX-License-Identifier: MIT
// Many idle daemons in one process: each is a daemon endpoint with a real connection to a server, and does nothing but
// its heartbeats. For measuring what an idle daemon costs a server.
//
//   sandd-bench-idle URL COUNT [PREFIX]
//
// Prints "ready COUNT" when all of them are confirmed, and ends when its standard input does.
#include <sandd/net/carrier.h>
#include <sandd/net/dial.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

// Dialling at once is bounded: a listen queue is 128 or so deep.
#define AT_ONCE 64

typedef struct idler {
  sandd_endpoint *endpoint;
  sandd_carrier *carrier;
} idler;

typedef struct crowd {
  sandd_net *net;
  const char *url, *prefix;
  idler *idlers;
  size_t count, begun, up;
  int exit_code;
} crowd;

static crowd all;

static void fill_random(void *ctx, uint8_t *out, size_t len) {
  (void)ctx;
  while (len > 0) {
    ssize_t got = getrandom(out, len < 256 ? len : 256, 0);
    if (got > 0) {
      out += got;
      len -= (size_t)got;
    }
  }
}

static void fail(const char *what, const char *why) {
  fprintf(stderr, "sandd-bench-idle: %s: %s\n", what, why);
  all.exit_code = 1;
  sandd_net_stop(all.net);
}

static void begin_one(void);

static void on_event(void *user, const sandd_event *event) {
  (void)user;
  if (event->type == SANDD_EVENT_SESSION_UP) {
    all.up++;
    if (all.up == all.count) {
      printf("ready %zu\n", all.count);
      fflush(stdout);
    }
    begin_one();
  } else if (event->type == SANDD_EVENT_REFUSED) {
    fail("refused", event->text ? event->text : "?");
  }
}

static void on_dial_ended(void *user, int error, uint16_t ws_code, const char *text) {
  (void)user, (void)error, (void)ws_code;
  fail("a connection ended", text ? text : "?");
}

static bool start(idler *one, size_t index) {
  char id[32], instance[32];
  snprintf(id, sizeof(id), "%.8s-%zu", all.prefix, index);
  snprintf(instance, sizeof(instance), "idle-%d-%zu", (int)getpid(), index);
  static const sandd_capability exec = {.name = "exec"};
  sandd_endpoint_config config = {.size = sizeof(config),
                                  .role = SANDD_ROLE_DAEMON,
                                  .random = fill_random,
                                  .daemon_id = id,
                                  .instance_id = instance,
                                  .software = "sandd-bench-idle",
                                  .os = "linux",
                                  .arch = "",
                                  .release = "",
                                  .hostname = "",
                                  .capabilities = &exec,
                                  .n_capabilities = 1};
  if (sandd_endpoint_new(&one->endpoint, &config) != 0) {
    return false;
  }
  sandd_carrier_config carrying = {.size = sizeof(carrying),
                                   .net = all.net,
                                   .endpoint = one->endpoint,
                                   .event = on_event,
                                   .dial_ended = on_dial_ended,
                                   .user = one};
  if (sandd_carrier_new(&one->carrier, &carrying) != 0) {
    return false;
  }
  sandd_dial_config dialling = {.size = sizeof(dialling),
                                .url = all.url,
                                .insecure = strncmp(all.url, "wss:", 4) == 0,
                                .handler = sandd_carrier_handler(),
                                .user = one->carrier};
  sandd_conn *conn;
  char text[200] = "";
  if (sandd_dial(all.net, &dialling, &conn, text, sizeof(text)) != 0) {
    fprintf(stderr, "sandd-bench-idle: %s\n", text);
    return false;
  }
  return true;
}

static void begin_one(void) {
  if (all.begun < all.count && !start(&all.idlers[all.begun], all.begun)) {
    fail("can't start a daemon", "out of memory or descriptors");
  }
  all.begun++;
}

static void on_stdin(uv_poll_t *handle, int status, int events) {
  (void)events;
  char drop[64];
  if (status < 0 || read(STDIN_FILENO, drop, sizeof(drop)) <= 0) {
    uv_poll_stop(handle);
    sandd_net_stop(all.net);
  }
}

static void raise_descriptor_limit(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
  }
}

int main(int argc, char **argv) {
  if (argc < 3 || argc > 4 || atoi(argv[2]) < 1) {
    fprintf(stderr, "usage: sandd-bench-idle URL COUNT [PREFIX]\n");
    return 2;
  }
  raise_descriptor_limit();
  all.url = argv[1];
  all.prefix = argc > 3 ? argv[3] : "idle";
  all.count = (size_t)atoi(argv[2]);
  all.idlers = calloc(all.count, sizeof(*all.idlers));
  sandd_net_config config = {.size = sizeof(config), .fd_limit = (unsigned)all.count + 64, .max_pull = 65536};
  uv_poll_t stdin_watch;
  if (!all.idlers || sandd_net_new(&all.net, &config) != 0 ||
      uv_poll_init(sandd_net_loop(all.net), &stdin_watch, STDIN_FILENO) != 0) {
    fprintf(stderr, "sandd-bench-idle: can't start\n");
    return 1;
  }
  uv_poll_start(&stdin_watch, UV_READABLE | UV_DISCONNECT, on_stdin);
  for (size_t i = 0; i < AT_ONCE && i < all.count; i++) {
    begin_one();
  }
  sandd_net_run(all.net);
  // The connections end with the process; nothing here outlives it.
  _exit(all.exit_code);
}
