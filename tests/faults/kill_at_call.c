// Preloaded into martlet or martletd: kills the process as it is about to make a certain call of
// those by which a capture acts on its target. The first is the first of ptrace, once there is the
// file of COUNT_FROM if that is given.
//
//   KILL_AT_CALL=N      the Nth of these calls is not made, and the process is killed on the spot
//   COUNT_CALLS_IN=FILE the calls are counted in a file instead: eight bytes, an integer
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static _Atomic long own_count;
static _Atomic long* count = &own_count;
static long kill_at;
static atomic_bool begun;
static const char* count_from;

__attribute__((constructor)) static void read_environment(void) {
  const char* at = getenv("KILL_AT_CALL");
  const char* path = getenv("COUNT_CALLS_IN");
  count_from = getenv("COUNT_FROM");
  unsetenv("LD_PRELOAD");  // not for the programs that it starts
  if (at) kill_at = atol(at);
  if (!path) return;
  int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0 || ftruncate(fd, sizeof *count) != 0) abort();
  count = mmap(NULL, sizeof *count, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (count == MAP_FAILED) abort();
}

static void reached(void) {
  if (begun && atomic_fetch_add(count, 1) + 1 == kill_at) kill(getpid(), SIGKILL);
}

// The children that the capture forks count for themselves, and live.
static void live_on(void) {
  kill_at = 0;
  count = &own_count;
}
__attribute__((constructor)) static void spare_children(void) {
  pthread_atfork(NULL, NULL, live_on);
}

long syscall(long number, ...) {
  va_list list;
  va_start(list, number);
  long a[6];
  for (int i = 0; i < 6; ++i) a[i] = va_arg(list, long);
  va_end(list);
  if (number == SYS_ptrace) {
    if (!begun && (!count_from || access(count_from, F_OK) == 0)) begun = true;
    reached();
  }
  static long (*next)(long, ...);
  if (!next) next = dlsym(RTLD_NEXT, "syscall");
  return next(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

int ioctl(int fd, unsigned long request, ...) {
  va_list list;
  va_start(list, request);
  void* argument = va_arg(list, void*);
  va_end(list);
  reached();
  static int (*next)(int, unsigned long, ...);
  if (!next) next = dlsym(RTLD_NEXT, "ioctl");
  return next(fd, request, argument);
}

int setsockopt(int fd, int level, int name, const void* value, socklen_t size) {
  reached();
  static int (*next)(int, int, int, const void*, socklen_t);
  if (!next) next = dlsym(RTLD_NEXT, "setsockopt");
  return next(fd, level, name, value, size);
}

ssize_t process_vm_writev(pid_t pid, const struct iovec* from, unsigned long froms,
                          const struct iovec* to, unsigned long tos, unsigned long flags) {
  reached();
  static ssize_t (*next)(pid_t, const struct iovec*, unsigned long, const struct iovec*,
                         unsigned long, unsigned long);
  if (!next) next = dlsym(RTLD_NEXT, "process_vm_writev");
  return next(pid, from, froms, to, tos, flags);
}
