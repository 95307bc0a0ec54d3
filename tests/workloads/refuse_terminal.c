// refused: /dev/pt
#include <termios.h>

#include "workload.h"

int main(void) {
  int master = posix_openpt(O_RDWR | O_NOCTTY);
  if (master < 0) workload_skip("there are no pseudo terminals");
  CHECK_SYS(grantpt(master));
  CHECK_SYS(unlockpt(master));
  int terminal = open(ptsname(master), O_RDWR | O_NOCTTY);
  if (terminal < 0) workload_skip("no pseudo terminal file system is mounted");
  struct termios settings;
  CHECK_SYS(tcgetattr(terminal, &settings));
  cfmakeraw(&settings);
  CHECK_SYS(tcsetattr(terminal, TCSANOW, &settings));

  workload_ready();

  write_all(master, "typed", 5);
  expect_text(terminal, "typed");
  CHECK_SYS(tcgetattr(terminal, &settings));
  CHECK_EQ(settings.c_lflag & ICANON, 0);
  return workload_ok();
}
