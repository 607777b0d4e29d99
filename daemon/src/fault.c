// SPDX-License-Identifier: MIT
#include "fault.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool sandd_fault_set(sandd_fault *fault, int code, const char *format, ...) {
  if (fault) {
    *fault = (sandd_fault){.code = code};
    va_list args;
    va_start(args, format);
    vsnprintf(fault->text, sizeof(fault->text), format, args);
    va_end(args);
  }
  return false;
}

bool sandd_fault_from_platform(sandd_fault *fault, const sandd_platform_error *error) {
  int code = SANDD_CODE(SYSTEM);
  switch (error->kind) {
  case SANDD_PLATFORM_NOT_FOUND: code = SANDD_CODE(NOT_FOUND); break;
  case SANDD_PLATFORM_PERMISSION_DENIED: code = SANDD_CODE(PERMISSION_DENIED); break;
  case SANDD_PLATFORM_RESOURCE: code = SANDD_CODE(RESOURCE_EXHAUSTED); break;
  case SANDD_PLATFORM_INVALID: code = SANDD_CODE(INVALID_ARGUMENT); break;
  default: break;
  }
  sandd_fault_set(fault, code, "%s", error->message);
  if (fault) {
    snprintf(fault->errno_name, sizeof(fault->errno_name), "%s", error->errno_name);
  }
  return false;
}

bool sandd_fault_from_error(sandd_fault *fault, int error, const char *what) {
  bool full = error == SANDD_E_LIMIT || error == SANDD_E_NOMEM || error == SANDD_E_AGAIN;
  return sandd_fault_set(fault, full ? SANDD_CODE(RESOURCE_EXHAUSTED) : SANDD_CODE(INTERNAL), "%s: %s", what,
                         sandd_error_text(error));
}

sandd_status sandd_fault_status(const sandd_fault *fault) {
  return (sandd_status){.code = fault->code,
                        .text = fault->text,
                        .errno_name = fault->errno_name,
                        .kept_channel = fault->kept_channel,
                        .kept_earliest = fault->kept_earliest,
                        .kept_end = fault->kept_end};
}
