// SPDX-License-Identifier: MIT
#include "map.h"

#include <string.h>

static uint64_t mix(uint64_t x) {
  x ^= x >> 32;
  x *= 0xd6e8feb86659fd93ull;
  x ^= x >> 32;
  x *= 0xd6e8feb86659fd93ull;
  return x ^ x >> 32;
}

uint64_t sandd_map_hash(const void *bytes, size_t len, uint64_t seed) {
  const uint8_t *p = bytes;
  uint64_t h = seed;
  for (size_t i = 0; i < len; i++)
    h = mix(h ^ (p[i] + 0x9e3779b97f4a7c15ull));
  return h;
}

static sandd_map_node **slot(const sandd_map *map, uint64_t key) {
  return map->slots ? &map->slots[mix(key) & map->mask] : (sandd_map_node **)&map->single;
}

sandd_map_node *sandd_map_get(const sandd_map *map, uint64_t key) {
  sandd_map_node *node = *slot(map, key);
  while (node && node->key != key)
    node = node->next;
  return node;
}

sandd_map_node *sandd_map_again(sandd_map_node *node) {
  uint64_t key = node->key;
  do
    node = node->next;
  while (node && node->key != key);
  return node;
}

static void grow(sandd_map *map, const sandd_allocator *memory) {
  size_t n = map->slots ? 2 * (map->mask + 1) : 16;
  sandd_map bigger = {
      .slots = memory->alloc(memory->ctx, n * sizeof *bigger.slots), .mask = n - 1, .count = map->count};
  if (!bigger.slots)
    return;
  memset(bigger.slots, 0, n * sizeof *bigger.slots);
  for (size_t i = 0; i <= (map->slots ? map->mask : 0); i++) {
    sandd_map_node *node = map->slots ? map->slots[i] : map->single;
    while (node) {
      sandd_map_node *next = node->next, **to = slot(&bigger, node->key);
      node->next = *to;
      *to = node;
      node = next;
    }
  }
  if (map->slots)
    memory->free(memory->ctx, map->slots);
  *map = bigger;
}

void sandd_map_put(sandd_map *map, const sandd_allocator *memory, sandd_map_node *node, uint64_t key) {
  if (map->slots ? map->count > map->mask : map->count >= 4)
    grow(map, memory);
  node->key = key;
  sandd_map_node **to = slot(map, key);
  node->next = *to;
  *to = node;
  map->count++;
}

void sandd_map_remove(sandd_map *map, sandd_map_node *node) {
  for (sandd_map_node **at = slot(map, node->key); *at; at = &(*at)->next)
    if (*at == node) {
      *at = node->next;
      node->next = NULL;
      map->count--;
      return;
    }
}

void sandd_map_free(sandd_map *map, const sandd_allocator *memory) {
  if (map->slots)
    memory->free(memory->ctx, map->slots);
  memset(map, 0, sizeof *map);
}
