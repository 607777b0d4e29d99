// SPDX-License-Identifier: MIT
#include "options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "option_values.h"
#include "token.h"

#define MAX_LABELS 64
#define DAY        (24 * 3600.0)

/* Why a value was refused: a static text, or one in the parser's own buffer. */
typedef struct parser {
  sandd_options *options;
  char *error;
  size_t error_size;
  const char *expected; /* of the value that was refused */
  char detail[512];
  bool nomem;
} parser;

typedef struct option_rule {
  char letter; /* 0: none */
  const char *name;
  const char *variable, *older_variable;
  bool flag; /* takes no value on the command line */
  bool (*set)(parser *p, const char *value);
} option_rule;

static bool take(parser *p, char **slot, const char *value) {
  char *copy = strdup(value);
  if (!copy) {
    p->nomem = true;
    return false;
  }
  free(*slot);
  *slot = copy;
  return true;
}

static bool take_if(parser *p, char **slot, const char *value, const char *expected) {
  p->expected = expected;
  return !expected && take(p, slot, value);
}

static bool set_server_url(parser *p, const char *value) {
  return take_if(p, &p->options->server_url, value, sandd_value_url(value));
}

static bool set_daemon_id(parser *p, const char *value) {
  return take_if(p, &p->options->daemon_id, value, sandd_value_daemon_id(value));
}

static sandd_label *find_label(sandd_options *options, const char *key, size_t len) {
  for (size_t i = 0; i < options->n_labels; i++) {
    if (strlen(options->labels[i].key) == len && memcmp(options->labels[i].key, key, len) == 0) {
      return &options->labels[i];
    }
  }
  return NULL;
}

static bool add_label(parser *p, const char *text, bool replace) {
  const char *split = NULL;
  p->expected = sandd_value_label(text, &split);
  if (p->expected) {
    return false;
  }
  sandd_options *options = p->options;
  sandd_label *label = find_label(options, text, (size_t)(split - text));
  if (label && !replace) {
    return true;
  }
  if (!label && options->n_labels == MAX_LABELS) {
    p->expected = "at most 64 labels";
    return false;
  }
  if (!options->labels) {
    options->labels = calloc(MAX_LABELS, sizeof(*options->labels));
  }
  char *key = strndup(text, (size_t)(split - text));
  char *value = strdup(split + 1);
  if (!options->labels || !key || !value) {
    free(key);
    free(value);
    p->nomem = true;
    return false;
  }
  if (label) {
    free((char *)label->key);
    free((char *)label->value);
  } else {
    label = &options->labels[options->n_labels++];
  }
  *label = (sandd_label){.key = key, .value = value};
  return true;
}

static bool set_label(parser *p, const char *value) {
  return add_label(p, value, true);
}

/* The variable's form: pairs with commas between them, under those of the command line. */
static bool set_label_list(parser *p, const char *list) {
  char *copy = strdup(list);
  if (!copy) {
    p->nomem = true;
    return false;
  }
  bool ok = true;
  char *rest = NULL;
  for (char *item = strtok_r(copy, ",", &rest); ok && item; item = strtok_r(NULL, ",", &rest)) {
    ok = add_label(p, item, false);
  }
  free(copy);
  return ok;
}

static bool set_seconds(parser *p, const char *value, double least, double most, uint64_t *slot) {
  p->expected = sandd_value_seconds(value, least, most, slot);
  return !p->expected;
}

static bool set_reconnect(parser *p, const char *value) {
  return set_seconds(p, value, 0.01, DAY, &p->options->reconnect_us);
}

static bool set_heartbeat(parser *p, const char *value) {
  if (strspn(value, "0.") == strlen(value) && strchr(value, '0')) {
    p->options->heartbeat_us = 0;
    return true;
  }
  return set_seconds(p, value, 0.1, 3600, &p->options->heartbeat_us);
}

static bool set_retention(parser *p, const char *value) {
  return set_seconds(p, value, 0.1, 365 * DAY, &p->options->retention_us);
}

static bool set_shell(parser *p, const char *value) {
  return take_if(p, &p->options->shell, value, sandd_value_shell(value));
}

static bool set_ca(parser *p, const char *value) {
  return take_if(p, &p->options->ca_file, value, sandd_value_readable(value));
}

static bool set_cert(parser *p, const char *value) {
  return take_if(p, &p->options->cert_file, value, sandd_value_readable(value));
}

static bool set_key(parser *p, const char *value) {
  return take_if(p, &p->options->key_file, value, sandd_value_readable(value));
}

static bool set_server_name(parser *p, const char *value) {
  return take_if(p, &p->options->server_name, value, sandd_value_server_name(value));
}

static bool set_insecure(parser *p, const char *value) {
  p->expected = sandd_value_flag(value, &p->options->insecure);
  return !p->expected;
}

static bool set_token_file(parser *p, const char *value) {
  char *token = NULL;
  char why[400];
  if (sandd_token_read(value, &token, why, sizeof(why)) != 0) {
    snprintf(p->detail, sizeof(p->detail), "a file that holds the token, but %s", why);
    p->expected = p->detail;
    return false;
  }
  sandd_token_free(token);
  return take(p, &p->options->token_file, value);
}

static bool set_log_level(parser *p, const char *value) {
  int level = sandd_log_level_parse(value);
  if (level < 0) {
    p->expected = "error, warn, info, debug or trace";
    return false;
  }
  p->options->log_level = (sandd_log_level)level;
  return true;
}

static const option_rule rules[] = {
    {'s', "server-url", "SANDD_SERVER_URL", "SERVER_URL", false, set_server_url},
    {'d', "daemon-id", "SANDD_DAEMON_ID", "DAEMON_ID", false, set_daemon_id},
    {'l', "label", NULL, NULL, false, set_label},
    {'r', "reconnect-interval", "SANDD_RECONNECT_INTERVAL", NULL, false, set_reconnect},
    {0, "heartbeat-interval", "SANDD_HEARTBEAT_INTERVAL", NULL, false, set_heartbeat},
    {0, "retention", "SANDD_RETENTION", NULL, false, set_retention},
    {0, "shell", "SANDD_SHELL", NULL, false, set_shell},
    {0, "ca", "SANDD_CA", NULL, false, set_ca},
    {0, "cert", "SANDD_CERT", NULL, false, set_cert},
    {0, "key", "SANDD_KEY", NULL, false, set_key},
    {0, "insecure", "SANDD_INSECURE", NULL, true, set_insecure},
    {0, "server-name", "SANDD_SERVER_NAME", NULL, false, set_server_name},
    {0, "token-file", "SANDD_TOKEN_FILE", NULL, false, set_token_file},
    {0, "log-level", "SANDD_LOG_LEVEL", NULL, false, set_log_level},
};
#define N_RULES   (sizeof(rules) / sizeof(rules[0]))
#define LONG_BASE 256 /* getopt's values for long options: above every letter */

static int refuse(parser *p, const char *source, const char *value) {
  if (p->nomem) {
    snprintf(p->error, p->error_size, "out of memory");
    return SANDD_E_NOMEM;
  }
  snprintf(p->error, p->error_size, "%s: bad value \"%.200s\": expected %s", source, value, p->expected);
  return SANDD_E_INVALID;
}

static int parse_one(parser *p, int code, char *const *argv, bool given[N_RULES]) {
  for (size_t i = 0; i < N_RULES; i++) {
    if (code != LONG_BASE + (int)i && (rules[i].letter == 0 || code != rules[i].letter)) {
      continue;
    }
    given[i] = true;
    const char *value = rules[i].flag ? "1" : optarg;
    char source[64];
    snprintf(source, sizeof(source), "--%s", rules[i].name);
    return rules[i].set(p, value) ? 0 : refuse(p, source, value);
  }
  const char *word = optind > 0 && argv[optind - 1] ? argv[optind - 1] : "";
  if (code == ':') {
    snprintf(p->error, p->error_size, "%.200s: a value is missing", word);
  } else {
    snprintf(p->error, p->error_size, "%.200s: unknown or ambiguous option; --help lists them", word);
  }
  return SANDD_E_INVALID;
}

static int parse_arguments(parser *p, int argc, char *const *argv, bool given[N_RULES]) {
  struct option longs[N_RULES + 3] = {{0}};
  for (size_t i = 0; i < N_RULES; i++) {
    longs[i] =
        (struct option){rules[i].name, rules[i].flag ? no_argument : required_argument, NULL, LONG_BASE + (int)i};
  }
  longs[N_RULES] = (struct option){"help", no_argument, NULL, 'h'};
  longs[N_RULES + 1] = (struct option){"version", no_argument, NULL, 'V'};
  optind = 0; // glibc and musl: begin anew, also after an earlier call
  opterr = 0;
  int code;
  while ((code = getopt_long(argc, argv, ":s:d:l:r:hV", longs, NULL)) != -1) {
    if (code == 'h' || code == 'V') {
      p->options->help |= code == 'h';
      p->options->version |= code == 'V';
      return 0;
    }
    int error = parse_one(p, code, argv, given);
    if (error) {
      return error;
    }
  }
  if (optind < argc) {
    snprintf(p->error, p->error_size, "%.200s: unexpected argument; --help lists the options", argv[optind]);
    return SANDD_E_INVALID;
  }
  return 0;
}

static int parse_environment(parser *p, const bool given[N_RULES]) {
  for (size_t i = 0; i < N_RULES; i++) {
    const char *source = rules[i].variable;
    const char *value = source ? getenv(source) : NULL;
    if ((!value || !*value) && rules[i].older_variable) {
      source = rules[i].older_variable;
      value = getenv(source);
    }
    if (!given[i] && value && *value && !rules[i].set(p, value)) {
      return refuse(p, source, value);
    }
  }
  const char *labels = getenv("SANDD_LABELS");
  if (labels && !set_label_list(p, labels)) {
    return refuse(p, "SANDD_LABELS", labels);
  }
  return 0;
}

static int make_daemon_id(parser *p) {
  unsigned char b[16];
  char text[37];
  if (uv_random(NULL, NULL, b, sizeof(b), 0, NULL) != 0) {
    snprintf(p->error, p->error_size, "the system has no random bytes; give a --daemon-id");
    return SANDD_E_SYSTEM;
  }
  b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
  b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
  snprintf(text, sizeof(text), "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1], b[2],
           b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
  return take(p, &p->options->daemon_id, text) ? 0 : refuse(p, "", "");
}

static int check_whole(parser *p) {
  const sandd_options *options = p->options;
  if (!options->server_url) {
    snprintf(p->error, p->error_size,
             "no server URL: give one with --server-url ws://HOST:PORT or the variable SANDD_SERVER_URL");
    return SANDD_E_INVALID;
  }
  if (!options->cert_file != !options->key_file) {
    snprintf(p->error, p->error_size, "--%s: bad value \"%s\": expected together with --%s",
             options->cert_file ? "cert" : "key", options->cert_file ? options->cert_file : options->key_file,
             options->cert_file ? "key" : "cert");
    return SANDD_E_INVALID;
  }
  return 0;
}

int sandd_options_parse(sandd_options *options, int argc, char *const *argv, char *error, size_t error_size) {
  *options =
      (sandd_options){.reconnect_us = 5000000, .retention_us = UINT64_C(3600000000), .log_level = SANDD_LOG_INFO};
  parser p = {.options = options, .error = error, .error_size = error_size};
  bool given[N_RULES] = {false};
  int result = parse_arguments(&p, argc, argv, given);
  if (result || options->help || options->version) {
    return result;
  }
  result = parse_environment(&p, given);
  if (!result) {
    result = check_whole(&p);
  }
  if (!result && !options->daemon_id) {
    result = make_daemon_id(&p);
  }
  return result;
}

void sandd_options_free(sandd_options *options) {
  for (size_t i = 0; i < options->n_labels; i++) {
    free((char *)options->labels[i].key);
    free((char *)options->labels[i].value);
  }
  free(options->labels);
  free(options->server_url);
  free(options->daemon_id);
  free(options->shell);
  free(options->ca_file);
  free(options->cert_file);
  free(options->key_file);
  free(options->server_name);
  free(options->token_file);
  *options = (sandd_options){0};
}

void sandd_options_backoff(const sandd_options *options, uint64_t *first_us, uint64_t *longest_us) {
  uint64_t tenth = options->reconnect_us / 10;
  *first_us = tenth < 100000 ? tenth : 100000;
  *longest_us = options->reconnect_us * 6;
}

const char *sandd_options_help(void) {
  return "sandd dials out to a server and runs commands on this machine for it.\n"
         "\n"
         "Usage: sandd --server-url ws://HOST:PORT [options]\n"
         "\n"
         "  -s, --server-url URL          ws:// or wss://; the path is /ws unless given\n"
         "  -d, --daemon-id ID            name of this daemon; a random UUID unless given\n"
         "  -l, --label KEY=VALUE         a label; may be repeated, the later one of a key wins\n"
         "  -r, --reconnect-interval SEC  0.01 to 86400, default 5. After a lost connection the first wait is a\n"
         "                                tenth of it, but at most 0.1 s; waits double up to six times it\n"
         "      --heartbeat-interval SEC  0.1 to 3600; 0, the default, leaves it to the server\n"
         "      --retention SEC           how long the end and the last output of a finished command stay for\n"
         "                                those who attach; 0.1 to 31536000, default 3600\n"
         "      --shell PATH              runs command lines, as `PATH -c LINE`; default /bin/sh\n"
         "      --ca FILE                 trust these authorities (PEM) and no others; for wss\n"
         "      --cert FILE, --key FILE   client certificate and its key (PEM); for wss\n"
         "      --insecure                take any certificate of the server; for wss\n"
         "      --server-name NAME        expect this name in the certificate instead of the URL's; for wss\n"
         "      --token-file FILE         file with the bearer token; read again at each dial, so it may change.\n"
         "                                With it, a refused token (HTTP 401) is tried again after the longest\n"
         "                                wait; without it, the program ends with code 1\n"
         "      --log-level LEVEL         error, warn, info (default), debug or trace; the log goes to stderr\n"
         "  -V, --version                 print the version and end\n"
         "  -h, --help                    print this and end\n"
         "\n"
         "Each option is also an environment variable: SANDD_SERVER_URL, SANDD_DAEMON_ID, SANDD_LABELS (commas\n"
         "between the labels), SANDD_RECONNECT_INTERVAL, SANDD_INSECURE (1 or 0) and so on; SERVER_URL and DAEMON_ID\n"
         "are older names. Options beat variables; an empty variable counts as not set.\n"
         "\n"
         "Exit codes: 0 stopped by a signal, 1 refused by the server or failed, 2 a bad option.\n";
}
