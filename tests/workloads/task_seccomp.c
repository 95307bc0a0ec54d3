// Seccomp filters: one that answers with errors, one that kills for nearly everything, a chain that
// a child has inherited, and filters of a process that may still gain privileges.
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>

#include "workload.h"

#define LOAD_NUMBER BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))
#define ANSWER(number, action) \
  BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1), BPF_STMT(BPF_RET | BPF_K, action)
#define OTHERWISE(action) BPF_STMT(BPF_RET | BPF_K, action)

static long install(struct sock_filter* code, size_t count, int flags) {
  struct sock_fprog program = {count, code};
  return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}

static long forbid(int number, int error, int flags) {
  struct sock_filter code[] = {LOAD_NUMBER, ANSWER(number, SECCOMP_RET_ERRNO | error),
                               OTHERWISE(SECCOMP_RET_ALLOW)};
  return install(code, sizeof code / sizeof *code, flags);
}

static int filter_count(void) {
  return atoi(status_field(getpid(), "Seccomp_filters"));
}

static void one_filter(void* argument) {
  (void)argument;
  CHECK_SYS(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  CHECK_SYS(forbid(SYS_getppid, EPERM, 0));
  wait_for_go();
  CHECK_ERRNO(syscall(SYS_getppid), EPERM);
  CHECK_EQ(filter_count(), 1);
  CHECK_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
  CHECK_SYS(forbid(SYS_getsid, EACCES, 0));  // it may still add to them
  CHECK_ERRNO(syscall(SYS_getsid, 0), EACCES);
}

// Nothing that a checkpoint or a restore does in the process is allowed to it.
static void deadly_filter(void* argument) {
  (void)argument;
  struct sock_filter code[] = {LOAD_NUMBER,
                               ANSWER(SYS_rt_sigtimedwait, SECCOMP_RET_ALLOW),
                               ANSWER(SYS_restart_syscall, SECCOMP_RET_ALLOW),
                               ANSWER(SYS_write, SECCOMP_RET_ALLOW),
                               ANSWER(SYS_getpid, SECCOMP_RET_ERRNO | EXDEV),
                               ANSWER(SYS_exit_group, SECCOMP_RET_ALLOW),
                               OTHERWISE(SECCOMP_RET_KILL_PROCESS)};
  CHECK_SYS(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  CHECK_SYS(install(code, sizeof code / sizeof *code, 0));
  wait_for_go();
  CHECK_ERRNO(syscall(SYS_getpid), EXDEV);
}

static void killed_by_filter(void* argument) {
  deadly_filter(argument);
  syscall(SYS_getuid);
}

// The newest filter is asked first, and of several answers the sternest counts.
static void inherited_chain(void* argument) {
  (void)argument;
  CHECK_SYS(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  CHECK_SYS(forbid(SYS_getppid, EPERM, 0));
  CHECK_SYS(forbid(SYS_getppid, EXDEV, SECCOMP_FILTER_FLAG_LOG));
  pid_t child = spawn(one_filter, NULL);
  wait_for_go();
  CHECK_EQ(filter_count(), 2);
  CHECK_ERRNO(syscall(SYS_getppid), EXDEV);
  CHECK_SYS(kill(child, SIGKILL));
  CHECK_SYS(waitpid(child, NULL, 0));
}

static void privileged_filter(void* argument) {
  (void)argument;
  if (forbid(SYS_getppid, EPERM, 0) != 0) {
    CHECK_EQ(errno, EACCES);  // without CAP_SYS_ADMIN
    wait_for_go();
    return;
  }
  CHECK_SYS(setresuid(1001, 1001, 1001));
  wait_for_go();
  CHECK_ERRNO(syscall(SYS_getppid), EPERM);
  CHECK_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 0);
  CHECK_ERRNO(forbid(SYS_getsid, EACCES, 0), EACCES);
}

int main(void) {
  void (*bodies[])(void*) = {one_filter, deadly_filter, inherited_chain, privileged_filter};
  enum { kBodies = sizeof bodies / sizeof *bodies };
  pid_t children[kBodies];
  for (int i = 0; i < kBodies; i++) {
    children[i] = spawn(bodies[i], NULL);
    await_waiting_child(children[i]);
  }
  pid_t killed = spawn(killed_by_filter, NULL);
  await_waiting_child(killed);

  workload_ready();

  for (int i = 0; i < kBodies; i++) finish_child(children[i]);
  CHECK_SYS(kill(killed, SIGUSR1));
  int status;
  CHECK_EQ(CHECK_SYS(waitpid(killed, &status, 0)), killed);
  CHECK(WIFSIGNALED(status));
  CHECK_EQ(WTERMSIG(status), SIGSYS);
  CHECK_EQ(prctl(PR_GET_SECCOMP), SECCOMP_MODE_DISABLED);
  return workload_ok();
}
