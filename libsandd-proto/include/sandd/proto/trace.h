// SPDX-License-Identifier: MIT
#ifndef SANDD_PROTO_TRACE_H
#define SANDD_PROTO_TRACE_H

#include <sandd/error.h>
#include <stddef.h>
#include <stdint.h>

/* Formats a packet for people, a line per frame ("ack 7", "#8 s3 ExecStarted id=x pid=42", "s3 Data stdout 0+512").
 * Secrets and payload are never shown. Returns the length that the whole text has (as snprintf does), or
 * SANDD_E_PROTOCOL when it does not decode. Any thread. since: 0.1 */
SANDD_API int sandd_trace_packet(const uint8_t *data, size_t len, char *out, size_t cap);

#endif
