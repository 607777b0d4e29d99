// SPDX-License-Identifier: MIT
#ifndef SANDD_PROTO_RULES_H
#define SANDD_PROTO_RULES_H

/* Rules of the protocol that the simulator can turn off, one at a time, in a build of the library made for that alone
 * (SANDD_RULE_SWITCHES), to see that it would notice. In the product RULE() is the constant 1. */
#define SANDD_RULES(X)                                                                              \
  X(REPLAY, "unacked control frames are sent again after a resume")                                 \
  X(SEQ_DEDUP, "a control frame that was seen is dropped")                                          \
  X(ACK_TRIM, "the replay buffer forgets what was acked")                                           \
  X(CONTROL_BOUND, "unacked control frames are bounded in bytes")                                   \
  X(DISCARD_OLD_LINK, "after Hello the daemon takes nothing from an older connection")              \
  X(HELLO_ATTEMPT, "a Hello whose attempt is not above the last accepted one is a clone's")         \
  X(PREV_PRESENTED, "until confirmed, the secret that was presented last is good as well")          \
  X(SEQ_CHECK, "a last_seq outside what was acked and sent is a clone or a rolled-back one")        \
  X(CLONE_NEW_ID, "a clone takes a new daemon id, not only a new instance")                         \
  X(PROVISIONAL, "a session is shown only once it is confirmed")                                    \
  X(REPLACE_LATE, "a new session ends the one that it replaces when it is confirmed, not at Hello") \
  X(END_WAITS, "End takes effect when the bytes up to every ChannelEnd have come")                  \
  X(WINDOW_TIMER, "consumed bytes that were not told for 25 ms are told")                           \
  X(RING_MIN, "each ring may hold 4 KiB, whatever the others hold")                                 \
  X(RECV_RESERVE, "4 KiB of credit is set aside for every possible channel")                        \
  X(SKIP_PAST_LIMIT, "a Skip may pass the limit")                                                   \
  X(IGNORE_FINISHED, "frames on a finished id are dropped")                                         \
  X(RESTART_ONCE, "only the first Window after a resume moves the writer")                          \
  X(RESTART_AT_NEXT, "a writer restarts at the reader's next, not where it was")                    \
  X(WAIT_WINDOW, "after a resume a writer waits for the first Window")                              \
  X(OVERLAP_TRIM, "bytes that were received before are trimmed")                                    \
  X(HOLD_UNREAD, "unread bytes of finished streams count against the budget")                       \
  X(ANSWER_FIRST, "nothing of a stream precedes its answer")                                        \
  X(START_KNOWN, "no Window before the reader knows where the channel starts")                      \
  X(RESET_FINAL, "what comes after a Reset is dropped")                                             \
  X(SLOWEST_HOLDS, "the slowest reader that is no watcher holds the ring")                          \
  X(CREDIT, "a writer stops at the limit")

typedef enum sandd_rule {
#define X(name, text) SANDD_RULE_##name,
  SANDD_RULES(X)
#undef X
      SANDD_RULE_COUNT
} sandd_rule;

#ifdef SANDD_RULE_SWITCHES
#define RULE(endpoint, name) (!((endpoint)->rules_off >> SANDD_RULE_##name & 1))
#else
#define RULE(endpoint, name) 1
#endif

#endif
