// What the images in this directory hold: a process and its child with a little of everything.
// Built without a C library, so that it is the same for ever:
//
//   gcc -O1 -static -nostdlib -ffreestanding -fno-builtin -fno-stack-protector -fcf-protection=none
//       -fno-pic -no-pie -fno-asynchronous-unwind-tables -s -Wl,--build-id=none
//       -Wl,-z,noseparate-code -o program program.c
//
// It writes "ready", waits for SIGUSR1, checks what it has and writes "ok", or the line of the
// check that failed.
#include <netinet/in.h>
#include <signal.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>

#define CALL(number, ...) CALL_(number, __VA_ARGS__, 0, 0, 0, 0, 0, 0)
#define CALL_(number, a, b, c, d, e, f, ...) \
  call(SYS_##number, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
#define CHECK(condition) ((condition) ? (void)0 : fail(__LINE__))

enum { kMemory = 1 << 14, kSignalSetSize = 8, kFarAway = 1000000 };

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

static void say(const char* text) {
  int length = 0;
  while (text[length]) length++;
  CALL(write, 1, text, length);
}

static void fail(int line) {
  char text[] = "FAIL line 0000\n";
  for (int i = 13; i > 9; i--, line /= 10) text[i] = (char)('0' + line % 10);
  say(text);
  CALL(exit_group, 1);
}

static void* map(int flags) {
  uint32_t* memory = (uint32_t*)CALL(mmap, 0, kMemory, PROT_READ | PROT_WRITE, flags, -1, 0);
  for (uint32_t i = 0; i < kMemory / 4; i++) memory[i] = i * 2654435761u;
  return memory;
}

static void check_memory(const uint32_t* memory) {
  for (uint32_t i = 0; i < kMemory / 4; i++) CHECK(memory[i] == i * 2654435761u);
}

static void expect(int fd, const char* text) {
  char got[32];
  long length = CALL(read, fd, got, sizeof got);
  for (long i = 0; i < length; i++) CHECK(got[i] == text[i]);
  CHECK(length > 0 && text[length] == 0);
}

static void wait_for_signal(void) {
  uint64_t set = 1ull << (SIGUSR1 - 1);
  while (CALL(rt_sigtimedwait, &set, 0, 0, kSignalSetSize) != SIGUSR1) {
  }
}

static void connect_tcp(int ends[2]) {
  struct sockaddr_in address;
  for (unsigned i = 0; i < sizeof address; i++) ((char*)&address)[i] = 0;
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = 0x0100007f;  // 127.0.0.1
  int size = sizeof address;
  long listener = CALL(socket, AF_INET, SOCK_STREAM, 0);
  CHECK(CALL(bind, listener, &address, size) == 0);
  CHECK(CALL(listen, listener, 4) == 0);
  CHECK(CALL(getsockname, listener, &address, &size) == 0);
  ends[0] = (int)CALL(socket, AF_INET, SOCK_STREAM, 0);
  CHECK(CALL(connect, ends[0], &address, size) == 0);
  ends[1] = (int)CALL(accept, listener, 0, 0);
  CHECK(ends[1] > 0);
}

void program(void) {
  uint64_t blocked = 1ull << (SIGUSR1 - 1);
  CALL(rt_sigprocmask, SIG_BLOCK, &blocked, 0, kSignalSetSize);
  uint32_t* own = map(MAP_PRIVATE | MAP_ANONYMOUS);
  uint32_t* shared = map(MAP_SHARED | MAP_ANONYMOUS);
  int in_pipe[2];
  int unix_ends[2];
  int tcp[2];
  CHECK(CALL(pipe2, in_pipe, 0) == 0);
  CHECK(CALL(socketpair, AF_UNIX, SOCK_DGRAM, 0, unix_ends) == 0);
  connect_tcp(tcp);
  CALL(write, in_pipe[1], "pipe", 4);
  CALL(write, unix_ends[0], "unix", 4);
  CALL(write, tcp[0], "tcp", 3);
  long event = CALL(eventfd2, 5, 0);
  long epoll = CALL(epoll_create1, 0);
  struct epoll_event wanted = {.events = EPOLLIN, .data = {.u64 = 99}};
  CHECK(CALL(epoll_ctl, epoll, EPOLL_CTL_ADD, tcp[1], &wanted) == 0);
  long file = CALL(open, "file", 2 /* O_RDWR */);
  CHECK(file > 0);
  CALL(lseek, file, 5, 0);
  struct itimerval timer = {{0, 0}, {kFarAway, 0}};
  CHECK(CALL(setitimer, ITIMER_REAL, &timer, 0) == 0);
  long child = CALL(fork, 0);
  if (child == 0) {
    wait_for_signal();
    check_memory(own);
    shared[0] = 77;
    CALL(exit_group, 7);
  }
  say("ready\n");
  wait_for_signal();

  CALL(kill, child, SIGUSR1);
  int status = 0;
  CHECK(CALL(wait4, child, &status, 0, 0) == child);
  CHECK(status == 7 << 8);
  CHECK(shared[0] == 77);
  shared[0] = 0;
  check_memory(own);
  check_memory(shared);
  struct epoll_event got;
  CHECK(CALL(epoll_pwait, epoll, &got, 1, 0, 0, kSignalSetSize) == 1 && got.data.u64 == 99);
  expect(in_pipe[0], "pipe");
  expect(unix_ends[1], "unix");
  expect(tcp[1], "tcp");
  CALL(write, tcp[1], "back", 4);
  expect(tcp[0], "back");
  expect((int)file, "text");
  uint64_t count = 0;
  CHECK(CALL(read, event, &count, 8) == 8 && count == 5);
  CHECK(CALL(getitimer, ITIMER_REAL, &timer) == 0);
  CHECK(timer.it_value.tv_sec > kFarAway / 2 && timer.it_value.tv_sec <= kFarAway);
  say("ok\n");
  CALL(exit_group, 0);
}

__asm__(".globl _start\n_start: xor %ebp, %ebp\n and $-16, %rsp\n call program\n");
