// SPDX-License-Identifier: MIT
#ifndef SANDD_DAEMON_OPTIONS_H
#define SANDD_DAEMON_OPTIONS_H

#include <sandd/proto/endpoint.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "log.h"

/* What the command line and the environment say. Strings belong to it; NULL where nothing was given. */
typedef struct sandd_options {
  char *server_url;
  char *daemon_id; /* never NULL after parsing: a random UUID if none was given */
  sandd_label *labels;
  size_t n_labels;
  uint64_t reconnect_us; /* see sandd_options_backoff */
  uint64_t heartbeat_us; /* 0: the server's choice */
  uint64_t retention_us;
  char *shell;
  char *ca_file, *cert_file, *key_file, *server_name;
  char *token_file;
  bool insecure;
  sandd_log_level log_level;
  bool help, version; /* asked for: nothing else was checked */
} sandd_options;

/* Parses argv and the environment; options beat variables, and a bad variable that an option replaces does no harm.
 * Returns 0, or SANDD_E_INVALID with a sentence in error that names the option or variable, its value and what is expected,
 * or SANDD_E_NOMEM. Free options in every case. */
int sandd_options_parse(sandd_options *options, int argc, char *const *argv, char *error, size_t error_size);
void sandd_options_free(sandd_options *options);

/* The first and the longest back-off that follow from --reconnect-interval: a tenth of it but at most 0.1 s, and six
 * times it. */
void sandd_options_backoff(const sandd_options *options, uint64_t *first_us, uint64_t *longest_us);

/* The text of --help. Static. */
const char *sandd_options_help(void);

#endif
