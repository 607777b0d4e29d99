// SPDX-License-Identifier: MIT
#include "inbox.h"
#include "notice.h"
#include "ring.h"
#include "session.h"

#define B(name) SANDD__V1__FRAME__BODY_##name

/* Life of a stream's state; who opened it sends the later End.
 *
 *   opener:   made -> opening queued -> answered -> peer's End (all bytes) -> our End -> gone
 *   answerer: opened by peer -> answer queued -> our End -> peer's End -> gone
 *   Reset from either side takes the place of its End, at once.
 */

sandd_stream *sandd_stream_find(const sandd_session *session, uint64_t id) {
  sandd_map_node *node = sandd_map_get(&session->streams, id);
  return node ? SANDD_OF(node, sandd_stream, map_node) : NULL;
}

sandd_stream *sandd_stream_make(sandd_session *session, bool mine) {
  sandd_stream *stream = sandd_alloc(session->endpoint, sizeof *stream);
  if (!stream)
    return NULL;
  stream->endpoint = session->endpoint;
  stream->session = session;
  stream->mine = mine;
  stream->opened = !mine;
  stream->spare.spare = true;
  stream->spare.data = stream->spare_data;
  list_append(&session->stream_list, &stream->session_node);
  *(mine ? &session->n_mine : &session->n_theirs) += 1;
  session->n_streams++;
  return stream;
}

void sandd_stream_map(sandd_stream *stream, uint64_t id) {
  stream->id = id;
  stream->mapped = true;
  sandd_map_put(&stream->session->streams, &stream->endpoint->allocator, &stream->map_node, id);
}

/* Leaves its session, whatever the reason. */
static void leave(sandd_stream *stream) {
  sandd_session *session = stream->session;
  if (!session)
    return;
  if (stream->mapped)
    sandd_map_remove(&session->streams, &stream->map_node);
  stream->mapped = false;
  list_remove(&stream->session_node);
  list_remove(&stream->ready_node);
  *(stream->mine ? &session->n_mine : &session->n_theirs) -= 1;
  session->n_streams--;
  stream->session = NULL;
  /* Its spare frame may still wait to be sent or acked: the session gets a copy's worth of its own. */
  if (list_linked(&stream->spare.node))
    list_append(&stream->endpoint->orphans, &stream->orphan_node);
}

void sandd_stream_destroy(sandd_stream *stream) {
  list_remove(&stream->spare.node);
  list_remove(&stream->orphan_node);
  sandd_notice_drop(&stream->notice);
  sandd_free(stream->endpoint, stream->text);
  sandd_free(stream->endpoint, stream->errno_name);
  sandd_free(stream->endpoint, stream);
}

int sandd_stream_new(sandd_stream **out, sandd_session *session) {
  if (session->lost)
    return SANDD_E_CLOSED;
  if (session->n_mine >= session->peer.streams)
    return SANDD_E_LIMIT;
  return (*out = sandd_stream_make(session, true)) ? 0 : SANDD_E_NOMEM;
}

void sandd_stream_set_user(sandd_stream *stream, void *user) {
  stream->user = user;
}
void *sandd_stream_user(const sandd_stream *stream) {
  return stream->user;
}
uint64_t sandd_stream_id(const sandd_stream *stream) {
  return stream->id;
}
sandd_session *sandd_stream_session(const sandd_stream *stream) {
  return stream->session;
}

bool sandd_stream_may_send(const sandd_stream *stream) {
  if (!stream->session || !stream->opened)
    return false;
  if (!stream->mine && !stream->answered && RULE(stream->endpoint, ANSWER_FIRST))
    return false;
  return !(stream->end_out && (stream->mine || stream->reset_out));
}

void sandd_stream_ready(sandd_stream *stream) {
  if (!sandd_stream_may_send(stream))
    return;
  if (!list_linked(&stream->ready_node))
    list_append(&stream->session->ready, &stream->ready_node);
  sandd_link_mark(stream->session->link);
}

int64_t sandd_stream_read(sandd_stream *stream, int channel, sandd_inbox *inbox, bool start_known, uint64_t now_us) {
  if (channel < 1 || channel >= CHANNELS || stream->in[channel])
    return SANDD_E_INVALID;
  if (!stream->session || stream->end_out)
    return SANDD_E_CLOSED;
  sandd_inbox_attach(inbox, stream, channel, start_known, now_us);
  return (int64_t)(inbox->limit - inbox->next);
}

int sandd_stream_write(sandd_stream *stream, int channel, sandd_ring *ring, uint64_t start, uint64_t grant,
                       sandd_reader_kind kind) {
  if (channel < 1 || channel >= CHANNELS || stream->out[channel])
    return SANDD_E_INVALID;
  if (!stream->session || stream->reset_out || stream->reset_in)
    return SANDD_E_CLOSED;
  int error =
      sandd_cursor_new(&stream->out[channel], stream, channel, ring, start, grant, kind == SANDD_READER_WATCHES);
  if (!error)
    sandd_stream_ready(stream);
  return error;
}

/* A Resize that still waits is overtaken by a newer one: only the newest size counts. */
static bool replace_resize(sandd_stream *stream, sandd_control *control) {
  sandd_session *session = stream->session;
  for (sandd_node *n = session->pending.prev; n != &session->pending; n = n->prev) {
    sandd_control *other = SANDD_OF(n, sandd_control, node);
    if (other->stream_id != stream->id)
      continue;
    if (other->body != B(RESIZE))
      return false;
    list_insert(n, &control->node);
    list_remove(n);
    session->pending_bytes += sandd_control_cost(control) - sandd_control_cost(other);
    stream->waiting += control->len - other->len;
    sandd_control_free(stream->endpoint, other);
    return true;
  }
  return false;
}

int sandd_stream_send(sandd_stream *stream, const Frame *frame, uint64_t now_us) {
  (void)now_us;
  sandd_session *session = stream->session;
  if (!session || stream->end_out || stream->released)
    return SANDD_E_CLOSED;
  int body = (int)frame->body_case;
  if (sandd_body_kind(body) != BODY_CONTROL || body == B(CHANNEL_END) || body == B(END) || body == B(RESET))
    return SANDD_E_INVALID;
  bool opens = stream->mine && !stream->sent_first;
  if (opens != sandd_body_opens(body))
    return SANDD_E_STATE;
  Frame copy = *frame;
  copy.stream_id = opens ? session->next_id : stream->id;
  sandd_control *control = sandd_control_new(stream->endpoint, &copy);
  if (!control)
    return SANDD_E_NOMEM;
  int error = 0;
  if (sandd_control_cost(control) + 32 > session->peer.message_bytes)
    error = SANDD_E_TOO_LARGE;
  else if (stream->waiting + control->len > STREAM_WAITING_MAX && stream->waiting)
    error = SANDD_E_AGAIN;
  if (error) {
    sandd_control_free(stream->endpoint, control);
    return error;
  }
  if (opens) {
    sandd_stream_map(stream, session->next_id);
    session->next_id += 2;
  }
  stream->sent_first = true;
  if (body == B(RESIZE) && replace_resize(stream, control))
    return 0;
  sandd_control_queue(session, control);
  return 0;
}

void sandd_stream_numbered(sandd_stream *stream, const sandd_control *control) {
  stream->waiting -= control->len < stream->waiting ? control->len : stream->waiting;
  bool could = sandd_stream_may_send(stream);
  stream->opened = true;
  if (!stream->mine)
    stream->answered = true;
  if (could || !sandd_stream_may_send(stream))
    return;
  for (int c = 1; c < CHANNELS; c++)
    if (stream->in[c] && stream->in[c]->need)
      sandd_inbox_due(stream->in[c]);
  sandd_stream_ready(stream);
}

int sandd_stream_finish(sandd_stream *stream, int channel, bool drain_limit, uint64_t now_us) {
  (void)now_us;
  if (!stream->session || stream->end_out)
    return SANDD_E_CLOSED;
  if (channel < 1 || channel >= CHANNELS || !stream->out[channel] || !stream->out[channel]->ring->finished ||
      stream->finished_out >> channel & 1)
    return SANDD_E_STATE;
  Sandd__V1__ChannelEnd end = SANDD__V1__CHANNEL_END__INIT;
  end.channel = (Sandd__V1__ChannelId)channel;
  end.final_offset = stream->out[channel]->ring->end;
  end.reason = drain_limit ? SANDD__V1__CHANNEL_END_REASON__CHANNEL_END_REASON_DRAIN_LIMIT
                           : SANDD__V1__CHANNEL_END_REASON__CHANNEL_END_REASON_EOF;
  Frame frame = SANDD__V1__FRAME__INIT;
  frame.stream_id = stream->id;
  frame.body_case = SANDD__V1__FRAME__BODY_CHANNEL_END;
  frame.channel_end = &end;
  sandd_control *control = sandd_control_new(stream->endpoint, &frame);
  if (!control)
    return SANDD_E_NOMEM;
  stream->finished_out |= (uint8_t)(1u << channel);
  sandd_control_queue(stream->session, control);
  return 0;
}

static void fill_status(Sandd__V1__Status *out, Sandd__V1__KeptRange *kept, const sandd_status *status) {
  sandd__v1__status__init(out);
  out->code = (Sandd__V1__StatusCode)status->code;
  if (status->text)
    out->message = (char *)status->text;
  if (status->errno_name)
    out->errno_name = (char *)status->errno_name;
  if (!status->kept_channel)
    return;
  sandd__v1__kept_range__init(kept);
  kept->channel = (Sandd__V1__ChannelId)status->kept_channel;
  kept->earliest_offset = status->kept_earliest;
  kept->end_offset = status->kept_end;
  out->kept = kept;
}

/* End or Reset: always possible, if need be without its text, in the frame that the stream has spare. */
static void send_final(sandd_stream *stream, int body, const sandd_status *status, bool lazy, uint64_t now_us) {
  Sandd__V1__Status message;
  Sandd__V1__KeptRange kept;
  Sandd__V1__End end = SANDD__V1__END__INIT;
  Sandd__V1__Reset reset = SANDD__V1__RESET__INIT;
  Frame frame = SANDD__V1__FRAME__INIT;
  fill_status(&message, &kept, status);
  frame.stream_id = stream->id;
  frame.body_case = (Sandd__V1__Frame__BodyCase)body;
  end.status = reset.status = &message;
  if (body == B(END))
    frame.end = &end;
  else
    frame.reset = &reset;
  sandd_control *control = sandd_control_new(stream->endpoint, &frame);
  if (!control) {
    sandd_status bare = {.code = status->code};
    fill_status(&message, &kept, &bare);
    control = &stream->spare;
    control->stream_id = stream->id;
    control->body = body;
    control->len = (uint32_t)sandd__v1__frame__pack(&frame, control->data);
  }
  stream->end_out = true;
  stream->sent_first = true;
  if (lazy)
    sandd_control_queue_lazy(stream->session, control, now_us);
  else
    sandd_control_queue(stream->session, control);
}

static void drop_channels(sandd_stream *stream, bool clear) {
  for (int c = 1; c < CHANNELS; c++) {
    sandd_cursor_free(stream->out[c]);
    if (stream->in[c])
      sandd_inbox_detach(stream->in[c], clear);
  }
}

static void tell_ended(sandd_stream *stream) {
  if (stream->ended)
    return;
  stream->ended = true;
  if (!stream->released)
    sandd_notice_add(stream->endpoint, &stream->notice, NOTICE_STREAM, BIT_ENDED);
}

void sandd_stream_settle(sandd_stream *stream, uint64_t now_us) {
  if (!stream->session)
    return;
  if (stream->mine && stream->end_in && !stream->end_out) {
    bool complete = true;
    for (int c = 1; c < CHANNELS; c++)
      if (stream->in[c] && stream->in[c]->has_final && !sandd_inbox_complete(stream->in[c]))
        complete = false;
    if (!complete && !stream->reset_in && RULE(stream->endpoint, END_WAITS))
      return;
    send_final(stream, B(END),
               &(sandd_status){.code = stream->reset_in ? SANDD__V1__STATUS_CODE__STATUS_CODE_CANCELLED
                                                        : SANDD__V1__STATUS_CODE__STATUS_CODE_OK},
               true, now_us);
  }
  if (!stream->end_in)
    return;
  tell_ended(stream);
  if (!stream->end_out)
    return;
  drop_channels(stream, false);
  leave(stream);
  if (!stream->released)
    sandd_notice_add(stream->endpoint, &stream->notice, NOTICE_STREAM, BIT_CLOSED);
  else if (!list_linked(&stream->orphan_node))
    sandd_stream_destroy(stream);
}

static void keep_status(sandd_stream *stream, int code, const char *text, const char *errno_name) {
  stream->status = code;
  if (text && *text)
    stream->text = sandd_copy_text(stream->endpoint, text, strlen(text));
  if (errno_name && *errno_name)
    stream->errno_name = sandd_copy_text(stream->endpoint, errno_name, strlen(errno_name));
}

void sandd_stream_ended(sandd_stream *stream, const Sandd__V1__Status *status, bool reset, uint64_t now_us) {
  stream->end_in = true;
  stream->reset_in = reset;
  if (status) {
    keep_status(stream, (int)status->code, status->message, status->errno_name);
    if (status->kept)
      stream->earliest = status->kept->earliest_offset;
  }
  if (reset) {
    drop_channels(stream, false);
    if (!stream->end_out)
      send_final(stream, B(END), &(sandd_status){.code = SANDD__V1__STATUS_CODE__STATUS_CODE_CANCELLED}, true, now_us);
  }
  sandd_stream_settle(stream, now_us);
}

int sandd_stream_end(sandd_stream *stream, const sandd_status *status, uint64_t now_us) {
  if (!stream->session || stream->end_out)
    return SANDD_E_CLOSED;
  if (stream->mine || status->code == 0)
    return SANDD_E_STATE;
  send_final(stream, B(END), status, false, now_us);
  sandd_stream_settle(stream, now_us);
  return 0;
}

int sandd_stream_reset(sandd_stream *stream, const sandd_status *status, uint64_t now_us) {
  if (!stream->session || stream->end_out || !stream->mapped)
    return SANDD_E_CLOSED;
  send_final(stream, B(RESET), status, false, now_us);
  stream->reset_out = true;
  if (RULE(stream->endpoint, RESET_FINAL))
    drop_channels(stream, true);
  sandd_stream_settle(stream, now_us);
  return 0;
}

void sandd_stream_refuse(sandd_session *session, uint64_t id, int code, const char *text, bool *no_memory) {
  Sandd__V1__Status status = SANDD__V1__STATUS__INIT;
  Sandd__V1__Reset reset = SANDD__V1__RESET__INIT;
  Frame frame = SANDD__V1__FRAME__INIT;
  status.code = (Sandd__V1__StatusCode)code;
  status.message = (char *)text;
  reset.status = &status;
  frame.stream_id = id;
  frame.body_case = B(RESET);
  frame.reset = &reset;
  sandd_control *control = sandd_control_new(session->endpoint, &frame);
  if (!control) {
    *no_memory = true;
    return;
  }
  sandd_control_queue(session, control);
}

void sandd_stream_lost(sandd_stream *stream, uint64_t now_us) {
  (void)now_us;
  drop_channels(stream, false);
  list_remove(&stream->spare.node);
  leave(stream);
  stream->lost = true;
  if (stream->released) {
    sandd_stream_destroy(stream);
    return;
  }
  if (!stream->ended)
    keep_status(stream, SANDD__V1__STATUS_CODE__STATUS_CODE_SESSION_LOST, "the session was lost", NULL);
  tell_ended(stream);
  sandd_notice_add(stream->endpoint, &stream->notice, NOTICE_STREAM, BIT_CLOSED);
}

void sandd_stream_release(sandd_stream *stream, uint64_t now_us) {
  if (!stream || stream->released)
    return;
  stream->released = true;
  stream->user = NULL;
  sandd_notice_drop(&stream->notice);
  if (!stream->session) {
    drop_channels(stream, true);
    if (!list_linked(&stream->orphan_node))
      sandd_stream_destroy(stream);
    return;
  }
  if (!stream->mapped) {
    drop_channels(stream, true);
    leave(stream);
    sandd_stream_destroy(stream);
    return;
  }
  if (!stream->end_out) {
    sandd_stream_reset(stream, &(sandd_status){.code = SANDD__V1__STATUS_CODE__STATUS_CODE_CANCELLED}, now_us);
    return; /* which may have freed it */
  }
  drop_channels(stream, true);
}
