// Descriptors that only name things (O_PATH): a file, a directory, a symbolic link, a socket and a
// FIFO; and what they are used for.
#include <sys/socket.h>
#include <sys/un.h>

#include "workload.h"

static int name_of(const char* path) {
  return CHECK_SYS(open(path, O_PATH | O_NOFOLLOW));
}

static mode_t type_of(int fd) {
  struct stat status;
  CHECK_SYS(fstat(fd, &status));
  return status.st_mode & S_IFMT;
}

int main(void) {
  close(make_file("file", "content"));
  CHECK_SYS(mkdir("directory", 0755));
  close(make_file("directory/inside", "inside"));
  CHECK_SYS(symlink("file", "link"));
  CHECK_SYS(mkfifo("fifo", 0600));
  struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "socket"};
  int listener = CHECK_SYS(socket(AF_UNIX, SOCK_STREAM, 0));
  CHECK_SYS(bind(listener, (struct sockaddr*)&address, sizeof address));
  CHECK_SYS(listen(listener, 5));
  int file = name_of("file"), directory = name_of("directory"), symbolic = name_of("link");
  int fifo = name_of("fifo"), bound = name_of("socket");

  workload_ready();

  char text[64] = {0};
  CHECK_ERRNO(read(file, text, sizeof text), EBADF);
  snprintf(text, sizeof text, "/proc/self/fd/%d", file);
  int opened = CHECK_SYS(open(text, O_RDONLY));
  expect_text(opened, "content");
  CHECK_EQ(openat(directory, "inside", O_RDONLY) >= 0, 1);
  memset(text, 0, sizeof text);
  CHECK_EQ(readlinkat(symbolic, "", text, sizeof text), 4);
  CHECK_STR(text, "file");
  CHECK_EQ(type_of(fifo), S_IFIFO);
  CHECK_EQ(type_of(bound), S_IFSOCK);
  CHECK_EQ(type_of(symbolic), S_IFLNK);
  int client = CHECK_SYS(socket(AF_UNIX, SOCK_STREAM, 0));
  snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d", bound);
  CHECK_SYS(connect(client, (struct sockaddr*)&address, sizeof address));
  return workload_ok();
}
