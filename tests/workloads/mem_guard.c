// Guard regions (MADV_GUARD_INSTALL): a touch is a fault, the pages around keep their content, and
// when the guard is removed the pages are there.
#include <setjmp.h>

#include "workload.h"

enum { kPage = 4096, kGuardInstall = 102, kGuardRemove = 103 };

static sigjmp_buf back;

static void on_fault(int signal) {
  siglongjmp(back, signal);
}

static int fault_at(volatile char* address) {
  int signal = sigsetjmp(back, 1);
  if (signal == 0) *address = 1;
  return signal;
}

int main(void) {
  CHECK(signal(SIGSEGV, on_fault) != SIG_ERR);
  char* memory = map_memory(16 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE);
  fill_pattern(memory, 16 * kPage, 1);
  if (madvise(memory + 4 * kPage, 2 * kPage, kGuardInstall) != 0)
    workload_skip("this kernel has no guard regions");
  CHECK_SYS(madvise(memory + 15 * kPage, kPage, kGuardInstall));

  workload_ready();

  CHECK_EQ(fault_at(memory + 4 * kPage), SIGSEGV);
  CHECK_EQ(fault_at(memory + 5 * kPage), SIGSEGV);
  CHECK_EQ(fault_at(memory + 15 * kPage), SIGSEGV);
  check_pattern(memory, 4 * kPage, 1);
  CHECK_EQ(fault_at(memory + 6 * kPage), 0);
  CHECK_SYS(madvise(memory + 4 * kPage, 2 * kPage, kGuardRemove));
  CHECK_EQ(fault_at(memory + 4 * kPage), 0);
  CHECK_EQ(memory[5 * kPage], 0);
  return workload_ok();
}
