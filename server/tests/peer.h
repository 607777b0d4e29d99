// SPDX-License-Identifier: MIT
// A small daemon for tests, on a thread of its own: a real endpoint on a real socket, whose "processes" are a few words.
// The word is the command line's first one:
//   exit N        exits with N             echo TEXT     writes TEXT to stdout     err TEXT   writes TEXT to stderr
//   count N       writes N bytes (offset % 251) to stdout, as fast as credit lets it
//   cat           writes its stdin to stdout until the end of stdin, then exits with 0
//   hang          runs until it is signalled or reset; a signal ends it
//   fail NAME     is refused with a Reset whose errno is NAME
//   nothing       ends with End(OK) and no exit: a broken daemon
#ifndef SANDD_SERVER_TEST_PEER_H
#define SANDD_SERVER_TEST_PEER_H

#include <stdbool.h>
#include <stdint.h>

typedef struct test_peer test_peer;

typedef struct test_peer_options {
  int port;
  const char *id;       /* "worker" if NULL */
  const char *instance; /* made if NULL */
  const char *token;
  const char *label; /* value of the label "role", if not NULL */
  bool no_redial;
  bool without_user; /* capability exec.user is off: "needs root" */
} test_peer_options;

#define test_peer_start(...) test_peer_start_with((test_peer_options){__VA_ARGS__})
test_peer *test_peer_start_with(test_peer_options options);
/* Ends it without a goodbye, as a kill would. */
void test_peer_stop(test_peer *peer);

/* Any thread. */
unsigned test_peer_dials(test_peer *peer);
unsigned test_peer_resets(test_peer *peer);                  /* streams that the server reset */
unsigned test_peer_refused(test_peer *peer);                 /* last status of a refusal, or a dial error */
bool test_peer_wait_id(test_peer *peer, const char *prefix); /* until its id begins so; false after 10 s */
/* Drops the connection; it dials again at once. */
void test_peer_cut(test_peer *peer);

#endif
