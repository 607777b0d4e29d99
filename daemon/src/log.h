// SPDX-License-Identifier: MIT
#ifndef SANDD_DAEMON_LOG_H
#define SANDD_DAEMON_LOG_H

/* The program's log on stderr: a line each, "2026-01-31T12:00:00.000Z WARN text". It never blocks and never fails: a line
 * that stderr can't take at once is dropped, and the next one that goes through says how many were. The loop's thread. */
typedef enum sandd_log_level {
  SANDD_LOG_ERROR = 0,
  SANDD_LOG_WARN = 1,
  SANDD_LOG_INFO = 2,
  SANDD_LOG_DEBUG = 3,
  SANDD_LOG_TRACE = 4
} sandd_log_level;

/* Lines above level are not written. The level at the start is INFO. */
void sandd_log_set_level(sandd_log_level level);
sandd_log_level sandd_log_get_level(void);
void sandd_log(sandd_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Level by name ("warn"), or -1. */
int sandd_log_level_parse(const char *name);

#endif
