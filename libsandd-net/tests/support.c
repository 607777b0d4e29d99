// SPDX-License-Identifier: MIT
#include "support.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#ifdef __SANITIZE_THREAD__
/* The C library's own lock around its time zone is not seen; libwebsockets asks for the local time. */
const char *__tsan_default_suppressions(void);
__attribute__((visibility("default"))) const char *__tsan_default_suppressions(void) {
  return "race:tzset_internal\n";
}
#endif

uint64_t now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void keep_log(void *user, int level, const char *text) {
  world *w = user;
  size_t len = strlen(w->log);
  snprintf(w->log + len, sizeof w->log - len, "%d %s\n", level, text);
}

void world_start(world *w) {
  memset(w, 0, sizeof *w);
  sandd_net_config config = {.size = sizeof config, .log = keep_log, .log_user = w};
  ck_assert_int_eq(sandd_net_new(&w->net, &config), 0);
}

static void free_messages(message *m) {
  while (m) {
    message *next = m->next;
    free(m);
    m = next;
  }
}

static void free_peers(peer *p) {
  while (p) {
    peer *next = p->next;
    ck_assert_msg(p->closed_count == 1 || (!p->conn && !p->opened), "closed came %u times", p->closed_count);
    free_messages(p->out);
    free_messages(p->in);
    free(p);
    p = next;
  }
}

void world_stop(world *w) {
  sandd_net_free(w->net);
  ck_assert_ptr_null(strstr(w->log, "open handles"));
  free_peers(w->accepted);
  free_peers(w->dialled);
}

static void on_opened(sandd_conn *conn, void *user) {
  peer *p = user;
  ck_assert(!p->opened && !p->closed);
  p->opened = true;
  p->conn = conn;
}

static void on_message(sandd_conn *conn, const uint8_t *data, size_t len, void *user) {
  peer *p = user;
  ck_assert(p->opened && !p->closed);
  (void)conn;
  if (p->echo && len) {
    peer_send(p, data, len);
  }
  message *m = malloc(sizeof *m + len);
  m->next = NULL;
  m->len = len;
  memcpy(m->data, data, len);
  if (p->in_last) {
    p->in_last->next = m;
  } else {
    p->in = m;
  }
  p->in_last = m;
  p->in_count++;
  p->in_bytes += len;
}

static size_t on_pull(sandd_conn *conn, uint8_t *buf, size_t cap, void *user) {
  peer *p = user;
  message *m = p->out;
  (void)conn;
  if (p->endless) {
    memset(buf, 'x', p->endless_len);
    return p->endless_len;
  }
  if (!m) {
    return 0;
  }
  ck_assert_uint_le(m->len, cap);
  size_t len = m->len;
  memcpy(buf, m->data, len);
  p->out = m->next;
  if (!p->out) {
    p->out_last = NULL;
  }
  free(m);
  return len;
}

static void on_received(sandd_conn *conn, void *user) {
  (void)conn;
  ((peer *)user)->received++;
}

static void on_closed(sandd_conn *conn, int error, uint16_t ws_code, const char *text, void *user) {
  peer *p = user;
  p->closed = true;
  p->closed_count++;
  p->error = error;
  p->ws_code = ws_code;
  p->by_peer = sandd_conn_closed_by_peer(conn);
  snprintf(p->text, sizeof p->text, "%s", text);
  p->conn = NULL;
}

const sandd_conn_handler peer_handler = {on_opened, on_message, on_pull, on_received, on_closed};

static void on_accepted(sandd_conn *conn, void *user) {
  world *w = user;
  peer *p = calloc(1, sizeof *p);
  p->next = w->accepted;
  p->echo = w->echo;
  w->accepted = p;
  w->accepted_count++;
  sandd_conn_set_user(conn, p);
  on_opened(conn, p);
}

const sandd_conn_handler accept_handler = {on_accepted, on_message, on_pull, on_received, on_closed};

void world_listen(world *w, sandd_listen_config config) {
  char text[256] = "";
  config.size = sizeof config;
  config.host = config.host ? config.host : "127.0.0.1";
  config.handler = &accept_handler;
  config.user = w;
  int rc = sandd_listen(w->net, &config, &w->listener, text, sizeof text);
  ck_assert_msg(!rc, "%d %s", rc, text);
}

peer *world_dial(world *w, sandd_dial_config config) {
  char text[256] = "";
  peer *p = calloc(1, sizeof *p);
  p->next = w->dialled;
  w->dialled = p;
  config.size = sizeof config;
  config.handler = &peer_handler;
  config.user = p;
  config.url = config.url ? config.url : world_url(w, "ws");
  int rc = sandd_dial(w->net, &config, &p->conn, text, sizeof text);
  ck_assert_msg(!rc, "%d %s", rc, text);
  return p;
}

peer *peer_dial_url(world *w, const char *url) {
  return world_dial(w, (sandd_dial_config){.url = url});
}

const char *world_url(world *w, const char *scheme) {
  static _Thread_local char url[128];
  snprintf(url, sizeof url, "%s://%s", scheme, sandd_listener_address(w->listener));
  return url;
}

void peer_send(peer *p, const void *data, size_t len) {
  message *m = malloc(sizeof *m + len);
  m->next = NULL;
  m->len = len;
  memcpy(m->data, data, len);
  if (p->out_last) {
    p->out_last->next = m;
  } else {
    p->out = m;
  }
  p->out_last = m;
  if (p->conn) {
    sandd_conn_wake(p->conn);
  }
}

static void fill(uint8_t *data, size_t len, uint8_t seed) {
  for (size_t i = 0; i < len; i++) {
    data[i] = (uint8_t)(seed + i * 7 + (i >> 8));
  }
}

void peer_send_fill(peer *p, size_t len, uint8_t seed) {
  uint8_t *data = malloc(len + 1);
  fill(data, len, seed);
  peer_send(p, data, len);
  free(data);
}

bool message_is_fill(const message *m, size_t len, uint8_t seed) {
  uint8_t *data = malloc(len + 1);
  fill(data, len, seed);
  bool same = m && m->len == len && !memcmp(m->data, data, len);
  free(data);
  return same;
}

int open_descriptors(void) {
  int count = 0;
  DIR *dir = opendir("/proc/self/fd");
  while (readdir(dir)) {
    count++;
  }
  closedir(dir);
  return count - 3; /* ., .. and the directory itself */
}

int raw_connect(unsigned port) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  struct timeval limit = {.tv_sec = 10};
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
  return fd;
}

void raw_send(int fd, const void *data, size_t len) {
  ck_assert_int_eq(send(fd, data, len, MSG_NOSIGNAL), (ssize_t)len);
}

void raw_upgrade(int fd, const char *headers) {
  char request[1024];
  int n = snprintf(request, sizeof request,
                   "GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                   "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n%s\r\n",
                   headers);
  raw_send(fd, request, (size_t)n);
}

size_t raw_frame(uint8_t *out, uint8_t first_byte, const void *payload, size_t len) {
  static const uint8_t mask[4] = {0x11, 0xA2, 0x33, 0xC4};
  const uint8_t *bytes = payload;
  size_t n = 0;
  out[n++] = first_byte;
  if (len < 126) {
    out[n++] = (uint8_t)(0x80 | len);
  } else if (len < 65536) {
    out[n++] = 0x80 | 126;
    out[n++] = (uint8_t)(len >> 8);
    out[n++] = (uint8_t)len;
  } else {
    out[n++] = 0x80 | 127;
    for (int shift = 56; shift >= 0; shift -= 8) {
      out[n++] = (uint8_t)((uint64_t)len >> shift);
    }
  }
  memcpy(out + n, mask, 4);
  n += 4;
  for (size_t i = 0; i < len; i++) {
    out[n++] = bytes[i] ^ mask[i & 3];
  }
  return n;
}

static char directory[64];
static pid_t owner; /* check forks, and each child runs the exit handlers too */

static void remove_directory(void) {
  char command[128];
  if (getpid() != owner) {
    return;
  }
  snprintf(command, sizeof command, "rm -rf %s", directory);
  if (system(command)) {
    fprintf(stderr, "could not remove %s\n", directory);
  }
}

static const char make_certificates[] =
    "cd %s && exec >log 2>&1 && set -e\n"
    "key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out $1.key; }\n"
    "key ca; openssl req -x509 -new -key ca.key -subj '/CN=test CA' -days 2 -out ca.pem\n"
    "key other-ca; openssl req -x509 -new -key other-ca.key -subj '/CN=other CA' -days 2 -out other-ca.pem\n"
    "key server; openssl req -new -key server.key -subj '/CN=localhost' -out server.csr\n"
    "printf 'subjectAltName=DNS:localhost,DNS:name.test,IP:127.0.0.1,IP:::1' >server.ext\n"
    "openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile server.ext "
    "-out server.pem\n"
    "key client; openssl req -new -key client.key -subj '/CN=client' -out client.csr\n"
    "openssl x509 -req -in client.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out client.pem\n"
    "key self; openssl req -x509 -new -key self.key -subj '/CN=localhost' -addext "
    "'subjectAltName=DNS:localhost,IP:127.0.0.1' -days 2 -out self.pem\n"
    "echo garbage >garbage.pem\n";

static void prepare_certificates(void) {
  char command[sizeof make_certificates + sizeof directory];
  strcpy(directory, "/tmp/sandd-net-XXXXXX");
  if (!mkdtemp(directory)) {
    exit(1);
  }
  owner = getpid();
  atexit(remove_directory);
  snprintf(command, sizeof command, make_certificates, directory);
  if (system(command)) {
    fprintf(stderr, "the openssl command could not make certificates\n");
    exit(1);
  }
}

const char *certificate(const char *name) {
  static _Thread_local char paths[8][128];
  static _Thread_local unsigned next;
  char *path = paths[next++ % 8];
  snprintf(path, sizeof paths[0], "%s/%s", directory, name);
  return path;
}

int run_suite(Suite *suite) {
  prepare_certificates();
  SRunner *runner = srunner_create(suite);
  srunner_run_all(runner, CK_ENV);
  int failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed ? 1 : 0;
}
