// SPDX-License-Identifier: MIT
#ifndef SANDD_PROTO_INBOX_H
#define SANDD_PROTO_INBOX_H

#include <sandd/proto/endpoint.h>

/* A channel's received bytes, waiting for the application. What waits is bounded by the credit that was granted. */

/* Makes an inbox on the budget of session (a server's) or of the endpoint (session NULL: a daemon's).
 * persistent: it outlives streams (stdin of a process that can be attached to): a Reset does not clear it.
 * errors: SANDD_E_LIMIT (limits.channels), SANDD_E_NOMEM. since: 0.1 */
SANDD_API int sandd_inbox_new(sandd_inbox **out, sandd_endpoint *endpoint, sandd_session *session, bool persistent);
/* Frees it with what is unread, and detaches it from its stream. NULL is fine. */
SANDD_API void sandd_inbox_free(sandd_inbox *inbox);

SANDD_API void sandd_inbox_set_user(sandd_inbox *inbox, void *user);
SANDD_API void *sandd_inbox_user(const sandd_inbox *inbox);

typedef enum sandd_inbox_state {
  SANDD_INBOX_EMPTY = 0, /* nothing now */
  SANDD_INBOX_DATA,      /* *data, *len: the next bytes, until the next call on the endpoint */
  SANDD_INBOX_SKIP,      /* *len bytes were dropped on purpose here */
  SANDD_INBOX_END        /* everything before the final offset was consumed */
} sandd_inbox_state;

/* What is next. data and len as above. */
SANDD_API sandd_inbox_state sandd_inbox_peek(const sandd_inbox *inbox, const uint8_t **data, uint64_t *len);
/* Takes len bytes of the present DATA (at most its length), or the present SKIP whole. Credit follows. */
SANDD_API void sandd_inbox_consume(sandd_inbox *inbox, uint64_t len, uint64_t now_us);
/* Copies bytes out and consumes them, as many as fit; stops before a Skip. Returns how many. */
SANDD_API size_t sandd_inbox_take(sandd_inbox *inbox, uint8_t *out, size_t cap, uint64_t now_us);

SANDD_API uint64_t sandd_inbox_next(const sandd_inbox *inbox);     /* first offset not received */
SANDD_API uint64_t sandd_inbox_consumed(const sandd_inbox *inbox); /* first offset not consumed */
SANDD_API uint64_t sandd_inbox_skipped(const sandd_inbox *inbox);  /* bytes skipped so far, consumed ones */
SANDD_API bool sandd_inbox_final(const sandd_inbox *inbox, uint64_t *final, bool *drain_limit); /* ChannelEnd came */
/* Bytes that wait unread. */
SANDD_API uint64_t sandd_inbox_bytes(const sandd_inbox *inbox);
/* From here on received bytes are consumed unseen (a reader that closed its end); skipped() does not count them. */
SANDD_API void sandd_inbox_discard(sandd_inbox *inbox, uint64_t now_us);

#endif
