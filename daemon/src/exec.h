// SPDX-License-Identifier: MIT
#ifndef SANDD_DAEMON_EXEC_H
#define SANDD_DAEMON_EXEC_H

/* Private to exec*.c: one process with its streams, and what all of them share. */
#include <sandd/proto/session.h>
#include <sandd/proto/stream.h>

#include "daemon/platform/process.h"
#include "exec_output.h"
#include "exec_request.h"
#include "exec_stdin.h"
#include "exec_table.h"
#include "execs.h"
#include "fault.h"
#include "sandd/v1/packet.pb-c.h"
#include "timers.h"

#define SANDD_EXEC_SIGNALS_MAX 64
#define SANDD_EXEC_OUTPUTS     2 /* stdout, stderr */

typedef struct sandd_exec sandd_exec;
typedef struct sandd_exec_stream sandd_exec_stream;

/*
 *   STARTING --- exec succeeded ---> RUNNING --- reaped ---> EXITED --- both outputs ended ---> CLOSED
 *      \--- failed, or given up ---> DEAD <--- no stream, nothing kept (any more) -----------------/
 */
typedef enum sandd_exec_phase {
  SANDD_EXEC_STARTING = 0,
  SANDD_EXEC_RUNNING,
  SANDD_EXEC_EXITED,
  SANDD_EXEC_CLOSED,
  SANDD_EXEC_DEAD
} sandd_exec_phase;

typedef struct sandd_exec_signal {
  char name[16];
  sandd_signal_scope scope;
} sandd_exec_signal;

struct sandd_exec {
  sandd_exec_entry entry; /* first, so that an entry is its exec */
  sandd_execs *execs;
  sandd_exec_phase phase;
  bool keep;    /* on_session_lost KEEP */
  bool touched; /* in execs->touched */
  bool killing; /* its tree was told to end */
  bool in_table;
  bool drained; /* its outputs were told of the exit */
  bool held;    /* its outputs are not read yet: what they say would wait until hold_us */
  int reason;   /* ExitReason; OWN until we end it */
  sandd_process *process;
  uint64_t pid;
  sandd_exec_output *outputs[SANDD_EXEC_OUTPUTS]; /* stderr NULL if merged */
  sandd_exec_stdin *in;                           /* NULL: the null device */
  sandd_exec_stream *streams, *holder;
  sandd_exec_signal *signals; /* waiting while it starts */
  size_t n_signals;
  uint64_t start_us, timeout_us, idle_us; /* 0: no limit */
  uint64_t idle_from_us, exited_us, closed_us;
  uint64_t hold_us; /* until then what it says may wait for more: a short command is answered in one packet */
  int64_t grace_ns;
  sandd_process_exit exit;
  sandd_timer timer;
  sandd_exec *prev, *next, *next_touched;
};

/* One stream on an exec. */
struct sandd_exec_stream {
  sandd_stream *stream;
  sandd_exec *exec;
  int role;   /* ExecRole */
  bool fresh; /* its opening started the exec */
  bool answered, exited_told, detach, ended;
  bool output_ended[SANDD_EXEC_OUTPUTS];
  struct {
    bool given;
    int at; /* StartAt */
    uint64_t offset, grant;
  } starts[SANDD_EXEC_OUTPUTS];
  sandd_exec_stream *prev, *next;
};

struct sandd_execs {
  sandd_execs_config config;
  sandd_exec_table table;
  sandd_timers timers;
  sandd_digest_key digest_key, id_key;
  sandd_exec *first, *touched;
  size_t running; /* not CLOSED and not DEAD */
  uint64_t tail_budget;
  uint64_t started, flush_us; /* starts so far; when to flush at the latest, UINT64_MAX: nothing waits */
  bool link_up, stopping, kill_done;
  bool used; /* the endpoint was, and its links want to be flushed */
  uint8_t buffer[64 * 1024];
};

/* exec.c: the process. */
/* Starts one for an opening that was checked and decided. Takes no reference to open. On failure fault says why. */
sandd_exec *sandd_exec_start(sandd_execs *execs, const Sandd__V1__ExecOpen *open, sandd_digest spec, uint64_t now_us,
                             sandd_fault *fault);
void sandd_exec_free(sandd_exec *exec);
/* It is looked at in this turn of the loop. */
void sandd_exec_touch(sandd_exec *exec);
/* The endpoint was used for it: flush in this turn, or when its hold is over. */
void sandd_exec_used(sandd_exec *exec, uint64_t now_us);
/* Its hold is over: its outputs are read as they come. */
void sandd_exec_unhold(sandd_exec *exec);
/* Ends its tree for a reason (ExitReason); one that is starting is given up, its streams reset with code. */
void sandd_exec_kill(sandd_exec *exec, int reason, int code, const char *why);
/* The link went up or down. */
void sandd_exec_link(sandd_exec *exec, bool up, uint64_t now_us);
/* Its retention is over: the id is free again. */
void sandd_exec_expire(sandd_exec *exec);
/* Says what became known, and frees what is over. exec may be gone afterwards. */
void sandd_exec_turn(sandd_exec *exec, uint64_t now_us);

/* exec_deadlines.c: what happens to it as time goes by. */
/* Sets its timer to the nearest of its deadlines. */
void sandd_exec_rearm(sandd_exec *exec);
/* The timer's callback. */
void sandd_exec_due(void *exec, uint64_t now_us);

/* exec_stream.c: the streams on it. */
/* Adds the stream of an opening to exec; answers at once unless exec is still starting. errors: SANDD_E_NOMEM. */
int sandd_exec_stream_add(sandd_exec *exec, sandd_stream *stream, const Sandd__V1__ExecOpen *open, bool fresh,
                          uint64_t now_us);
/* ExecStarted, or Reset; the stream may be gone afterwards. */
void sandd_exec_stream_answer(sandd_exec_stream *stream, uint64_t now_us);
/* ExecExited, ChannelEnd, End: what became known since. */
void sandd_exec_stream_tell(sandd_exec_stream *stream, uint64_t now_us);
/* Resets the stream and forgets it. */
void sandd_exec_stream_reset(sandd_exec_stream *stream, const sandd_fault *fault, uint64_t now_us);
/* Forgets it without a word of ours. */
void sandd_exec_stream_drop(sandd_exec_stream *stream, uint64_t now_us);
/* A control frame came. */
void sandd_exec_stream_frame(sandd_exec_stream *stream, const Sandd__V1__Frame *frame, uint64_t now_us);
/* The opener ended, reset or lost it. */
void sandd_exec_stream_ended(sandd_exec_stream *stream, uint64_t now_us);

#endif
