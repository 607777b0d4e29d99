// SPDX-License-Identifier: MIT
#ifndef SANDD_PROTO_STREAM_H
#define SANDD_PROTO_STREAM_H

#include <sandd/proto/endpoint.h>

/* One operation inside a session. The application owns its stream objects, from sandd_stream_new or STREAM_OPENED to
 * sandd_stream_release, also after the session is gone. */

/* Makes a stream that this side will open: attach what it reads, then send the opening.
 * errors: SANDD_E_LIMIT (the peer's streams limit is reached), SANDD_E_NOMEM. since: 0.1 */
SANDD_API int sandd_stream_new(sandd_stream **out, sandd_session *session);

/* Gives the stream up: no event names it any more. One that has not ended is reset as CANCELLED (an opening that was
 * never sent is simply forgotten). Rings and inboxes are detached, not freed. NULL is fine. since: 0.1 */
SANDD_API void sandd_stream_release(sandd_stream *stream, uint64_t now_us);

SANDD_API void sandd_stream_set_user(sandd_stream *stream, void *user);
SANDD_API void *sandd_stream_user(const sandd_stream *stream);
SANDD_API uint64_t sandd_stream_id(const sandd_stream *stream);            /* 0 before the opening */
SANDD_API sandd_session *sandd_stream_session(const sandd_stream *stream); /* NULL once the session is gone */

/* Reads a channel into inbox. Returns the credit that the opener puts into its opening frame (ChannelStart.grant), >= 0.
 * start_known: false when only the answer will tell where the channel begins (EARLIEST, NEWEST).
 * inbox: borrowed until release; it may go on on a later stream (stdin of an attached exec: position is kept).
 * errors: SANDD_E_LIMIT (limits.channels), SANDD_E_INVALID (channel in use), SANDD_E_STATE. since: 0.1 */
SANDD_API int64_t sandd_stream_read(sandd_stream *stream, int channel, sandd_inbox *inbox, bool start_known,
                                    uint64_t now_us);

typedef enum sandd_reader_kind { SANDD_READER_HOLDS = 0, SANDD_READER_WATCHES = 1 } sandd_reader_kind;

/* Sends a channel from ring: a cursor begins at start with credit for grant bytes.
 * Attach it while the event is handled that makes it possible (STREAM_OPENED, or the frame with the answer): a Window that
 * comes for a channel without a ring is dropped. A ring may have several cursors (one per stream). kind WATCHES never holds the ring's bytes back: it gets Skip when it lags.
 * errors: SANDD_E_INVALID (start outside what the ring has), SANDD_E_STATE, SANDD_E_NOMEM. since: 0.1 */
SANDD_API int sandd_stream_write(sandd_stream *stream, int channel, sandd_ring *ring, uint64_t start, uint64_t grant,
                                 sandd_reader_kind kind);

/* Queues a control frame. The first one on a stream of our own is its opening (the id is given here), the first one on
 * the peer's is its answer. seq and stream_id of frame are ignored and set by the library. A Resize replaces a waiting
 * one.
 * frame:  borrowed for the call; its body must be a control body, not ChannelEnd, End or Reset (they have functions).
 * errors: SANDD_E_TOO_LARGE (above the peer's message limit), SANDD_E_AGAIN (too much waits on this stream),
 *         SANDD_E_CLOSED (ended or lost), SANDD_E_NOMEM. since: 0.1 */
SANDD_API int sandd_stream_send(sandd_stream *stream, const struct Sandd__V1__Frame *frame, uint64_t now_us);

/* Says where a channel that we write ends: its ring must have been finished (sandd_ring_finish). drain_limit tells the
 * reason. once per channel. errors: SANDD_E_STATE, SANDD_E_CLOSED, SANDD_E_NOMEM. since: 0.1 */
SANDD_API int sandd_stream_finish(sandd_stream *stream, int channel, bool drain_limit, uint64_t now_us);

/* A status to send: code of status.proto, a sentence, and what else it may carry; NULL strings are "". */
typedef struct sandd_status {
  int code;
  const char *text;
  const char *errno_name;
  int kept_channel; /* with OUT_OF_RANGE; 0 for none */
  uint64_t kept_earliest, kept_end;
} sandd_status;

/* The answering side is done: End. The stream stays until the opener answers. errors: SANDD_E_STATE (ours to open: the
 * library sends that End by itself), SANDD_E_CLOSED, SANDD_E_NOMEM. since: 0.1 */
SANDD_API int sandd_stream_end(sandd_stream *stream, const sandd_status *status, uint64_t now_us);

/* Ends the stream at once from our side; as the first answer it refuses it. errors: as for end. since: 0.1 */
SANDD_API int sandd_stream_reset(sandd_stream *stream, const sandd_status *status, uint64_t now_us);

#endif
