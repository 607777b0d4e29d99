// SPDX-License-Identifier: MIT
#ifndef SANDD_NET_ERROR_H
#define SANDD_NET_ERROR_H

/* What went wrong, in every function and callback of libsandd-net. 0 is success, all others are negative and stable.
 * A sentence for people stands beside each code wherever one is reported. since: 0.1 */
typedef enum sandd_net_error {
  SANDD_NET_OK = 0,
  SANDD_NET_NOMEM = -1,          /* out of memory */
  SANDD_NET_INVALID = -2,        /* an argument, option or URL that makes no sense; nothing was tried */
  SANDD_NET_ADDRESS_IN_USE = -3, /* listen: somebody else has that port */
  SANDD_NET_ADDRESS = -4,        /* listen: the host does not resolve, or is not an address of this machine */
  SANDD_NET_PERMISSION = -5,     /* listen: a privileged port */
  SANDD_NET_CERTIFICATE = -6,    /* a certificate, key or CA file that cannot be read or does not fit */
  SANDD_NET_RESOLVE = -7,        /* dial: the name does not resolve */
  SANDD_NET_REFUSED = -8,        /* dial: nobody listens there */
  SANDD_NET_UNREACHABLE = -9,    /* dial: the network or the host cannot be reached */
  SANDD_NET_TIMEOUT = -10,       /* dial: no connection in time; close: the peer did not answer in time */
  SANDD_NET_TLS = -11,           /* the TLS handshake failed; the text has OpenSSL's reason */
  SANDD_NET_UNAUTHORIZED = -12,  /* dial: HTTP 401, the token is missing or wrong */
  SANDD_NET_HANDSHAKE = -13,     /* dial: an answer that is not a WebSocket upgrade to sandd.v1 */
  SANDD_NET_TEXT = -14,          /* the peer sent a text message; closed with 1003 */
  SANDD_NET_TOO_BIG = -15,       /* the peer sent a message above max_message; closed with 1009 */
  SANDD_NET_LOST = -16,          /* the connection ended without a Close frame */
  SANDD_NET_ABORTED = -17,       /* ended from this side: sandd_conn_abort, or the net or listener was freed */
  SANDD_NET_SYSTEM = -18         /* an unexpected error of the operating system; the text has its reason */
} sandd_net_error;

/* The name of a code as it stands above ("SANDD_NET_TLS"), "SANDD_NET_?" for an unknown one. Static. since: 0.1 */
const char *sandd_net_error_name(int error);

#endif
