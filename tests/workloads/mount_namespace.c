// Processes in a mount namespace of their own, in which one mount is read-only: one that has made
// it with a thread, and its child. What they mount afterwards only they see. A mount that the
// container has made behaves in another way there.
// modes: container
// rights: CAP_SYS_ADMIN CAP_SYS_CHROOT
#include <sched.h>
#include <sys/mount.h>
#include <sys/statvfs.h>

#include "workload.h"

static bool is_there(const char* path) {
  return access(path, F_OK) == 0;
}

static void remount(const char* point, unsigned long flags) {
  CHECK_SYS(mount(NULL, point, NULL, MS_REMOUNT | MS_BIND | flags, NULL));
}

static void expect_flags(const char* point, unsigned long flags) {
  struct statvfs status;
  CHECK_SYS(statvfs(point, &status));
  CHECK_EQ(status.f_flag & (ST_RDONLY | ST_NODEV | ST_NOEXEC), flags);
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
  remount("/dev/shm", MS_RDONLY | MS_NOEXEC);
  remount("own", MS_NODEV);
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
  expect_flags("/dev/shm", ST_RDONLY | ST_NOEXEC);
  expect_flags("own", ST_NODEV);
  CHECK(is_there("own/inside"));
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
  CHECK_SYS(mkdir("own", 0755));
  if (mount("mine", "own", "tmpfs", 0, NULL) != 0) workload_skip("no right to mount");
  CHECK_SYS(close(make_file("own/inside", "")));
  pid_t outer = spawn(outer_body, NULL);
  await_waiting_child(outer);
  remount("own", MS_NOEXEC);

  workload_ready();

  CHECK_SYS(close(make_file("/dev/shm/after", "")));
  CHECK_SYS(unlink("/dev/shm/after"));
  finish_child(outer);
  expect_flags("own", ST_NOEXEC);
  CHECK_SYS(umount("own"));
  CHECK(!is_there("later/inside"));
  CHECK_SYS(unlink("/dev/shm/of-root"));
  CHECK_SYS(unlink("kept"));
  return workload_ok();
}
