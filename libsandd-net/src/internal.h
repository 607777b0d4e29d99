// SPDX-License-Identifier: MIT
/* What the files of libsandd-net know of each other. Layers, top down: listen and dial make connections; http decides
 * about upgrades; conn moves messages; backend holds libwebsockets' contexts and its one callback; net owns the loop. */
#ifndef SANDD_NET_INTERNAL_H
#define SANDD_NET_INTERNAL_H

#include <libwebsockets.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <uv.h>

#include "sandd/net/conn.h"
#include "sandd/net/dial.h"
#include "sandd/net/listen.h"
#include "sandd/net/net.h"

#define SUBPROTOCOL      "sandd.v1"
#define DEFAULT_PATH     "/ws"
#define MAX_TOKEN        4096
#define MAX_REASON       120
#define CLOSE_TIMEOUT_MS 5000
#define PULL_BUDGET      (192 * 1024)
#define MOST_FLUSHED     4096 /* connections in one go */
#define UNSENT_LOW_WATER (128 * 1024)
#define TEXT_SIZE        256

/* A node of a circular list; the head is a node too. */
typedef struct list {
  struct list *next, *prev;
} list;

#define LIST_ENTRY(node, type, member) ((type *)(void *)((char *)(node) - offsetof(type, member)))

static inline void list_init(list *l) {
  l->next = l->prev = l;
}

static inline bool list_empty(const list *l) {
  return l->next == l;
}

static inline void list_add(list *head, list *node) {
  node->prev = head->prev;
  node->next = head;
  head->prev->next = node;
  head->prev = node;
}

static inline void list_remove(list *node) {
  node->prev->next = node->next;
  node->next->prev = node->prev;
  list_init(node);
}

/* Files and switches that make one SSL_CTX. */
typedef struct tls_files {
  bool server;
  bool insecure;
  const char *ca;
  const char *cert;
  const char *key;
} tls_files;

/* One libwebsockets vhost: the plain one, or one per distinct TLS setup. */
typedef struct backend_vhost {
  list node;
  sandd_net *net;
  struct lws_vhost *vh;
  SSL_CTX *client_ctx; /* ours; libwebsockets borrows it */
  tls_files files;     /* pointers into key */
  char *key;
  size_t key_len;
  unsigned refs;
  uint64_t idle_since_ms;
} backend_vhost;

enum { BACKEND_PLAIN, BACKEND_TLS, BACKEND_COUNT, BACKEND_SPARES = 4 };

struct sandd_net {
  uv_loop_t loop;
  uv_async_t stop_async;
  uv_timer_t timer;
  uv_prepare_t prepare; /* runs while conns are woken: they are pulled before the loop waits */
  uv_idle_t idle;       /* keeps the loop from waiting, for those that are woken while prepare handles run */
  void (*log)(void *user, int level, const char *text);
  void *log_user;
  unsigned fd_limit;
  size_t max_pull;
  uint8_t *pull_buf; /* LWS_PRE and max_pull bytes; touched by messages only, so big costs nothing */
  struct lws_context *context[BACKEND_COUNT];
  uv_handle_t *wakeup[BACKEND_COUNT]; /* of the context's event descriptor */
  int wakeup_fd[BACKEND_COUNT];
  int spares[BACKEND_COUNT][BACKEND_SPARES];
  bool left_behind; /* a context that could not be freed */
  backend_vhost plain;
  list vhosts; /* backend_vhost with TLS */
  list conns;
  list listeners;
  list timed;           /* conns with a deadline */
  list woken;           /* conns that have something to say */
  sandd_conn *adopting; /* while libwebsockets makes a wsi for it */
};

struct sandd_listener {
  list node;
  sandd_net *net;
  backend_vhost *vhost;
  uv_poll_t poll;
  uv_timer_t retry; /* after running out of descriptors */
  int fd;
  unsigned refs; /* its handles and connections */
  bool freed;
  unsigned port;
  char address[72];
  char *path;
  char *token;
  size_t max_first_message;
  sandd_conn_handler handler;
  void *user;
  bool (*http)(void *user, const char *path, sandd_http_answer *answer);
};

/*  dial:   RESOLVING -> NEXT -> CONNECTING -> OPEN -> CLOSING -> (gone)
 *                        ^--------/   |failed, or no address left: FAILED -> (gone)
 *  accept: UPGRADING -> OPEN -> CLOSING -> (gone) */
typedef enum conn_phase {
  CONN_RESOLVING,  /* uv_getaddrinfo is under way */
  CONN_NEXT,       /* tries the next address at the next turn */
  CONN_CONNECTING, /* a wsi is on its way to opened */
  CONN_FAILED,     /* tells closed at the next turn */
  CONN_UPGRADING,
  CONN_OPEN,
  CONN_CLOSING /* a Close frame is asked for, or came */
} conn_phase;

typedef struct dial dial;
typedef struct lookup lookup;

struct sandd_conn {
  list node;
  list timed;
  list woken;
  sandd_net *net;
  struct lws *wsi;
  const sandd_conn_handler *handler; /* the listener's or the dial's */
  void *user;
  sandd_listener *listener; /* NULL: dialled */
  dial *dial;
  uint64_t deadline_ms;
  uint8_t *partial; /* fragments of a message */
  size_t partial_len, partial_cap;
  size_t max_message;
  conn_phase phase;
  int error;
  uint16_t ws_code;
  char *text;       /* why it ended */
  char *reason;     /* of the Close frame to be sent */
  bool in_lws_call; /* within connect or adopt, whose return tells what became of the wsi */
  bool opened, wake_pending, close_sent, close_answered, closed_by_peer, aborted, had_message, leaving;
  bool full; /* the socket took all it could: its writeable callback goes on */
  char peer[56];
};

struct dial {
  sandd_conn *conn;
  sandd_conn_handler handler;
  backend_vhost *vhost;
  lookup *lookup; /* while resolving */
  bool secure, insecure;
  bool tcp_connected, tls_done;
  uint64_t deadline_ms;
  struct sockaddr_storage *addresses;
  unsigned address_count, address_next;
  char *token;
  char *host; /* as in the URL, without brackets */
  char *path;
  char *host_header;
  char *server_name;
  unsigned port;
  unsigned timeout_ms;
  char tls_text[TEXT_SIZE];
};

/* net.c */
void net_flush_soon(sandd_net *net); /* conn_flush_woken, before the loop waits */

/* log.c */
void net_log(const sandd_net *net, int level, const char *format, ...) __attribute__((format(printf, 3, 4)));
void log_silence_backend(void);

/* backend.c */
extern const lws_retry_bo_t backend_no_keepalive;
int backend_plain(sandd_net *net, backend_vhost **out);
int backend_tls(sandd_net *net, const tls_files *files, backend_vhost **out, char *text, size_t text_size);
void backend_release(backend_vhost *vhost);
void backend_free(sandd_net *net);
void backend_close_spares(sandd_net *net, int which);
struct lws_context *backend_context(const backend_vhost *vhost);

/* tls.c */
int tls_configure(SSL_CTX *ctx, const tls_files *files, char *text, size_t text_size);
int tls_client_ctx(SSL_CTX **out, const tls_files *files, char *text, size_t text_size);

/* conn.c */
sandd_conn *conn_new(sandd_net *net, const sandd_conn_handler *handler, void *user, size_t max_message);
void conn_free(sandd_conn *conn);
void conn_fail(sandd_conn *conn, int error, const char *text); /* remembers the first reason */
void conn_deadline(sandd_conn *conn, uint64_t ms);             /* 0: none */
void conn_opened(sandd_conn *conn);
int conn_receive(sandd_conn *conn, const uint8_t *data, size_t len);
int conn_writeable(sandd_conn *conn);
void conn_flush_woken(sandd_net *net);
int conn_peer_close(sandd_conn *conn, const uint8_t *payload, size_t len);
void conn_destroyed(sandd_conn *conn); /* its wsi is gone */
void conn_kill_wsi(sandd_conn *conn);
void conn_due(sandd_conn *conn);
void conn_tune_socket(int fd);
void address_text(const struct sockaddr *address, char *out, size_t size);

/* http.c */
int http_upgrade(sandd_conn *conn, struct lws *wsi, const char *upgrade);
int http_get(sandd_conn *conn, struct lws *wsi, const char *path);

/* dial.c */
void dial_next(sandd_conn *conn);
void dial_attempt_due(sandd_conn *conn);
void dial_connected(sandd_conn *conn);
int dial_headers(sandd_conn *conn, unsigned char **at, size_t space);
void dial_last_words(sandd_conn *conn);
void dial_error(sandd_conn *conn, const char *text, size_t len);
void dial_attempt_gone(sandd_conn *conn);
void dial_free(dial *d);
sandd_conn *dial_of_ssl(sandd_net *net, const SSL *ssl);

/* resolve.c */
int resolve_start(sandd_conn *conn);
void resolve_forget(dial *d); /* its result is wanted no more */

/* url.c */
int url_parse(const char *url, dial *d, char *text, size_t text_size);

/* listen.c */
void listener_unref(sandd_listener *listener);

/* net.c */
void net_schedule(sandd_net *net);
void net_drain(sandd_net *net); /* runs the loop until nothing is open on it */

#endif
