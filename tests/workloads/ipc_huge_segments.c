// System V shared memory of huge pages: attached by two processes, of a size that is no multiple of
// the page's, of another user who may make it by a group, detached, and removed while attached.
// huge pages: 24
#include <grp.h>
#include <sys/ipc.h>
#include <sys/shm.h>

#include "workload.h"

enum { kHuge = 2 << 20, kSize = 2 * kHuge - 5000, kUser = 1000, kHugeBits = 21 };

static int make(key_t key, size_t size) {
  int flags = IPC_CREAT | IPC_EXCL | SHM_HUGETLB | (kHugeBits << MAP_HUGE_SHIFT) | 0666;
  int id = shmget(key, size, flags);
  if (id < 0 && errno == ENOMEM) workload_skip("no huge pages in the pool of this host");
  return CHECK_SYS(id);
}

static char* attach(int id, int flags) {
  char* memory = shmat(id, NULL, flags);
  CHECK(memory != (void*)-1);
  return memory;
}

static char* common;
static int* of_user;

static void share(void* argument) {
  (void)argument;
  wait_for_go();
  check_pattern(common, kSize, 1);
  common[kHuge] = 'c';
}

static void make_as_user(void* argument) {
  (void)argument;
  gid_t root = 0;
  CHECK_SYS(setgroups(1, &root));
  CHECK_SYS(setresgid(kUser, kUser, kUser));
  CHECK_SYS(setresuid(kUser, kUser, kUser));
  *of_user = make(IPC_PRIVATE, kHuge);
  struct shmid_ds status;
  CHECK_SYS(shmctl(*of_user, IPC_STAT, &status));
  status.shm_perm.uid = 0;  // who may remove it
  CHECK_SYS(shmctl(*of_user, IPC_SET, &status));
  fill_pattern(attach(*of_user, 0), 8192, 4);
}

static void expect_huge(const void* memory) {
  CHECK(strstr(smaps_field(memory, "VmFlags:"), " ht") != NULL);
  CHECK_EQ(strtol(smaps_field(memory, "KernelPageSize:"), NULL, 10), kHuge / 1024);
}

int main(void) {
  key_t key = 0x4d100000 + getpid();
  int named = make(key, kSize);
  common = attach(named, 0);
  char* constant = attach(named, SHM_RDONLY);
  fill_pattern(common, kSize, 1);
  int removed = make(IPC_PRIVATE, 2 * kHuge);
  char* orphan = attach(removed, 0);
  CHECK_SYS(shmctl(removed, IPC_RMID, NULL));
  fill_pattern(orphan + kHuge, kHuge, 2);
  of_user = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK(of_user != MAP_FAILED);
  finish_child(spawn(make_as_user, NULL));
  char* others = attach(*of_user, 0);
  pid_t child = spawn(share, NULL);
  await_waiting_child(child);

  workload_ready();

  expect_huge(common);
  expect_huge(orphan);
  expect_huge(others);
  check_pattern(common, kSize, 1);
  finish_child(child);
  CHECK_EQ(common[kHuge], 'c');
  CHECK_EQ(constant[kHuge], 'c');
  CHECK_ERRNO(mprotect(constant, kHuge, PROT_READ | PROT_WRITE), EACCES);
  CHECK_EQ(orphan[5], 0);
  check_pattern(orphan + kHuge, kHuge, 2);
  check_pattern(others, 8192, 4);
  CHECK_EQ(CHECK_SYS(shmget(key, 0, 0)), named);
  struct shmid_ds status;
  CHECK_SYS(shmctl(named, IPC_STAT, &status));
  CHECK_EQ(status.shm_segsz, kSize);
  CHECK_EQ(status.shm_nattch, 2);
  CHECK_SYS(shmctl(*of_user, IPC_STAT, &status));
  CHECK_EQ(status.shm_perm.cuid, kUser);
  CHECK_EQ(status.shm_perm.cgid, kUser);
  CHECK_SYS(shmdt(common));
  CHECK_SYS(shmdt(constant));
  check_pattern(attach(named, 0), kHuge, 1);
  CHECK_SYS(shmctl(named, IPC_RMID, NULL));
  CHECK_SYS(shmctl(*of_user, IPC_RMID, NULL));
  CHECK_ERRNO(shmget(key, 0, 0), ENOENT);
  return workload_ok();
}
