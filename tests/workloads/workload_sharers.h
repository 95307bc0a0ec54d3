// Processes that share their creator's memory without being threads of it (CLONE_VM).
#pragma once

#include <linux/kcmp.h>
#include <semaphore.h>

#include "workload_sharing.h"

enum { kSharerStack = 256 * 1024 };

// The library keeps a thread's own data (errno, ...) where the thread pointer leads, and a sharer
// is born with its creator's. So each gets that of a thread which sleeps for as long as it lives.
struct sharer {
  struct thread host;
  sem_t done;
  int flags;
  void (*body)(void*);
  void* argument;
  volatile pid_t pid;
  char* stack;
};

static inline int sharer_main(void* argument) {
  struct sharer* sharer = argument;
  sharer->body(sharer->argument);
  _exit(0);
}

static inline void* host_sharer(void* argument) {
  struct sharer* sharer = argument;
  int signal = (sharer->flags & CLONE_PARENT) != 0 ? 0 : SIGCHLD;
  sharer->pid = (pid_t)CHECK_SYS(
      clone(sharer_main, sharer->stack + kSharerStack, CLONE_VM | sharer->flags | signal, sharer));
  while (sem_wait(&sharer->done) != 0) continue;
  return NULL;
}

// With CLONE_PARENT it is a brother of the caller.
static inline struct sharer* start_sharer(int flags, void (*body)(void*), void* argument) {
  struct sharer* sharer = calloc(1, sizeof *sharer);
  CHECK(sharer != NULL);
  sharer->flags = flags;
  sharer->body = body;
  sharer->argument = argument;
  sharer->stack =
      map_memory(kSharerStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK);
  CHECK_EQ(sem_init(&sharer->done, 0, 0), 0);
  start_thread(&sharer->host, host_sharer, sharer);
  while (sharer->pid == 0) sched_yield();
  return sharer;
}

// By who has started it, when it has ended.
static inline void free_sharer(struct sharer* sharer) {
  CHECK_EQ(sem_post(&sharer->done), 0);
  join_thread(&sharer->host);
  CHECK_SYS(munmap(sharer->stack, kSharerStack));
  free(sharer);
}

static inline void finish_sharer(struct sharer* sharer) {
  finish_child(sharer->pid);
  free_sharer(sharer);
}

static inline bool has_same(int what, pid_t one, pid_t other) {
  return CHECK_SYS(syscall(SYS_kcmp, one, other, what, 0, 0)) == 0;
}
