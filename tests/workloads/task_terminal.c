// A session with a controlling terminal: /dev/tty, the foreground job that gets what is typed and
// the signals of the keys, a job in the background that may not read, one that has left the
// terminal, and the hang-up in the end.
#include <sys/ioctl.h>
#include <termios.h>

#include "workload.h"

static int master;
static pid_t pids[4];
static int told[2];  // pipe by which the leader tells what it has found

enum { kForeground, kBackground, kAway, kJobs };

static void open_terminal(void) {
  master = posix_openpt(O_RDWR | O_NOCTTY);
  if (master < 0) workload_skip("there are no pseudo-terminals");
  CHECK_SYS(grantpt(master));
  CHECK_SYS(unlockpt(master));
}

// A job of its own process group that waits for what comes.
static void job(void* argument) {
  int number = *(int*)argument;
  CHECK_SYS(setpgid(0, 0));
  signal(SIGINT, SIG_DFL);
  if (number == kAway) {
    int tty = CHECK_SYS(open("/dev/tty", O_RDWR));
    CHECK_SYS(ioctl(tty, TIOCNOTTY));
    CHECK_SYS(close(tty));
  }
  wait_for_go();
  int tty = open("/dev/tty", O_RDWR);
  if (number == kAway) CHECK(tty < 0);
  if (number != kBackground) pause();
  char byte;
  read(tty, &byte, 1);  // stops it
  pause();
}

static void check_signalled(pid_t pid, int signal_number) {
  int status;
  CHECK_EQ(CHECK_SYS(waitpid(pid, &status, 0)), pid);
  CHECK(WIFSIGNALED(status));
  CHECK_EQ(WTERMSIG(status), signal_number);
}

// The shell, as it were.
static void lead(void* argument) {
  CHECK_SYS(setsid());
  int slave = CHECK_SYS(open(argument, O_RDWR));  // becomes the controlling terminal
  CHECK_SYS(close(master));
  signal(SIGTTOU, SIG_IGN);
  for (int number = 0; number < kJobs; number++) {
    pids[number] = spawn(job, &number);
    await_waiting_child(pids[number]);
  }
  CHECK_SYS(tcsetpgrp(slave, pids[kForeground]));
  int tty = CHECK_SYS(open("/dev/tty", O_RDWR));
  CHECK_SYS(close(slave));
  write_all(told[1], "0", 1);
  wait_for_go();

  char name[64];
  CHECK_EQ(ttyname_r(tty, name, sizeof name), 0);
  CHECK_STR(name, "/dev/tty");
  CHECK_EQ(CHECK_SYS(tcgetpgrp(tty)), pids[kForeground]);
  CHECK_EQ(CHECK_SYS(tcgetsid(tty)), getpid());
  for (int number = 0; number < kJobs; number++) CHECK_SYS(kill(pids[number], SIGUSR1));
  int status;
  CHECK_EQ(CHECK_SYS(waitpid(pids[kBackground], &status, WUNTRACED)), pids[kBackground]);
  CHECK(WIFSTOPPED(status));
  CHECK_EQ(WSTOPSIG(status), SIGTTIN);
  await_blocked(pids[kForeground], SYS_pause);
  await_blocked(pids[kAway], SYS_pause);
  write_all(told[1], "1", 1);  // the key for an interrupt is pressed now
  check_signalled(pids[kForeground], SIGINT);
  CHECK_SYS(kill(pids[kAway], SIGKILL));
  check_signalled(pids[kAway], SIGKILL);
  CHECK_SYS(tcsetpgrp(tty, getpgrp()));
  write_all(told[1], "2", 1);  // a line is typed
  expect_text(tty, "line\n");
  write_all(told[1], "3", 1);  // the terminal is closed
  pause();
}

int main(void) {
  open_terminal();
  CHECK_SYS(pipe2(told, O_CLOEXEC));
  int slave = open(ptsname(master), O_RDWR | O_NOCTTY);
  if (slave < 0) workload_skip("no pseudo-terminal file system is mounted");
  CHECK_SYS(close(slave));
  pid_t leader = spawn(lead, ptsname(master));
  expect_text(told[0], "0");
  await_waiting_child(leader);
  pid_t group = CHECK_SYS(tcgetpgrp(master));

  workload_ready();

  CHECK_EQ(CHECK_SYS(tcgetsid(master)), leader);
  CHECK_EQ(CHECK_SYS(tcgetpgrp(master)), group);
  CHECK_SYS(kill(leader, SIGUSR1));
  expect_text(told[0], "1");
  write_all(master, "\3", 1);
  expect_text(told[0], "2");
  write_all(master, "line\n", 5);
  expect_text(told[0], "3");
  CHECK_SYS(close(master));
  check_signalled(leader, SIGHUP);
  return workload_ok();
}
