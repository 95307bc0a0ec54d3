// System V semaphores: values, a process blocked in semop, one in semtimedop.
#include <sys/ipc.h>
#include <sys/sem.h>

#include "workload.h"

static int set;

static int operate(int index, int change, int flags) {
  struct sembuf operation = {index, change, flags};
  return semop(set, &operation, 1);
}

static void blocked_body(void* argument) {
  (void)argument;
  CHECK_SYS(operate(1, -3, 0));
}

static void zero_body(void* argument) {
  (void)argument;
  CHECK_SYS(operate(0, 0, 0));
}

static void* timed(void* argument) {
  struct timed_wait* wait = argument;
  struct sembuf operation = {2, -1, 0};
  struct timespec timeout = timespec_of_ms(kWaitMs);
  wait->started = now_ms(CLOCK_MONOTONIC);
  wait->result = syscall(SYS_semtimedop, set, &operation, 1, &timeout);
  wait->error = errno;
  wait->ended = now_ms(CLOCK_MONOTONIC);
  return NULL;
}

int main(void) {
  key_t key = 0x4d000000 + getpid();
  set = CHECK_SYS(semget(key, 4, IPC_CREAT | IPC_EXCL | 0600));
  CHECK_SYS(operate(0, 7, 0));
  CHECK_SYS(operate(3, 32767, 0));
  pid_t blocked = spawn(blocked_body, NULL);
  pid_t zero = spawn(zero_body, NULL);
  struct timed_wait wait = {0};
  struct thread thread;
  start_thread(&thread, timed, &wait);
  await_blocked(blocked, SYS_semtimedop);  // which the C library uses for semop
  await_blocked(zero, SYS_semtimedop);
  await_blocked(thread.tid, SYS_semtimedop);
  await_age(&wait);

  workload_ready();

  wait.released = now_ms(CLOCK_MONOTONIC);
  CHECK_EQ(semctl(set, 0, GETVAL), 7);
  CHECK_EQ(semctl(set, 3, GETVAL), 32767);
  await_blocked(blocked, SYS_semtimedop);  // they may have been stopped and not be back yet
  await_blocked(zero, SYS_semtimedop);
  CHECK_EQ(semctl(set, 1, GETNCNT), 1);
  CHECK_EQ(semctl(set, 0, GETZCNT), 1);
  CHECK_EQ(CHECK_SYS(semget(key, 4, 0)), set);
  join_thread(&thread);
  CHECK_EQ(wait.result, -1);
  CHECK_EQ(wait.error, EAGAIN);
  CHECK_RANGE(wait.ended - wait.started, kWaitMs - 1, INT64_MAX);
  CHECK_SYS(operate(1, 4, 0));
  reap_child(blocked);
  CHECK_EQ(semctl(set, 1, GETVAL), 1);
  CHECK_SYS(operate(0, -7, 0));
  reap_child(zero);
  CHECK_SYS(semctl(set, 0, IPC_RMID));
  return workload_ok();
}
