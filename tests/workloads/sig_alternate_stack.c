// Alternate signal stacks of the main thread and of others; one is in use when the program is
// captured.
#include "workload.h"

enum { kStackSize = 64 << 10 };

static _Thread_local char* stack_base;
static volatile int entered;
static volatile int leave;
static volatile int checked;

static bool on_stack(const void* address) {
  return (const char*)address >= stack_base && (const char*)address < stack_base + kStackSize;
}

static void handler(int number) {
  char local = 0;
  CHECK(on_stack(&local));
  stack_t stack;
  CHECK_SYS(sigaltstack(NULL, &stack));
  CHECK(stack.ss_sp == stack_base);
  CHECK_EQ(stack.ss_flags, SS_ONSTACK);
  if (number == SIGHUP) {
    entered = 1;
    while (!leave) sched_yield();
    CHECK(on_stack(&local));
    CHECK_SYS(sigaltstack(NULL, &stack));
    CHECK_EQ(stack.ss_flags, SS_ONSTACK);
  }
  checked++;
}

static void use_stack(char* base) {
  stack_base = base;
  stack_t stack = {.ss_sp = stack_base, .ss_size = kStackSize};
  CHECK_SYS(sigaltstack(&stack, NULL));
}

static void check_stack(void) {
  stack_t stack;
  CHECK_SYS(sigaltstack(NULL, &stack));
  CHECK(stack.ss_sp == stack_base);
  CHECK_EQ(stack.ss_size, kStackSize);
  CHECK_EQ(stack.ss_flags, 0);
  raise(SIGUSR2);
}

static pthread_barrier_t barrier;

static void* waits(void* argument) {
  use_stack(argument);
  pthread_barrier_wait(&barrier);
  check_stack();
  return NULL;
}

static void* in_handler(void* argument) {
  use_stack(argument);
  raise(SIGHUP);
  check_stack();
  return NULL;
}

static void* without(void* argument) {
  pthread_barrier_wait(&barrier);
  stack_t stack;
  CHECK_SYS(sigaltstack(NULL, &stack));
  CHECK_EQ(stack.ss_flags, SS_DISABLE);
  return argument;
}

int main(void) {
  struct sigaction action = {.sa_handler = handler, .sa_flags = SA_ONSTACK};
  CHECK_SYS(sigaction(SIGUSR2, &action, NULL));
  CHECK_SYS(sigaction(SIGHUP, &action, NULL));
  CHECK_EQ(pthread_barrier_init(&barrier, NULL, 3), 0);
  char* stacks = map_memory(3 * kStackSize, PROT_READ | PROT_WRITE, MAP_PRIVATE);
  struct thread threads[3];
  start_thread(&threads[0], waits, stacks);
  start_thread(&threads[1], in_handler, stacks + kStackSize);
  start_thread(&threads[2], without, NULL);
  use_stack(stacks + 2 * kStackSize);
  await_blocked(threads[0].tid, SYS_futex);
  await_blocked(threads[2].tid, SYS_futex);
  while (!entered) sched_yield();

  workload_ready();

  check_stack();
  pthread_barrier_wait(&barrier);
  leave = 1;
  for (int i = 0; i < 3; i++) join_thread(&threads[i]);
  CHECK_EQ(checked, 4);
  return workload_ok();
}
