// SPDX-License-Identifier: MIT
#ifndef SANDD_PROTO_LINK_STATE_H
#define SANDD_PROTO_LINK_STATE_H

#include "codec.h"
#include "types.h"

#define STATUS(name) SANDD__V1__STATUS_CODE__STATUS_CODE_##name

/* link.c */
/* The peer broke a rule, or sent what can't be read: the link closes with the status's code and the session is over. */
void sandd_link_violation(sandd_link *link, int status, const char *text, uint64_t now_us);
/* Drops the connection with this close code (0: without a Close frame); the session waits for the next one. */
void sandd_link_drop(sandd_link *link, int status, uint16_t code, const char *text, uint64_t now_us);
/* Says Goodbye, then closes with 1000. */
void sandd_link_goodbye(sandd_link *link, int status, const char *text, uint64_t retry_after_us, uint64_t now_us);
void sandd_link_up(sandd_link *link, sandd_session *session, uint64_t now_us); /* Welcome was made or came */
void sandd_link_beat(sandd_link *link, uint64_t now_us);                       /* a Heartbeat is due now */

/* opening.c, of both sides: frames that have no stream */
void sandd_link_frame(sandd_link *link, const Frame *frame, uint64_t now_us);

/* server.c */
void sandd_server_hello(sandd_link *link, const Hello *hello, uint64_t now_us);
void sandd_server_confirm(sandd_link *link, uint64_t now_us); /* the first frame after Welcome */
void sandd_server_reply(sandd_link *link, uint64_t stamp, uint64_t now_us);
void sandd_server_link_gone(sandd_link *link, uint64_t now_us); /* also when it only died */
void sandd_server_forget(sandd_session *session);               /* out of names and ids */
uint64_t sandd_server_deadline(const sandd_endpoint *endpoint);
void sandd_server_tick(sandd_endpoint *endpoint, uint64_t now_us);

/* dialer.c */
bool sandd_daemon_hello(sandd_link *link); /* makes Hello; false without memory */
void sandd_daemon_welcome(sandd_link *link, const Sandd__V1__Welcome *welcome, uint64_t now_us);
void sandd_daemon_goodbye(sandd_link *link, const Sandd__V1__Goodbye *goodbye, uint64_t now_us);

#endif
