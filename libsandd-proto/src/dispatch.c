// SPDX-License-Identifier: MIT
#include "inbox.h"
#include "link.h"
#include "notice.h"
#include "ring.h"
#include "session.h"

#define B(name)    SANDD__V1__FRAME__BODY_##name
#define FINALS_MAX 1024u

static void wrong(sandd_link *link, const char *text, uint64_t now_us) {
  sandd_link_violation(link, STATUS(PROTOCOL_ERROR), text, now_us);
}

/* The frame will be sent again on the next connection, so it must not count as received on this one. */
static void out_of_memory(sandd_link *link, uint64_t now_us) {
  sandd_link_drop(link, STATUS(RESOURCE_EXHAUSTED), 0, "out of memory", now_us);
}

static bool opened_by_peer(const sandd_session *session, uint64_t id) {
  return id % 2 != session->next_id % 2;
}

static bool was_open(const sandd_session *session, uint64_t id) {
  return opened_by_peer(session, id) ? id <= session->highest : id < session->next_id;
}

static void direct(sandd_link *link, sandd_event_type type, sandd_stream *stream, const Frame *frame) {
  link->endpoint->direct = (sandd_event){.type = type,
                                         .link = link,
                                         .session = link->session,
                                         .stream = stream,
                                         .frame = frame,
                                         .text = "",
                                         .errno_name = ""};
}

static bool channel_known(int channel) {
  return channel >= 1 && channel < CHANNELS;
}

static void on_data(sandd_link *link, sandd_stream *stream, const Frame *frame, uint64_t now_us) {
  int channel = frame->body_case == B(DATA) ? (int)frame->data->channel : (int)frame->skip->channel;
  if (!channel_known(channel)) {
    wrong(link, "Data of no channel", now_us);
    return;
  }
  if (stream->reset_in || (RULE(link->endpoint, RESET_FINAL) && stream->end_out && (stream->mine || stream->end_in)))
    return;
  sandd_inbox *inbox = stream->in[channel];
  if (!(stream->reads >> channel & 1)) {
    wrong(link, "Data on a channel that the stream does not have", now_us);
    return;
  }
  if (!inbox || !inbox->open)
    return;
  bool no_memory = false;
  const char *error;
  if (frame->body_case == B(DATA))
    error = sandd_inbox_data(inbox, frame->data->offset, frame->data->bytes.data, frame->data->bytes.len, now_us,
                             &no_memory);
  else
    error = sandd_inbox_skip(inbox, frame->skip->from, frame->skip->to, now_us, &no_memory);
  if (error)
    wrong(link, error, now_us);
  else if (no_memory)
    out_of_memory(link, now_us);
  else
    sandd_stream_settle(stream, now_us);
}

static void on_window(sandd_link *link, sandd_stream *stream, const Sandd__V1__Window *window, uint64_t now_us) {
  if (!channel_known((int)window->channel)) {
    wrong(link, "Window of no channel", now_us);
    return;
  }
  if (stream->reads >> window->channel & 1) {
    wrong(link, "a Window from the channel's writer", now_us);
    return;
  }
  sandd_cursor *cursor = stream->out[window->channel];
  if (!cursor || (stream->end_out && stream->mine))
    return;
  const char *error = sandd_cursor_window(cursor, window->next, window->consumed, window->limit);
  if (error)
    wrong(link, error, now_us);
  else
    sandd_stream_ready(stream);
}

static void data_frame(sandd_link *link, const Frame *frame, uint64_t now_us) {
  sandd_session *session = link->session;
  if (frame->seq || !frame->stream_id) {
    wrong(link, "a data frame with a seq, or without a stream", now_us);
    return;
  }
  sandd_stream *stream = sandd_stream_find(session, frame->stream_id);
  if (!stream) {
    if (!was_open(session, frame->stream_id))
      wrong(link, "a data frame of a stream that was never opened", now_us);
    else if (!RULE(link->endpoint, IGNORE_FINISHED))
      wrong(link, "a data frame of a finished stream", now_us);
    return;
  }
  if (stream->mine && !stream->answer_in && !stream->end_in && !stream->reset_out) {
    wrong(link, "a data frame before the answer", now_us);
    return;
  }
  if (frame->body_case == B(WINDOW))
    on_window(link, stream, frame->window, now_us);
  else
    on_data(link, stream, frame, now_us);
}

static bool open_stream(sandd_link *link, const Frame *frame, uint64_t now_us) {
  sandd_session *session = link->session;
  uint64_t id = frame->stream_id;
  if (!opened_by_peer(session, id) || id <= session->highest) {
    wrong(link, "an opening with an id that is not above the highest", now_us);
    return true;
  }
  bool no_memory = false;
  if (session->n_theirs >= session->endpoint->limits.streams) {
    sandd_stream_refuse(session, id, STATUS(RESOURCE_EXHAUSTED), "too many streams are open", &no_memory);
    if (!no_memory)
      session->highest = id;
    return !no_memory;
  }
  sandd_stream *stream = sandd_stream_make(session, false);
  if (!stream)
    return false;
  session->highest = id;
  sandd_stream_map(stream, id);
  direct(link, SANDD_EVENT_STREAM_OPENED, stream, frame);
  return true;
}

static void started(sandd_stream *stream, const Sandd__V1__ExecStarted *answer) {
  for (size_t i = 0; i < answer->n_outputs; i++) {
    const Sandd__V1__OutputState *output = answer->outputs[i];
    int channel = output->kept ? (int)output->kept->channel : 0;
    if (channel_known(channel) && stream->in[channel])
      sandd_inbox_start(stream->in[channel], output->start_offset);
  }
}

static void channel_end(sandd_link *link, sandd_stream *stream, const Sandd__V1__ChannelEnd *end, uint64_t now_us) {
  bool reason = end->reason == SANDD__V1__CHANNEL_END_REASON__CHANNEL_END_REASON_EOF ||
                end->reason == SANDD__V1__CHANNEL_END_REASON__CHANNEL_END_REASON_DRAIN_LIMIT;
  if (!channel_known((int)end->channel) || !reason) {
    wrong(link, "ChannelEnd of no channel, or without a reason", now_us);
    return;
  }
  sandd_inbox *inbox = stream->in[end->channel];
  if (!inbox || !inbox->open)
    return;
  const char *error = sandd_inbox_channel_end(
      inbox, end->final_offset, end->reason == SANDD__V1__CHANNEL_END_REASON__CHANNEL_END_REASON_DRAIN_LIMIT);
  if (error)
    wrong(link, error, now_us);
  else
    sandd_stream_settle(stream, now_us);
}

static void stream_end(sandd_link *link, sandd_stream *stream, const Frame *frame, uint64_t now_us) {
  bool reset = frame->body_case == B(RESET);
  const Sandd__V1__Status *status = reset ? frame->reset->status : frame->end->status;
  if (stream->end_in)
    wrong(link, "a second End", now_us);
  else if (!reset && !stream->mine && !stream->end_out)
    wrong(link, "the opener ended before the answerer", now_us);
  else if (!reset && stream->mine && !stream->answer_in && !stream->reset_out)
    wrong(link, "an End before the answer", now_us);
  else
    sandd_stream_ended(stream, status, reset, now_us);
}

/* Which side may say this now. NULL when this one may. */
static const char *out_of_order(const sandd_stream *stream, int body) {
  bool opener_says = body == B(SIGNAL) || body == B(RESIZE) || body == B(DETACH);
  bool answerer_says = body == B(EXEC_STARTED) || body == B(EXEC_EXITED);
  if (stream->mine ? opener_says : answerer_says)
    return "a control frame in the wrong direction";
  if (stream->end_in)
    return "a control frame after End";
  if (stream->mine && !stream->answer_in && body != B(EXEC_STARTED))
    return "a control frame before the answer";
  if (stream->answer_in && body == B(EXEC_STARTED))
    return "a second answer";
  return NULL;
}

static bool known_control(sandd_link *link, const Frame *frame, uint64_t now_us) {
  sandd_session *session = link->session;
  if (sandd_body_opens((int)frame->body_case))
    return open_stream(link, frame, now_us);
  sandd_stream *stream = sandd_stream_find(session, frame->stream_id);
  if (!stream) {
    if (!was_open(session, frame->stream_id))
      wrong(link, "a control frame of a stream that was never opened", now_us);
    else if (!RULE(link->endpoint, IGNORE_FINISHED))
      wrong(link, "a control frame of a finished stream", now_us);
    return true;
  }
  if (frame->body_case == B(END) || frame->body_case == B(RESET)) {
    stream_end(link, stream, frame, now_us);
    return true;
  }
  if (stream->end_out && !stream->mine)
    return true;
  if (stream->reset_out && RULE(link->endpoint, RESET_FINAL))
    return true;
  const char *bad = out_of_order(stream, (int)frame->body_case);
  if (bad) {
    wrong(link, bad, now_us);
    return true;
  }
  if (frame->body_case == B(CHANNEL_END)) {
    channel_end(link, stream, frame->channel_end, now_us);
    return true;
  }
  if (frame->body_case == B(EXEC_STARTED)) {
    stream->answer_in = true;
    started(stream, frame->exec_started);
  }
  if (!stream->released)
    direct(link, SANDD_EVENT_STREAM_FRAME, stream, frame);
  return true;
}

/* A body that this version does not know. False when there was no memory. */
static bool unknown_body(sandd_link *link, const Frame *frame, uint64_t now_us) {
  static const char sentence[] = "this side does not know that frame";
  sandd_session *session = link->session;
  uint64_t id = frame->stream_id;
  bool no_memory = false;
  if (!id)
    return true;
  sandd_stream *stream = sandd_stream_find(session, id);
  if (stream) {
    if (!stream->end_out)
      sandd_stream_reset(stream, &(sandd_status){.code = STATUS(UNIMPLEMENTED), .text = sentence}, now_us);
    return true;
  }
  if (was_open(session, id))
    return true;
  if (!frame->seq || !opened_by_peer(session, id)) {
    wrong(link, "a frame of a stream that was never opened", now_us);
    return true;
  }
  sandd_stream_refuse(session, id, STATUS(UNIMPLEMENTED), sentence, &no_memory);
  if (!no_memory)
    session->highest = id;
  return !no_memory;
}

static void control_frame(sandd_link *link, const Frame *frame, bool known, uint64_t now_us) {
  sandd_session *session = link->session;
  if (known && (!frame->seq || !frame->stream_id)) {
    wrong(link, "a control frame without a seq or a stream", now_us);
    return;
  }
  if (frame->seq) {
    if (link->ack_due == NEVER) {
      link->ack_due = now_us + ACK_US;
      sandd_link_timer(link);
    }
    if (frame->seq <= session->in_seq && RULE(link->endpoint, SEQ_DEDUP))
      return;
    if (frame->seq > session->in_seq + 1) {
      wrong(link, "a gap in the control frames", now_us);
      return;
    }
    session->in_seq = frame->seq;
  }
  if (!(known ? known_control(link, frame, now_us) : unknown_body(link, frame, now_us))) {
    session->in_seq -= frame->seq ? 1 : 0;
    out_of_memory(link, now_us);
    return;
  }
  /* What its frames make us say must be taken some time: each stream that is open can have one End waiting. */
  if (link->session == session && session->n_finals > FINALS_MAX + session->endpoint->limits.streams + session->n_mine)
    sandd_link_violation(link, STATUS(RESOURCE_EXHAUSTED), "too many streams were ended whose Ends were not acked",
                         now_us);
}

void sandd_frame_dispatch(sandd_link *link, const Frame *frame, uint64_t now_us) {
  switch (sandd_body_kind((int)frame->body_case)) {
  case BODY_DATA: data_frame(link, frame, now_us); break;
  case BODY_CONTROL: control_frame(link, frame, true, now_us); break;
  default: control_frame(link, frame, false, now_us); break;
  }
}
