// Seccomp's strict mode: a process that may read, write and end, and is killed for anything else.
#include <linux/seccomp.h>
#include <sys/prctl.h>

#include "workload.h"

struct service {
  int input[2];
  int output[2];
  pid_t process;
};

// Answers each byte with the next one, and makes a call that is not allowed when it gets a 0.
static void serve(void* argument) {
  struct service* service = argument;
  CHECK_SYS(close(service->input[1]));
  CHECK_SYS(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT));
  for (;;) {
    char byte;
    if (syscall(SYS_read, service->input[0], &byte, 1) != 1) syscall(SYS_exit, 0);
    if (byte == 0) syscall(SYS_getuid);
    byte++;
    syscall(SYS_write, service->output[1], &byte, 1);
  }
}

static void start(struct service* service) {
  CHECK_SYS(pipe2(service->input, O_CLOEXEC));
  CHECK_SYS(pipe2(service->output, O_CLOEXEC));
  service->process = spawn(serve, service);
  CHECK_SYS(close(service->input[0]));
  CHECK_SYS(close(service->output[1]));
}

static void check_answers(const struct service* service) {
  write_all(service->input[1], "ab", 2);
  expect_text(service->output[0], "bc");
}

int main(void) {
  struct service good;
  struct service bad;
  start(&bad);
  start(&good);
  check_answers(&good);
  check_answers(&bad);
  await_state(good.process, 'S');
  await_state(bad.process, 'S');

  workload_ready();

  CHECK_STR(strtok((char*)status_field(good.process, "Seccomp"), "\n"), "1");
  check_answers(&good);
  check_answers(&bad);
  write_all(bad.input[1], "", 1);
  int status;
  CHECK_EQ(CHECK_SYS(waitpid(bad.process, &status, 0)), bad.process);
  CHECK(WIFSIGNALED(status));
  CHECK_EQ(WTERMSIG(status), SIGKILL);
  CHECK_SYS(close(good.input[1]));
  reap_child(good.process);
  return workload_ok();
}
