// SPDX-License-Identifier: MIT
#include "hello.h"

#include "codec.h"

#define LABELS_MAX       64
#define MESSAGE_MAX      (1u << 20) /* no packet of ours is larger, whatever the peer would take */
#define CAPABILITIES_MAX 64

void sandd_limits_fill(sandd_limits *limits) {
  if (!limits->message_bytes)
    limits->message_bytes = 1u << 20;
  if (limits->message_bytes < FIRST_MESSAGE)
    limits->message_bytes = FIRST_MESSAGE;
  if (!limits->streams)
    limits->streams = 1024;
  if (!limits->channels)
    limits->channels = 3 * limits->streams;
  if (!limits->control_bytes)
    limits->control_bytes = 1u << 20;
  if (!limits->inline_stdin_bytes)
    limits->inline_stdin_bytes = 65536;
}

void sandd_limits_read(sandd_limits *out, const Sandd__V1__Limits *limits) {
  memset(out, 0, sizeof *out);
  if (limits) {
    out->message_bytes = limits->message_bytes;
    out->streams = limits->streams;
    out->channels = limits->channels;
    out->control_bytes = limits->control_bytes;
    out->inline_stdin_bytes = limits->inline_stdin_bytes;
  }
  sandd_limits_fill(out);
  if (out->message_bytes > MESSAGE_MAX)
    out->message_bytes = MESSAGE_MAX; /* a carrier makes buffers of this size */
}

void sandd_limits_write(Sandd__V1__Limits *out, const sandd_limits *limits) {
  sandd__v1__limits__init(out);
  out->message_bytes = limits->message_bytes;
  out->streams = limits->streams;
  out->channels = limits->channels;
  out->control_bytes = limits->control_bytes;
  out->inline_stdin_bytes = limits->inline_stdin_bytes;
}

/* UTF-8 was checked before; here: no control characters and no spaces. */
static bool printable(const char *text, size_t most, bool ascii) {
  size_t n = 0;
  for (; text[n]; n++) {
    unsigned char c = (unsigned char)text[n];
    if (c <= ' ' || c == 127 || (ascii && c > 126))
      return false;
  }
  return n >= 1 && n <= most;
}

static const char *check_labels(const Hello *hello) {
  if (hello->n_labels > LABELS_MAX)
    return "more than 64 labels";
  for (size_t i = 0; i < hello->n_labels; i++) {
    size_t key = strlen(hello->labels[i]->key);
    if (!key || key > 128 || strlen(hello->labels[i]->value) > 1024)
      return "a label of a wrong length";
    for (size_t k = 0; k < i; k++)
      if (!strcmp(hello->labels[i]->key, hello->labels[k]->key))
        return "two labels with one key";
  }
  return NULL;
}

const char *sandd_hello_check(const Hello *hello) {
  if (!printable(hello->daemon_id, 255, false))
    return "daemon_id must be 1 to 255 printable bytes without spaces";
  if (!printable(hello->instance_id, 64, true))
    return "instance_id must be 1 to 64 bytes of printable ASCII";
  if (!hello->attempt)
    return "attempt counts from 1";
  if (strlen(hello->software) > 255)
    return "software is longer than 255 bytes";
  if (hello->heartbeat_interval_ns < 0 || hello->exec_retention_ns < 0)
    return "a time below 0";
  if (hello->n_capabilities > CAPABILITIES_MAX)
    return "more than 64 capabilities";
  if (hello->resume && (hello->resume->session_id.len > 64 || hello->resume->secret.len > 64))
    return "a session id or secret of more than 64 bytes";
  return check_labels(hello);
}

/* Built on the stack from borrowed pointers, then copied deeply. */
Hello *sandd_hello_make(sandd_endpoint *endpoint, const sandd_endpoint_config *config) {
  Hello hello = SANDD__V1__HELLO__INIT;
  Sandd__V1__Platform platform = SANDD__V1__PLATFORM__INIT;
  Sandd__V1__Limits limits;
  Sandd__V1__Label labels[LABELS_MAX], *label_ptrs[LABELS_MAX];
  Sandd__V1__Capability caps[CAPABILITIES_MAX], *cap_ptrs[CAPABILITIES_MAX];
  uint32_t version = 1;
  hello.n_versions = 1;
  hello.versions = &version;
  if (config->software)
    hello.software = (char *)config->software;
  if (config->os)
    platform.os = (char *)config->os;
  if (config->arch)
    platform.arch = (char *)config->arch;
  if (config->release)
    platform.release = (char *)config->release;
  if (config->hostname)
    platform.hostname = (char *)config->hostname;
  hello.platform = &platform;
  sandd_limits_write(&limits, &endpoint->limits);
  hello.limits = &limits;
  for (size_t i = 0; i < config->n_labels && i < LABELS_MAX; i++) {
    sandd__v1__label__init(&labels[i]);
    labels[i].key = (char *)config->labels[i].key;
    labels[i].value = (char *)config->labels[i].value;
    label_ptrs[hello.n_labels++] = &labels[i];
  }
  hello.labels = label_ptrs;
  for (size_t i = 0; i < config->n_capabilities && i < CAPABILITIES_MAX; i++) {
    sandd__v1__capability__init(&caps[i]);
    caps[i].name = (char *)config->capabilities[i].name;
    if (config->capabilities[i].off_reason)
      caps[i].off_reason = (char *)config->capabilities[i].off_reason;
    cap_ptrs[hello.n_capabilities++] = &caps[i];
  }
  hello.capabilities = cap_ptrs;
  hello.heartbeat_interval_ns = (int64_t)(config->heartbeat_us * 1000);
  hello.exec_retention_ns = (int64_t)(endpoint->exec_retention_us * 1000);
  return (Hello *)sandd_message_copy(endpoint, &hello.base);
}
