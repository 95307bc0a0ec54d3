// An interactive shell on a terminal, with a stopped job, one in the background and one that reads.
#include <sys/ioctl.h>
#include <termios.h>

#include "workload.h"

static int master;

static void run_shell(void* argument) {
  CHECK_SYS(setsid());
  int slave = CHECK_SYS(open(argument, O_RDWR));
  for (int fd = 0; fd < 3; fd++) CHECK_SYS(dup2(slave, fd));
  CHECK_SYS(close(slave));
  CHECK_SYS(close(master));
  // The shell and its jobs take signals as usual, whatever this program was started with.
  CHECK(signal(SIGINT, SIG_DFL) != SIG_ERR && signal(SIGQUIT, SIG_DFL) != SIG_ERR);
  sigset_t none;
  sigemptyset(&none);
  CHECK_SYS(sigprocmask(SIG_SETMASK, &none, NULL));
  CHECK_SYS(setenv("PS1", "ready> ", 1));
  CHECK_SYS(setenv("TERM", "dumb", 1));
  CHECK_SYS(unsetenv("HISTFILE"));
  execl("/bin/bash", "bash", "--norc", "--noprofile", "--noediting", "-i", NULL);
  _exit(127);
}

static void type(const char* text) {
  write_all(master, text, strlen(text));
}

// Reads until the terminal has shown the text.
static void await_text(const char* text) {
  static char shown[1 << 16];
  size_t used = 0;
  while (used < sizeof shown - 1) {
    read_all(master, shown + used, 1);
    shown[++used] = 0;
    if (strstr(shown, text) != NULL) return;
  }
  CHECK_STR(shown, text);
}

int main(void) {
  master = posix_openpt(O_RDWR | O_NOCTTY);
  if (master < 0 || access("/bin/bash", X_OK) != 0) workload_skip("there is no shell or terminal");
  CHECK_SYS(grantpt(master));
  CHECK_SYS(unlockpt(master));
  int slave = open(ptsname(master), O_RDWR | O_NOCTTY);
  if (slave < 0) workload_skip("no pseudo-terminal file system is mounted");
  pid_t shell = spawn(run_shell, ptsname(master));
  CHECK_SYS(close(slave));
  await_text("ready> ");
  type("sleep 1000 &\n");
  await_text("ready> ");
  type("variable=kept\n");
  await_text("ready> ");
  type("cat; echo stop''ped\n");
  await_text("stop''ped");
  type("first\n");
  await_text("first\r\nfirst\r\n");
  type("\32");
  await_text("stopped\r\nready> ");
  type("cat\n");
  await_text("cat\r\n");
  type("second\n");
  await_text("second\r\nsecond\r\n");

  workload_ready();

  type("third\n");
  await_text("third\r\nthird\r\n");
  type("\4");
  await_text("ready> ");
  type("jobs\n");
  await_text("Running");
  await_text("Stopped");
  await_text("ready> ");
  type("fg\n");
  await_text("cat\r\n");
  type("fourth\n");
  await_text("fourth\r\nfourth\r\n");
  type("\3");
  await_text("ready> ");
  type("kill %1; wait; echo $variable\n");
  await_text("kept\r\n");
  await_text("ready> ");
  type("exit\n");
  reap_child(shell);
  return workload_ok();
}
