// Processes in a mount namespace of their own, in which one mount is read-only: one that has made
// it with a thread, and its child. What they mount afterwards only they see.
// modes: container
// rights: CAP_SYS_ADMIN CAP_SYS_CHROOT
#include <sched.h>
#include <sys/mount.h>

#include "workload.h"

static bool is_there(const char* path) {
  return access(path, F_OK) == 0;
}

static void* look(void* argument) {
  char go;
  read_all(*(int*)argument, &go, 1);
  CHECK(is_there("later/inside"));
  return argument;
}

static void inner_body(void* argument) {
  (void)argument;
  CHECK_SYS(chdir("deeper"));
  wait_for_go();
  CHECK(is_there("../later/inside"));
  CHECK_ERRNO(open("/dev/shm/inner", O_WRONLY | O_CREAT, 0600), EROFS);
}

static void outer_body(void* argument) {
  (void)argument;
  if (unshare(CLONE_NEWNS) != 0) workload_skip("no right to make mount namespaces");
  CHECK_SYS(mount(NULL, "/", NULL, MS_PRIVATE | MS_REC, NULL));
  CHECK_SYS(mount(NULL, "/dev/shm", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOEXEC, NULL));
  int file = make_file("kept", "text");
  int ends[2];
  CHECK_SYS(pipe(ends));
  struct thread thread;
  start_thread(&thread, look, &ends[0]);
  await_blocked(thread.tid, SYS_read);
  pid_t inner = spawn(inner_body, NULL);
  await_waiting_child(inner);
  wait_for_go();
  CHECK_ERRNO(open("/dev/shm/outer", O_WRONLY | O_CREAT, 0600), EROFS);
  CHECK(is_there("/dev/shm/of-root"));
  CHECK_STR(read_small_file("kept"), "text");
  write_all(file, "more", 4);
  CHECK_SYS(mount("mine", "later", "tmpfs", 0, NULL));
  CHECK_SYS(close(make_file("later/inside", "")));
  write_all(ends[1], "g", 1);
  join_thread(&thread);
  finish_child(inner);
}

int main(void) {
  CHECK_SYS(mkdir("deeper", 0755));
  CHECK_SYS(mkdir("later", 0755));
  if (!is_there("/dev/shm")) workload_skip("no /dev/shm");
  CHECK_SYS(close(make_file("/dev/shm/of-root", "")));
  pid_t outer = spawn(outer_body, NULL);
  await_waiting_child(outer);

  workload_ready();

  CHECK_SYS(close(make_file("/dev/shm/after", "")));
  CHECK_SYS(unlink("/dev/shm/after"));
  finish_child(outer);
  CHECK(!is_there("later/inside"));
  CHECK_SYS(unlink("/dev/shm/of-root"));
  CHECK_SYS(unlink("kept"));
  return workload_ok();
}
