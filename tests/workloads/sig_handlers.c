// Signal actions: handlers with each flag, masks, ignored signals; what they do, not what they say.
#include "workload.h"

static volatile sig_atomic_t calls;
static volatile sig_atomic_t depth;
static volatile sig_atomic_t deepest;
static volatile sig_atomic_t entries;
static siginfo_t last_info;

static void count(int number) {
  (void)number;
  calls++;
}

static void nest(int number) {
  depth++;
  if (depth > deepest) deepest = depth;
  if (entries++ == 0) raise(number);
  depth--;
}

static void remember(int number, siginfo_t* info, void* context) {
  (void)number;
  CHECK(context != NULL);
  last_info = *info;
}

static void check_masked(int number) {
  (void)number;
  sigset_t mask;
  sigprocmask(SIG_BLOCK, NULL, &mask);
  CHECK_EQ(sigismember(&mask, SIGHUP), 1);
  CHECK_EQ(sigismember(&mask, SIGALRM), 1);
  CHECK_EQ(sigismember(&mask, SIGTERM), 0);
  calls++;
}

static void install(int number, void* handler, int flags) {
  struct sigaction action = {.sa_flags = flags};
  if (flags & SA_SIGINFO) {
    action.sa_sigaction = handler;
  } else {
    action.sa_handler = handler;
  }
  if (number == SIGALRM) sigaddset(&action.sa_mask, SIGHUP);
  CHECK_SYS(sigaction(number, &action, NULL));
}

struct kernel_action {
  uint64_t handler;
  uint64_t flags;
  uint64_t restorer;
  uint64_t mask;
};

static void observe(struct kernel_action* actions) {
  memset(actions, 0, 65 * sizeof *actions);
  for (int i = 1; i <= 64; i++) CHECK_SYS(syscall(SYS_rt_sigaction, i, NULL, &actions[i], 8));
}

int main(void) {
  static struct kernel_action was[65];
  static struct kernel_action now[65];
  install(SIGUSR2, count, 0);
  install(SIGHUP, nest, SA_NODEFER);
  install(SIGTERM, nest, 0);
  install(SIGINT, count, SA_RESETHAND | SA_RESTART);
  install(SIGRTMIN + 4, remember, SA_SIGINFO);
  install(SIGALRM, check_masked, 0);
  install(SIGWINCH, SIG_IGN, 0);
  install(SIGCHLD, count, SA_NOCLDSTOP | SA_NOCLDWAIT);
  install(SIGQUIT, SIG_IGN, 0);
  observe(was);

  workload_ready();

  observe(now);
  CHECK_EQ(memcmp(was, now, sizeof was), 0);
  raise(SIGUSR2);
  CHECK_EQ(calls, 1);
  raise(SIGHUP);
  CHECK_EQ(deepest, 2);
  deepest = entries = 0;
  raise(SIGTERM);
  CHECK_EQ(deepest, 1);
  CHECK_EQ(entries, 2);
  raise(SIGINT);
  CHECK_EQ(calls, 2);
  struct sigaction action;
  CHECK_SYS(sigaction(SIGINT, NULL, &action));
  CHECK(action.sa_handler == SIG_DFL);
  CHECK_SYS(sigqueue(getpid(), SIGRTMIN + 4, (union sigval){.sival_int = 1234}));
  CHECK_EQ(last_info.si_value.sival_int, 1234);
  CHECK_EQ(last_info.si_pid, getpid());
  raise(SIGALRM);
  CHECK_EQ(calls, 3);
  raise(SIGWINCH);
  raise(SIGQUIT);
  pid_t child = CHECK_SYS(fork());
  if (child == 0) _exit(0);
  CHECK_ERRNO(wait(NULL), ECHILD);  // SA_NOCLDWAIT: it leaves no zombie
  return workload_ok();
}
