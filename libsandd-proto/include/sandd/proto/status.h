// SPDX-License-Identifier: MIT
#ifndef SANDD_PROTO_STATUS_H
#define SANDD_PROTO_STATUS_H

#include <sandd/error.h>
#include <stdint.h>

/* Names of StatusCode (status.proto), without their prefix: "NOT_FOUND". Static; "UNKNOWN" for a code that this version
 * does not have. Any thread. */
SANDD_API const char *sandd_status_name(int code);
/* The WebSocket close code for a status: 1000 for OK and SHUTTING_DOWN, 1003/1007/1009 for messages that are none of ours
 * (see PROTOCOL.md), else 4000 + code. */
SANDD_API uint16_t sandd_status_close_code(int code);

#endif
