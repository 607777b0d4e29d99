// SPDX-License-Identifier: MIT
// What the files of the Linux platform layer know of each other.
#ifndef SANDD_PLATFORM_LINUX_INTERNAL_H
#define SANDD_PLATFORM_LINUX_INTERNAL_H

#include <sys/types.h>
#include <uv.h>

#include "daemon/platform/linux/child.h"
#include "daemon/platform/process.h"

/* Memory that is freed all at once. */
typedef struct sandd_pool_chunk sandd_pool_chunk;
typedef struct {
  sandd_pool_chunk *head;
} sandd_pool;

void *sandd_pool_get(sandd_pool *pool, size_t size); // aligned to 16; NULL without memory
char *sandd_pool_join(sandd_pool *pool, const void *a, size_t a_len, const void *b, size_t b_len);
void sandd_pool_free(sandd_pool *pool);

/* Fills error and returns its kind. number is an errno, 0 for none; what is a sentence without the reason. */
int sandd_error_set(sandd_platform_error *error, int kind, sandd_platform_at at, int number, const char *what);
/* The same, with the kind that the errno means at that place, and ": " and its text after the sentence. */
int sandd_error_errno(sandd_platform_error *error, sandd_platform_at at, int number, const char *what);
const char *sandd_error_name(int number);
/* Copies bytes so that they are printable, cut with "..." where they are too long. */
const char *sandd_error_quote(char *out, size_t size, const void *data, size_t len);

typedef struct {
  sandd_child_plan plan;
  sandd_pool pool;
  bool has_home, has_user, has_logname, has_shell; // set by the caller
  size_t env_count;                                // room for four more follows
  bool default_cwd;
} sandd_command;

/* Turns a config into what the child needs, all of it copied. On failure nothing is to be freed. */
int sandd_command_build(sandd_command *command, const sandd_process_config *config, const char *tag,
                        sandd_platform_error *error);
void sandd_command_free(sandd_command *command);

/* Looks a user up; may block for long. The rest of the command follows from it: groups, HOME, the working directory. */
int sandd_command_set_user(sandd_command *command, const char *name, uint32_t uid, sandd_platform_error *error);

/* Takes fd, which does not block; events is UV_READABLE or UV_WRITABLE. Without memory fd stays the caller's. */
int sandd_pipe_new(sandd_pipe **out, uv_loop_t *loop, int fd, int events);

/* The descriptor limit that commands get; false if it was never changed. */
bool sandd_system_nofile(uint64_t *soft, uint64_t *hard);

typedef struct sandd_killer sandd_killer;

/* Work that may block, on a thread of its own: unlike libuv's pool, a few that hang stop nobody else. run is called there,
 * then done on the loop; the struct is the caller's and stays until done. */
typedef struct {
  void (*run)(void *data);
  void (*done)(void *data);
  void *data;
  uv_thread_t thread;
  uv_async_t finished;
  bool threaded;
} sandd_task;

/* Errors: SANDD_PLATFORM_RESOURCE; done does not come then. */
int sandd_task_start(sandd_task *task, uv_loop_t *loop);

struct sandd_spawner {
  uv_loop_t *loop;
  char tag[64];
  bool plain;
  int null_fd;
  uv_signal_t sigchld; // only where there are no pidfds
  bool sigchld_on;
  sandd_process *children; // all that were made and not reaped
  int adopted_fd;          // tells of SIGCHLD; -1 without adopt
  uv_poll_t adopted;
  bool adopted_waiting; // an end that is still to be told hides others behind it
  sandd_killer *killer;
  pid_t self;
  uint64_t ignored;        // bit n - 1: signal n was ignored when the spawner was made
  bool old_clone;          // clone3 is not to be had
  sandd_process *settling; // children that tell of their start by a word in memory
  uv_timer_t settle;
  unsigned settle_ms; // from one look to the next
  unsigned refs;      // the caller, each process, the timer
};

struct sandd_process {
  sandd_spawner *spawner;
  sandd_process *next, **link;               // in spawner->children
  sandd_process *settle_next, **settle_link; // in spawner->settling
  sandd_process_started_cb on_started;
  sandd_process_exited_cb on_exited;
  void *data;
  sandd_command command;
  void *stack;
  sandd_task lookup;
  char *user_name;
  uint32_t uid;
  sandd_platform_error error; // of the lookup or the launch
  uv_poll_t error_poll, wait_poll;
  uv_idle_t failed; // tells a failure that came after sandd_process_start returned, but before there was a child
  int error_fd, pidfd, terminal_fd;
  int child_fd[3]; // the child's ends, until the launch
  bool by_word;    // the start is told by inside and report, else through error_fd
  uint32_t inside; // the kernel writes 0 here when the child has left our memory
  sandd_child_report report;
  size_t report_len;
  sandd_pipe *pipe[3];
  pid_t pid;
  int64_t started_ns;
  bool stdin_pipe, merge_stderr;
  bool started; // exec has succeeded
  bool reaped;
  bool polled;   // wait_poll is open
  bool watched;  // its end may be told
  bool freed;    // by the caller
  unsigned refs; // the caller, the child, each open uv handle, a lookup under way
  char exec_id[129];
};

void sandd_spawner_unref(sandd_spawner *spawner);

void sandd_process_unref(sandd_process *process);
/* Closes a handle of the process and drops its reference. */
void sandd_process_close_handle(uv_handle_t *handle);

/* Makes the pipes or the terminal; what was made before a failure stays in the process. */
int sandd_launch_open(sandd_process *process, const sandd_process_config *config, sandd_platform_error *error);
/* Closes the child's ends. */
void sandd_launch_close(sandd_process *process);
/* Makes the child. On failure error is filled and there is none. */
int sandd_launch_child(sandd_process *process, sandd_platform_error *error);

/* The child has left our memory: tells how the start went, and begins to wait for the end. The process may be gone. */
void sandd_process_settled(sandd_process *process);

/* Finds out when a child that was made by_word has left our memory, and calls sandd_process_settled. */
void sandd_settle_init(sandd_spawner *spawner);
void sandd_settle_free(sandd_spawner *spawner);
void sandd_settle_add(sandd_process *process);
/* Looks at once. True if the start is over; the process may be gone then. */
bool sandd_settle_look(sandd_process *process);

/* Enters a new child, whose reference it takes, among the children. */
void sandd_reap_add(sandd_process *process);
/* Begins to wait for the end of the child, now that the start is over. */
void sandd_reap_watch(sandd_process *process);
/* Stops waiting and lets go of the child. */
void sandd_reap_forget(sandd_process *process);
/* Adopts what commands leave behind; see sandd_spawner_config. */
int sandd_reap_adopt(sandd_spawner *spawner);
void sandd_reap_unadopt(sandd_spawner *spawner);

int sandd_killer_new(sandd_killer **out, sandd_spawner *spawner);
void sandd_killer_free(sandd_killer *killer);
/* A child was reaped: kills under way may be over. */
void sandd_killer_poke(sandd_killer *killer, pid_t reaped);
/* leader is 0 where it is not known; once it was reaped its number alone proves nothing. exec_id NULL means all. */
int sandd_killer_signal(sandd_killer *killer, const char *exec_id, pid_t leader, bool reaped, int number);
int sandd_killer_kill(sandd_killer *killer, const char *exec_id, pid_t leader, bool reaped, int64_t grace_ns,
                      sandd_tree_done_cb done, void *data);

#endif
