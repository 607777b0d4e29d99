// SPDX-License-Identifier: MIT
#ifndef SANDD_DAEMON_TOKEN_H
#define SANDD_DAEMON_TOKEN_H

#include <stddef.h>

/* Longest token, in bytes. */
#define SANDD_TOKEN_MAX 4096

/* Reads the bearer token from a file: printable ASCII without spaces; one newline at its end (or CR and newline) is
 * dropped. *out is the caller's, to be freed by sandd_token_free. Returns 0, SANDD_E_INVALID (empty, too long, other
 * bytes), SANDD_E_SYSTEM (can't be read) or SANDD_E_NOMEM, with a sentence in error that never shows the token. */
int sandd_token_read(const char *path, char **out, char *error, size_t error_size);
/* Wipes and frees. NULL is fine. */
void sandd_token_free(char *token);

#endif
