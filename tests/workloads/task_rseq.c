// The rseq registration of each thread: the kernel keeps the processor number in it current, and
// aborts a critical section that it interrupts.
#include <sys/rseq.h>

#include "workload.h"

static struct rseq* own_area(void) {
  return (struct rseq*)((char*)__builtin_thread_pointer() + __rseq_offset);
}

// The kernel writes the processor number whenever it puts a thread on another one.
static void check_registration(void) {
  volatile struct rseq* area = own_area();
  cpu_set_t allowed;
  CHECK_SYS(sched_getaffinity(0, sizeof allowed, &allowed));
  for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++) {
    if (!CPU_ISSET(cpu, &allowed)) continue;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    CHECK_SYS(sched_setaffinity(0, sizeof one, &one));
    CHECK_EQ(area->cpu_id, cpu);
    unsigned current;
    CHECK_SYS(syscall(SYS_getcpu, &current, NULL, NULL));
    CHECK_EQ(current, cpu);
  }
  CHECK_SYS(sched_setaffinity(0, sizeof allowed, &allowed));
}

static volatile int leave;
static volatile int inside;
static volatile long aborts;

// Spins inside a critical section until `leave`; the kernel sends it to the abort handler, which
// counts and enters again, whenever it preempts or signals the thread there.
static void* critical_section(void* argument) {
  volatile struct rseq* area = own_area();
  __asm__ volatile(
      ".pushsection __rseq_cs, \"aw\"\n"
      ".balign 32\n"
      "3: .long 0, 0\n"
      ".quad 1f, 2f - 1f, 4f\n"
      ".popsection\n"
      "5: lea 3b(%%rip), %%rax\n"
      "mov %%rax, %0\n"
      "movl $1, %1\n"
      "1: pause\n"
      "cmpl $0, %2\n"
      "je 1b\n"
      "2: jmp 6f\n"
      ".long 0x53053053\n"  // the signature that precedes an abort handler
      "4: lock incq %3\n"
      "jmp 5b\n"
      "6:\n"
      : "=m"(area->rseq_cs), "=m"(inside)
      : "m"(leave), "m"(aborts)
      : "rax", "memory", "cc");
  area->rseq_cs = 0;
  check_registration();
  return argument;
}

static pthread_barrier_t barrier;

static void* waits(void* argument) {
  pthread_barrier_wait(&barrier);
  check_registration();
  return argument;
}

static void* fresh(void* argument) {
  check_registration();
  return argument;
}

static void ignore(int number) {
  (void)number;
}

int main(void) {
  if (__rseq_size == 0) workload_skip("the C library has not registered rseq");
  struct sigaction action = {.sa_handler = ignore};
  CHECK_SYS(sigaction(SIGUSR2, &action, NULL));
  CHECK_EQ(pthread_barrier_init(&barrier, NULL, 2), 0);
  struct thread waiter;
  struct thread spinner;
  start_thread(&waiter, waits, NULL);
  start_thread(&spinner, critical_section, NULL);
  await_blocked(waiter.tid, SYS_futex);
  while (!inside) sched_yield();

  workload_ready();

  check_registration();
  pthread_barrier_wait(&barrier);
  join_thread(&waiter);
  long before = aborts;
  while (aborts == before) {
    CHECK_EQ(pthread_kill(spinner.handle, SIGUSR2), 0);
    sched_yield();
  }
  leave = 1;
  join_thread(&spinner);
  struct thread another;
  start_thread(&another, fresh, NULL);
  join_thread(&another);
  return workload_ok();
}
