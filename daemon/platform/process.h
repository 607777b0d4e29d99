// SPDX-License-Identifier: MIT
// Starting processes, telling how they end, and reaching them. All calls belong on the thread of the spawner's loop, and
// none of them blocks it: what may hang (a dead mount, a user database) hangs in the child or on a worker thread.
#ifndef SANDD_PLATFORM_PROCESS_H
#define SANDD_PLATFORM_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/platform/error.h"
#include "daemon/platform/pipe.h"

struct uv_loop_s;

typedef struct sandd_spawner sandd_spawner;
typedef struct sandd_process sandd_process;

/* Bytes as they are, borrowed, not terminated. */
typedef struct {
  const void *data;
  size_t len;
} sandd_bytes;

typedef struct {
  sandd_bytes name;
  sandd_bytes value;
} sandd_env_entry;

typedef struct {
  size_t size;            // sizeof(sandd_spawner_config)
  struct uv_loop_s *loop; // outlives the spawner
  const char *tag;        // unique to this daemon, for SANDD_DAEMON in its commands; NULL: made of random bytes
  bool plain;             // use fork, SIGCHLD and nothing newer, as on old or emulated kernels (for tests and valgrind)
  bool adopt; // become the parent of what commands leave behind, so that it stays within reach, and reap it: as
  // the daemon does. Blocks SIGCHLD, so be sure that no thread exists that does not; no children but commands
} sandd_spawner_config;

/* One per loop and process. Sets SIGCHLD to its default where it was ignored, as exit codes would be lost. Signals that are
 * ignored from now on must not change, but for SIGPIPE: commands may find them ignored too if they do.
 * Errors: SANDD_PLATFORM_RESOURCE, SANDD_PLATFORM_SYSTEM; *out is then NULL. */
int sandd_spawner_new(sandd_spawner **out, const sandd_spawner_config *config);

/* Frees the spawner once its loop has run its handles down; running processes go on, unwatched. Free the processes and
 * close the pipes first; kills under way end without their callback. NULL is fine. */
void sandd_spawner_free(sandd_spawner *spawner);

/* The value of SANDD_DAEMON in the environment of every command; lives as long as the spawner. */
const char *sandd_spawner_tag(const sandd_spawner *spawner);

typedef struct {
  uint16_t rows;
  uint16_t cols;
  const char *term; // NULL or "": "xterm-256color"
} sandd_pty_config;

/* Tells how a start went: error is NULL when the program runs (exec has succeeded), else it says why not, lives for the
 * call, and the process never was; sandd_process_free is then all that is left to do. Called once, from the loop, never from
 * inside sandd_process_start, a little later for a command without stdin that lives long, and not after sandd_process_free. */
typedef void (*sandd_process_started_cb)(sandd_process *process, const sandd_platform_error *error, void *data);

typedef struct {
  bool signaled;        // ended by a signal: signal_name; otherwise exit_code
  uint32_t exit_code;   //
  char signal_name[16]; // "KILL", "SEGV", "RTMIN+1"
  int64_t wall_ns;      // from the start to the reap, suspended time included
  int64_t user_ns;      // of the process and the children it waited for
  int64_t system_ns;
  uint64_t max_rss_bytes;
} sandd_process_exit;

/* Tells that the process was reaped; its output may go on for as long as others hold the pipes. Called once, after
 * started, from the loop; exit lives for the call. */
typedef void (*sandd_process_exited_cb)(sandd_process *process, const sandd_process_exit *exit, void *data);

typedef struct {
  size_t size;                // sizeof(sandd_process_config)
  const sandd_bytes *argv;    // the program and its arguments; a name without '/' is looked up in the child's PATH
  size_t argc;                // 0: run shell_line instead
  sandd_bytes shell_line;     // run as `shell -c LINE`
  const char *shell;          // NULL: sandd_platform_default_shell()
  const sandd_env_entry *env; // set in order, a later one of the same name wins
  size_t env_count;
  bool replace_env;            // true: env is all there is; false: it is added to our own without what is ours alone
  sandd_bytes cwd;             // empty: our own, or the home directory when user is set
  const char *user_name;       // whom to run as; NULL: not by name
  bool has_uid;                // run as uid (without an entry in the user database: group of the same number, home "/")
  uint32_t uid;                //
  bool stdin_pipe;             // false: the null device
  bool merge_stderr;           // stderr goes where stdout goes
  const sandd_pty_config *pty; // NULL: pipes. Otherwise stdin and stdout are the terminal, and there is no stderr
  const char *exec_id;         // required: the value of SANDD_EXEC, printable, at most 128 bytes
  sandd_process_started_cb on_started; // required
  sandd_process_exited_cb on_exited;   // may be NULL
  void *data;
} sandd_process_config;

/* Begins to start a process in a session and process group of its own, with default signal dispositions, an empty signal
 * mask, the descriptor limit that we were started with, and no descriptor but 0, 1, 2. Whatever config points to is copied.
 * On 0 *out is the caller's, to be freed by sandd_process_free, and on_started will tell how it went. On failure *out is
 * NULL and *error says why: SANDD_PLATFORM_INVALID, SANDD_PLATFORM_RESOURCE, SANDD_PLATFORM_SYSTEM. */
int sandd_process_start(sandd_process **out, sandd_spawner *spawner, const sandd_process_config *config,
                        sandd_platform_error *error);

/* Forgets the process: no callback comes any more, pipes that were not taken are closed, and the process itself goes on
 * and is still reaped; one whose start is not known to be over is killed with its tree. NULL is fine. */
void sandd_process_free(sandd_process *process);

typedef enum { SANDD_PROCESS_STDIN, SANDD_PROCESS_STDOUT, SANDD_PROCESS_STDERR } sandd_process_channel;

/* Looks whether the start is over, and tells on_started from inside this call if so. The news may otherwise take 2 ms, and
 * up to 50 ms after a start that hung: call it before something is done to a process that is thought to be starting. */
void sandd_process_look(sandd_process *process);

/* Hands over our end of a channel, from on_started on; NULL where there is none, or the second time. The pipe is the
 * caller's and outlives the process. */
sandd_pipe *sandd_process_take_pipe(sandd_process *process, sandd_process_channel channel);

/* The system's number of the process, for people; 0 before it was started. It may belong to another after the reap. */
uint64_t sandd_process_id(const sandd_process *process);

typedef enum { SANDD_SCOPE_PROCESS, SANDD_SCOPE_FOREGROUND, SANDD_SCOPE_TREE } sandd_signal_scope;

/* Sends a signal, named without SIG ("TERM"). PROCESS: the process alone. FOREGROUND: the foreground group of its terminal,
 * else its process group. TREE: every descendant; found on a worker thread, so they get it a little later. Never reaches a
 * stranger with a recycled number.
 * Errors: SANDD_PLATFORM_INVALID for an unknown name, SANDD_PLATFORM_NOT_FOUND for PROCESS and FOREGROUND after the reap,
 * SANDD_PLATFORM_PERMISSION_DENIED, SANDD_PLATFORM_RESOURCE. */
int sandd_process_signal(sandd_process *process, const char *name, sandd_signal_scope scope);

/* Gives the terminal a new size, and its foreground group WINCH. SANDD_PLATFORM_INVALID without a terminal. */
int sandd_process_resize(sandd_process *process, uint16_t rows, uint16_t cols);

/* Tells that a kill is over: left is the number of processes that could not be killed (stuck in the kernel, or not ours to
 * kill), 0 as a rule. Called once, from the loop. */
typedef void (*sandd_tree_done_cb)(unsigned left, void *data);

/* Ends the process and all that came of it, also after it was reaped: TERM to all, and KILL after grace_ns until none is
 * left; with grace_ns 0 KILL at once. A second call with a shorter grace hastens the first. done may be NULL; it comes
 * also if process is freed meanwhile. Errors: SANDD_PLATFORM_RESOURCE (done does not come then). */
int sandd_process_kill_tree(sandd_process *process, int64_t grace_ns, sandd_tree_done_cb done, void *data);

/* The same by exec id, for what a process left behind that is no longer known here. */
int sandd_tree_kill(sandd_spawner *spawner, const char *exec_id, int64_t grace_ns, sandd_tree_done_cb done, void *data);

/* Sends a signal once to each process of an exec id, as scope TREE does. */
int sandd_tree_signal(sandd_spawner *spawner, const char *exec_id, const char *name);

/* Ends every command of this spawner, however old. As sandd_tree_kill. */
int sandd_tree_kill_all(sandd_spawner *spawner, int64_t grace_ns, sandd_tree_done_cb done, void *data);

#endif
