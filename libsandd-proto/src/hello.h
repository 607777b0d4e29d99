// SPDX-License-Identifier: MIT
#ifndef SANDD_PROTO_HELLO_H
#define SANDD_PROTO_HELLO_H

#include "types.h"

/* What Hello and Welcome have in common. */
void sandd_limits_fill(sandd_limits *limits);                               /* zeros become defaults */
void sandd_limits_read(sandd_limits *out, const Sandd__V1__Limits *limits); /* what the peer announced */
void sandd_limits_write(Sandd__V1__Limits *out, const sandd_limits *limits);
/* A sentence when Hello's own fields break the schema, else NULL. */
const char *sandd_hello_check(const Hello *hello);
/* What an endpoint says of itself, made once; NULL without memory. */
Hello *sandd_hello_make(sandd_endpoint *endpoint, const sandd_endpoint_config *config);

#endif
