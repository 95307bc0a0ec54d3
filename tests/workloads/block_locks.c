// Processes that wait for a file lock: a record lock of fcntl, one of an open file description, and
// flock. Each gets it when its holder lets go, and not before.
#include <sys/file.h>

#include "workload.h"

static struct flock whole(short type) {
  return (struct flock){.l_type = type, .l_whence = SEEK_SET};
}

static void wait_for_record(void* argument) {
  struct flock lock = whole(F_WRLCK);
  CHECK_SYS(fcntl(CHECK_SYS(open("record", O_RDWR)), F_SETLKW, &lock));
  (void)argument;
}

static void wait_for_description(void* argument) {
  struct flock lock = whole(F_WRLCK);
  CHECK_SYS(fcntl(CHECK_SYS(open("description", O_RDWR)), F_OFD_SETLKW, &lock));
  (void)argument;
}

static void wait_for_flock(void* argument) {
  CHECK_SYS(flock(CHECK_SYS(open("flock", O_RDWR)), LOCK_EX));
  (void)argument;
}

int main(void) {
  struct flock lock = whole(F_WRLCK);
  struct flock unlock = whole(F_UNLCK);
  int record = make_file("record", "r");
  CHECK_SYS(fcntl(record, F_SETLK, &lock));
  int description = make_file("description", "d");
  CHECK_SYS(fcntl(description, F_OFD_SETLK, &lock));
  // Closed in the child, which shares this description with it.
  int flocked = make_file("flock", "f");
  CHECK_SYS(flock(flocked, LOCK_EX));
  pid_t children[] = {spawn(wait_for_record, NULL), spawn(wait_for_description, NULL),
                      spawn(wait_for_flock, NULL)};
  await_blocked(children[0], SYS_fcntl);
  await_blocked(children[1], SYS_fcntl);
  await_blocked(children[2], SYS_flock);

  workload_ready();

  await_blocked(children[0], SYS_fcntl);
  await_blocked(children[1], SYS_fcntl);
  await_blocked(children[2], SYS_flock);
  CHECK_SYS(fcntl(record, F_SETLK, &unlock));
  reap_child(children[0]);
  CHECK_SYS(fcntl(description, F_OFD_SETLK, &unlock));
  reap_child(children[1]);
  CHECK_SYS(flock(flocked, LOCK_UN));
  reap_child(children[2]);
  return workload_ok();
}
