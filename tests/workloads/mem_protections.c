// Page protections: none, read only (with content), write, execute; they hold and can be changed.
#include <setjmp.h>

#include "workload.h"

enum { kPage = 4096 };

static sigjmp_buf after_fault;
static volatile void* fault_address;
static volatile int fault_code;

static void on_fault(int number, siginfo_t* info, void* context) {
  (void)number;
  (void)context;
  fault_address = info->si_addr;
  fault_code = info->si_code;
  siglongjmp(after_fault, 1);
}

#define EXPECT_FAULT(statement, address)  \
  do {                                    \
    fault_address = NULL;                 \
    if (sigsetjmp(after_fault, 1) == 0) { \
      statement;                          \
    }                                     \
    CHECK(fault_address == (address));    \
    CHECK_EQ(fault_code, SEGV_ACCERR);    \
  } while (0)

int main(void) {
  struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
  CHECK_SYS(sigaction(SIGSEGV, &action, NULL));
  // One mapping in five parts; the parts that cannot be written hold data nevertheless.
  volatile char* memory = map_memory(5 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE);
  volatile char* hidden = memory;
  volatile char* constant = memory + kPage;
  volatile char* writable = memory + 2 * kPage;
  volatile unsigned char* code = (volatile unsigned char*)memory + 3 * kPage;
  volatile char* guard = memory + 4 * kPage;
  hidden[5] = 'h';
  constant[5] = 'c';
  writable[5] = 'w';
  static const unsigned char kReturn42[] = {0xb8, 42, 0, 0, 0, 0xc3};
  for (size_t i = 0; i < sizeof kReturn42; i++) code[i] = kReturn42[i];
  CHECK_SYS(mprotect((void*)hidden, kPage, PROT_NONE));
  CHECK_SYS(mprotect((void*)constant, kPage, PROT_READ));
  CHECK_SYS(mprotect((void*)code, kPage, PROT_READ | PROT_EXEC));
  CHECK_SYS(mprotect((void*)guard, kPage, PROT_NONE));

  workload_ready();

  EXPECT_FAULT((void)hidden[5], hidden + 5);
  EXPECT_FAULT(constant[5] = 'x', constant + 5);
  EXPECT_FAULT(code[0] = 1, (volatile char*)code);
  EXPECT_FAULT((void)guard[0], guard);
  CHECK_EQ(((int (*)(void))(uintptr_t)code)(), 42);
  CHECK_EQ(constant[5], 'c');
  CHECK_EQ(writable[5], 'w');
  writable[6] = 'v';
  CHECK_SYS(mprotect((void*)memory, 5 * kPage, PROT_READ | PROT_WRITE));
  CHECK_EQ(hidden[5], 'h');
  constant[5] = 'd';
  CHECK_EQ(constant[5], 'd');
  CHECK_EQ(guard[0], 0);
  return workload_ok();
}
