// SPDX-License-Identifier: MIT
#ifndef SANDD_ERROR_H
#define SANDD_ERROR_H

#ifdef __cplusplus
extern "C" {
#endif

#ifndef SANDD_API
#define SANDD_API __attribute__((visibility("default")))
#endif

/* What a call returns: 0 (or a count) for success, else one of these. They are the same in every library of sandd.
 * A failure of the remote side is not an error code: it arrives as a status (see <sandd/status.h>). */
typedef enum sandd_error {
  SANDD_OK = 0,
  SANDD_E_NOMEM = -1,        /* no memory; the handle is as before the call unless the function says otherwise */
  SANDD_E_INVALID = -2,      /* an argument makes no sense */
  SANDD_E_STATE = -3,        /* not in this state of the handle */
  SANDD_E_PROTOCOL = -4,     /* the peer broke a rule of PROTOCOL.md */
  SANDD_E_INTERNAL = -5,     /* a broken invariant: a bug of ours */
  SANDD_E_CLOSED = -6,       /* the handle was closed, or its peer is gone */
  SANDD_E_TOO_LARGE = -7,    /* above a limit that the peer announced */
  SANDD_E_AGAIN = -8,        /* not now: a bounded queue is full, or nothing is there yet */
  SANDD_E_LIMIT = -9,        /* a limit or a budget is used up */
  SANDD_E_TIMEOUT = -10,     /* the time that the caller allowed has passed */
  SANDD_E_INTR = -11,        /* a signal interrupted the wait: call again */
  SANDD_E_ADDRESS = -12,     /* the address can't be listened on or dialled: in use, unknown, not allowed */
  SANDD_E_NOT_FOUND = -13,   /* no such daemon, exec or file */
  SANDD_E_AWAY = -14,        /* the daemon is known, but not connected now */
  SANDD_E_UNSUPPORTED = -15, /* the peer does not have the capability */
  SANDD_E_SYSTEM = -16,      /* a system call failed */
  SANDD_E_TLS = -17          /* a certificate, a key or the TLS handshake */
} sandd_error;

/* A short English text for a code ("out of memory"); static, never NULL, any thread. Since 0.1. */
SANDD_API const char *sandd_error_text(int error);

#ifdef __cplusplus
}
#endif
#endif
