// SPDX-License-Identifier: MIT
#include <sandd/error.h>

const char *sandd_error_text(int error) {
  switch (error) {
  case SANDD_OK: return "success";
  case SANDD_E_NOMEM: return "out of memory";
  case SANDD_E_INVALID: return "an argument makes no sense";
  case SANDD_E_STATE: return "not possible in this state";
  case SANDD_E_PROTOCOL: return "the peer broke the protocol";
  case SANDD_E_INTERNAL: return "internal error";
  case SANDD_E_CLOSED: return "closed";
  case SANDD_E_TOO_LARGE: return "above the peer's limit";
  case SANDD_E_AGAIN: return "not now, try again";
  case SANDD_E_LIMIT: return "a limit is reached";
  case SANDD_E_TIMEOUT: return "timed out";
  case SANDD_E_INTR: return "interrupted by a signal";
  case SANDD_E_ADDRESS: return "the address can't be used";
  case SANDD_E_NOT_FOUND: return "not found";
  case SANDD_E_AWAY: return "the daemon is not connected now";
  case SANDD_E_UNSUPPORTED: return "the peer does not support it";
  case SANDD_E_SYSTEM: return "a system call failed";
  case SANDD_E_TLS: return "TLS failed";
  default: return error > 0 ? "success" : "unknown error";
  }
}
