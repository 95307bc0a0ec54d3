// Real-time scheduling: FIFO and round robin with their priorities, SCHED_DEADLINE with its budget,
// per thread, and reset-on-fork.
// modes: pid
#include "workload.h"

struct attributes {
  uint32_t size, policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t runtime, deadline, period;
};

static struct attributes attributes_of(pid_t thread) {
  struct attributes found = {0};
  CHECK_SYS(syscall(SYS_sched_getattr, thread, &found, sizeof found, 0));
  return found;
}

static int gate[2];

static void* wait_here(void* argument) {
  char byte;
  CHECK_EQ(CHECK_SYS(read(gate[0], &byte, 1)), 1);
  return argument;
}

int main(void) {
  struct attributes wanted[] = {
      {.size = sizeof wanted[0], .policy = SCHED_FIFO, .priority = 7},
      {.size = sizeof wanted[0], .policy = SCHED_RR, .priority = 3, .flags = 1},
      {.size = sizeof wanted[0],
       .policy = 6,
       .runtime = 2000000,
       .deadline = 30000000,
       .period = 50000000}};
  CHECK_SYS(pipe(gate));
  struct thread threads[3];
  for (int i = 0; i < 3; i++) {
    start_thread(&threads[i], wait_here, NULL);
    if (syscall(SYS_sched_setattr, threads[i].tid, &wanted[i], 0) != 0)
      workload_skip("no real-time scheduling here");
  }
  for (int i = 0; i < 3; i++) await_blocked(threads[i].tid, SYS_read);

  workload_ready();

  for (int i = 0; i < 3; i++) {
    struct attributes found = attributes_of(threads[i].tid);
    CHECK_EQ(found.policy, wanted[i].policy);
    CHECK_EQ(found.priority, wanted[i].priority);
    CHECK_EQ(found.flags, wanted[i].flags);
    CHECK_EQ(found.runtime, wanted[i].runtime);
    CHECK_EQ(found.deadline, wanted[i].deadline);
    CHECK_EQ(found.period, wanted[i].period);
  }
  CHECK_EQ(CHECK_SYS(write(gate[1], "123", 3)), 3);
  for (int i = 0; i < 3; i++) join_thread(&threads[i]);
  CHECK_EQ(attributes_of(0).policy, SCHED_OTHER);
  return workload_ok();
}
