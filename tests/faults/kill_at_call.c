// Preloaded into martlet or martletd: kills the process as it is about to make a certain call of
// those by which a capture acts on its target. The first is the first of ptrace, once there is the
// file of COUNT_FROM if that is given.
//
//   KILL_AT_CALL=N      the Nth of these calls is not made, and the process is killed on the spot
//   KILL_GUARDS=1       those of its children that would mend what it leaves behind are killed
//   first COUNT_CALLS_IN=FILE the calls are counted in a file instead: eight bytes, an integer; and
//   eight
//                       bytes more, the number of the first one of ptrace
//   COUNT_WIDELY=1      the first is the first of any kind, and calls by which a process changes
//   its
//                       surroundings (files, mounts, other programs, messages) count, too
//   COUNT_FORKS=1       of all calls those of fork alone count; they are made before the process is
//   killed
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static _Atomic long own_count[2];
static _Atomic long* count = own_count;  // and the number of the first call of ptrace
static long kill_at;
static atomic_bool begun;
static const char* count_from;
static bool widely;
static bool forks_alone;
static bool kill_guards;
enum { kMostForked = 1024 };
static pid_t forked[kMostForked];
static _Atomic int forked_count;

__attribute__((constructor)) static void read_environment(void) {
  const char* at = getenv("KILL_AT_CALL");
  const char* path = getenv("COUNT_CALLS_IN");
  count_from = getenv("COUNT_FROM");
  widely = getenv("COUNT_WIDELY") != NULL;
  forks_alone = getenv("COUNT_FORKS") != NULL;
  kill_guards = getenv("KILL_GUARDS") != NULL;
  unsetenv("LD_PRELOAD");  // not for the programs that it starts
  if (at) kill_at = atol(at);
  if (!path) return;
  int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0 || ftruncate(fd, sizeof own_count) != 0) abort();
  count = mmap(NULL, sizeof own_count, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (count == MAP_FAILED) abort();
}

static void begin(void) {
  if (!begun && (!count_from || access(count_from, F_OK) == 0)) begun = true;
}

static bool is_guard(pid_t pid) {
  char path[64];
  char name[16] = "";
  snprintf(path, sizeof path, "/proc/%d/comm", (int)pid);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  bool guard =
      fd >= 0 && read(fd, name, sizeof name) > 0 && strncmp(name, "martlet-guard", 13) == 0;
  close(fd);
  return guard;
}

static void die(void) {
  for (int i = 0; kill_guards && i < forked_count && i < kMostForked; ++i)
    if (is_guard(forked[i])) kill(forked[i], SIGKILL);
  kill(getpid(), SIGKILL);
}

static void count_call(void) {
  if (begun && atomic_fetch_add(count, 1) + 1 == kill_at) die();
}

static void reached(void) {
  if (!forks_alone) count_call();
}

static void reached_widely(void) {
  if (!widely) return;
  begin();
  reached();
}

static void reached_ptrace(void) {
  begin();
  reached();
  long none = 0;
  if (begun) atomic_compare_exchange_strong(&count[1], &none, count[0]);
}

// The children that the capture forks count for themselves, and live.
static void live_on(void) {
  kill_at = 0;
  count = own_count;
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
  if (number == SYS_ptrace)
    reached_ptrace();
  else
    reached_widely();
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

#define COUNTED(type, name, parameters, arguments) \
  type name parameters {                           \
    static type(*next) parameters;                 \
    if (!next) next = dlsym(RTLD_NEXT, #name);     \
    reached_widely();                              \
    return next arguments;                         \
  }
COUNTED(ssize_t, write, (int fd, const void* data, size_t size), (fd, data, size))
COUNTED(ssize_t, sendmsg, (int fd, const struct msghdr* message, int flags), (fd, message, flags))
COUNTED(int, mkdir, (const char* path, mode_t mode), (path, mode))
COUNTED(int, mkdirat, (int at, const char* path, mode_t mode), (at, path, mode))
COUNTED(int, rename, (const char* from, const char* to), (from, to))
COUNTED(int, unlink, (const char* path), (path))
COUNTED(int, rmdir, (const char* path), (path))
COUNTED(int, fsync, (int fd), (fd))
COUNTED(int, mount,
        (const char* source, const char* target, const char* type, unsigned long flags,
         const void* data),
        (source, target, type, flags, data))
COUNTED(int, umount2, (const char* target, int flags), (target, flags))
COUNTED(int, setns, (int fd, int type), (fd, type))
COUNTED(int, unshare, (int flags), (flags))
COUNTED(int, socket, (int family, int type, int protocol), (family, type, protocol))
COUNTED(int, connect, (int fd, const struct sockaddr* address, socklen_t size), (fd, address, size))
COUNTED(ssize_t, sendto,
        (int fd, const void* data, size_t size, int flags, const struct sockaddr* address,
         socklen_t length),
        (fd, data, size, flags, address, length))
COUNTED(ssize_t, pwrite, (int fd, const void* data, size_t size, off_t at), (fd, data, size, at))
COUNTED(int, chmod, (const char* path, mode_t mode), (path, mode))
COUNTED(pid_t, waitpid, (pid_t pid, int* status, int options), (pid, status, options))

pid_t fork(void) {
  static pid_t (*next)(void);
  if (!next) next = dlsym(RTLD_NEXT, "fork");
  pid_t child = next();
  if (child <= 0) return child;
  int place = atomic_fetch_add(&forked_count, 1);
  if (place < kMostForked) forked[place] = child;
  if (forks_alone) {
    begin();
    count_call();
  }
  reached_widely();
  return child;
}
