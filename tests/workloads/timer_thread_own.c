// POSIX timers that threads have made on their own CPU time (CLOCK_THREAD_CPUTIME_ID), running and
// not. Each goes on when its thread works, and only then.
#include "workload_timers.h"

enum { kThreads = 3 };

static pthread_barrier_t barrier;

struct worker {
  struct thread thread;
  int running;  // timers
  int stopped;
};

static void wait_at_barrier(void) {
  int outcome = pthread_barrier_wait(&barrier);
  CHECK(outcome == 0 || outcome == PTHREAD_BARRIER_SERIAL_THREAD);
}

static void create_both(struct worker* worker, int number) {
  worker->running = create(CLOCK_THREAD_CPUTIME_ID, SIGRTMIN + number);
  worker->stopped = create(CLOCK_THREAD_CPUTIME_ID, SIGRTMIN + kThreads + 1 + number);
  arm(worker->running, kTotalMs, 0);
  use_ms(kUsedMs);
}

// What is left of the thread's own timer goes with what it uses.
static void check_both(const struct worker* worker, int number) {
  CHECK_RANGE(left_ms(worker->running), kTotalMs - kUsedMs - 100, kTotalMs - kUsedMs);
  CHECK_EQ(left_ms(worker->stopped), 0);
  arm(worker->stopped, kUsedMs, 0);
  use_ms(kTotalMs - kUsedMs + 50);
  CHECK(is_pending(SIGRTMIN + number));
  CHECK(is_pending(SIGRTMIN + kThreads + 1 + number));
}

static struct worker workers[kThreads + 1];  // the last is the first thread

static void* work(void* argument) {
  struct worker* worker = argument;
  int number = (int)(worker - workers);
  create_both(worker, number);
  wait_at_barrier();
  wait_at_barrier();
  for (int turn = 0; turn < kThreads; ++turn) {
    if (turn == number) check_both(worker, number);
    wait_at_barrier();
  }
  return argument;
}

int main(void) {
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, NULL);
  CHECK_EQ(pthread_barrier_init(&barrier, NULL, kThreads + 1), 0);
  for (int i = 0; i < kThreads; ++i) start_thread(&workers[i].thread, work, &workers[i]);
  create_both(&workers[kThreads], kThreads);
  wait_at_barrier();
  for (int i = 0; i < kThreads; ++i) await_blocked(workers[i].thread.tid, SYS_futex);

  workload_ready();

  int64_t others = left_ms(workers[kThreads - 1].running);
  check_both(&workers[kThreads], kThreads);
  CHECK_EQ(left_ms(workers[kThreads - 1].running), others);
  wait_at_barrier();
  for (int turn = 0; turn < kThreads; ++turn) wait_at_barrier();
  for (int i = 0; i < kThreads; ++i) join_thread(&workers[i].thread);
  return workload_ok();
}
