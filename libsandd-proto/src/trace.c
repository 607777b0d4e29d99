// SPDX-License-Identifier: MIT
#include <inttypes.h>
#include <sandd/proto/trace.h>
#include <sandd/v1/packet.pb-c.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define B(name) SANDD__V1__FRAME__BODY_##name

typedef struct sink {
  char *out;
  size_t cap, len;
} sink;

__attribute__((format(printf, 2, 3))) static void put(sink *s, const char *format, ...) {
  va_list args;
  va_start(args, format);
  size_t room = s->len < s->cap ? s->cap - s->len : 0;
  int n = vsnprintf(room ? s->out + s->len : NULL, room, format, args);
  va_end(args);
  if (n > 0)
    s->len += (size_t)n;
}

static const char *enum_name(const ProtobufCEnumDescriptor *descriptor, int value) {
  const ProtobufCEnumValue *found = protobuf_c_enum_descriptor_get_value(descriptor, value);
  return found ? found->name : "?";
}

static const char *channel(Sandd__V1__ChannelId id) {
  static const char *const names[] = {"?", "stdin", "stdout", "stderr", "to-answerer", "to-opener"};
  return (unsigned)id < sizeof names / sizeof names[0] ? names[id] : "?";
}

static void put_status(sink *s, const Sandd__V1__Status *status) {
  if (!status) {
    put(s, " (no status)");
    return;
  }
  put(s, " %s", enum_name(&sandd__v1__status_code__descriptor, (int)status->code) + strlen("STATUS_CODE_"));
  if (*status->message)
    put(s, " \"%s\"", status->message);
  if (*status->errno_name)
    put(s, " %s", status->errno_name);
}

static void put_exec(sink *s, const Sandd__V1__Frame *frame) {
  switch ((int)frame->body_case) {
  case B(EXEC_OPEN): {
    const Sandd__V1__ExecOpen *open = frame->exec_open;
    put(s, "ExecOpen mode=%d id=%s role=%d", (int)open->mode, open->exec_id, (int)open->role);
    break; /* the command may hold secrets of the user's */
  }
  case B(EXEC_STARTED):
    put(s, "ExecStarted id=%s pid=%" PRIu64 " state=%d%s", frame->exec_started->exec_id, frame->exec_started->pid,
        (int)frame->exec_started->state, frame->exec_started->attached ? " attached" : "");
    break;
  case B(EXEC_EXITED):
    if (frame->exec_exited->outcome_case == SANDD__V1__EXEC_EXITED__OUTCOME_SIGNAL)
      put(s, "ExecExited signal=%s reason=%d", frame->exec_exited->signal, (int)frame->exec_exited->reason);
    else
      put(s, "ExecExited code=%u reason=%d", frame->exec_exited->exit_code, (int)frame->exec_exited->reason);
    break;
  case B(SIGNAL): put(s, "Signal %s scope=%d", frame->signal->name, (int)frame->signal->scope); break;
  case B(RESIZE): put(s, "Resize %ux%u", frame->resize->rows, frame->resize->cols); break;
  case B(DETACH): put(s, "Detach"); break;
  default: put(s, "unknown body"); break;
  }
}

static void put_frame(sink *s, const Sandd__V1__Frame *f) {
  if (f->seq)
    put(s, "#%" PRIu64 " ", f->seq);
  if (f->stream_id)
    put(s, "s%" PRIu64 " ", f->stream_id);
  switch ((int)f->body_case) {
  case B(DATA):
    put(s, "Data %s %" PRIu64 "+%zu", channel(f->data->channel), f->data->offset, f->data->bytes.len);
    break;
  case B(SKIP): put(s, "Skip %s %" PRIu64 "..%" PRIu64, channel(f->skip->channel), f->skip->from, f->skip->to); break;
  case B(WINDOW):
    put(s, "Window %s next=%" PRIu64 " consumed=%" PRIu64 " limit=%" PRIu64, channel(f->window->channel),
        f->window->next, f->window->consumed, f->window->limit);
    break;
  case B(HEARTBEAT): put(s, "Heartbeat %" PRIu64, f->heartbeat->stamp); break;
  case B(HEARTBEAT_REPLY): put(s, "HeartbeatReply %" PRIu64, f->heartbeat_reply->stamp); break;
  case B(HELLO):
    put(s, "Hello id=%s instance=%s attempt=%" PRIu64 "%s", f->hello->daemon_id, f->hello->instance_id,
        f->hello->attempt, f->hello->resume ? " resume" : "");
    break;
  case B(WELCOME):
    put(s, "Welcome %s last_seq=%" PRIu64, f->welcome->resumed ? "resumed" : "new", f->welcome->last_seq);
    break;
  case B(GOODBYE):
    put(s, "Goodbye");
    put_status(s, f->goodbye->status);
    break;
  case B(CHANNEL_END):
    put(s, "ChannelEnd %s at %" PRIu64 " reason=%d", channel(f->channel_end->channel), f->channel_end->final_offset,
        (int)f->channel_end->reason);
    break;
  case B(END):
    put(s, "End");
    put_status(s, f->end->status);
    break;
  case B(RESET):
    put(s, "Reset");
    put_status(s, f->reset->status);
    break;
  default: put_exec(s, f); break;
  }
  put(s, "\n");
}

int sandd_trace_packet(const uint8_t *data, size_t len, char *out, size_t cap) {
  Sandd__V1__Packet *packet = sandd__v1__packet__unpack(NULL, len, data);
  if (!packet)
    return SANDD_E_PROTOCOL;
  sink s = {.out = out, .cap = cap};
  if (cap)
    *out = 0;
  put(&s, "ack %" PRIu64 "\n", packet->ack);
  for (size_t i = 0; i < packet->n_frames; i++)
    put_frame(&s, packet->frames[i]);
  sandd__v1__packet__free_unpacked(packet, NULL);
  return (int)s.len;
}
