// SPDX-License-Identifier: MIT
#ifndef SANDD_PROTO_RING_H
#define SANDD_PROTO_RING_H

#include <sandd/proto/endpoint.h>

/* The one copy of a channel's bytes at its sender, from the slowest reader's consumed offset (less what is kept for
 * attach) to the end: flow control, retransmission and attach by offset in one. */

typedef struct sandd_ring_config {
  size_t size;
  uint64_t base;       /* offset of the first byte */
  uint64_t max_bytes;  /* most that may wait unconsumed [8 MiB], beside the budget */
  uint64_t keep_bytes; /* kept below consumed, for attach */
  bool drop_unread;    /* without a holding reader: true drops the oldest, false blocks the writer */
} sandd_ring_config;

/* Makes a ring on the budget of session (a server's) or of the endpoint (session NULL: a daemon's, whose processes
 * outlive sessions). config may be NULL. errors: SANDD_E_LIMIT (too many rings), SANDD_E_NOMEM. since: 0.1 */
SANDD_API int sandd_ring_new(sandd_ring **out, sandd_endpoint *endpoint, sandd_session *session,
                             const sandd_ring_config *config);
/* Frees it; no stream may have it any more (release or reset them first: the library detaches cursors of ended
 * streams). NULL is fine. */
SANDD_API void sandd_ring_free(sandd_ring *ring);

SANDD_API void sandd_ring_set_user(sandd_ring *ring, void *user);
SANDD_API void *sandd_ring_user(const sandd_ring *ring);

/* Bytes that may be written now. When it is 0, RING_WRITABLE tells when that changes. */
SANDD_API size_t sandd_ring_room(sandd_ring *ring);
/* Appends up to len bytes; returns how many were taken (limited by room). errors: SANDD_E_NOMEM, SANDD_E_STATE
 * (finished). */
SANDD_API int64_t sandd_ring_write(sandd_ring *ring, const uint8_t *data, size_t len);
/* Appends len bytes that were dropped on purpose: readers get a Skip. Takes no room. errors: SANDD_E_NOMEM, SANDD_E_STATE */
SANDD_API int sandd_ring_skip(sandd_ring *ring, uint64_t len);
/* Nothing more will be written: the end is the final offset. */
SANDD_API void sandd_ring_finish(sandd_ring *ring);
SANDD_API bool sandd_ring_finished(const sandd_ring *ring);
/* Drops what no reader was sent yet but for the last keep bytes; readers get a Skip. errors: SANDD_E_NOMEM */
SANDD_API int sandd_ring_drop_backlog(sandd_ring *ring, uint64_t keep);

/* Lowest offset that is still had, slowest holder's consumed, and the end. */
SANDD_API uint64_t sandd_ring_base(const sandd_ring *ring);
SANDD_API uint64_t sandd_ring_consumed(const sandd_ring *ring);
SANDD_API uint64_t sandd_ring_end(const sandd_ring *ring);
/* Is there a reader that holds? */
SANDD_API bool sandd_ring_held(const sandd_ring *ring);

#endif
