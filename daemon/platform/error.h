// SPDX-License-Identifier: MIT
// How the platform layer says what went wrong: a kind to act on, the system's name of the error, and a sentence.
#ifndef SANDD_PLATFORM_ERROR_H
#define SANDD_PLATFORM_ERROR_H

/* Functions of the platform layer return 0, a small positive number where they say so, or one of these. */
typedef enum {
  SANDD_PLATFORM_NOT_FOUND = -1,         // no such program, directory, user or process
  SANDD_PLATFORM_PERMISSION_DENIED = -2, // the system refused for lack of rights
  SANDD_PLATFORM_RESOURCE = -3,          // processes, descriptors or memory are used up: try later
  SANDD_PLATFORM_INVALID = -4,           // the request makes no sense: too long, a zero byte, an unknown signal
  SANDD_PLATFORM_SYSTEM = -5,            // anything else; errno_name tells
} sandd_platform_kind;

/* What the failed part of a start was. */
typedef enum {
  SANDD_PLATFORM_AT_SYSTEM = 0, // pipes, processes, memory
  SANDD_PLATFORM_AT_REQUEST,    // the config itself
  SANDD_PLATFORM_AT_USER,       // finding the user, or becoming it
  SANDD_PLATFORM_AT_CWD,        // entering the working directory
  SANDD_PLATFORM_AT_PROGRAM,    // finding or executing the program
} sandd_platform_at;

/* Filled by calls that fail; plain data, nothing to free. message is one UTF-8 sentence without a full stop ("no such
 * program: foo"); bytes of a path that are no printable ASCII stand in it as \xNN. errno_name is "" when no system call
 * failed. */
typedef struct {
  int kind; // sandd_platform_kind
  sandd_platform_at at;
  char errno_name[24];
  char message[512];
} sandd_platform_error;

#endif
