// SPDX-License-Identifier: MIT
#include "token.h"

#include <errno.h>
#include <fcntl.h>
#include <sandd/error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static ssize_t read_all(int fd, char *buf, size_t cap) {
  size_t len = 0;
  while (len < cap) {
    ssize_t got = read(fd, buf + len, cap - len);
    if (got == 0) {
      break;
    }
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got < 0) {
      return -1;
    }
    len += (size_t)got;
  }
  return (ssize_t)len;
}

static const char *trim_and_check(char *token, size_t len) {
  if (len > 0 && token[len - 1] == '\n') {
    len--;
    if (len > 0 && token[len - 1] == '\r') {
      len--;
    }
  }
  token[len] = '\0';
  if (len == 0) {
    return "is empty; it must hold the token";
  }
  if (len > SANDD_TOKEN_MAX) {
    return "is longer than 4096 bytes";
  }
  for (size_t i = 0; i < len; i++) {
    if (token[i] <= 0x20 || token[i] >= 0x7f) {
      return "must hold one line of printable ASCII without spaces";
    }
  }
  return NULL;
}

int sandd_token_read(const char *path, char **out, char *error, size_t error_size) {
  *out = NULL;
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); // a FIFO without a writer must not hang the loop
  if (fd < 0) {
    snprintf(error, error_size, "the file %s can't be opened: %s", path, strerror(errno));
    return SANDD_E_SYSTEM;
  }
  size_t cap = SANDD_TOKEN_MAX + 3;
  char *token = malloc(cap + 1);
  int result = 0;
  ssize_t len = token ? read_all(fd, token, cap) : 0;
  if (!token) {
    snprintf(error, error_size, "out of memory");
    result = SANDD_E_NOMEM;
  } else if (len < 0) {
    snprintf(error, error_size, "the file %s can't be read: %s", path, strerror(errno));
    result = SANDD_E_SYSTEM;
  } else {
    const char *bad = trim_and_check(token, (size_t)len);
    if (bad) {
      snprintf(error, error_size, "the file %s %s", path, bad);
      result = SANDD_E_INVALID;
    }
  }
  close(fd);
  if (result) {
    if (token) {
      explicit_bzero(token, cap);
      free(token);
    }
    return result;
  }
  *out = token;
  return 0;
}

void sandd_token_free(char *token) {
  if (token) {
    explicit_bzero(token, strlen(token));
    free(token);
  }
}
