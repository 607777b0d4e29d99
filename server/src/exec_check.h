// SPDX-License-Identifier: MIT
#ifndef SANDD_SERVER_EXEC_CHECK_H
#define SANDD_SERVER_EXEC_CHECK_H

#include <sandd/proto/endpoint.h>
#include <sandd/server.h>
#include <sandd/v1/exec.pb-c.h>

/* Does a config make sense, whatever the daemon? 0 or SANDD_E_INVALID, with a sentence in failure. */
int sandd_exec_check(const sandd_exec_config *config, sandd_failure *failure);
/* Can the daemon do it? 0 or SANDD_E_UNSUPPORTED, with its reason in failure. */
int sandd_exec_check_peer(const Sandd__V1__ExecOpen *open, const sandd_session *session, sandd_failure *failure);

#endif
