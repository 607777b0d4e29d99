// SPDX-License-Identifier: MIT
#ifndef SANDD_SIM_FOREIGN_H
#define SANDD_SIM_FOREIGN_H

#include "carrier.h"

/* Puts a packet on its way as another implementation might have packed the same frames. */
void foreign_put(struct world *w, conn *c, side from, const uint8_t *data, size_t len);

#endif
