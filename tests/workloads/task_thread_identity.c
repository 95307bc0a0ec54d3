// Threads of one process that differ: name, user and group, capabilities, signal mask, niceness and
// pending signals.
#include <grp.h>
#include <linux/capability.h>
#include <sys/fsuid.h>
#include <sys/resource.h>

#include "workload.h"

enum { kThreads = 3 };

static pthread_barrier_t set_up, go;

// By system call: the C library changes all threads at once.
static void become(uid_t user, gid_t group) {
  CHECK_SYS(syscall(SYS_setgroups, 1, &group));
  CHECK_SYS(syscall(SYS_setresgid, group, group, group));
  CHECK_SYS(syscall(SYS_setresuid, user, user, user));
}

static sigset_t signals_of(int number) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGRTMIN + number);
  return set;
}

static void* body(void* argument) {
  int number = (int)(intptr_t)argument;
  char name[16], expected[16];
  snprintf(expected, sizeof expected, "worker-%d", number);
  CHECK_EQ(pthread_setname_np(pthread_self(), expected), 0);
  sigset_t set = signals_of(number);
  CHECK_EQ(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
  CHECK_EQ(pthread_kill(pthread_self(), SIGRTMIN + number), 0);
  int niceness = getpriority(PRIO_PROCESS, (id_t)gettid()) + number + 1;
  CHECK_SYS(setpriority(PRIO_PROCESS, (id_t)gettid(), niceness));
  if (number > 0) become(1000 + (uid_t)number, 2000 + (gid_t)number);
  pthread_barrier_wait(&set_up);
  pthread_barrier_wait(&go);
  CHECK_EQ(pthread_getname_np(pthread_self(), name, sizeof name), 0);
  CHECK_STR(name, expected);
  uid_t ids[3];
  CHECK_SYS(getresuid(&ids[0], &ids[1], &ids[2]));
  for (int i = 0; i < 3; i++) CHECK_EQ(ids[i], number > 0 ? 1000 + number : 0);
  CHECK_EQ(syscall(SYS_getegid), number > 0 ? 2000 + number : 0);
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2] = {0};
  CHECK_SYS(syscall(SYS_capget, &header, data));
  CHECK_EQ(data[0].effective != 0, number == 0);
  CHECK_EQ(getpriority(PRIO_PROCESS, (id_t)gettid()), niceness);
  sigset_t pending;
  CHECK_SYS(sigpending(&pending));
  for (int i = 0; i < kThreads; i++) CHECK_EQ(sigismember(&pending, SIGRTMIN + i), i == number);
  return NULL;
}

int main(void) {
  CHECK_EQ(pthread_barrier_init(&set_up, NULL, kThreads + 1), 0);
  CHECK_EQ(pthread_barrier_init(&go, NULL, kThreads + 1), 0);
  struct thread threads[kThreads];
  for (int i = 0; i < kThreads; i++) start_thread(&threads[i], body, (void*)(intptr_t)i);
  pthread_barrier_wait(&set_up);
  for (int i = 0; i < kThreads; i++) await_blocked(threads[i].tid, SYS_futex);

  workload_ready();

  pthread_barrier_wait(&go);
  for (int i = 0; i < kThreads; i++) join_thread(&threads[i]);
  CHECK_EQ(getuid(), 0);
  return workload_ok();
}
