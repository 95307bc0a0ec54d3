// A mount namespace with mounts of its own, as a service with private directories has it: a
// directory over another, a tmpfs in which files, a program and a socket are, devices of its own,
// without some mounts of the container and with one that the container has unmounted since. Three
// processes live in it.
// modes: container
// rights: CAP_SYS_ADMIN CAP_SYS_CHROOT CAP_MKNOD
#include <sched.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "workload_mounts.h"

static char mounts_before[kMountTable];

static struct sockaddr_un address_of(const char* path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
  return address;
}

static int unix_socket(void) {
  return CHECK_SYS(socket(AF_UNIX, SOCK_STREAM, 0));
}

static void make_private_devices(void) {
  CHECK_SYS(mkdir("devices", 0755));
  CHECK_SYS(mount("mine", "devices", "tmpfs", MS_NOSUID, "mode=755"));
  CHECK_SYS(mknod("devices/null", S_IFCHR | 0666, makedev(1, 3)));
  CHECK_SYS(mknod("devices/zero", S_IFCHR | 0666, makedev(1, 5)));
  CHECK_SYS(symlink("/proc/self/fd", "devices/fd"));
  CHECK_SYS(mkdir("devices/shm", 0755));
  bind_at("/dev/shm", "devices/shm");
  CHECK_SYS(umount2("/dev", MNT_DETACH));
  CHECK_SYS(mount("devices", "/dev", NULL, MS_MOVE, NULL));
  CHECK_SYS(mount(NULL, "/dev", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOEXEC, NULL));
}

static void copy_program(const char* to) {
  int from = CHECK_SYS(open("/proc/self/exe", O_RDONLY));
  int copy = CHECK_SYS(open(to, O_WRONLY | O_CREAT, 0700));
  char buffer[65536];
  for (ssize_t got; (got = CHECK_SYS(read(from, buffer, sizeof buffer))) > 0;)
    write_all(copy, buffer, (size_t)got);
  CHECK_SYS(close(copy));
}

// From a program in the namespace's own tmpfs, below a root directory there.
static int run_inner(void) {
  CHECK_SYS(chdir("state/deep"));
  wait_for_go();
  CHECK_STR(read_small_file("inner"), "deep");
  char path[PATH_MAX] = "";
  CHECK_SYS(readlink("/proc/self/exe", path, sizeof path - 1));
  CHECK(strstr(path, "/state/program") != NULL);
  int client = unix_socket();
  struct sockaddr_un address = address_of("../socket");
  CHECK_SYS(connect(client, (struct sockaddr*)&address, sizeof address));
  write_all(client, "hello", 5);
  return 0;
}

static void inner_body(void* argument) {
  char* arguments[] = {"program", "inner", NULL};
  execv(argument, arguments);
  workload_fail(__FILE__, __LINE__, "execv", strerror(errno), "the program");
}

static void jailed_body(void* argument) {
  (void)argument;
  CHECK_SYS(chroot("state/deep"));
  CHECK_SYS(chdir("/"));
  wait_for_go();
  CHECK_STR(read_small_file("/inner"), "deep");
  CHECK_STR(read_small_file("../inner"), "deep");
}

struct held {
  int file, deleted, listener, zero, private;
  char *mapped, *bound;
};

static char* map_file(const char* path, const char* text) {
  int file = make_file(path, text);
  char* mapped = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  CHECK(mapped != MAP_FAILED);
  CHECK_SYS(close(file));
  return mapped;
}

static void make_state(struct held* held) {
  CHECK_SYS(mount("mine", "state", "tmpfs", 0, "size=8m"));
  CHECK_SYS(mkdir("state/deep", 0711));
  write_file("state/deep/inner", "deep");
  held->file = make_file("state/file", "0123456789");
  CHECK_SYS(lseek(held->file, 4, SEEK_SET));
  held->mapped = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, held->file, 0);
  CHECK(held->mapped != MAP_FAILED);
  held->deleted = make_file("state/deleted", "nameless");
  CHECK_SYS(unlink("state/deleted"));
  held->listener = unix_socket();
  struct sockaddr_un address = address_of("state/socket");
  CHECK_SYS(bind(held->listener, (struct sockaddr*)&address, sizeof address));
  CHECK_SYS(listen(held->listener, 4));
  copy_program("state/program");
}

static void check_state(const struct held* held) {
  expect_text(held->file, "456789");
  held->mapped[0] = 'M';
  CHECK_STR(read_small_file("state/file"), "M123456789");
  CHECK_SYS(lseek(held->deleted, 0, SEEK_SET));
  expect_text(held->deleted, "nameless");
  int server = CHECK_SYS(accept(held->listener, NULL, NULL));
  expect_text(server, "hello");
  char zero = 'x';
  read_all(held->zero, &zero, 1);
  CHECK_EQ(zero, 0);
  CHECK_ERRNO(open("/dev/new", O_WRONLY | O_CREAT, 0600), EROFS);
  CHECK_SYS(close(CHECK_SYS(open("/dev/null", O_WRONLY))));
  struct stat status;
  CHECK_SYS(stat("state/deep", &status));
  CHECK_EQ(status.st_mode, S_IFDIR | 0711);
  write_all(held->private, "more", 4);
  CHECK_STR(read_small_file("public/file"), "privatemore");
  CHECK_STR(read_small_file("public/mapped"), "Mapped");
  held->bound[1] = 'A';
  CHECK_STR(read_small_file("still/file"), "still there");
}

static void service_body(void* argument) {
  (void)argument;
  if (unshare(CLONE_NEWNS) != 0) workload_skip("no right to make mount namespaces");
  spread_mounts("/", MS_PRIVATE | MS_REC);
  bind_at("private", "public");
  bind_at("of-container/sub", "over");
  struct held held;
  make_state(&held);
  make_private_devices();
  held.zero = CHECK_SYS(open("/dev/zero", O_RDONLY));
  held.private = CHECK_SYS(open("public/file", O_WRONLY | O_APPEND));
  held.bound = map_file("public/mapped", "mapped");
  CHECK_SYS(umount("gone"));
  char program[] = "state/program";
  pid_t inner = spawn(inner_body, program);
  await_waiting_child(inner);
  pid_t jailed = spawn(jailed_body, NULL);
  await_waiting_child(jailed);
  held.bound[0] = 'M';  // of which no event tells
  describe_mounts(mounts_before, sizeof mounts_before);

  wait_for_go();

  expect_mounts(mounts_before);
  finish_child(inner);
  finish_child(jailed);
  check_state(&held);
  CHECK_STR(read_small_file("over/file"), "of the container");
  write_file("over/new", "from inside");
  CHECK(!is_there("gone/file"));
}

int main(int argc, char** argv) {
  if (argc > 1 && strcmp(argv[1], "inner") == 0) return run_inner();
  static const char* const kDirectories[] = {"public",       "private", "state", "over",
                                             "of-container", "gone",    "still"};
  for (size_t i = 0; i < sizeof kDirectories / sizeof *kDirectories; i++)
    CHECK_SYS(mkdir(kDirectories[i], 0755));
  if (mount("mine", "of-container", "tmpfs", 0, NULL) != 0) workload_skip("no right to mount");
  CHECK_SYS(mkdir("of-container/sub", 0755));
  write_file("of-container/sub/file", "of the container");
  CHECK_SYS(mount("mine", "gone", "tmpfs", 0, NULL));
  write_file("gone/file", "");
  CHECK_SYS(mount("mine", "still", "tmpfs", 0, NULL));
  write_file("still/file", "still there");
  write_file("public/file", "public");
  write_file("private/file", "private");
  pid_t service = spawn(service_body, NULL);
  await_waiting_child(service);
  CHECK_SYS(umount("still"));
  char before[kMountTable];
  describe_mounts(before, sizeof before);

  workload_ready();

  expect_mounts(before);
  CHECK(!is_there("state/file"));
  CHECK_STR(read_small_file("public/file"), "public");
  finish_child(service);
  expect_mounts(before);
  CHECK_STR(read_small_file("private/file"), "privatemore");
  CHECK_STR(read_small_file("private/mapped"), "MApped");
  CHECK(!is_there("still/file"));
  CHECK_STR(read_small_file("of-container/sub/new"), "from inside");
  CHECK(is_there("gone/file"));
  return workload_ok();
}
