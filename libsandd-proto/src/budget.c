// SPDX-License-Identifier: MIT
#include "budget.h"

sandd_budget *sandd_budget_new(sandd_endpoint *endpoint, uint64_t total, uint64_t channels) {
  sandd_budget *budget = sandd_alloc(endpoint, sizeof *budget);
  if (!budget)
    return NULL;
  budget->refs = 1;
  budget->allocator = &endpoint->allocator;
  budget->total = total;
  budget->channels = channels;
  list_init(&budget->waiting);
  return budget;
}

void sandd_budget_drop(sandd_budget *budget) {
  if (budget && --budget->refs == 0)
    budget->allocator->free(budget->allocator->ctx, budget);
}

bool sandd_budget_join(sandd_budget *budget) {
  if (budget->channels_used >= budget->channels)
    return false;
  budget->channels_used++;
  budget->refs++;
  return true;
}

void sandd_budget_leave(sandd_budget *budget) {
  budget->channels_used--;
  sandd_budget_drop(budget);
}

static uint64_t above(uint64_t amount) {
  return amount > CHANNEL_MIN ? amount - CHANNEL_MIN : 0;
}

void sandd_budget_charge(sandd_budget *budget, uint64_t from, uint64_t to) {
  budget->used += to - from;
  budget->shared_used += above(to) - above(from);
}

uint64_t sandd_budget_shared(const sandd_budget *budget) {
  uint64_t reserved = budget->channels * CHANNEL_MIN, pool = budget->total > reserved ? budget->total - reserved : 0;
  return pool > budget->shared_used ? pool - budget->shared_used : 0;
}
