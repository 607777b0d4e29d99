// SPDX-License-Identifier: MIT
#ifndef SANDD_PROTO_LIST_H
#define SANDD_PROTO_LIST_H

#include <stdbool.h>
#include <stddef.h>

/* Intrusive doubly linked list. A zeroed node is in no list. */
typedef struct sandd_node {
  struct sandd_node *prev, *next;
} sandd_node;

#define SANDD_OF(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))

static inline void list_init(sandd_node *head) {
  head->prev = head->next = head;
}
static inline bool list_linked(const sandd_node *node) {
  return node->next != NULL;
}
static inline bool list_empty(const sandd_node *head) {
  return head->next == head;
}
static inline void list_insert(sandd_node *before, sandd_node *node) {
  node->prev = before->prev;
  node->next = before;
  before->prev->next = node;
  before->prev = node;
}
static inline void list_append(sandd_node *head, sandd_node *node) {
  list_insert(head, node);
}
static inline void list_remove(sandd_node *node) {
  if (!node->next)
    return;
  node->prev->next = node->next;
  node->next->prev = node->prev;
  node->prev = node->next = NULL;
}
static inline sandd_node *list_first(const sandd_node *head) {
  return head->next == head ? NULL : head->next;
}
static inline sandd_node *list_last(const sandd_node *head) {
  return head->prev == head ? NULL : head->prev;
}
#define LIST_EACH(head, it) \
  for (sandd_node *it = (head)->next, *it##_next = it->next; it != (head); it = it##_next, it##_next = it->next)

#endif
