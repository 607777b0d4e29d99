// SPDX-License-Identifier: MIT
#include "sandd/net/error.h"

const char *sandd_net_error_name(int error) {
#define NAME(code) \
  case code: return #code
  switch (error) {
    NAME(SANDD_NET_OK);
    NAME(SANDD_NET_NOMEM);
    NAME(SANDD_NET_INVALID);
    NAME(SANDD_NET_ADDRESS_IN_USE);
    NAME(SANDD_NET_ADDRESS);
    NAME(SANDD_NET_PERMISSION);
    NAME(SANDD_NET_CERTIFICATE);
    NAME(SANDD_NET_RESOLVE);
    NAME(SANDD_NET_REFUSED);
    NAME(SANDD_NET_UNREACHABLE);
    NAME(SANDD_NET_TIMEOUT);
    NAME(SANDD_NET_TLS);
    NAME(SANDD_NET_UNAUTHORIZED);
    NAME(SANDD_NET_HANDSHAKE);
    NAME(SANDD_NET_TEXT);
    NAME(SANDD_NET_TOO_BIG);
    NAME(SANDD_NET_LOST);
    NAME(SANDD_NET_ABORTED);
    NAME(SANDD_NET_SYSTEM);
  default: return "SANDD_NET_?";
  }
#undef NAME
}
