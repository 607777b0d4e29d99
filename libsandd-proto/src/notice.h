// SPDX-License-Identifier: MIT
#ifndef SANDD_PROTO_NOTICE_H
#define SANDD_PROTO_NOTICE_H

#include "types.h"

void sandd_notice_add(sandd_endpoint *endpoint, sandd_notice *notice, notice_kind kind, unsigned bits);
void sandd_notice_drop(sandd_notice *notice);
/* The link has something to send or wants to be closed. NULL is fine. */
void sandd_link_mark(sandd_link *link);

#endif
