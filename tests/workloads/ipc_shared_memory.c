// System V shared memory: attached (also twice, read-only), known by its id alone, and removed
// while it is attached; shared by two processes.
#include <sys/ipc.h>
#include <sys/shm.h>

#include "workload.h"

enum { kPage = 4096, kSize = 20 * kPage };

static char* attach(int id, int flags) {
  char* memory = shmat(id, NULL, flags);
  CHECK(memory != (void*)-1);
  return memory;
}

static char* common;

static void child_body(void* argument) {
  (void)argument;
  wait_for_go();
  check_pattern(common, kSize - 8, 1);
  common[kSize - 1] = 'c';
}

int main(void) {
  key_t key = 0x4d000000 + getpid();
  int named = CHECK_SYS(shmget(key, kSize, IPC_CREAT | IPC_EXCL | 0640));
  common = attach(named, 0);
  char* constant = attach(named, SHM_RDONLY);
  fill_pattern(common, kSize - 8, 1);
  int removed = CHECK_SYS(shmget(IPC_PRIVATE, kSize, 0600));
  char* orphan = attach(removed, 0);
  CHECK_SYS(shmctl(removed, IPC_RMID, NULL));
  fill_pattern(orphan, kSize, 2);
  int detached = CHECK_SYS(shmget(IPC_PRIVATE, 3 * kPage + 5, 0600));
  char* briefly = attach(detached, 0);
  fill_pattern(briefly, 3 * kPage + 5, 3);
  CHECK_SYS(shmdt(briefly));
  pid_t child = spawn(child_body, NULL);
  await_waiting_child(child);

  workload_ready();

  check_pattern(common, kSize - 8, 1);
  finish_child(child);
  CHECK_EQ(common[kSize - 1], 'c');
  CHECK_EQ(constant[kSize - 1], 'c');
  CHECK_ERRNO(mprotect(constant, kPage, PROT_READ | PROT_WRITE), EACCES);
  check_pattern(orphan, kSize, 2);
  CHECK_EQ(CHECK_SYS(shmget(key, 0, 0)), named);
  struct shmid_ds status;
  CHECK_SYS(shmctl(named, IPC_STAT, &status));
  CHECK_EQ(status.shm_segsz, kSize);
  CHECK_EQ(status.shm_nattch, 2);
  CHECK_EQ(status.shm_perm.mode & 0777, 0640);
  char* again = attach(detached, 0);
  check_pattern(again, 3 * kPage + 5, 3);
  CHECK_SYS(shmdt(common));
  CHECK_SYS(shmdt(constant));
  CHECK_SYS(shmctl(named, IPC_RMID, NULL));
  CHECK_SYS(shmctl(detached, IPC_RMID, NULL));
  CHECK_ERRNO(shmget(key, 0, 0), ENOENT);
  return workload_ok();
}
