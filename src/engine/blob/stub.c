// The program that stands in for a process that is to be restored.
//
// It maps the arena that the engine sends it (one message on descriptor 3: the address, with the
// arena's memory file attached) and then waits to be turned into the process by ptrace. It is built
// static and freestanding: it has no libc, no thread-local storage and no rseq area.

#include <linux/unistd.h>
#include <stddef.h>
#include <stdint.h>

enum { kControl = 3, kSolSocket = 1, kScmRights = 1 };

struct Vector {
  void* base;
  size_t length;
};
struct Message {
  void* name;
  uint32_t name_length;
  struct Vector* vectors;
  size_t vector_count;
  void* control;
  size_t control_length;
  int32_t flags;
};
struct Control {
  size_t length;
  int32_t level;
  int32_t type;
  int32_t fd;
};
struct ArenaNotice {
  uint64_t address;
  uint64_t code_size;
  uint64_t data_size;
};

static long call(long number, long a, long b, long c, long d, long e, long f) {
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  register long r9 __asm__("r9") = f;
  long result;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return result;
}

__attribute__((noreturn)) static void fail(void) {
  for (;;) call(__NR_exit_group, 127, 0, 0, 0, 0, 0);
}

static void map(uint64_t address, uint64_t size, int protection, int fd, uint64_t offset) {
  enum { kShared = 1, kFixedNoReplace = 0x100000 };
  long got = call(__NR_mmap, (long)address, (long)size, protection, kShared | kFixedNoReplace, fd,
                  (long)offset);
  if (got != (long)address) fail();
}

__attribute__((noreturn, used)) static void run(void) {
  enum { kRead = 1, kWrite = 2, kExecute = 4 };
  struct ArenaNotice notice = {0, 0, 0};
  struct Control control = {0, 0, 0, -1};
  struct Vector vector = {&notice, sizeof notice};
  struct Message message = {NULL, 0, &vector, 1, &control, sizeof control, 0};
  if (call(__NR_recvmsg, kControl, (long)&message, 0, 0, 0, 0) != sizeof notice) fail();
  if (control.level != kSolSocket || control.type != kScmRights) fail();
  map(notice.address, notice.code_size, kRead | kExecute, control.fd, 0);
  map(notice.address + notice.code_size, notice.data_size, kRead | kWrite, control.fd,
      notice.code_size);
  call(__NR_close, control.fd, 0, 0, 0, 0, 0);
  char ready = 1;
  if (call(__NR_write, kControl, (long)&ready, 1, 0, 0, 0) != 1) fail();
  // Until it is turned into the process; or, if who was to do that has died before it traced this
  // one, until the socket's end.
  while (call(__NR_read, kControl, (long)&ready, 1, 0, 0, 0) != 0) continue;
  fail();
}

// The stack is aligned at entry; run() never returns.
__asm__(".globl _start\n_start:\n  xor %ebp, %ebp\n  call run\n");
