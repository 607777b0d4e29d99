// SPDX-License-Identifier: MIT
// What the guard does. Raw system calls only: the same code runs without a library in the guard program, and inside the
// sandd program where the system does not let it execute from memory.
#ifndef SANDD_GUARD_LOOP_H
#define SANDD_GUARD_LOOP_H

/* Guards the child of that pid until it and all else is gone, and exits as it did. All signals are blocked at the call.
 * ignore_hup: whoever started us wanted hang-ups ignored. Descriptor 3 and above are not touched. */
_Noreturn void sandd_guard_loop(int daemon, int ignore_hup);

#endif
