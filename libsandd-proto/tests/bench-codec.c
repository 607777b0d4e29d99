// SPDX-License-Identifier: MIT
/* What a packet costs: sandd-bench-codec [MILLIONS]. Packed by the library's writer, unpacked into its arena. */
#include "../src/codec.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void random_bytes(void *ctx, uint8_t *out, size_t len) {
  (void)ctx;
  memset(out, 7, len);
}

static sandd_endpoint *endpoint(sandd_role role) {
  sandd_endpoint_config config = {.size = sizeof config, .role = role, .random = random_bytes, .daemon_id = "bench"};
  sandd_endpoint *e = NULL;
  if (sandd_endpoint_new(&e, &config)) {
    fputs("no endpoint\n", stderr);
    exit(1);
  }
  return e;
}

static double codec(sandd_endpoint *e, const Frame *frame, size_t rounds) {
  static uint8_t buf[1 << 20];
  packet_writer writer;
  Sandd__V1__Packet *packet;
  const char *why;
  double start = now_ns();
  for (size_t i = 0; i < rounds; i++) {
    packet_begin(&writer, buf, sizeof buf, i);
    if (!packet_add(&writer, frame) || sandd_packet_decode(e, buf, writer.len, 1 << 20, &packet, &why) ||
        packet->n_frames != 1) {
      fputs("a packet does not survive\n", stderr);
      exit(1);
    }
  }
  return (now_ns() - start) / (double)rounds;
}

static void drain(sandd_endpoint *e, uint64_t now) {
  sandd_event event;
  while (sandd_endpoint_next_event(e, &event, now) == 1) {
  }
}

/* Between two endpoints: everything but the carrier. */
static size_t move(sandd_endpoint *to, sandd_link *from_link, sandd_link *to_link, uint64_t now) {
  static uint8_t buf[1 << 20];
  size_t len = 0;
  sandd_link_pull(from_link, buf, sizeof buf, &len, now);
  if (!len)
    return 0;
  if (sandd_link_feed(to_link, buf, len, now)) {
    fputs("a packet is refused\n", stderr);
    exit(1);
  }
  drain(to, now);
  return len;
}

static double heartbeats(size_t rounds) {
  sandd_endpoint *e[2] = {endpoint(SANDD_ROLE_SERVER), endpoint(SANDD_ROLE_DAEMON)};
  sandd_link *l[2];
  uint64_t now = 1000000;
  for (int i = 0; i < 2; i++)
    if (sandd_link_new(&l[i], e[i], now))
      exit(1);
  for (int i = 0; i < 4; i++) {
    while (move(e[0], l[1], l[0], now)) {
    }
    while (move(e[1], l[0], l[1], now)) {
    }
  }
  double start = now_ns();
  for (size_t i = 0; i < rounds; i++) {
    now = sandd_link_deadline(l[0]);
    sandd_link_tick(l[0], now);
    while (move(e[1], l[0], l[1], now)) {
    }
    while (move(e[0], l[1], l[0], now)) {
    }
  }
  double ns = (now_ns() - start) / (double)rounds;
  for (int i = 0; i < 2; i++) {
    sandd_link_free(l[i], now);
    drain(e[i], now);
    sandd_endpoint_free(e[i]);
  }
  return ns;
}

int main(int argc, char **argv) {
  size_t rounds = (argc > 1 ? (size_t)strtoul(argv[1], NULL, 10) : 2) * 1000000;
  static uint8_t bytes[65536];
  sandd_endpoint *e = endpoint(SANDD_ROLE_SERVER);
  Frame beat = SANDD__V1__FRAME__INIT, data = SANDD__V1__FRAME__INIT;
  Sandd__V1__Heartbeat heartbeat = SANDD__V1__HEARTBEAT__INIT;
  Sandd__V1__Data body = SANDD__V1__DATA__INIT;
  heartbeat.stamp = 123456789012345;
  beat.body_case = SANDD__V1__FRAME__BODY_HEARTBEAT;
  beat.heartbeat = &heartbeat;
  body.channel = SANDD__V1__CHANNEL_ID__CHANNEL_ID_STDOUT;
  body.offset = 1ull << 40;
  body.bytes = (ProtobufCBinaryData){.len = sizeof bytes, .data = bytes};
  data.stream_id = 12345;
  data.body_case = SANDD__V1__FRAME__BODY_DATA;
  data.data = &body;
  if (!rounds)
    return 2;
  double small = codec(e, &beat, rounds), large = codec(e, &data, rounds / 50), both = heartbeats(rounds / 2);
  printf("a packet with one heartbeat, packed and unpacked   %8.0f ns\n", small);
  printf("a packet with 64 KiB of Data, packed and unpacked  %8.0f ns  %5.1f GB/s\n", large, sizeof bytes / large);
  printf("a heartbeat and its reply through two endpoints    %8.0f ns\n", both);
  sandd_endpoint_free(e);
  return 0;
}
