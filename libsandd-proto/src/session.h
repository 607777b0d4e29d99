// SPDX-License-Identifier: MIT
#ifndef SANDD_PROTO_SESSION_STATE_H
#define SANDD_PROTO_SESSION_STATE_H

#include "codec.h"
#include "types.h"

/* session.c: life of a session */
sandd_session *sandd_session_new(sandd_endpoint *endpoint, uint64_t now_us); /* without ids, name and link */
/* Its streams end with status (told as SESSION_LOST); nothing is sent. The object is freed after it was told, or at once
 * if the application never saw it. Its link is not touched, but for being left. */
void sandd_session_lose(sandd_session *session, int status, const char *text, uint64_t now_us);
void sandd_session_free(sandd_session *session);
/* Welcome was sent or came: everything restarts on this link. peer_last: what the peer has received. */
void sandd_session_adopt(sandd_session *session, sandd_link *link, uint64_t peer_last, uint64_t now_us);
/* Its connection is gone. */
void sandd_session_away(sandd_session *session, uint64_t now_us);
void sandd_session_up(sandd_session *session, bool resumed, uint64_t now_us);

/* control.c: numbering, replay */
const char *sandd_control_ack(sandd_session *session, uint64_t ack);     /* NULL, or what is wrong */
void sandd_control_drop(sandd_session *session, sandd_control *control); /* out of its list and freed */
void sandd_control_queue(sandd_session *session, sandd_control *control);
/* The same for one that nobody waits for: it goes with the next packet, or alone after 25 ms, as an ack does. */
void sandd_control_queue_lazy(sandd_session *session, sandd_control *control, uint64_t now_us);
/* Sends again what the link has not sent, then numbers what waits. False when the packet is full. */
bool sandd_control_fill(sandd_session *session, packet_writer *writer);

/* scheduler.c: windows, then data by deficit round robin */
void sandd_schedule_fill(sandd_session *session, packet_writer *writer, size_t soft, uint64_t now_us);
bool sandd_schedule_pending(const sandd_session *session);
/* When untold windows must be told; NEVER for none. */
uint64_t sandd_schedule_deadline(const sandd_session *session);
void sandd_schedule_tick(sandd_session *session, uint64_t now_us);

/* dispatch.c: a frame of a session that came. One that the application is to see is put into endpoint->direct. */
void sandd_frame_dispatch(sandd_link *link, const Frame *frame, uint64_t now_us);

/* stream.c */
sandd_stream *sandd_stream_find(const sandd_session *session, uint64_t id);
sandd_stream *sandd_stream_make(sandd_session *session, bool mine);
void sandd_stream_map(sandd_stream *stream, uint64_t id);
bool sandd_stream_may_send(const sandd_stream *stream); /* Windows and data */
void sandd_stream_ready(sandd_stream *stream);          /* it may have data to send */
void sandd_stream_numbered(sandd_stream *stream, const sandd_control *control);
/* The peer's End or Reset came. */
void sandd_stream_ended(sandd_stream *stream, const Sandd__V1__Status *status, bool reset, uint64_t now_us);
/* What may follow once bytes, ends or both have come. */
void sandd_stream_settle(sandd_stream *stream, uint64_t now_us);
void sandd_stream_lost(sandd_stream *stream, uint64_t now_us);
void sandd_stream_refuse(sandd_session *session, uint64_t id, int code, const char *text, bool *no_memory);
void sandd_stream_destroy(sandd_stream *stream);

/* link.c: the session's timers changed */
void sandd_link_timer(sandd_link *link);

#endif
