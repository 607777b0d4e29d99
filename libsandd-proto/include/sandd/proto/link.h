// SPDX-License-Identifier: MIT
#ifndef SANDD_PROTO_LINK_H
#define SANDD_PROTO_LINK_H

#include <sandd/proto/endpoint.h>

/* One connection, from the moment when its WebSocket is open. */

/* Begins a link. A daemon's link has Hello to send at once, and the daemon's former link is dead from here on (the
 * carrier finds it by sandd_endpoint_next_ready and closes it). errors: SANDD_E_NOMEM. since: 0.1 */
SANDD_API int sandd_link_new(sandd_link **out, sandd_endpoint *endpoint, uint64_t now_us);

/* The carrier's connection has ended, for whatever reason; frees the link. Its session waits for the next one.
 * NULL is fine. since: 0.1 */
SANDD_API void sandd_link_free(sandd_link *link, uint64_t now_us);

/* The carrier's own pointer. */
SANDD_API void sandd_link_set_user(sandd_link *link, void *user);
SANDD_API void *sandd_link_user(const sandd_link *link);

/* Feeds one complete binary message; its frames are handled by the calls of sandd_endpoint_next_event that must follow.
 * data:   borrowed for the call.
 * errors: SANDD_E_PROTOCOL, SANDD_E_TOO_LARGE, SANDD_E_NOMEM: the link is dead (sandd_link_closing says how to close it)
 *         and every later call returns the same code; SANDD_E_STATE: events were not drained. since: 0.1 */
SANDD_API int sandd_link_feed(sandd_link *link, const uint8_t *data, size_t len, uint64_t now_us);

/* Bytes arrived, though perhaps no whole message yet: a sign of life. */
SANDD_API void sandd_link_received(sandd_link *link, uint64_t now_us);

/* Ends the link because of what the carrier saw: a text message, a message over the limit. status becomes the reason. */
SANDD_API void sandd_link_fail(sandd_link *link, int status, const char *text, uint64_t now_us);

/* The peer closed the connection with this WebSocket code: one that stands for an error of ours ends the session here, too.
 * To be followed by sandd_link_free. */
SANDD_API void sandd_link_closed_by_peer(sandd_link *link, uint16_t code, uint64_t now_us);

/* Writes the next packet to buf: 0 and *len, where 0 means nothing to send now.
 * cap: at least sandd_link_pull_cap(). errors: as for feed. since: 0.1 */
SANDD_API int sandd_link_pull(sandd_link *link, uint8_t *buf, size_t cap, size_t *len, uint64_t now_us);
/* Would pull give something now? A link may be ready only because its deadline moved, or have something that can wait
 * for company (a bare ack, the opener's End) until its deadline. */
SANDD_API bool sandd_link_has_output(const sandd_link *link, uint64_t now_us);
/* The largest packet that pull may write; changes at most once, when the peer's limits are known. */
SANDD_API size_t sandd_link_pull_cap(const sandd_link *link);
/* The largest message that feed takes now. */
SANDD_API size_t sandd_link_feed_cap(const sandd_link *link);

/* When sandd_link_tick must be called at the latest; it may change with every other call on the endpoint. Between two
 * ticks the carrier reads whatever its socket has: a peer is only called dead by the second tick in a row that finds
 * nothing received. */
SANDD_API uint64_t sandd_link_deadline(const sandd_link *link);
SANDD_API void sandd_link_tick(sandd_link *link, uint64_t now_us);

/* True when the carrier shall close the connection (after pulling what is left, which pull gives as long as there is
 * something). *code: the WebSocket close code, 0 for dropping it without a Close frame. *text: for the Close frame, at most
 * 123 bytes, lives as long as the link. */
SANDD_API bool sandd_link_closing(const sandd_link *link, uint16_t *code, const char **text);

/* The session that the link carries, or NULL. Unconfirmed ones count. */
SANDD_API sandd_session *sandd_link_session(const sandd_link *link);
/* Round trip of the last heartbeat; 0 if none came back yet. Microseconds. */
SANDD_API uint64_t sandd_link_round_trip_us(const sandd_link *link);
/* When something was received last (now_us of that call). */
SANDD_API uint64_t sandd_link_last_received_us(const sandd_link *link);

#endif
