// System V semaphores with SEM_UNDO: what a process took comes back when it ends, and not before,
// even if it is killed; what it gave is taken back; each process undoes its own.
#include <semaphore.h>
#include <sys/ipc.h>
#include <sys/sem.h>

#include "workload.h"

static int set;

static void change(unsigned short semaphore, short by, short flags) {
  struct sembuf operation = {semaphore, by, flags};
  CHECK_SYS(semop(set, &operation, 1));
}

static int value_of(int semaphore) {
  return CHECK_SYS(semctl(set, semaphore, GETVAL));
}

static sem_t end_of_thread;

static void* wait_here(void* argument) {
  while (sem_wait(&end_of_thread) == -1) CHECK_EQ(errno, EINTR);
  return argument;
}

static void take(void* argument) {
  (void)argument;
  change(0, -3, SEM_UNDO);
  change(1, 7, SEM_UNDO);
  change(2, -1, SEM_UNDO);
  change(2, 1, SEM_UNDO);  // nothing is left to undo
  struct thread thread;
  CHECK_SYS(sem_init(&end_of_thread, 0, 0));
  start_thread(&thread, wait_here, NULL);
  await_blocked(thread.tid, SYS_futex);
  wait_for_go();
  CHECK_SYS(sem_post(&end_of_thread));
  join_thread(&thread);
  change(0, -1, SEM_UNDO);
}

static void take_and_die(void* argument) {
  (void)argument;
  change(0, -2, SEM_UNDO);
  change(3, 4, 0);
  wait_for_go();
  pause();
}

int main(void) {
  set = CHECK_SYS(semget(IPC_PRIVATE, 4, 0600));
  unsigned short values[] = {10, 0, 32767, 1};
  CHECK_SYS(semctl(set, 0, SETALL, values));
  pid_t first = spawn(take, NULL);
  await_waiting_child(first);
  pid_t second = spawn(take_and_die, NULL);
  await_waiting_child(second);

  workload_ready();

  CHECK_EQ(value_of(0), 5);
  CHECK_EQ(value_of(1), 7);
  CHECK_EQ(value_of(2), 32767);
  CHECK_EQ(value_of(3), 5);
  CHECK_SYS(kill(second, SIGKILL));
  CHECK_EQ(waitpid(second, NULL, 0), second);
  CHECK_EQ(value_of(0), 7);
  CHECK_EQ(value_of(3), 5);
  finish_child(first);
  CHECK_EQ(value_of(0), 10);
  CHECK_EQ(value_of(1), 0);
  CHECK_EQ(value_of(2), 32767);
  CHECK_SYS(semctl(set, 0, IPC_RMID));
  return workload_ok();
}
