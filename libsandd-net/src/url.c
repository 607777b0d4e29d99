// SPDX-License-Identifier: MIT
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

static int bad(char *text, size_t size, const char *url, const char *why) {
  snprintf(text, size, "the URL \"%.100s\" %s", url, why);
  return SANDD_NET_INVALID;
}

static int parse_port(const char *digits, unsigned *port) {
  char *end;
  if (*digits < '0' || *digits > '9') {
    return -1;
  }
  unsigned long n = strtoul(digits, &end, 10);
  if (*end || n < 1 || n > 65535) {
    return -1;
  }
  *port = (unsigned)n;
  return 0;
}

/* host is what stands between scheme and path; it is cut up in place. */
static int parse_authority(char *authority, const char *url, dial *d, char *text, size_t size) {
  char *host = authority, *port = NULL;
  if (*host == '[') {
    char *end = strchr(host, ']');
    struct in6_addr ignored;
    if (!end) {
      return bad(text, size, url, "has a [ without ]");
    }
    *end = 0;
    host++;
    if (uv_inet_pton(AF_INET6, host, &ignored)) {
      return bad(text, size, url, "has no IPv6 address between [ and ]");
    }
    if (end[1] && end[1] != ':') {
      return bad(text, size, url, "has something other than a port after ]");
    }
    port = end[1] ? end + 2 : NULL;
  } else {
    port = strchr(host, ':');
    if (port) {
      *port++ = 0;
      if (strchr(port, ':')) {
        return bad(text, size, url, "has more than one : in its host; an IPv6 address stands in [ ]");
      }
    }
  }
  if (!*host) {
    return bad(text, size, url, "has no host");
  }
  if (strlen(host) > 253) {
    return bad(text, size, url, "has a host of more than 253 characters");
  }
  if (port && parse_port(port, &d->port)) {
    return bad(text, size, url, "has a port that is not a number from 1 to 65535");
  }
  d->host = strdup(host);
  return d->host ? SANDD_NET_OK : SANDD_NET_NOMEM;
}

int url_parse(const char *url, dial *d, char *text, size_t size) {
  const char *rest;
  if (!strncasecmp(url, "ws://", 5)) {
    d->port = 80;
    rest = url + 5;
  } else if (!strncasecmp(url, "wss://", 6)) {
    d->secure = true;
    d->port = 443;
    rest = url + 6;
  } else {
    return bad(text, size, url, "does not begin with ws:// or wss://");
  }
  for (const char *p = rest; *p; p++) {
    if (*p <= ' ' || *p > '~') {
      return bad(text, size, url, "has a character that must be percent-encoded");
    }
  }
  if (strchr(rest, '#')) {
    return bad(text, size, url, "has a fragment (#), which a WebSocket URL must not have");
  }
  size_t len = strcspn(rest, "/?");
  if (memchr(rest, '@', len)) {
    return bad(text, size, "", "has a user name or password; use the token option");
  }
  const char *path = rest + len;
  char *authority = strndup(rest, len);
  if (!authority) {
    return SANDD_NET_NOMEM;
  }
  int rc = parse_authority(authority, url, d, text, size);
  free(authority);
  if (rc) {
    return rc;
  }
  size_t path_size = strlen(path) + sizeof DEFAULT_PATH;
  d->path = malloc(path_size);
  if (!d->path) {
    return SANDD_NET_NOMEM;
  }
  /* ws://host and ws://host/ both mean the default path. */
  snprintf(d->path, path_size, "%s%s", *path == '?' || !*path || !strcmp(path, "/") ? DEFAULT_PATH : "",
           strcmp(path, "/") ? path : "");
  return strlen(d->path) > 1024 ? bad(text, size, "", "has a path of more than 1024 characters") : SANDD_NET_OK;
}
