// A POSIX timer on the CPU time of one of several threads: the kernel does not tell of which.
// refused: timer
#include "workload.h"

static pthread_barrier_t barrier;

static void* work(void* argument) {
  int id;
  CHECK_SYS(syscall(SYS_timer_create, CLOCK_THREAD_CPUTIME_ID, NULL, &id));
  pthread_barrier_wait(&barrier);
  return argument;
}

int main(void) {
  CHECK_EQ(pthread_barrier_init(&barrier, NULL, 2), 0);
  struct thread thread;
  start_thread(&thread, work, NULL);
  await_blocked(thread.tid, SYS_futex);

  workload_ready();

  pthread_barrier_wait(&barrier);
  join_thread(&thread);
  return workload_ok();
}
