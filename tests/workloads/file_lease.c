// Leases: who opens a leased file breaks the lease, the holder is told by a signal, and the opener
// waits until the lease is given up.
#include "workload_leases.h"

int main(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGIO);
  sigaddset(&set, SIGRTMIN);
  CHECK_SYS(sigprocmask(SIG_BLOCK, &set, NULL));
  close(make_file("read", "r"));
  close(make_file("write", "w"));
  int reader = CHECK_SYS(open("read", O_RDONLY));
  int writer = CHECK_SYS(open("write", O_RDWR));
  if (fcntl(reader, F_SETLEASE, F_RDLCK) != 0) workload_skip("no leases in this file system");
  CHECK_SYS(fcntl(writer, F_SETLEASE, F_WRLCK));
  CHECK_SYS(fcntl(writer, F_SETSIG, SIGRTMIN));

  workload_ready();

  CHECK_EQ(fcntl(reader, F_GETLEASE), F_RDLCK);
  CHECK_EQ(fcntl(writer, F_GETLEASE), F_WRLCK);
  CHECK_EQ(fcntl(writer, F_GETSIG), SIGRTMIN);
  pid_t child = spawn(open_to_write, "write");
  take(SIGRTMIN);
  await_blocked(child, SYS_openat);
  CHECK_SYS(fcntl(writer, F_SETLEASE, F_UNLCK));
  reap_child(child);
  close(CHECK_SYS(open("read", O_RDONLY)));  // a reader does not break it
  CHECK_EQ(fcntl(reader, F_GETLEASE), F_RDLCK);
  child = spawn(open_to_write, "read");
  take(SIGIO);
  await_blocked(child, SYS_openat);
  CHECK_SYS(fcntl(reader, F_SETLEASE, F_UNLCK));
  reap_child(child);
  return workload_ok();
}
