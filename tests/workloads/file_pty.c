// Pseudo-terminals: settings, modes, closed ends, and data on its way in both directions.
#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>

#include "workload.h"

struct pty {
  int master;
  int slave;
  char name[64];
};

static struct pty open_pty(void) {
  struct pty pty;
  pty.master = posix_openpt(O_RDWR | O_NOCTTY);
  if (pty.master < 0) workload_skip("there are no pseudo-terminals");
  CHECK_SYS(grantpt(pty.master));
  CHECK_SYS(unlockpt(pty.master));
  CHECK_EQ(ptsname_r(pty.master, pty.name, sizeof pty.name), 0);
  pty.slave = open(pty.name, O_RDWR | O_NOCTTY);
  if (pty.slave < 0) workload_skip("no pseudo-terminal file system is mounted");
  return pty;
}

static void make_raw(int slave) {
  struct termios settings;
  CHECK_SYS(tcgetattr(slave, &settings));
  cfmakeraw(&settings);
  CHECK_SYS(tcsetattr(slave, TCSANOW, &settings));
}

static void set_local_flags(int slave, tcflag_t set, tcflag_t cleared) {
  struct termios settings;
  CHECK_SYS(tcgetattr(slave, &settings));
  settings.c_lflag |= set;
  settings.c_lflag &= ~cleared;
  CHECK_SYS(tcsetattr(slave, TCSANOW, &settings));
}

static short events_of(int fd) {
  struct pollfd state = {fd, POLLIN | POLLOUT, 0};
  CHECK_SYS(poll(&state, 1, 0));
  return state.revents;
}

static int unread(int fd) {
  int count = 0;
  CHECK_SYS(ioctl(fd, FIONREAD, &count));
  return count;
}

// Waits for what the kernel passes on behind the scenes.
static void await_unread(int fd, int count) {
  while (unread(fd) != count) sched_yield();
}

static void check_name(const struct pty* pty) {
  char name[64];
  CHECK_EQ(ptsname_r(pty->master, name, sizeof name), 0);
  CHECK_STR(name, pty->name);
  CHECK_EQ(ttyname_r(pty->slave, name, sizeof name), 0);
  CHECK_STR(name, pty->name);
}

static void check_size(int fd) {
  struct winsize size;
  CHECK_SYS(ioctl(fd, TIOCGWINSZ, &size));
  CHECK_EQ(size.ws_row, 33);
  CHECK_EQ(size.ws_col, 99);
}

static void expect_read(int fd, const char* text) {
  char buffer[256] = {0};
  CHECK_SYS(read(fd, buffer, sizeof buffer - 1));
  CHECK_STR(buffer, text);
}

// Output of the slave is unread, with and without the line ends that the terminal adds.
static void write_output(int slave) {
  write_all(slave, "printed\n", 8);
  make_raw(slave);
  write_all(slave, "raw\n\3", 5);
}

static void check_output(const struct pty* pty) {
  expect_text(pty->master, "printed\r\nraw\n\3");
  write_all(pty->master, "typed", 5);
  expect_text(pty->slave, "typed");
}

// Two lines, an end of file and an unfinished line, none of them read; nothing is echoed.
static void type_lines(const struct pty* pty) {
  set_local_flags(pty->slave, 0, ECHO);
  write_all(pty->master, "one\ntwo\n\4thx", 12);
  await_unread(pty->slave, 8);
}

static void check_lines(const struct pty* pty) {
  CHECK_EQ(unread(pty->slave), 8);
  expect_read(pty->slave, "one\n");
  expect_read(pty->slave, "two\n");
  expect_read(pty->slave, "");
  CHECK_EQ(events_of(pty->slave) & POLLIN, 0);
  write_all(pty->master, "\177ree\n", 5);  // it can still be edited
  expect_read(pty->slave, "three\n");
}

static void type_raw(const struct pty* pty) {
  make_raw(pty->slave);
  write_all(pty->master, "a\3\4\r\0z", 6);
  await_unread(pty->slave, 6);
}

static void check_raw(const struct pty* pty) {
  char got[6];
  read_all(pty->slave, got, sizeof got);
  CHECK_EQ(memcmp(got, "a\3\4\r\0z", sizeof got), 0);
}

static void set_modes(const struct pty* pty) {
  int on = 1;
  make_raw(pty->slave);
  CHECK_SYS(ioctl(pty->master, TIOCPKT, &on));
  CHECK_SYS(ioctl(pty->slave, TIOCEXCL));
  CHECK_SYS(ioctl(pty->master, TIOCSPTLCK, &on));
  CHECK_SYS(ioctl(pty->master, TIOCSWINSZ, &(struct winsize){33, 99, 7, 8}));
  write_all(pty->slave, "ab", 2);
}

static void check_modes(const struct pty* pty) {
  int off = 0;
  int locked = 0;
  int exclusive = 0;
  check_size(pty->master);
  check_size(pty->slave);
  CHECK(open(pty->name, O_RDWR | O_NOCTTY) < 0);
  CHECK_SYS(ioctl(pty->master, TIOCGPTLCK, &locked));
  CHECK_EQ(locked, 1);
  CHECK_SYS(ioctl(pty->master, TIOCSPTLCK, &off));
  CHECK_SYS(ioctl(pty->slave, TIOCGEXCL, &exclusive));
  CHECK_EQ(exclusive, 1);
  char packet[8] = {1, 1, 1, 1};
  CHECK_EQ(CHECK_SYS(read(pty->master, packet, sizeof packet)), 3);
  CHECK_EQ(memcmp(packet, "\0ab", 3), 0);
  CHECK_SYS(tcflush(pty->slave, TCIFLUSH));
  CHECK_EQ(CHECK_SYS(read(pty->master, packet, sizeof packet)), 1);
  CHECK_EQ(packet[0] & TIOCPKT_FLUSHREAD, TIOCPKT_FLUSHREAD);
}

static void check_slave_closed(const struct pty* pty) {
  char byte;
  CHECK_EQ(events_of(pty->master) & POLLHUP, POLLHUP);
  expect_text(pty->master, "last");
  CHECK_ERRNO(read(pty->master, &byte, 1), EIO);
  int slave = CHECK_SYS(open(pty->name, O_RDWR | O_NOCTTY));
  CHECK_EQ(events_of(pty->master) & POLLHUP, 0);
  CHECK_SYS(close(slave));
}

static void check_master_closed(int slave) {
  char byte;
  CHECK_EQ(events_of(slave) & POLLHUP, POLLHUP);
  CHECK_EQ(CHECK_SYS(read(slave, &byte, 1)), 0);
  CHECK_ERRNO(write(slave, "x", 1), EIO);
}

static void check_unused(int master) {
  CHECK_EQ(events_of(master) & POLLHUP, 0);
  int slave = CHECK_SYS(open(ptsname(master), O_RDWR | O_NOCTTY));
  write_all(slave, "x", 1);
  expect_text(master, "x");
}

int main(void) {
  struct pty output = open_pty();
  struct pty lines = open_pty();
  struct pty raw = open_pty();
  struct pty modes = open_pty();
  struct pty slave_closed = open_pty();
  struct pty master_closed = open_pty();
  struct pty unused = open_pty();
  write_output(output.slave);
  type_lines(&lines);
  type_raw(&raw);
  set_modes(&modes);
  write_all(slave_closed.slave, "last", 4);
  CHECK_SYS(close(slave_closed.slave));
  CHECK_SYS(close(master_closed.master));
  CHECK_SYS(close(unused.slave));
  CHECK_SYS(close(unused.master));
  int fresh = CHECK_SYS(posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK));
  CHECK_SYS(unlockpt(fresh));

  workload_ready();

  check_name(&output);
  check_output(&output);
  check_lines(&lines);
  check_raw(&raw);
  check_modes(&modes);
  check_slave_closed(&slave_closed);
  check_master_closed(master_closed.slave);
  check_unused(fresh);
  return workload_ok();
}
