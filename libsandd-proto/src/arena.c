// SPDX-License-Identifier: MIT
#include "arena.h"

#include <stdalign.h>
#include <string.h>

#define SMALL_BLOCK 8192u

struct sandd_arena_block {
  sandd_arena_block *next;
  size_t cap, used;
  alignas(max_align_t) uint8_t bytes[];
};

static void *arena_alloc(void *data, size_t size) {
  sandd_arena *arena = data;
  size = (size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
  if (size > arena->limit - arena->used || arena->limit < arena->used) {
    arena->over_limit = true;
    return NULL;
  }
  sandd_arena_block *block = arena->blocks;
  if (!block || size > block->cap - block->used) {
    size_t cap = size > SMALL_BLOCK ? size : SMALL_BLOCK;
    block = arena->memory->alloc(arena->memory->ctx, sizeof *block + cap);
    if (!block) {
      arena->no_memory = true;
      return NULL;
    }
    block->cap = cap;
    block->used = 0;
    block->next = arena->blocks;
    arena->blocks = block;
  }
  void *ptr = block->bytes + block->used;
  block->used += size;
  arena->used += size;
  return ptr;
}

static void arena_keep(void *data, void *ptr) {
  (void)data;
  (void)ptr;
}

void sandd_arena_init(sandd_arena *arena, const sandd_allocator *memory) {
  memset(arena, 0, sizeof *arena);
  arena->memory = memory;
  arena->allocator = (ProtobufCAllocator){.alloc = arena_alloc, .free = arena_keep, .allocator_data = arena};
}

void sandd_arena_reset(sandd_arena *arena, size_t limit) {
  sandd_arena_block *kept = NULL;
  while (arena->blocks) {
    sandd_arena_block *block = arena->blocks;
    arena->blocks = block->next;
    if (!kept && block->cap == SMALL_BLOCK)
      kept = block;
    else
      arena->memory->free(arena->memory->ctx, block);
  }
  if (kept) {
    kept->used = 0;
    kept->next = NULL;
  }
  arena->blocks = kept;
  arena->used = 0;
  arena->limit = limit;
  arena->over_limit = arena->no_memory = false;
}

void sandd_arena_free(sandd_arena *arena) {
  sandd_arena_reset(arena, 0);
  if (arena->blocks)
    arena->memory->free(arena->memory->ctx, arena->blocks);
  arena->blocks = NULL;
}
