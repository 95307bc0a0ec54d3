// A process captured inside nested signal handlers returns through both frames, with its registers,
// its mask and its floating-point state as they were.
#include "workload.h"

static volatile int inner_entered;
static volatile int leave;
static volatile int steps;

static void inner(int number) {
  (void)number;
  inner_entered = 1;
  while (!leave) sched_yield();
  CHECK_EQ(steps++, 0);
}

static void outer(int number, siginfo_t* info, void* context) {
  (void)context;
  volatile double before = 1.0 / 3.0;
  raise(SIGRTMIN + 2);
  CHECK(before == 1.0 / 3.0);
  CHECK_EQ(info->si_signo, number);
  CHECK_EQ(steps++, 1);
}

static void* work(void* argument) {
  sigset_t mask;
  pthread_sigmask(SIG_BLOCK, NULL, &mask);
  register uint64_t kept __asm__("r14") = 0x1122334455667788;
  register double vector __asm__("xmm9") = 2.5;
  __asm__ volatile("" : "+r"(kept), "+x"(vector));
  // tgkill(getpid(), gettid(), SIGRTMIN + 1), so that nothing between is the compiler's.
  long result = SYS_tgkill;
  __asm__ volatile("syscall"
                   : "+a"(result), "+r"(kept), "+x"(vector)
                   : "D"((long)getpid()), "S"((long)gettid()), "d"((long)SIGRTMIN + 1)
                   : "rcx", "r11", "memory");
  CHECK_EQ(result, 0);
  CHECK_EQ(kept, 0x1122334455667788);
  CHECK(vector == 2.5);
  CHECK_EQ(steps++, 2);
  sigset_t after;
  pthread_sigmask(SIG_BLOCK, NULL, &after);
  CHECK_EQ(memcmp(&mask, &after, 8), 0);
  return argument;
}

int main(void) {
  struct sigaction action = {.sa_sigaction = outer, .sa_flags = SA_SIGINFO};
  CHECK_SYS(sigaction(SIGRTMIN + 1, &action, NULL));
  signal(SIGRTMIN + 2, inner);
  struct thread thread;
  start_thread(&thread, work, NULL);
  while (!inner_entered) sched_yield();

  workload_ready();

  leave = 1;
  join_thread(&thread);
  CHECK_EQ(steps, 3);
  return workload_ok();
}
