// SPDX-License-Identifier: MIT
/* The plain path's own limit: how fast 64 KiB messages go through lws_write and back out of the callbacks, with nothing
 * of the protocol around them. Client and server run on a thread and a loop each, over loopback.
 * usage: sandd-bench-net [seconds per direction] [certificate key], prints GB/s (10^9 bytes) per direction. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sandd/net/dial.h"
#include "sandd/net/listen.h"

#define MESSAGE (64 * 1024)

typedef struct side {
  sandd_net *net;
  sandd_conn *conn;
  uv_async_t go;
  atomic_bool open, send;
  atomic_ullong received;
} side;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void on_opened(sandd_conn *conn, void *user) {
  side *s = user;
  s->conn = conn;
  atomic_store(&s->open, true);
}

static void on_message(sandd_conn *conn, const uint8_t *data, size_t len, void *user) {
  (void)conn;
  (void)data;
  atomic_fetch_add_explicit(&((side *)user)->received, len, memory_order_relaxed);
}

static size_t on_pull(sandd_conn *conn, uint8_t *buf, size_t cap, void *user) {
  (void)conn;
  (void)buf;
  (void)cap;
  return atomic_load(&((side *)user)->send) ? MESSAGE : 0;
}

static void on_closed(sandd_conn *conn, int error, uint16_t ws_code, const char *text, void *user) {
  (void)conn;
  (void)ws_code;
  ((side *)user)->conn = NULL;
  if (error && error != SANDD_NET_ABORTED && error != SANDD_NET_LOST) {
    fprintf(stderr, "%s\n", text);
    exit(1);
  }
}

static const sandd_conn_handler handler = {on_opened, on_message, on_pull, NULL, on_closed};

static void on_go(uv_async_t *async) {
  side *s = async->data;
  if (s->conn) {
    sandd_conn_wake(s->conn);
  }
}

static void side_new(side *s) {
  if (sandd_net_new(&s->net, NULL) || uv_async_init(sandd_net_loop(s->net), &s->go, on_go)) {
    exit(1);
  }
  s->go.data = s;
}

static void *run(void *net) {
  sandd_net_run(net);
  return NULL;
}

static void nap(double seconds) {
  struct timespec t = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
  nanosleep(&t, NULL);
}

static double measure(side *from, side *to, double seconds) {
  atomic_store(&from->send, true);
  uv_async_send(&from->go);
  nap(0.2);
  unsigned long long before = atomic_load(&to->received);
  double began = now();
  nap(seconds);
  double rate = (double)(atomic_load(&to->received) - before) / (now() - began);
  atomic_store(&from->send, false);
  nap(0.2);
  return rate / 1e9;
}

int main(int argc, char **argv) {
  static side server, client;
  double seconds = argc > 1 ? atof(argv[1]) : 2;
  bool secure = argc > 3;
  char url[64], text[256] = "";
  sandd_listener *listener = NULL;
  pthread_t threads[2];
  side_new(&server);
  side_new(&client);
  sandd_listen_config listen = {.size = sizeof listen,
                                .host = "127.0.0.1",
                                .cert_file = secure ? argv[2] : NULL,
                                .key_file = secure ? argv[3] : NULL,
                                .max_first_message = 2 * MESSAGE,
                                .handler = &handler,
                                .user = &server};
  if (sandd_listen(server.net, &listen, &listener, text, sizeof text)) {
    fprintf(stderr, "%s\n", text);
    return 1;
  }
  snprintf(url, sizeof url, "%s://%s", secure ? "wss" : "ws", sandd_listener_address(listener));
  sandd_dial_config dial = {.size = sizeof dial, .url = url, .insecure = secure, .handler = &handler, .user = &client};
  if (sandd_dial(client.net, &dial, NULL, text, sizeof text)) {
    fprintf(stderr, "%s\n", text);
    return 1;
  }
  pthread_create(&threads[0], NULL, run, server.net);
  pthread_create(&threads[1], NULL, run, client.net);
  for (double give_up = now() + 10; !atomic_load(&server.open) || !atomic_load(&client.open);) {
    if (now() > give_up) {
      fprintf(stderr, "no connection\n");
      return 1;
    }
    nap(0.001);
  }
  printf("client_to_server %.3f\n", measure(&client, &server, seconds));
  printf("server_to_client %.3f\n", measure(&server, &client, seconds));
  sandd_net_stop(server.net);
  sandd_net_stop(client.net);
  pthread_join(threads[0], NULL);
  pthread_join(threads[1], NULL);
  uv_close((uv_handle_t *)&server.go, NULL);
  uv_close((uv_handle_t *)&client.go, NULL);
  sandd_net_free(client.net);
  sandd_net_free(server.net);
  return 0;
}
