// A terminal in packet mode whose master has not read yet what happened to it.
// refused: packet
#include <sys/ioctl.h>
#include <termios.h>

#include "workload.h"

int main(void) {
  int master = posix_openpt(O_RDWR | O_NOCTTY);
  if (master < 0) workload_skip("there are no pseudo-terminals");
  CHECK_SYS(grantpt(master));
  CHECK_SYS(unlockpt(master));
  int slave = open(ptsname(master), O_RDWR | O_NOCTTY);
  if (slave < 0) workload_skip("no pseudo-terminal file system is mounted");
  int on = 1;
  CHECK_SYS(ioctl(master, TIOCPKT, &on));
  CHECK_SYS(tcflush(slave, TCIFLUSH));

  workload_ready();

  char status = 0;
  CHECK_EQ(CHECK_SYS(read(master, &status, 1)), 1);
  CHECK_EQ(status, TIOCPKT_FLUSHREAD);
  return workload_ok();
}
