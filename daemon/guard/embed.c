// SPDX-License-Identifier: MIT
// The guard program's bytes, as part of sandd: one file to install.
#include "daemon/guard/embed.h"

__asm__(".section .rodata\n"
        ".balign 16\n"
        ".globl sandd_guard_program\n"
        ".hidden sandd_guard_program\n"
        "sandd_guard_program:\n"
        ".incbin \"" SANDD_GUARD_PROGRAM "\"\n"
        ".globl sandd_guard_program_end\n"
        ".hidden sandd_guard_program_end\n"
        "sandd_guard_program_end:\n"
        ".byte 0\n"
        ".previous\n");
