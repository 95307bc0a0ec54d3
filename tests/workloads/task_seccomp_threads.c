// Threads with filters of their own behind one that all share, and no_new_privs in one of them only
// if the process may do that.
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>

#include "workload.h"

static pthread_barrier_t set_up;
static pthread_barrier_t moved;
static pthread_barrier_t synchronised;
static bool privileged;

static long forbid(int number, int error, int flags) {
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {sizeof code / sizeof *code, code};
  return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}

static void* has_own(void* argument) {
  CHECK_SYS(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  CHECK_SYS(forbid(SYS_getsid, EXDEV, 0));
  pthread_barrier_wait(&set_up);
  pthread_barrier_wait(&moved);
  CHECK_ERRNO(syscall(SYS_getppid), EPERM);
  CHECK_ERRNO(syscall(SYS_getsid, 0), EXDEV);
  CHECK_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
  return argument;
}

static void* has_common(void* argument) {
  pthread_barrier_wait(&set_up);
  pthread_barrier_wait(&moved);
  CHECK_ERRNO(syscall(SYS_getppid), EPERM);
  CHECK_SYS(syscall(SYS_getsid, 0));
  CHECK_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), !privileged);
  pthread_barrier_wait(&synchronised);
  CHECK_ERRNO(syscall(SYS_getpgid, 0), EACCES);
  return argument;
}

int main(void) {
  CHECK_EQ(pthread_barrier_init(&set_up, NULL, 3), 0);
  CHECK_EQ(pthread_barrier_init(&moved, NULL, 3), 0);
  CHECK_EQ(pthread_barrier_init(&synchronised, NULL, 2), 0);
  struct thread own;
  struct thread common;
  privileged = forbid(SYS_getppid, EPERM, 0) == 0;
  if (!privileged) {
    CHECK_SYS(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    CHECK_SYS(forbid(SYS_getppid, EPERM, 0));
  }
  start_thread(&own, has_own, NULL);
  start_thread(&common, has_common, NULL);
  pthread_barrier_wait(&set_up);
  await_blocked(own.tid, SYS_futex);
  await_blocked(common.tid, SYS_futex);

  workload_ready();

  pthread_barrier_wait(&moved);
  join_thread(&own);
  // A filter for all: possible because the threads that are left share all their others.
  CHECK_EQ(CHECK_SYS(forbid(SYS_getpgid, EACCES, SECCOMP_FILTER_FLAG_TSYNC)), 0);
  pthread_barrier_wait(&synchronised);
  join_thread(&common);
  CHECK_ERRNO(syscall(SYS_getpgid, 0), EACCES);
  return workload_ok();
}
