// SPDX-License-Identifier: MIT
#ifndef SANDD_SIM_BASE_H
#define SANDD_SIM_BASE_H

#include <sandd/proto/endpoint.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Small things that every part of the simulator uses: chance, failure, content, counted memory. */

#define MS            1000ull
#define CHANNEL_MIN   4096u
#define COUNT(array)  (sizeof(array) / sizeof(array)[0])
#define SMALLER(a, b) ((a) < (b) ? (a) : (b))

struct world;
typedef enum side { SIDE_SERVER = 0, SIDE_DAEMON = 1 } side;

/* Every choice of a world comes from one of these, seeded by the world's seed. */
typedef struct chance {
  uint64_t state;
} chance;
uint64_t chance_bits(chance *c);
uint64_t chance_below(chance *c, uint64_t n); /* 0 <= result < n; 0 for n = 0 */
bool chance_of(chance *c, double probability);
#define PICK(c, ...) (((const uint64_t[]){__VA_ARGS__})[chance_below(c, COUNT(((const uint64_t[]){__VA_ARGS__})))])

/* The oracle saw a broken promise: says it and leaves the world. */
_Noreturn void sim_fail(struct world *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
#define EXPECT(w, ok, ...)      \
  do {                          \
    if (!(ok))                  \
      sim_fail(w, __VA_ARGS__); \
  } while (0)

/* What a channel carries: a function of its key and the offset alone. At least CONTENT_SPAN bytes may be read. */
#define CONTENT_SPAN 524287u
const uint8_t *content_at(uint64_t key, uint64_t offset);
uint64_t content_key(uint64_t a, uint64_t b);
uint64_t hash_bytes(const void *data, size_t len, uint64_t start);

/* An allocator that knows what is still allocated. */
typedef struct memory {
  sandd_allocator allocator;
  size_t blocks, bytes, most_bytes;
} memory;
void memory_init(memory *m);

void *sim_alloc(size_t size); /* zeroed; ends the program when there is none */

#endif
