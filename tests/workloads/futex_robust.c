// Robust mutexes: who waits for one is told when its owner ends, thread or process, after a
// restore.
#include "workload.h"

struct shared {
  pthread_mutex_t mutexes[2];
};

static struct shared* shared;

static void child_body(void* argument) {
  (void)argument;
  CHECK_EQ(pthread_mutex_lock(&shared->mutexes[0]), 0);
  wait_for_go();
  _exit(0);  // still holding it
}

static pthread_barrier_t barrier;

static void* owner(void* argument) {
  CHECK_EQ(pthread_mutex_lock(&shared->mutexes[1]), 0);
  pthread_barrier_wait(&barrier);
  return argument;
}

static void* waits(void* argument) {
  pthread_mutex_t* mutex = argument;
  CHECK_EQ(pthread_mutex_lock(mutex), EOWNERDEAD);
  CHECK_EQ(pthread_mutex_consistent(mutex), 0);
  CHECK_EQ(pthread_mutex_unlock(mutex), 0);
  return NULL;
}

int main(void) {
  shared = map_memory(sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED);
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  for (int i = 0; i < 2; i++) CHECK_EQ(pthread_mutex_init(&shared->mutexes[i], &attributes), 0);
  CHECK_EQ(pthread_barrier_init(&barrier, NULL, 2), 0);
  pid_t child = spawn(child_body, NULL);
  await_waiting_child(child);
  struct thread threads[3];
  start_thread(&threads[0], owner, NULL);
  await_blocked(threads[0].tid, SYS_futex);
  for (int i = 0; i < 2; i++) {
    start_thread(&threads[1 + i], waits, &shared->mutexes[i]);
    await_blocked(threads[1 + i].tid, SYS_futex);
  }

  workload_ready();

  CHECK_EQ(pthread_mutex_trylock(&shared->mutexes[0]), EBUSY);
  finish_child(child);
  pthread_barrier_wait(&barrier);
  for (int i = 0; i < 3; i++) join_thread(&threads[i]);
  CHECK_EQ(pthread_mutex_trylock(&shared->mutexes[0]), 0);
  CHECK_EQ(pthread_mutex_trylock(&shared->mutexes[1]), 0);
  return workload_ok();
}
