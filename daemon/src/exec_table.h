// SPDX-License-Identifier: MIT
#ifndef SANDD_DAEMON_EXEC_TABLE_H
#define SANDD_DAEMON_EXEC_TABLE_H

#include "digest.h"
#include "fault.h"
#include "sandd/v1/exec.pb-c.h"

/* The exec ids that this daemon instance knows, and the rules by which an opening starts, attaches or is refused. The
 * entries are part of their execs and belong to them. Pure: no clock, no processes. */
typedef struct sandd_exec_entry sandd_exec_entry;
struct sandd_exec_entry {
  char *id;
  sandd_digest spec;
  bool retained; /* stays after its end, for attach: counts against the table's limit */
  sandd_exec_entry *next;
};

typedef struct sandd_exec_table {
  sandd_exec_entry **buckets;
  size_t n_buckets, count, retained, max_retained;
} sandd_exec_table;

int sandd_exec_table_init(sandd_exec_table *table, size_t max_retained);
/* Frees the table's own memory; the entries stay their owners'. */
void sandd_exec_table_free(sandd_exec_table *table);
sandd_exec_entry *sandd_exec_table_find(const sandd_exec_table *table, const char *id);
/* Adds an entry whose id is not there. Can't fail: whoever asked sandd_exec_decide may add one. */
void sandd_exec_table_add(sandd_exec_table *table, sandd_exec_entry *entry);
void sandd_exec_table_remove(sandd_exec_table *table, sandd_exec_entry *entry);

typedef enum sandd_exec_decision { SANDD_EXEC_REFUSE = 0, SANDD_EXEC_START, SANDD_EXEC_ATTACH } sandd_exec_decision;

typedef struct sandd_exec_question {
  const Sandd__V1__ExecOpen *open; /* checked by sandd_exec_request_check */
  sandd_digest spec;               /* of open->spec; unused with ATTACH */
  const char *instance;            /* this daemon's */
  uint64_t exec_retention_us, session_retention_us;
} sandd_exec_question;

/* Says what to do with an opening. *found: with ATTACH the exec, else untouched. REFUSE fills fault. */
sandd_exec_decision sandd_exec_decide(const sandd_exec_table *table, const sandd_exec_question *question,
                                      sandd_exec_entry **found, sandd_fault *fault);

#endif
