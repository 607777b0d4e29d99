// SPDX-License-Identifier: MIT
#ifndef SANDD_PROTO_SESSION_H
#define SANDD_PROTO_SESSION_H

#include <sandd/proto/endpoint.h>

/* The relation of one daemon with one server; it outlives connections. Owned by the endpoint. */

SANDD_API void sandd_session_set_user(sandd_session *session, void *user);
SANDD_API void *sandd_session_user(const sandd_session *session);

/* Its link while it is connected and confirmed, else NULL. */
SANDD_API sandd_link *sandd_session_link(const sandd_session *session);

/* Server: what the daemon said of itself in its newest Hello; lives until the next Hello or the session's end. NULL on a
 * daemon. */
SANDD_API const struct Sandd__V1__Hello *sandd_session_hello(const sandd_session *session);

/* When the session began, and since when its link has been up (or down): now_us of those moments. */
SANDD_API uint64_t sandd_session_created_us(const sandd_session *session);
SANDD_API uint64_t sandd_session_changed_us(const sandd_session *session);

/* The peer's limits, and whether it announced a capability. *off_reason (may be NULL) gets the peer's sentence when it
 * named the capability as off, else NULL. */
SANDD_API const sandd_limits *sandd_session_peer_limits(const sandd_session *session);
SANDD_API bool sandd_session_peer_has(const sandd_session *session, const char *capability, const char **off_reason);

/* The retention agreed on at the opening, microseconds. */
SANDD_API uint64_t sandd_session_retention_us(const sandd_session *session);

/* Streams that are open now, by either side: a session with none is idle. */
SANDD_API size_t sandd_session_stream_count(const sandd_session *session);

/* Ends the session in good order: Goodbye is sent (if a link is up), its streams end with SESSION_LOST here, the link
 * closes with 1000. retry_after_us: hint for the daemon; 0 for none. since: 0.1 */
SANDD_API void sandd_session_goodbye(sandd_session *session, int status, const char *text, uint64_t retry_after_us,
                                     uint64_t now_us);

#endif
