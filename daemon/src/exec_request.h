// SPDX-License-Identifier: MIT
#ifndef SANDD_DAEMON_EXEC_REQUEST_H
#define SANDD_DAEMON_EXEC_REQUEST_H

#include "fault.h"
#include "sandd/v1/exec.pb-c.h"

#define SANDD_EXEC_ID_MAX     128
#define SANDD_EXEC_TAIL_MAX   (UINT64_C(16) << 20)
#define SANDD_EXEC_KEEP_MAX   (UINT64_C(256) << 20)
#define SANDD_EXEC_GRACE_NS   INT64_C(5000000000)
#define SANDD_EXEC_KEEP_BYTES (UINT64_C(1) << 20)

/* Checks what an ExecOpen says by itself, whatever the state of the daemon: unknown enum values, a missing command, zero
 * bytes, limits. inline_max: longest stdin_inline. Returns true, or false with a sentence in fault. Pure. */
bool sandd_exec_request_check(const Sandd__V1__ExecOpen *open, uint64_t inline_max, sandd_fault *fault);

#endif
