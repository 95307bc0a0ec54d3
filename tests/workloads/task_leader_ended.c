// A process whose main thread has ended while others go on, with what remains of that thread: its
// number, name, user and exit code. Which thread's exit code is that of a process whose threads end
// one by one depends on the kernel, so all have the same. Signals to the process, its children and
// its files are those of the others.
#include <poll.h>
#include <sys/prctl.h>

#include "workload.h"

enum { kExitCode = 3, kUser = 1234, kSize = 1 << 20 };

static int report_pipe[2];
static pid_t root;
static char* memory;
static sigset_t signals;

static void ends_early(void* argument) {
  (void)argument;
}

// Would have a signal if the thread that seems to have made it ended once more.
static void* heir(void* argument) {
  (void)argument;
  CHECK_SYS(prctl(PR_SET_PDEATHSIG, SIGHUP));
  wait_for_go();
  sigset_t pending;
  CHECK_SYS(sigpending(&pending));
  CHECK(!sigismember(&pending, SIGHUP));
  return NULL;
}

static void child_of_main(void* argument) {
  pid_t parent = *(pid_t*)argument;
  CHECK_SYS(sigprocmask(SIG_BLOCK, &signals, NULL));
  await_state(parent, 'Z');
  heir(NULL);
}

static void* sleeps(void* argument) {
  int* until = argument;
  char byte;
  CHECK_EQ(read(*until, &byte, 1), 0);
  syscall(SYS_exit, kExitCode);
  return NULL;
}

static void check_signals(pid_t ended) {
  siginfo_t info;
  CHECK_EQ(CHECK_SYS(sigwaitinfo(&signals, &info)), SIGUSR2);
  CHECK_EQ(info.si_code, SI_USER);
  CHECK_EQ(info.si_pid, root);
  CHECK_EQ(CHECK_SYS(sigwaitinfo(&signals, &info)), SIGCHLD);
  CHECK_EQ(info.si_code, CLD_EXITED);
  CHECK_EQ(info.si_pid, ended);
}

struct family {
  pid_t living, ended;
  int pipe[2];
  struct thread other;
};

static void* goes_on(void* argument) {
  struct family* family = argument;
  pid_t self = gettid();
  await_state(getpid(), 'Z');
  start_thread(&family->other, sleeps, &family->pipe[0]);
  family->ended = spawn(ends_early, NULL);
  await_state(family->ended, 'Z');
  await_waiting_child(family->living);
  int file = make_file("shared", "text");
  write_all(report_pipe[1], &self, sizeof self);
  wait_for_go();
  CHECK_EQ(gettid(), self);
  check_signals(family->ended);
  reap_child(family->ended);
  check_pattern(memory, kSize, 7);
  expect_text(file, "text");
  await_state(family->other.tid, 'S');
  finish_child(family->living);
  CHECK_SYS(close(family->pipe[1]));
  syscall(SYS_exit, kExitCode);
  return NULL;
}

static void ends_first(void* argument) {
  (void)argument;
  static struct family family;
  static struct thread thread;
  static pid_t self;
  self = getpid();
  CHECK_SYS(sigprocmask(SIG_BLOCK, &signals, NULL));
  CHECK_SYS(pipe(family.pipe));
  memory = map_memory(kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
  fill_pattern(memory, kSize, 7);
  family.living = spawn(child_of_main, &self);
  start_thread(&thread, goes_on, &family);
  CHECK_SYS(prctl(PR_SET_NAME, "was-main"));
  CHECK_SYS(syscall(SYS_setresuid, kUser, kUser, kUser));
  syscall(SYS_exit, kExitCode);
}

static void check_remains(pid_t process) {
  CHECK_EQ(task_state(process), 'Z');
  CHECK_STR(status_field(process, "Name"), "was-main");
  char uids[64];
  snprintf(uids, sizeof uids, "%d\t%d\t%d\t%d", kUser, kUser, kUser, kUser);
  CHECK_STR(status_field(process, "Uid"), uids);
  CHECK_EQ(waitpid(process, NULL, WNOHANG), 0);
}

int main(void) {
  need_descriptors_of_threads();
  root = getpid();
  sigemptyset(&signals);
  sigaddset(&signals, SIGUSR2);
  sigaddset(&signals, SIGCHLD);
  sigaddset(&signals, SIGHUP);
  CHECK_SYS(pipe(report_pipe));
  pid_t process = spawn(ends_first, NULL);
  struct pollfd pidfd = {(int)CHECK_SYS(syscall(SYS_pidfd_open, process, 0)), POLLIN, 0};
  pid_t thread;
  read_all(report_pipe[0], &thread, sizeof thread);
  CHECK_SYS(kill(process, SIGUSR2));
  await_blocked(thread, SYS_rt_sigtimedwait);

  workload_ready();

  check_remains(process);
  CHECK_EQ(poll(&pidfd, 1, 0), 0);
  CHECK_SYS(syscall(SYS_tgkill, process, thread, 0));
  CHECK_SYS(kill(process, SIGUSR1));
  int status = 0;
  CHECK_EQ(CHECK_SYS(waitpid(process, &status, 0)), process);
  CHECK(WIFEXITED(status));
  CHECK_EQ(WEXITSTATUS(status), kExitCode);
  CHECK_EQ(poll(&pidfd, 1, 0), 1);
  return workload_ok();
}
