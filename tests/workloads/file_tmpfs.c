// What is in a tmpfs of the container: a mapped, sparse file, names of every type, modes, times.
// modes: container
#include "workload.h"

enum { kSize = 64 * 4096 };

static char* shared;

static void child_body(void* argument) {
  (void)argument;
  wait_for_go();
  CHECK_EQ(shared[7], 'p');
  shared[kSize - 1] = 'c';
}

static struct stat status_of(const char* path) {
  struct stat status;
  CHECK_SYS(lstat(path, &status));
  return status;
}

int main(void) {
  const char* directory = make_tmpfs_directory();
  CHECK_SYS(chdir(directory));
  int segment = CHECK_SYS(open("segment", O_RDWR | O_CREAT | O_EXCL, 0600));
  CHECK_SYS(ftruncate(segment, kSize));
  shared = mmap(NULL, kSize, PROT_READ | PROT_WRITE, MAP_SHARED, segment, 0);
  CHECK(shared != MAP_FAILED);
  fill_pattern(shared + 4096, 8 * 4096, 5);
  CHECK_SYS(mkdir("dir", 0700));
  CHECK_SYS(chmod("dir", 01755));
  CHECK_SYS(link("segment", "dir/again"));
  CHECK_SYS(symlink("/nowhere", "dir/link"));
  CHECK_SYS(mkfifo("dir/fifo", 0600));
  int owned = CHECK_SYS(open("dir/owned", O_RDWR | O_CREAT, 0640));
  write_all(owned, "owned", 5);
  CHECK_SYS(fchown(owned, 1000, 1001));
  struct timespec times[2] = {{1000, 1}, {2000, 2}};
  CHECK_SYS(futimens(owned, times));
  pid_t child = spawn(child_body, NULL);
  await_waiting_child(child);

  workload_ready();

  check_pattern(shared + 4096, 8 * 4096, 5);
  shared[7] = 'p';
  finish_child(child);
  char last;
  CHECK_EQ(pread(segment, &last, 1, kSize - 1), 1);
  CHECK_EQ(last, 'c');
  struct stat status = status_of("segment");
  CHECK_EQ(status.st_ino, status_of("dir/again").st_ino);
  CHECK_EQ(status.st_size, kSize);
  CHECK_RANGE(status.st_blocks * 512, 0, 16 * 4096);
  CHECK_EQ(status_of("dir").st_mode, S_IFDIR | 01755);
  CHECK(S_ISFIFO(status_of("dir/fifo").st_mode));
  char target[16] = {0};
  CHECK_EQ(readlink("dir/link", target, sizeof target), 8);
  CHECK_STR(target, "/nowhere");
  status = status_of("dir/owned");
  CHECK_EQ(status.st_uid, 1000);
  CHECK_EQ(status.st_gid, 1001);
  CHECK_EQ(status.st_mode, S_IFREG | 0640);
  CHECK_EQ(status.st_mtim.tv_sec, 2000);
  CHECK_EQ(status.st_mtim.tv_nsec, 2);
  CHECK_EQ(lseek(owned, 0, SEEK_CUR), 5);
  static const char* const kNames[] = {"segment", "dir/again", "dir/link", "dir/fifo", "dir/owned"};
  for (size_t i = 0; i < sizeof kNames / sizeof *kNames; i++) CHECK_SYS(unlink(kNames[i]));
  CHECK_SYS(rmdir("dir"));
  CHECK_SYS(rmdir(directory));
  return workload_ok();
}
