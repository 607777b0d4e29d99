// SPDX-License-Identifier: MIT
#include "daemon.h"

#include <malloc.h>
#include <sandd/net/carrier.h>
#include <sandd/net/net.h>
#include <sandd/proto/session.h>
#include <sandd/proto/status.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>
#include <uv.h>

#include "clock.h"
#include "daemon/guard/guard.h"
#include "daemon/platform/system.h"
#include "dialler.h"
#include "execs.h"
#include "fault.h"

/* Stopping takes at most all of these together. */
#define STOP_GRACE_NS INT64_C(1500000000)
#define STOP_KILL_US  2200000 /* then we go, and the guard ends what is left */
#define STOP_ENDS_US  300000  /* for the server to take the last output */
#define STOP_CLOSE_US 400000  /* for the Close frames */
/* The same Ctrl-C may come from the terminal and through the guard. */
#define SAME_SIGNAL_US 100000
/* The loop's clock stands still in suspend, ours does not: look again so often. */
#define LONGEST_SLEEP_MS 30000

/* Memory is given back so long after so many starts and ends. */
#define TRIM_AFTER 64
#define TRIM_US    1000000

#define STREAMS            10000
#define RINGS              24576
#define RING_BUDGET        (UINT64_C(192) << 20)
#define INLINE_STDIN_BYTES 65536

typedef enum phase { WORKING = 0, KILLING, ENDING, CLOSING } phase;

typedef struct sandd_daemon {
  const sandd_options *options;
  sandd_net *net;
  uv_loop_t *loop;
  sandd_endpoint *endpoint;
  sandd_carrier *carrier;
  sandd_spawner *spawner;
  sandd_execs *execs;
  sandd_dialler *dialler;
  uv_prepare_t prepare;
  uv_check_t check;
  uv_timer_t timer;
  uv_signal_t signals[3];
  phase phase;
  uint64_t phase_us;         /* when the phase began */
  uint64_t signal_us;        /* of the first signal; 0: none */
  uint64_t trim_us, trimmed; /* when memory is given back, UINT64_MAX: no need; starts and ends when it last was */
  uint64_t checked_us;       /* when the loop last came from its poll */
  int exit_code;
  int n_handles; /* that were made */
} sandd_daemon;

static void net_log(void *user, int level, const char *text) {
  (void)user;
  sandd_log((sandd_log_level)level, "%s", text);
}

static void fill_random(void *ctx, uint8_t *out, size_t len) {
  (void)ctx;
  if (uv_random(NULL, NULL, out, len, 0, NULL) != 0) {
    abort(); // ids and secrets that can be guessed are worse than no daemon
  }
}

/* ---- events ---- */

static void log_event(sandd_daemon *daemon, const sandd_event *event) {
  const char *url = daemon->options->server_url;
  switch (event->type) {
  case SANDD_EVENT_SESSION_UP:
    sandd_log(SANDD_LOG_INFO, "connected to %s as %s%s", url, sandd_endpoint_daemon_id(daemon->endpoint),
              event->resumed ? ", the session goes on" : "");
    break;
  case SANDD_EVENT_SESSION_AWAY: sandd_log(SANDD_LOG_WARN, "the connection to %s is gone", url); break;
  case SANDD_EVENT_SESSION_LOST:
    sandd_log(daemon->phase == WORKING ? SANDD_LOG_WARN : SANDD_LOG_INFO, "the session is over: %s%s%s",
              sandd_status_name(event->status), event->text && *event->text ? ": " : "",
              event->text ? event->text : "");
    break;
  case SANDD_EVENT_IDENTITY_CHANGED:
    sandd_log(SANDD_LOG_ERROR,
              "ANOTHER DAEMON GOES ON WITH OUR SESSION, so this machine seems to be a copy: from now on this daemon is "
              "called \"%s\"",
              event->text);
    break;
  case SANDD_EVENT_REFUSED:
    sandd_log(SANDD_LOG_WARN, "no session: %s%s%s", sandd_status_name(event->status),
              event->text && *event->text ? ": " : "", event->text ? event->text : "");
    if (event->status == SANDD_CODE(ALREADY_CONNECTED)) {
      sandd_log(SANDD_LOG_WARN, "a daemon called \"%s\" is connected already; each needs an id of its own",
                sandd_endpoint_daemon_id(daemon->endpoint));
    }
    break;
  default: break;
  }
}

static void on_event(void *user, const sandd_event *event) {
  sandd_daemon *daemon = user;
  log_event(daemon, event);
  sandd_dialler_event(daemon->dialler, event);
  sandd_execs_event(daemon->execs, event, sandd_clock_now_us());
}

static void on_dial_ended(void *user, int error, uint16_t ws_code, const char *text) {
  sandd_daemon *daemon = user;
  sandd_dialler_ended(daemon->dialler, error, ws_code, text);
}

/* ---- stopping ---- */

static void enter(sandd_daemon *daemon, phase next) {
  daemon->phase = next;
  daemon->phase_us = sandd_clock_now_us();
}

static bool connected(const sandd_daemon *daemon) {
  sandd_session *session = sandd_endpoint_session(daemon->endpoint);
  return session && sandd_session_link(session);
}

static void stop(sandd_daemon *daemon, int exit_code) {
  if (daemon->phase != WORKING) {
    return;
  }
  daemon->exit_code = exit_code;
  sandd_dialler_stop(daemon->dialler);
  sandd_execs_stop(daemon->execs, STOP_GRACE_NS);
  enter(daemon, KILLING);
}

static void say_goodbye(sandd_daemon *daemon) {
  sandd_session *session = sandd_endpoint_session(daemon->endpoint);
  enter(daemon, CLOSING);
  if (session) {
    sandd_session_goodbye(session, SANDD_CODE(SHUTTING_DOWN), "the daemon is stopping", 0, daemon->phase_us);
    sandd_carrier_flush(daemon->carrier);
  }
}

/* Takes the next step as soon as its condition holds or its time is up; returns when to look again. */
static uint64_t step_stop(sandd_daemon *daemon, uint64_t now_us) {
  sandd_session *session = sandd_endpoint_session(daemon->endpoint);
  uint64_t since = now_us - daemon->phase_us;
  switch (daemon->phase) {
  case KILLING:
    if (!sandd_execs_stopped(daemon->execs) && since < STOP_KILL_US) {
      return daemon->phase_us + STOP_KILL_US;
    }
    enter(daemon, ENDING);
    return now_us;
  case ENDING:
    if (connected(daemon) && sandd_session_stream_count(session) > 0 && since < STOP_ENDS_US) {
      return daemon->phase_us + STOP_ENDS_US;
    }
    say_goodbye(daemon);
    return now_us;
  case CLOSING:
    if (sandd_dialler_busy(daemon->dialler) && since < STOP_CLOSE_US) {
      return daemon->phase_us + STOP_CLOSE_US;
    }
    sandd_net_stop(daemon->net);
    return UINT64_MAX;
  default: return UINT64_MAX;
  }
}

static void on_signal(uv_signal_t *handle, int number) {
  sandd_daemon *daemon = handle->data;
  uint64_t now_us = sandd_clock_now_us();
  char name[16];
  if (daemon->signal_us == 0) {
    daemon->signal_us = now_us;
    sandd_log(SANDD_LOG_INFO, "stopping, because of signal %s", sandd_platform_signal_name(number, name, sizeof(name)));
    stop(daemon, 0);
  } else if (now_us - daemon->signal_us > SAME_SIGNAL_US) {
    sandd_log(SANDD_LOG_WARN, "stopping at once");
    sandd_execs_stop(daemon->execs, 0);
    sandd_net_stop(daemon->net);
  }
}

static void on_guard_died(void *data) {
  sandd_daemon *daemon = data;
  sandd_log(SANDD_LOG_ERROR, "the guard process was killed: the commands end, and so does this daemon");
  sandd_guard_kill_all(daemon->spawner);
  _exit(1);
}

static void on_gave_up(void *user, int exit_code) {
  stop(user, exit_code);
}

/* ---- the loop ---- */

static void on_timer(uv_timer_t *timer) {
  (void)timer; // the turn that follows does the work
}

static void set_timer(sandd_daemon *daemon, uint64_t deadline_us) {
  uint64_t now_us = sandd_clock_now_us();
  if (deadline_us == UINT64_MAX) {
    uv_timer_stop(&daemon->timer);
    return;
  }
  uint64_t wait_ms = deadline_us > now_us ? (deadline_us - now_us + 999) / 1000 : 0;
  uv_update_time(daemon->loop);
  uv_timer_start(&daemon->timer, on_timer, wait_ms < LONGEST_SLEEP_MS ? wait_ms : LONGEST_SLEEP_MS, 0);
}

/* A burst of commands leaves holes in the heap, which only this gives back. */
static uint64_t trim_memory(sandd_daemon *daemon, uint64_t now_us) {
#ifdef __GLIBC__
  uint64_t starts = sandd_execs_started(daemon->execs), ends = starts - sandd_execs_running(daemon->execs);
  if (now_us >= daemon->trim_us) {
    malloc_trim(0);
    daemon->trim_us = UINT64_MAX;
    daemon->trimmed = starts + ends;
  } else if (daemon->trim_us == UINT64_MAX && starts + ends - daemon->trimmed >= TRIM_AFTER) {
    daemon->trim_us = now_us + TRIM_US;
  }
#endif
  return daemon->trim_us;
}

/* Everything that happened in a turn of the loop goes out here, in one packet if it fits. */
static void turn(sandd_daemon *daemon) {
  uint64_t now_us, stop_us;
  do {
    while (sandd_execs_turn(daemon->execs, sandd_clock_now_us())) {
      sandd_carrier_flush(daemon->carrier);
    }
    now_us = sandd_clock_now_us();
    stop_us = daemon->phase == WORKING ? UINT64_MAX : step_stop(daemon, now_us);
  } while (stop_us <= now_us);
  uint64_t deadline_us = sandd_execs_deadline(daemon->execs);
  uint64_t trim_us = trim_memory(daemon, now_us);
  deadline_us = stop_us < deadline_us ? stop_us : deadline_us;
  set_timer(daemon, trim_us < deadline_us ? trim_us : deadline_us);
}

static void on_prepare(uv_prepare_t *handle) {
  turn(handle->data);
}

/* Judges what was due at the last check: the loop has polled since, so that what happened in time has been seen, even if
 * this process did not run for a while. */
static void on_check(uv_check_t *handle) {
  sandd_daemon *daemon = handle->data;
  sandd_execs_due(daemon->execs, daemon->checked_us);
  daemon->checked_us = sandd_clock_now_us();
  turn(daemon);
}

/* ---- making and freeing ---- */

static int make_endpoint(sandd_daemon *daemon) {
  sandd_platform_info info;
  sandd_platform_get_info(&info);
  const sandd_capability capabilities[] = {
      {"exec", NULL},
      {"exec.attach", NULL},
      {"exec.user", geteuid() == 0 ? NULL : "the daemon does not run as root, so it can't become another user"},
      {"exec.pty", "this version of the daemon has no terminals"},
  };
  sandd_endpoint_config config = {
      .size = sizeof(config),
      .role = SANDD_ROLE_DAEMON,
      .random = fill_random,
      .limits = {.streams = STREAMS, .channels = STREAMS, .inline_stdin_bytes = INLINE_STDIN_BYTES},
      .ring_budget = RING_BUDGET,
      .rings = RINGS,
      .heartbeat_us = daemon->options->heartbeat_us,
      .exec_retention_us = daemon->options->retention_us,
      .software = "sandd " SANDD_VERSION,
      .daemon_id = daemon->options->daemon_id,
      .os = info.os,
      .arch = info.arch,
      .release = info.release,
      .hostname = info.hostname,
      .labels = daemon->options->labels,
      .n_labels = daemon->options->n_labels,
      .capabilities = capabilities,
      .n_capabilities = sizeof(capabilities) / sizeof(capabilities[0])};
  return sandd_endpoint_new(&daemon->endpoint, &config);
}

static int make_parts(sandd_daemon *daemon) {
  sandd_net_config net = {.size = sizeof(net), .log = net_log, .fd_limit = 32};
  if (sandd_net_new(&daemon->net, &net) != 0) {
    return SANDD_E_SYSTEM;
  }
  daemon->loop = sandd_net_loop(daemon->net);
  int error = make_endpoint(daemon);
  sandd_carrier_config carrier = {.size = sizeof(carrier),
                                  .net = daemon->net,
                                  .endpoint = daemon->endpoint,
                                  .event = on_event,
                                  .dial_ended = on_dial_ended,
                                  .log = net_log,
                                  .trace = daemon->options->log_level >= SANDD_LOG_TRACE,
                                  .user = daemon};
  if (!error) {
    error = sandd_carrier_new(&daemon->carrier, &carrier);
  }
  sandd_spawner_config spawner = {.size = sizeof(spawner), .loop = daemon->loop, .adopt = true};
  if (!error && sandd_spawner_new(&daemon->spawner, &spawner) != 0) {
    error = SANDD_E_SYSTEM;
  }
  sandd_execs_config execs = {.size = sizeof(execs),
                              .endpoint = daemon->endpoint,
                              .spawner = daemon->spawner,
                              .shell = daemon->options->shell,
                              .retention_us = daemon->options->retention_us,
                              .inline_stdin_bytes = INLINE_STDIN_BYTES};
  if (!error) {
    error = sandd_execs_new(&daemon->execs, &execs);
  }
  sandd_dialler_config dialler = {.size = sizeof(dialler),
                                  .net = daemon->net,
                                  .carrier = daemon->carrier,
                                  .options = daemon->options,
                                  .gave_up = on_gave_up,
                                  .user = daemon};
  return error ? error : sandd_dialler_new(&daemon->dialler, &dialler);
}

static void watch_loop(sandd_daemon *daemon) {
  static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};
  uv_prepare_init(daemon->loop, &daemon->prepare);
  uv_check_init(daemon->loop, &daemon->check);
  uv_timer_init(daemon->loop, &daemon->timer);
  daemon->prepare.data = daemon->check.data = daemon->timer.data = daemon;
  uv_prepare_start(&daemon->prepare, on_prepare);
  uv_check_start(&daemon->check, on_check);
  for (int i = 0; i < 3; i++) {
    uv_signal_init(daemon->loop, &daemon->signals[i]);
    daemon->signals[i].data = daemon;
    if (uv_signal_start(&daemon->signals[i], on_signal, numbers[i]) != 0) {
      sandd_log(SANDD_LOG_ERROR, "signal %d can't be watched", numbers[i]);
    }
  }
  daemon->n_handles = 6;
  if (sandd_guard_watch(daemon->loop, on_guard_died, daemon) != 0) {
    sandd_log(SANDD_LOG_WARN, "there is no guard: commands may outlive this daemon if it is killed");
  }
}

static void close_handles(sandd_daemon *daemon) {
  if (daemon->n_handles == 0) {
    return;
  }
  sandd_guard_unwatch();
  uv_close((uv_handle_t *)&daemon->prepare, NULL);
  uv_close((uv_handle_t *)&daemon->check, NULL);
  uv_close((uv_handle_t *)&daemon->timer, NULL);
  for (int i = 0; i < 3; i++) {
    uv_close((uv_handle_t *)&daemon->signals[i], NULL);
  }
}

static void free_parts(sandd_daemon *daemon) {
  close_handles(daemon);
  sandd_dialler_free(daemon->dialler);
  sandd_execs_free(daemon->execs);
  sandd_spawner_free(daemon->spawner);
  sandd_carrier_free(daemon->carrier);
  sandd_endpoint_free(daemon->endpoint);
  sandd_net_free(daemon->net);
}

int sandd_daemon_run(const sandd_options *options) {
  sandd_daemon daemon = {.options = options, .trim_us = UINT64_MAX};
  int error = make_parts(&daemon);
  if (error) {
    sandd_log(SANDD_LOG_ERROR, "the daemon can't start: %s", sandd_error_text(error));
    daemon.exit_code = 1;
  } else {
    watch_loop(&daemon);
    sandd_log(SANDD_LOG_INFO, "sandd " SANDD_VERSION " as %s, instance %s", options->daemon_id,
              sandd_endpoint_instance_id(daemon.endpoint));
    sandd_dialler_start(daemon.dialler);
    sandd_net_run(daemon.net);
  }
  free_parts(&daemon);
  return daemon.exit_code;
}
