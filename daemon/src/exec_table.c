// SPDX-License-Identifier: MIT
#include "exec_table.h"

#include <stdlib.h>
#include <string.h>

int sandd_exec_table_init(sandd_exec_table *table, size_t max_retained) {
  *table = (sandd_exec_table){.n_buckets = 64, .max_retained = max_retained};
  table->buckets = calloc(table->n_buckets, sizeof(*table->buckets));
  return table->buckets ? 0 : SANDD_E_NOMEM;
}

void sandd_exec_table_free(sandd_exec_table *table) {
  free(table->buckets);
  *table = (sandd_exec_table){0};
}

static size_t bucket_of(const char *id, size_t n_buckets) {
  uint64_t hash = UINT64_C(1469598103934665603);
  for (; *id; id++) {
    hash = (hash ^ (unsigned char)*id) * UINT64_C(1099511628211);
  }
  return (size_t)(hash ^ hash >> 32) & (n_buckets - 1);
}

sandd_exec_entry *sandd_exec_table_find(const sandd_exec_table *table, const char *id) {
  sandd_exec_entry *entry = table->buckets[bucket_of(id, table->n_buckets)];
  while (entry && strcmp(entry->id, id) != 0) {
    entry = entry->next;
  }
  return entry;
}

/* Without memory the chains only get longer. */
static void grow(sandd_exec_table *table) {
  size_t n_buckets = table->n_buckets * 2;
  sandd_exec_entry **buckets = calloc(n_buckets, sizeof(*buckets));
  if (!buckets) {
    return;
  }
  for (size_t i = 0; i < table->n_buckets; i++) {
    for (sandd_exec_entry *entry = table->buckets[i], *next; entry; entry = next) {
      next = entry->next;
      size_t at = bucket_of(entry->id, n_buckets);
      entry->next = buckets[at];
      buckets[at] = entry;
    }
  }
  free(table->buckets);
  table->buckets = buckets;
  table->n_buckets = n_buckets;
}

void sandd_exec_table_add(sandd_exec_table *table, sandd_exec_entry *entry) {
  if (table->count >= table->n_buckets) {
    grow(table);
  }
  size_t at = bucket_of(entry->id, table->n_buckets);
  entry->next = table->buckets[at];
  table->buckets[at] = entry;
  table->count++;
  table->retained += entry->retained;
}

void sandd_exec_table_remove(sandd_exec_table *table, sandd_exec_entry *entry) {
  sandd_exec_entry **at = &table->buckets[bucket_of(entry->id, table->n_buckets)];
  while (*at && *at != entry) {
    at = &(*at)->next;
  }
  if (*at) {
    *at = entry->next;
    table->count--;
    table->retained -= entry->retained;
  }
}

/* A caller that tried long ago may have started it here, and its end may be forgotten since. */
static bool too_old(const sandd_exec_question *question) {
  uint64_t age_us = (uint64_t)question->open->age_ns / 1000;
  uint64_t twice = question->session_retention_us * 2;
  return question->open->age_ns > 0 &&
         (twice >= question->exec_retention_us || age_us >= question->exec_retention_us - twice);
}

static sandd_exec_decision decide_start(const sandd_exec_table *table, const sandd_exec_question *question,
                                        sandd_fault *fault) {
  const Sandd__V1__ExecOpen *open = question->open;
  bool named = open->exec_id[0] != '\0';
  if (named && too_old(question)) {
    sandd_fault_set(fault, SANDD_CODE(FAILED_PRECONDITION),
                    "outcome unknown: exec %s was first tried longer ago than this daemon remembers ends for",
                    open->exec_id);
    return SANDD_EXEC_REFUSE;
  }
  bool retained = named || open->spec->on_session_lost == SANDD__V1__ON_SESSION_LOST__ON_SESSION_LOST_KEEP;
  if (retained && table->retained >= table->max_retained) {
    sandd_fault_set(
        fault, SANDD_CODE(RESOURCE_EXHAUSTED),
        "the table of exec ids is full (%zu): wait until the retention of old ones is over, or start without "
        "an exec_id",
        table->max_retained);
    return SANDD_EXEC_REFUSE;
  }
  return SANDD_EXEC_START;
}

sandd_exec_decision sandd_exec_decide(const sandd_exec_table *table, const sandd_exec_question *question,
                                      sandd_exec_entry **found, sandd_fault *fault) {
  const Sandd__V1__ExecOpen *open = question->open;
  if (open->instance[0] != '\0' && strcmp(open->instance, question->instance) != 0) {
    sandd_fault_set(fault, SANDD_CODE(FAILED_PRECONDITION),
                    "outcome unknown: exec %s was meant for daemon instance %.64s, and this is %.64s",
                    open->exec_id[0] ? open->exec_id : "(without id)", open->instance, question->instance);
    return SANDD_EXEC_REFUSE;
  }
  sandd_exec_entry *entry = open->exec_id[0] ? sandd_exec_table_find(table, open->exec_id) : NULL;
  if (!entry && open->mode == SANDD__V1__EXEC_MODE__EXEC_MODE_ATTACH) {
    sandd_fault_set(fault, SANDD_CODE(NOT_FOUND), "there is no exec %s on this daemon instance", open->exec_id);
    return SANDD_EXEC_REFUSE;
  }
  if (!entry) {
    return decide_start(table, question, fault);
  }
  if (open->mode == SANDD__V1__EXEC_MODE__EXEC_MODE_START) {
    sandd_fault_set(fault, SANDD_CODE(ALREADY_EXISTS), "exec %s exists", open->exec_id);
    return SANDD_EXEC_REFUSE;
  }
  if (open->mode == SANDD__V1__EXEC_MODE__EXEC_MODE_ATTACH_OR_START &&
      !sandd_digest_equal(entry->spec, question->spec)) {
    sandd_fault_set(fault, SANDD_CODE(ALREADY_EXISTS), "exec %s exists and was started with another spec",
                    open->exec_id);
    return SANDD_EXEC_REFUSE;
  }
  *found = entry;
  return SANDD_EXEC_ATTACH;
}
