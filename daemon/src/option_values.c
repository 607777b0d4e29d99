// SPDX-License-Identifier: MIT
#include "option_values.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

const char *sandd_value_seconds(const char *value, double least, double most, uint64_t *out_us) {
  size_t len = strspn(value, "0123456789.");
  const char *dot = strchr(value, '.');
  // strtod alone would take "inf", "0x1p3" and " 5"
  if (len == 0 || value[len] != '\0' || (dot && strchr(dot + 1, '.')) || strcmp(value, ".") == 0) {
    return "a number of seconds, such as 5 or 0.5";
  }
  double seconds = strtod(value, NULL);
  if (seconds < least || seconds > most) {
    return "a number of seconds within the range that --help gives";
  }
  *out_us = (uint64_t)(seconds * 1e6 + 0.5);
  return NULL;
}

static bool port_ok(const char *port, size_t len) {
  if (len == 0 || len > 5 || strspn(port, "0123456789") < len) {
    return false;
  }
  long number = strtol(port, NULL, 10);
  return number >= 1 && number <= 65535;
}

const char *sandd_value_url(const char *value) {
  static const char expected[] = "a URL like ws://host:8765 or wss://host/path";
  size_t scheme = strncasecmp(value, "ws://", 5) == 0 ? 5 : strncasecmp(value, "wss://", 6) == 0 ? 6 : 0;
  if (scheme == 0) {
    return expected;
  }
  for (const char *c = value; *c; c++) {
    if (*c <= 0x20 || *c >= 0x7f) {
      return "a URL of printable ASCII without spaces";
    }
  }
  const char *host = value + scheme;
  size_t authority = strcspn(host, "/?#");
  if (memchr(host, '@', authority)) {
    return "a URL without a user and password: a token goes into --token-file";
  }
  const char *colon = NULL;
  size_t host_len = authority;
  if (host[0] == '[') {
    const char *close = memchr(host, ']', authority);
    if (!close || close == host + 1 || (close + 1 < host + authority && close[1] != ':')) {
      return expected;
    }
    colon = close + 1 < host + authority ? close + 1 : NULL;
  } else {
    colon = memchr(host, ':', authority);
    host_len = colon ? (size_t)(colon - host) : authority;
  }
  if (host_len == 0) {
    return "a URL with a host";
  }
  if (colon && !port_ok(colon + 1, authority - (size_t)(colon + 1 - host))) {
    return "a URL whose port is 1 to 65535";
  }
  return NULL;
}

/* Length of the UTF-8 character at s, 0 if it is none. */
static size_t utf8_length(const unsigned char *s) {
  if (s[0] < 0x80) {
    return 1;
  }
  size_t len = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
  if (s[0] < 0xc2 || s[0] > 0xf4) {
    return 0;
  }
  for (size_t i = 1; i < len; i++) {
    if ((s[i] & 0xc0) != 0x80) {
      return 0;
    }
  }
  bool overlong = (s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xf0 && s[1] < 0x90);
  bool outside = (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf4 && s[1] > 0x8f);
  return overlong || outside ? 0 : len;
}

static bool text_ok(const char *value, bool spaces) {
  for (const unsigned char *c = (const unsigned char *)value; *c;) {
    size_t len = utf8_length(c);
    bool c1_control = len == 2 && c[0] == 0xc2 && c[1] < 0xa0;
    if (len == 0 || *c < 0x20 || *c == 0x7f || c1_control || (*c == ' ' && !spaces)) {
      return false;
    }
    c += len;
  }
  return true;
}

const char *sandd_value_daemon_id(const char *value) {
  size_t len = strlen(value);
  return len < 1 || len > 255 || !text_ok(value, false) ? "1 to 255 bytes of printable UTF-8 without spaces" : NULL;
}

const char *sandd_value_label(const char *value, const char **split) {
  const char *equals = strchr(value, '=');
  if (!equals || equals == value || !text_ok(value, true)) {
    return "KEY=VALUE of printable UTF-8 with a key that is not empty";
  }
  if (equals - value > 128 || strlen(equals + 1) > 1024) {
    return "a key of at most 128 and a value of at most 1024 bytes";
  }
  *split = equals;
  return NULL;
}

const char *sandd_value_flag(const char *value, bool *out) {
  static const char *const yes[] = {"1", "true", "yes", "on"};
  static const char *const no[] = {"0", "false", "no", "off"};
  for (int i = 0; i < 4; i++) {
    if (strcasecmp(value, yes[i]) == 0 || strcasecmp(value, no[i]) == 0) {
      *out = strcasecmp(value, yes[i]) == 0;
      return NULL;
    }
  }
  return "1 or 0, true or false, yes or no, on or off";
}

const char *sandd_value_shell(const char *value) {
  struct stat info;
  if (value[0] != '/' || stat(value, &info) != 0 || !S_ISREG(info.st_mode) || access(value, X_OK) != 0) {
    return "the absolute path of a program that can be run";
  }
  return NULL;
}

const char *sandd_value_readable(const char *value) {
  struct stat info;
  if (stat(value, &info) != 0 || S_ISDIR(info.st_mode) || access(value, R_OK) != 0) {
    return "a file that can be read";
  }
  return NULL;
}

const char *sandd_value_server_name(const char *value) {
  size_t len = strlen(value);
  bool ok = len >= 1 && len <= 255;
  for (const char *c = value; ok && *c; c++) {
    ok = *c > 0x20 && *c < 0x7f && !strchr("/?#@:", *c);
  }
  return ok ? NULL : "a host name";
}
