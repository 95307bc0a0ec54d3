// A seccomp filter that leaves the decision to another process.
// refused: seccomp
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>

#include "workload.h"

static void body(void* argument) {
  (void)argument;
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {sizeof code / sizeof *code, code};
  CHECK_SYS(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  int listener = CHECK_SYS(
      syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program));
  CHECK_SYS(close(listener));
  wait_for_go();
  CHECK_ERRNO(syscall(SYS_getppid), ENOSYS);  // nobody listens any more
}

int main(void) {
  pid_t child = spawn(body, NULL);
  await_waiting_child(child);

  workload_ready();

  finish_child(child);
  return workload_ok();
}
