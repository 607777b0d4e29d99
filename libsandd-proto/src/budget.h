// SPDX-License-Identifier: MIT
#ifndef SANDD_PROTO_BUDGET_H
#define SANDD_PROTO_BUDGET_H

#include "types.h"

sandd_budget *sandd_budget_new(sandd_endpoint *endpoint, uint64_t total, uint64_t channels);
void sandd_budget_drop(sandd_budget *budget); /* one reference less */
/* A channel joins or leaves (with nothing charged). join: false when all places are taken. */
bool sandd_budget_join(sandd_budget *budget);
void sandd_budget_leave(sandd_budget *budget);
/* A channel's charge goes from one amount to another. */
void sandd_budget_charge(sandd_budget *budget, uint64_t from, uint64_t to);
/* What is left to share. */
uint64_t sandd_budget_shared(const sandd_budget *budget);

#endif
