// SPDX-License-Identifier: MIT
#ifndef SANDD_PROTO_INBOX_STATE_H
#define SANDD_PROTO_INBOX_STATE_H

#include "types.h"

/* Joins a stream's channel; persistent ones leave their former stream. */
void sandd_inbox_attach(sandd_inbox *inbox, sandd_stream *stream, int channel, bool known, uint64_t now_us);
/* Leaves its stream. final: nothing more will come (unless it is persistent); clear: what is unread is dropped, too. */
void sandd_inbox_detach(sandd_inbox *inbox, bool clear);
/* The answer told where the channel begins. */
void sandd_inbox_start(sandd_inbox *inbox, uint64_t offset);
/* NULL, or what is wrong with the frame. no_memory is set when it could not be taken for lack of memory. */
const char *sandd_inbox_data(sandd_inbox *inbox, uint64_t offset, const uint8_t *data, size_t len, uint64_t now_us,
                             bool *no_memory);
const char *sandd_inbox_skip(sandd_inbox *inbox, uint64_t from, uint64_t to, uint64_t now_us, bool *no_memory);
const char *sandd_inbox_channel_end(sandd_inbox *inbox, uint64_t final, bool drain_limit);
bool sandd_inbox_complete(const sandd_inbox *inbox); /* everything up to its ChannelEnd was received */
/* Raises the limit as far as the budget lets it. */
void sandd_inbox_grant(sandd_inbox *inbox);
/* Must tell a Window: puts it in the session's work when the stream may send. */
void sandd_inbox_due(sandd_inbox *inbox);
/* The Window was told. */
void sandd_inbox_told(sandd_inbox *inbox, uint64_t now_us);

#endif
