// SPDX-License-Identifier: MIT
#include "digest.h"

#include <string.h>

typedef struct sip {
  uint64_t v0, v1, v2, v3;
} sip;

static uint64_t rotate(uint64_t value, unsigned bits) {
  return value << bits | value >> (64 - bits);
}

static void rounds(sip *s, int count) {
  for (int i = 0; i < count; i++) {
    s->v0 += s->v1;
    s->v1 = rotate(s->v1, 13) ^ s->v0;
    s->v0 = rotate(s->v0, 32);
    s->v2 += s->v3;
    s->v3 = rotate(s->v3, 16) ^ s->v2;
    s->v0 += s->v3;
    s->v3 = rotate(s->v3, 21) ^ s->v0;
    s->v2 += s->v1;
    s->v1 = rotate(s->v1, 17) ^ s->v2;
    s->v2 = rotate(s->v2, 32);
  }
}

static uint64_t load(const uint8_t *data, size_t len) {
  uint64_t word = 0;
  for (size_t i = 0; i < len; i++) {
    word |= (uint64_t)data[i] << (8 * i);
  }
  return word;
}

static void absorb(sip *s, uint64_t word) {
  s->v3 ^= word;
  rounds(s, 2);
  s->v0 ^= word;
}

sandd_digest sandd_digest_make(const sandd_digest_key *key, const uint8_t *data, size_t len) {
  sip s = {.v0 = key->k0 ^ UINT64_C(0x736f6d6570736575),
           .v1 = key->k1 ^ UINT64_C(0x646f72616e646f6d) ^ 0xee,
           .v2 = key->k0 ^ UINT64_C(0x6c7967656e657261),
           .v3 = key->k1 ^ UINT64_C(0x7465646279746573)};
  size_t at = 0;
  for (; len - at >= 8; at += 8) {
    absorb(&s, load(data + at, 8));
  }
  absorb(&s, load(data + at, len - at) | (uint64_t)len << 56);
  s.v2 ^= 0xee;
  rounds(&s, 4);
  sandd_digest digest = {.low = s.v0 ^ s.v1 ^ s.v2 ^ s.v3};
  s.v1 ^= 0xdd;
  rounds(&s, 4);
  digest.high = s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
  return digest;
}

bool sandd_digest_equal(sandd_digest a, sandd_digest b) {
  return a.low == b.low && a.high == b.high;
}
