// All general registers and flags of a thread that computes without entering the kernel.
#include "workload.h"

enum { kRegisters = 15 };  // all but the stack pointer

struct exchange {
  uint64_t in[kRegisters];
  uint64_t out[kRegisters];
  uint64_t flags;
  volatile uint64_t go;
  volatile uint64_t running;
};

// Loads every register from in, spins until go, and stores every register to out. The address of
// the structure lies on the stack meanwhile.
void spin(struct exchange* exchange);
__asm__(
    ".text\n.globl spin\n.type spin,@function\nspin:\n"
    "push %rbx\npush %rbp\npush %r12\npush %r13\npush %r14\npush %r15\n"
    "push %rdi\n"
    "mov %rdi, %rax\n"
    "mov 8(%rax), %rbx\nmov 16(%rax), %rcx\nmov 24(%rax), %rdx\nmov 32(%rax), %rsi\n"
    "mov 40(%rax), %rdi\nmov 48(%rax), %rbp\nmov 56(%rax), %r8\nmov 64(%rax), %r9\n"
    "mov 72(%rax), %r10\nmov 80(%rax), %r11\nmov 88(%rax), %r12\nmov 96(%rax), %r13\n"
    "mov 104(%rax), %r14\nmov 112(%rax), %r15\n"
    "movq $1, 256(%rax)\n"  // running
    "std\n"
    // The address is fetched anew in each turn and rax is restored, so all registers hold their
    // pattern except for two instructions of the loop.
    "1: mov (%rsp), %rax\n"
    "cmpq $0, 248(%rax)\n"  // go
    "mov (%rax), %rax\n"
    "je 1b\n"
    "push %rax\npushfq\n"
    "mov 16(%rsp), %rax\n"
    "pop 240(%rax)\n"  // flags
    "cld\n"
    "pop 120(%rax)\n"
    "mov %rbx, 128(%rax)\nmov %rcx, 136(%rax)\nmov %rdx, 144(%rax)\nmov %rsi, 152(%rax)\n"
    "mov %rdi, 160(%rax)\nmov %rbp, 168(%rax)\nmov %r8, 176(%rax)\nmov %r9, 184(%rax)\n"
    "mov %r10, 192(%rax)\nmov %r11, 200(%rax)\nmov %r12, 208(%rax)\nmov %r13, 216(%rax)\n"
    "mov %r14, 224(%rax)\nmov %r15, 232(%rax)\n"
    "pop %rdi\n"
    "pop %r15\npop %r14\npop %r13\npop %r12\npop %rbp\npop %rbx\n"
    "ret\n.size spin,.-spin\n");

_Static_assert(offsetof(struct exchange, out) == 120, "as the assembly has it");
_Static_assert(offsetof(struct exchange, flags) == 240, "as the assembly has it");
_Static_assert(offsetof(struct exchange, go) == 248, "as the assembly has it");
_Static_assert(offsetof(struct exchange, running) == 256, "as the assembly has it");

static void* work(void* argument) {
  spin(argument);
  return NULL;
}

int main(void) {
  static struct exchange exchange;
  fill_pattern(exchange.in, sizeof exchange.in, 1);
  struct thread thread;
  start_thread(&thread, work, &exchange);
  while (!exchange.running) sched_yield();

  workload_ready();

  exchange.go = 1;
  join_thread(&thread);
  check_pattern(exchange.out, sizeof exchange.out, 1);
  CHECK(exchange.flags & 0x400);  // direction
  return workload_ok();
}
