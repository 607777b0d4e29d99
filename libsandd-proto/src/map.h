// SPDX-License-Identifier: MIT
#ifndef SANDD_PROTO_MAP_H
#define SANDD_PROTO_MAP_H

#include <sandd/proto/endpoint.h>

/* Intrusive hash map from a 64-bit key; several nodes may share a key. Grows; a failed growth only makes it slower. */
typedef struct sandd_map_node {
  struct sandd_map_node *next;
  uint64_t key;
} sandd_map_node;

typedef struct sandd_map {
  sandd_map_node **slots;
  size_t mask, count;
  sandd_map_node *single; /* the chain before the first slots were made */
} sandd_map;

sandd_map_node *sandd_map_get(const sandd_map *map, uint64_t key); /* the first of its key */
sandd_map_node *sandd_map_again(sandd_map_node *node);             /* the next of the same key */
void sandd_map_put(sandd_map *map, const sandd_allocator *memory, sandd_map_node *node, uint64_t key);
void sandd_map_remove(sandd_map *map, sandd_map_node *node);
void sandd_map_free(sandd_map *map, const sandd_allocator *memory);
uint64_t sandd_map_hash(const void *bytes, size_t len, uint64_t seed);

#endif
