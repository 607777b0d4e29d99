// SPDX-License-Identifier: MIT
#ifndef SANDD_DAEMON_OPTION_VALUES_H
#define SANDD_DAEMON_OPTION_VALUES_H

#include <stdbool.h>
#include <stdint.h>

/* Checks of single option values. Each returns NULL if value is fine, else what is expected ("a number of seconds"). */
const char *sandd_value_seconds(const char *value, double least, double most, uint64_t *out_us);
const char *sandd_value_url(const char *value);
const char *sandd_value_daemon_id(const char *value);
/* One label k=v. *split: where the '=' is. */
const char *sandd_value_label(const char *value, const char **split);
const char *sandd_value_flag(const char *value, bool *out);
/* A program that can be run, by its absolute path. */
const char *sandd_value_shell(const char *value);
const char *sandd_value_readable(const char *value);
const char *sandd_value_server_name(const char *value);

#endif
