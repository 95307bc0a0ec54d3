// Three hundred threads, each waiting in its own futex.
#include "workload.h"

enum { kThreads = 300 };

static pthread_barrier_t barrier;
static struct thread threads[kThreads];
static int finished;

static void* work(void* argument) {
  pthread_barrier_wait(&barrier);
  __atomic_add_fetch(&finished, 1, __ATOMIC_SEQ_CST);
  return argument;
}

int main(void) {
  CHECK_EQ(pthread_barrier_init(&barrier, NULL, kThreads + 1), 0);
  for (int i = 0; i < kThreads; i++) start_thread(&threads[i], work, NULL);
  for (int i = 0; i < kThreads; i++) await_blocked(threads[i].tid, SYS_futex);

  workload_ready();

  CHECK_EQ(finished, 0);
  pthread_barrier_wait(&barrier);
  for (int i = 0; i < kThreads; i++) join_thread(&threads[i]);
  CHECK_EQ(finished, kThreads);
  return workload_ok();
}
