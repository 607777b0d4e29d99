// SPDX-License-Identifier: MIT
#include "dialler.h"

#include <sandd/proto/backoff.h>
#include <sandd/proto/status.h>
#include <stdlib.h>
#include <uv.h>

#include "clock.h"
#include "fault.h"
#include "log.h"
#include "token.h"

struct sandd_dialler {
  sandd_dialler_config config;
  sandd_backoff backoff;
  uint64_t longest_us;
  uv_timer_t timer;
  bool stopped, busy;
  bool dialled_before; /* the options were good enough for a dial */
  int ended_status;    /* with which the server ended this connection's session or opening; 0: it did not */
  uint64_t hint_us;
};

int sandd_dialler_new(sandd_dialler **out, const sandd_dialler_config *config) {
  sandd_dialler *dialler = calloc(1, sizeof(*dialler));
  *out = dialler;
  if (!dialler) {
    return SANDD_E_NOMEM;
  }
  dialler->config = *config;
  uint64_t first_us;
  sandd_options_backoff(config->options, &first_us, &dialler->longest_us);
  sandd_backoff_init(&dialler->backoff, first_us, dialler->longest_us);
  uv_timer_init(sandd_net_loop(config->net), &dialler->timer);
  dialler->timer.data = dialler;
  return 0;
}

static void on_closed(uv_handle_t *handle) {
  free(handle->data);
}

void sandd_dialler_free(sandd_dialler *dialler) {
  if (dialler) {
    uv_close((uv_handle_t *)&dialler->timer, on_closed);
  }
}

static void give_up(sandd_dialler *dialler, int exit_code) {
  dialler->stopped = true;
  dialler->config.gave_up(dialler->config.user, exit_code);
}

static void on_timer(uv_timer_t *timer) {
  sandd_dialler_start(timer->data);
}

static void wait_and_dial(sandd_dialler *dialler, bool longest) {
  uint64_t random = 0;
  uv_random(NULL, NULL, &random, sizeof(random), 0, NULL);
  uint64_t now_us = sandd_clock_now_us();
  uint64_t wait_us = sandd_backoff_wait(&dialler->backoff, dialler->hint_us, random, now_us);
  wait_us = longest ? dialler->longest_us : wait_us;
  dialler->hint_us = 0;
  sandd_log(SANDD_LOG_INFO, "dialling again in %.2f s", (double)wait_us / 1e6);
  uv_timer_start(&dialler->timer, on_timer, wait_us / 1000 + 1, 0);
}

/* A token file that can't be read just now may be in the middle of its rotation: that is no reason to end. */
static int read_token(const sandd_options *options, char **token) {
  char why[400];
  *token = NULL;
  if (!options->token_file) {
    return 0;
  }
  int error = sandd_token_read(options->token_file, token, why, sizeof(why));
  if (error) {
    sandd_log(SANDD_LOG_ERROR, "--token-file: %s", why);
  }
  return error;
}

void sandd_dialler_start(sandd_dialler *dialler) {
  const sandd_options *options = dialler->config.options;
  if (dialler->stopped) {
    return;
  }
  char *token;
  if (read_token(options, &token) != 0) {
    wait_and_dial(dialler, false);
    return;
  }
  char why[400] = "";
  sandd_conn *conn = NULL;
  sandd_dial_config config = {.size = sizeof(config),
                              .url = options->server_url,
                              .token = token,
                              .ca_file = options->ca_file,
                              .cert_file = options->cert_file,
                              .key_file = options->key_file,
                              .server_name = options->server_name,
                              .insecure = options->insecure,
                              .handler = sandd_carrier_handler(),
                              .user = dialler->config.carrier};
  dialler->ended_status = 0;
  int error = sandd_dial(dialler->config.net, &config, &conn, why, sizeof(why));
  sandd_token_free(token);
  dialler->busy = !error;
  bool bad_option = error == SANDD_NET_INVALID || error == SANDD_NET_CERTIFICATE;
  if (error) {
    sandd_log(SANDD_LOG_ERROR, "can't dial %s: %s", options->server_url, why);
  }
  if (bad_option && !dialler->dialled_before) {
    give_up(dialler, 2);
  } else if (error) {
    wait_and_dial(dialler, false);
  } else {
    dialler->dialled_before = true;
    sandd_log(SANDD_LOG_DEBUG, "dialling %s", options->server_url);
  }
}

void sandd_dialler_stop(sandd_dialler *dialler) {
  dialler->stopped = true;
  uv_timer_stop(&dialler->timer);
}

bool sandd_dialler_busy(const sandd_dialler *dialler) {
  return dialler->busy;
}

void sandd_dialler_event(sandd_dialler *dialler, const sandd_event *event) {
  if (event->type == SANDD_EVENT_SESSION_UP) {
    sandd_backoff_up(&dialler->backoff, sandd_clock_now_us());
  } else if (event->type == SANDD_EVENT_REFUSED || event->type == SANDD_EVENT_SESSION_LOST) {
    dialler->ended_status = event->status;
    dialler->hint_us = event->retry_after_us;
  }
}

void sandd_dialler_ended(sandd_dialler *dialler, int error, uint16_t ws_code, const char *text) {
  const sandd_options *options = dialler->config.options;
  dialler->busy = false;
  if (dialler->stopped) {
    return;
  }
  sandd_log(SANDD_LOG_WARN, "no connection to %s: %s (%s, close code %u)", options->server_url, text,
            sandd_net_error_name(error), (unsigned)ws_code);
  if (dialler->ended_status == SANDD_CODE(UNAUTHENTICATED) ||
      dialler->ended_status == SANDD_CODE(UNSUPPORTED_VERSION)) {
    sandd_log(SANDD_LOG_ERROR, "the server does not want this daemon (%s): it ends, as dialling again can't help",
              sandd_status_name(dialler->ended_status));
    give_up(dialler, 1);
    return;
  }
  if (error == SANDD_NET_UNAUTHORIZED && !options->token_file) {
    sandd_log(SANDD_LOG_ERROR, "the server asks for a token and none was given: start with --token-file FILE");
    give_up(dialler, 1);
    return;
  }
  if (error == SANDD_NET_UNAUTHORIZED) {
    sandd_log(SANDD_LOG_ERROR, "the server refused the token of %s: it is read again at each dial",
              options->token_file);
  }
  wait_and_dial(dialler, error == SANDD_NET_UNAUTHORIZED);
}
