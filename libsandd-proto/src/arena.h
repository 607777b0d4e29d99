// SPDX-License-Identifier: MIT
#ifndef SANDD_PROTO_ARENA_H
#define SANDD_PROTO_ARENA_H

#include <protobuf-c/protobuf-c.h>
#include <sandd/proto/endpoint.h>

/* Bounded memory for decoding one packet. Nothing in it is freed alone; reset frees all but one small block. */
typedef struct sandd_arena_block sandd_arena_block;
typedef struct sandd_arena {
  ProtobufCAllocator allocator; /* to hand to protobuf-c */
  const sandd_allocator *memory;
  sandd_arena_block *blocks;
  size_t used, limit;
  bool over_limit, no_memory; /* why it refused: protobuf-c's unpack gives no reason */
} sandd_arena;

void sandd_arena_init(sandd_arena *arena, const sandd_allocator *memory);
void sandd_arena_reset(sandd_arena *arena, size_t limit);
void sandd_arena_free(sandd_arena *arena);

#endif
