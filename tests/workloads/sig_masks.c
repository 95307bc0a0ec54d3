// Signal masks of threads: a signal to the process goes to the only thread that does not block it.
#include "workload.h"

static volatile pid_t handler_thread;
static pthread_barrier_t barrier;

static void on_signal(int number) {
  (void)number;
  handler_thread = gettid();
}

static uint64_t mask_of_thread(void) {
  uint64_t mask;
  CHECK_SYS(syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &mask, 8));
  return mask;
}

static void set_mask(uint64_t mask) {
  CHECK_SYS(syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, 8));
}

static void* work(void* argument) {
  set_mask(*(uint64_t*)argument);
  uint64_t mask = mask_of_thread();
  pthread_barrier_wait(&barrier);
  CHECK_EQ(mask_of_thread(), mask);
  pthread_barrier_wait(&barrier);
  return NULL;
}

int main(void) {
  signal(SIGUSR2, on_signal);
  uint64_t usr2 = 1ULL << (SIGUSR2 - 1);
  uint64_t go = 1ULL << (SIGUSR1 - 1);
  uint64_t masks[3] = {~0ULL, go | (1ULL << (SIGHUP - 1)), usr2 | go | (1ULL << 63)};
  CHECK_EQ(pthread_barrier_init(&barrier, NULL, 4), 0);
  struct thread threads[3];
  for (int i = 0; i < 3; i++) {
    start_thread(&threads[i], work, &masks[i]);
    await_blocked(threads[i].tid, SYS_futex);
  }
  set_mask(usr2 | go | (1ULL << (SIGTERM - 1)));
  uint64_t mask = mask_of_thread();

  workload_ready();

  CHECK_EQ(mask_of_thread(), mask);
  pthread_barrier_wait(&barrier);
  CHECK_SYS(kill(getpid(), SIGUSR2));
  while (handler_thread == 0) sched_yield();
  CHECK_EQ(handler_thread, threads[1].tid);
  pthread_barrier_wait(&barrier);
  for (int i = 0; i < 3; i++) join_thread(&threads[i]);
  return workload_ok();
}
