// System V shared memory of huge pages in an IPC namespace of a single process.
// modes: container
// rights: CAP_SYS_ADMIN
// huge pages: 2
// refused: SHM_HUGETLB
#include <sched.h>
#include <sys/ipc.h>
#include <sys/shm.h>

#include "workload.h"

enum { kHuge = 2 << 20, kHugeBits = 21 };

static void have_segment(void* argument) {
  (void)argument;
  if (unshare(CLONE_NEWIPC) != 0) workload_skip("no right to make IPC namespaces");
  int flags = IPC_CREAT | SHM_HUGETLB | (kHugeBits << MAP_HUGE_SHIFT) | 0600;
  int id = shmget(IPC_PRIVATE, kHuge, flags);
  if (id < 0 && errno == ENOMEM) workload_skip("no huge pages in the pool of this host");
  char* memory = shmat(CHECK_SYS(id), NULL, 0);
  CHECK(memory != (void*)-1);
  fill_pattern(memory, 8192, 1);
  wait_for_go();
  check_pattern(memory, 8192, 1);
}

int main(void) {
  pid_t child = spawn(have_segment, NULL);
  await_waiting_child(child);

  workload_ready();

  finish_child(child);
  return workload_ok();
}
