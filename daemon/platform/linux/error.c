// SPDX-License-Identifier: MIT
#include "daemon/platform/error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/platform/linux/internal.h"

static const struct {
  int number;
  const char *name;
} NAMES[] = {
#define N(e) {e, #e}
    N(EPERM),        N(ENOENT),    N(ESRCH),   N(EINTR),        N(EIO),          N(ENXIO),  N(E2BIG),     N(ENOEXEC),
    N(EBADF),        N(ECHILD),    N(EAGAIN),  N(ENOMEM),       N(EACCES),       N(EFAULT), N(ENOTBLK),   N(EBUSY),
    N(EEXIST),       N(EXDEV),     N(ENODEV),  N(ENOTDIR),      N(EISDIR),       N(EINVAL), N(ENFILE),    N(EMFILE),
    N(ENOTTY),       N(ETXTBSY),   N(EFBIG),   N(ENOSPC),       N(ESPIPE),       N(EROFS),  N(EMLINK),    N(EPIPE),
    N(EDOM),         N(ERANGE),    N(EDEADLK), N(ENAMETOOLONG), N(ENOSYS),       N(ELOOP),  N(ESTALE),    N(EDQUOT),
    N(ENOTSUP),      N(ETIMEDOUT), N(ELIBBAD), N(EPROTO),       N(EOVERFLOW),    N(EUSERS), N(EREMOTEIO), N(EHOSTDOWN),
    N(ECONNREFUSED), N(ENOTCONN),  N(ENOLCK),  N(ECANCELED),    N(EKEYREJECTED),
#undef N
};

const char *sandd_error_name(int number) {
  for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++)
    if (NAMES[i].number == number)
      return NAMES[i].name;
  return "";
}

const char *sandd_error_quote(char *out, size_t size, const void *data, size_t len) {
  const unsigned char *bytes = data;
  size_t used = 0;
  for (size_t i = 0; i < len; i++) {
    if (used + 8 > size) {
      memcpy(out + used, "...", 3);
      used += 3;
      break;
    }
    if (bytes[i] >= 0x20 && bytes[i] < 0x7f)
      out[used++] = (char)bytes[i];
    else
      used += (size_t)snprintf(out + used, 5, "\\x%02x", bytes[i]);
  }
  out[used] = 0;
  return out;
}

int sandd_error_set(sandd_platform_error *error, int kind, sandd_platform_at at, int number, const char *what) {
  error->kind = kind;
  error->at = at;
  const char *name = number != 0 ? sandd_error_name(number) : "";
  snprintf(error->errno_name, sizeof(error->errno_name), "%s", name);
  if (number != 0 && name[0] == 0)
    snprintf(error->errno_name, sizeof(error->errno_name), "E%d", number);
  snprintf(error->message, sizeof(error->message), "%s", what);
  return kind;
}

static int kind_of(sandd_platform_at at, int number) {
  switch (number) {
  case ENOENT: return SANDD_PLATFORM_NOT_FOUND;
  case ENOTDIR: return at == SANDD_PLATFORM_AT_CWD ? SANDD_PLATFORM_INVALID : SANDD_PLATFORM_NOT_FOUND;
  case EACCES:
  case EPERM: return SANDD_PLATFORM_PERMISSION_DENIED;
  case EAGAIN:
  case ENOMEM:
  case EMFILE:
  case ENFILE:
  case ENOSPC: return SANDD_PLATFORM_RESOURCE;
  case E2BIG:
  case ENOEXEC:
  case EINVAL:
  case ENAMETOOLONG:
  case EISDIR:
  case ELIBBAD:
  case ELOOP: return SANDD_PLATFORM_INVALID;
  default: return SANDD_PLATFORM_SYSTEM;
  }
}

static const char *text_of(int number, char *buf, size_t size) {
  switch (number) {
  case ENOENT: return "no such file or directory";
  case EACCES: return "permission denied";
  case EPERM: return "operation not permitted";
  case ENOTDIR: return "not a directory";
  case EAGAIN: return "no more processes for this user";
  case EMFILE: return "this daemon has no descriptor left";
  case ENFILE: return "the system has no descriptor left";
  case ENOMEM: return "out of memory";
  case E2BIG: return "arguments and environment are too long";
  case ENOEXEC: return "not a program of a known format";
  case ETXTBSY: return "the file is being written";
  default: break;
  }
#ifdef __GLIBC__
  const char *text = strerrordesc_np(number);
  if (text != NULL)
    return text;
#endif
  snprintf(buf, size, "error %d", number);
  return buf;
}

int sandd_error_errno(sandd_platform_error *error, sandd_platform_at at, int number, const char *what) {
  char buf[32], sentence[sizeof(error->message)];
  snprintf(sentence, sizeof(sentence), "%s: %s", what, text_of(number, buf, sizeof(buf)));
  return sandd_error_set(error, kind_of(at, number), at, number, sentence);
}
