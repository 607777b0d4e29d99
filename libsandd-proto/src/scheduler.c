// SPDX-License-Identifier: MIT
#include "inbox.h"
#include "notice.h"
#include "ring.h"
#include "session.h"

static bool add_window(sandd_inbox *inbox, packet_writer *writer, uint64_t now_us) {
  if (writer->cap - writer->len < 80)
    return false;
  sandd_inbox_grant(inbox);
  Sandd__V1__Window window = SANDD__V1__WINDOW__INIT;
  window.channel = (Sandd__V1__ChannelId)inbox->channel;
  window.next = inbox->next;
  window.consumed = inbox->consumed;
  window.limit = inbox->limit;
  Frame frame = SANDD__V1__FRAME__INIT;
  frame.stream_id = inbox->stream->id;
  frame.body_case = SANDD__V1__FRAME__BODY_WINDOW;
  frame.window = &window;
  if (!packet_add(writer, &frame))
    return false;
  sandd_inbox_told(inbox, now_us);
  return true;
}

static bool add_piece(sandd_cursor *cursor, const sandd_cursor_piece *piece, packet_writer *writer) {
  Frame frame = SANDD__V1__FRAME__INIT;
  Sandd__V1__Data data = SANDD__V1__DATA__INIT;
  Sandd__V1__Skip skip = SANDD__V1__SKIP__INIT;
  frame.stream_id = cursor->stream->id;
  if (piece->data) {
    data.channel = (Sandd__V1__ChannelId)cursor->channel;
    data.offset = piece->offset;
    data.bytes = (ProtobufCBinaryData){.len = (size_t)piece->len, .data = (uint8_t *)piece->data};
    frame.body_case = SANDD__V1__FRAME__BODY_DATA;
    frame.data = &data;
  } else {
    skip.channel = (Sandd__V1__ChannelId)cursor->channel;
    skip.from = piece->offset;
    skip.to = piece->offset + piece->len;
    frame.body_case = SANDD__V1__FRAME__BODY_SKIP;
    frame.skip = &skip;
  }
  if (!packet_add(writer, &frame))
    return false;
  sandd_cursor_sent(cursor, piece);
  return true;
}

/* Up to a quantum of one stream, its channels in turn. True when it has more. */
static bool add_stream(sandd_stream *stream, packet_writer *writer, size_t soft, bool *full) {
  uint64_t quantum = CHUNK;
  bool more = true;
  while (more && quantum && !*full) {
    more = false;
    for (int k = 0, c = stream->turn; k < CHANNELS && quantum && !*full; k++, c = (c + 1) % CHANNELS) {
      sandd_cursor_piece piece;
      if (!stream->out[c])
        continue;
      size_t room = packet_room(writer);
      if (!room || writer->len >= soft) {
        *full = true;
        return true;
      }
      if (!sandd_cursor_peek(stream->out[c], quantum < room ? quantum : room, &piece))
        continue;
      if (!add_piece(stream->out[c], &piece, writer)) {
        *full = true;
        return true;
      }
      if (piece.data)
        quantum -= piece.len;
      stream->turn = (uint8_t)((c + 1) % CHANNELS); /* one that fills its quantum does not silence the others */
      more = true;
    }
  }
  return more;
}

void sandd_schedule_fill(sandd_session *session, packet_writer *writer, size_t soft, uint64_t now_us) {
  LIST_EACH(&session->due, node) if (!add_window(SANDD_OF(node, sandd_inbox, due_node), writer, now_us)) return;
  bool full = false;
  sandd_node *node;
  while (!full && (node = list_first(&session->ready))) {
    sandd_stream *stream = SANDD_OF(node, sandd_stream, ready_node);
    list_remove(node);
    if (!sandd_stream_may_send(stream))
      continue;
    size_t before = writer->len;
    if (!add_stream(stream, writer, soft, &full))
      continue;
    if (full && writer->len == before) /* it found no room: it is the first of the next packet */
      list_insert(session->ready.next, &stream->ready_node);
    else
      list_append(&session->ready, &stream->ready_node);
  }
}

bool sandd_schedule_pending(const sandd_session *session) {
  return !list_empty(&session->due) || !list_empty(&session->ready);
}

uint64_t sandd_schedule_deadline(const sandd_session *session) {
  sandd_node *node = list_first(&session->untold);
  if (!node || !RULE(session->endpoint, WINDOW_TIMER))
    return NEVER;
  return SANDD_OF(node, sandd_inbox, untold_node)->since + ACK_US;
}

void sandd_schedule_tick(sandd_session *session, uint64_t now_us) {
  while (sandd_schedule_deadline(session) <= now_us) {
    sandd_inbox *inbox = SANDD_OF(list_first(&session->untold), sandd_inbox, untold_node);
    list_remove(&inbox->untold_node);
    sandd_inbox_due(inbox);
  }
}
