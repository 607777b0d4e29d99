// SPDX-License-Identifier: MIT
#ifndef SANDD_DAEMON_DIGEST_H
#define SANDD_DAEMON_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* 128 bits that stand for a long encoding, under a key that nobody outside this process knows: equal bytes have equal
 * digests, and nobody can make two different ones meet on purpose. SipHash-2-4 with its 128-bit output. */
typedef struct sandd_digest {
  uint64_t low, high;
} sandd_digest;

typedef struct sandd_digest_key {
  uint64_t k0, k1;
} sandd_digest_key;

sandd_digest sandd_digest_make(const sandd_digest_key *key, const uint8_t *data, size_t len);
bool sandd_digest_equal(sandd_digest a, sandd_digest b);

#endif
