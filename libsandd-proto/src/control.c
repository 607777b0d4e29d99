// SPDX-License-Identifier: MIT
#include "notice.h"
#include "session.h"

void sandd_control_drop(sandd_session *session, sandd_control *control) {
  list_remove(&control->node);
  if (!control->spare) {
    sandd_control_free(session->endpoint, control);
    return;
  }
  /* The spare frame of a stream that may be gone but for it. */
  sandd_stream *stream = SANDD_OF(control, sandd_stream, spare);
  if (!list_linked(&stream->orphan_node))
    return;
  list_remove(&stream->orphan_node);
  if (stream->released)
    sandd_stream_destroy(stream);
}

const char *sandd_control_ack(sandd_session *session, uint64_t ack) {
  if (ack > session->out_seq)
    return "ack of what was never sent";
  if (ack < session->acked)
    return "ack goes back";
  session->acked = ack;
  if (!RULE(session->endpoint, ACK_TRIM))
    return NULL;
  sandd_node *node;
  while ((node = list_first(&session->unacked))) {
    sandd_control *control = SANDD_OF(node, sandd_control, node);
    if (control->seq > ack)
      break;
    session->unacked_bytes -= sandd_control_cost(control);
    sandd_control_drop(session, control);
  }
  return NULL;
}

static bool is_final(const sandd_control *control) {
  return control->body == SANDD__V1__FRAME__BODY_END || control->body == SANDD__V1__FRAME__BODY_RESET;
}

void sandd_control_queue(sandd_session *session, sandd_control *control) {
  list_append(&session->pending, &control->node);
  session->pending_bytes += sandd_control_cost(control);
  session->n_urgent++;
  session->n_finals += is_final(control);
  sandd_stream *stream = sandd_stream_find(session, control->stream_id);
  if (stream)
    stream->waiting += control->len;
  sandd_link_mark(session->link);
}

void sandd_control_queue_lazy(sandd_session *session, sandd_control *control, uint64_t now_us) {
  control->lazy = true;
  list_append(&session->pending, &control->node);
  session->n_finals += is_final(control);
  session->pending_bytes += sandd_control_cost(control);
  sandd_link *link = session->link;
  if (!link || link->ack_due <= now_us + ACK_US)
    return;
  link->ack_due = now_us + ACK_US;
  sandd_link_timer(link);
}

static bool number_next(sandd_session *session, packet_writer *writer) {
  sandd_control *control = SANDD_OF(list_first(&session->pending), sandd_control, node);
  size_t cost = sandd_control_cost(control);
  bool room = session->unacked_bytes + cost <= session->endpoint->limits.control_bytes || list_empty(&session->unacked);
  if (!room && RULE(session->endpoint, CONTROL_BOUND))
    return false;
  control->seq = session->out_seq + 1;
  if (!packet_add_control(writer, control)) {
    control->seq = 0;
    return false;
  }
  session->out_seq++;
  list_remove(&control->node);
  session->pending_bytes -= cost;
  if (!control->lazy)
    session->n_urgent--;
  session->n_finals -= is_final(control);
  list_append(&session->unacked, &control->node);
  session->unacked_bytes += cost;
  session->link->next_control = session->out_seq + 1;
  sandd_stream *stream = sandd_stream_find(session, control->stream_id);
  if (stream)
    sandd_stream_numbered(stream, control);
  return true;
}

bool sandd_control_fill(sandd_session *session, packet_writer *writer) {
  sandd_link *link = session->link;
  if (link->next_control <= session->out_seq) {
    LIST_EACH(&session->unacked, node) {
      sandd_control *control = SANDD_OF(node, sandd_control, node);
      if (control->seq < link->next_control)
        continue;
      if (!packet_add_control(writer, control))
        return false;
      link->next_control = control->seq + 1;
    }
    link->next_control = session->out_seq + 1;
  }
  while (!list_empty(&session->pending)) {
    size_t before = writer->len;
    if (!number_next(session, writer))
      return writer->cap - before > writer->cap / 2; /* full of unacked, not the packet */
  }
  return true;
}
