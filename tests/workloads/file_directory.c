// Directories: an open one, one that is read half-way, O_PATH, and relative paths through them.
#include <dirent.h>

#include "workload.h"

int main(void) {
  CHECK_SYS(mkdir("directory", 0700));
  CHECK_SYS(chdir("directory"));
  enum { kFiles = 40 };
  for (int i = 0; i < kFiles; i++) {
    char name[16];
    snprintf(name, sizeof name, "file-%d", i);
    close(make_file(name, name));
  }
  CHECK_SYS(chdir(".."));
  int plain = CHECK_SYS(open("directory", O_RDONLY | O_DIRECTORY));
  int path_only = CHECK_SYS(open("directory/file-3", O_PATH));
  DIR* stream = opendir("directory");
  CHECK(stream != NULL);
  int seen = 0;
  for (; seen < 7; seen++) CHECK(readdir(stream) != NULL);

  workload_ready();

  int file = CHECK_SYS(openat(plain, "file-17", O_RDONLY));
  expect_text(file, "file-17");
  CHECK(fcntl(plain, F_GETFL) & O_DIRECTORY);
  CHECK(fcntl(path_only, F_GETFL) & O_PATH);
  struct stat status;
  CHECK_SYS(fstat(path_only, &status));
  CHECK_EQ(status.st_size, 6);
  CHECK_ERRNO(dup3(path_only, path_only, 0), EINVAL);
  while (readdir(stream)) seen++;
  CHECK_EQ(seen, kFiles + 2);
  closedir(stream);
  CHECK_SYS(fchdir(plain));
  CHECK_STR(read_small_file("file-5"), "file-5");
  return workload_ok();
}
