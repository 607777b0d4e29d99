// SPDX-License-Identifier: MIT
#ifndef SANDD_GUARD_EMBED_H
#define SANDD_GUARD_EMBED_H

/* The guard program, from the first byte to before the second symbol. */
extern const unsigned char sandd_guard_program[], sandd_guard_program_end[];

#endif
