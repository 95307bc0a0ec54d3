// Scheduling policy, nice value, processor affinity, I/O priority and timer slack of each thread.
#include <linux/ioprio.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "workload.h"

struct scheduling {
  int policy;
  int nice;
  cpu_set_t affinity;
  int io_priority;
  int timer_slack;
};

static struct scheduling observe(void) {
  struct scheduling now = {0};
  now.policy = CHECK_SYS(sched_getscheduler(0));
  errno = 0;
  now.nice = getpriority(PRIO_PROCESS, 0);
  CHECK_EQ(errno, 0);
  CHECK_SYS(sched_getaffinity(0, sizeof now.affinity, &now.affinity));
  now.io_priority = CHECK_SYS(syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, 0));
  now.timer_slack = CHECK_SYS(prctl(PR_GET_TIMERSLACK));
  return now;
}

static void check_same(const struct scheduling* was) {
  struct scheduling now = observe();
  CHECK_EQ(now.policy, was->policy);
  CHECK_EQ(now.nice, was->nice);
  CHECK(CPU_EQUAL(&now.affinity, &was->affinity));
  CHECK_EQ(now.io_priority, was->io_priority);
  CHECK_EQ(now.timer_slack, was->timer_slack);
}

static pthread_barrier_t barrier;

static void hold(void) {
  struct scheduling was = observe();
  pthread_barrier_wait(&barrier);
  check_same(&was);
}

static void set_policy(int policy) {
  struct sched_param param = {0};
  CHECK_SYS(sched_setscheduler(0, policy, &param));
}

static void* batch(void* argument) {
  set_policy(SCHED_BATCH);
  CHECK_SYS(setpriority(PRIO_PROCESS, gettid(), 7));
  CHECK_SYS(prctl(PR_SET_TIMERSLACK, 123456));
  hold();
  return argument;
}

static void* idle(void* argument) {
  set_policy(SCHED_IDLE);
  CHECK_SYS(syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_BE, 6)));
  hold();
  return argument;
}

static void* pinned(void* argument) {
  cpu_set_t allowed;
  CHECK_SYS(sched_getaffinity(0, sizeof allowed, &allowed));
  for (int cpu = CPU_SETSIZE - 1; cpu >= 0; cpu--) {
    if (!CPU_ISSET(cpu, &allowed)) continue;
    CPU_ZERO(&allowed);
    CPU_SET(cpu, &allowed);
    break;
  }
  CHECK_SYS(sched_setaffinity(0, sizeof allowed, &allowed));
  hold();
  return argument;
}

int main(void) {
  struct thread threads[3];
  void* (*bodies[])(void*) = {batch, idle, pinned};
  CHECK_EQ(pthread_barrier_init(&barrier, NULL, 4), 0);
  for (int i = 0; i < 3; i++) start_thread(&threads[i], bodies[i], NULL);
  for (int i = 0; i < 3; i++) await_blocked(threads[i].tid, SYS_futex);
  CHECK_SYS(setpriority(PRIO_PROCESS, 0, 3));
  struct scheduling was = observe();

  workload_ready();

  check_same(&was);
  pthread_barrier_wait(&barrier);
  for (int i = 0; i < 3; i++) join_thread(&threads[i]);
  return workload_ok();
}
