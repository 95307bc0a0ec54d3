// Mount namespaces with another root (pivot_root), as sandboxes have them: one whose root is a
// tmpfs with some of the container's directories in it, and one whose root is a directory of the
// container, with the old root still in it. A program was executed in each.
// modes: container
// rights: CAP_SYS_ADMIN CAP_SYS_CHROOT
#include <libgen.h>
#include <sched.h>
#include <sys/wait.h>

#include "workload_mounts.h"

static char mounts_before[kMountTable];

static void make_parents(char* path) {
  for (char* at = path + 1; (at = strchr(at, '/')) != NULL; at++) {
    *at = 0;
    if (mkdir(path, 0755) != 0) CHECK_EQ(errno, EEXIST);
    *at = '/';
  }
  if (mkdir(path, 0755) != 0) CHECK_EQ(errno, EEXIST);
}

// At the same place below another root.
static void show_below(const char* root, const char* path) {
  if (!is_there(path)) return;
  char point[PATH_MAX];
  snprintf(point, sizeof point, "%s%s", root, path);
  make_parents(point);
  CHECK_SYS(mount(path, point, NULL, MS_BIND | MS_REC, NULL));
}

static void show_program_below(const char* root) {
  static const char* const kPaths[] = {"/usr", "/lib", "/lib64", "/proc", "/dev"};
  for (size_t i = 0; i < sizeof kPaths / sizeof *kPaths; i++) show_below(root, kPaths[i]);
  char program[PATH_MAX] = "";
  CHECK_SYS(readlink("/proc/self/exe", program, sizeof program - 1));
  show_below(root, dirname(program));
}

static void turn_root(const char* root, const char* old) {
  CHECK_SYS(chdir(root));
  CHECK_SYS(syscall(SYS_pivot_root, ".", old));
  CHECK_SYS(chdir("/"));
}

static void execute(const char* program, char* word) {
  char copy[PATH_MAX];
  snprintf(copy, sizeof copy, "%s", program);
  char* arguments[] = {copy, word, NULL};
  execv(copy, arguments);
  workload_fail(__FILE__, __LINE__, "execv", strerror(errno), "the program");
}

static void enter_namespace(void) {
  if (unshare(CLONE_NEWNS) != 0) workload_skip("no right to make mount namespaces");
  spread_mounts("/", MS_PRIVATE | MS_REC);
}

static void tmpfs_body(void* program) {
  enter_namespace();
  CHECK_SYS(mount("mine", "tmpfs-root", "tmpfs", 0, "size=4m,mode=755"));
  show_program_below("tmpfs-root");
  CHECK_SYS(mkdir("tmpfs-root/here", 0755));
  bind_at("given", "tmpfs-root/here");
  turn_root("tmpfs-root", ".");
  CHECK_SYS(umount2(".", MNT_DETACH));
  write_file("/kept", "in the root");
  CHECK_SYS(mount(NULL, "/usr", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID, NULL));
  execute(program, "tmpfs");
}

static void directory_body(void* program) {
  enter_namespace();
  bind_at("directory-root", "directory-root");
  show_program_below("directory-root");
  CHECK_SYS(mkdir("directory-root/old", 0755));
  turn_root("directory-root", "old");
  CHECK_SYS(mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL));
  execute(program, "directory");
}

// Inside, as another program.

static void run_in_tmpfs(void) {
  CHECK_SYS(chdir("/here"));
  int file = make_file("/open", "opened");
  describe_mounts(mounts_before, sizeof mounts_before);
  wait_for_go();
  expect_mounts(mounts_before);
  CHECK_SYS(lseek(file, 0, SEEK_SET));
  expect_text(file, "opened");
  CHECK_STR(read_small_file("/kept"), "in the root");
  CHECK_STR(read_small_file("file"), "given");
  CHECK(!is_there("/tmp/workload"));
  write_file("/here/new", "from the tmpfs");
  CHECK_ERRNO(open("/usr/new", O_WRONLY | O_CREAT, 0600), EROFS);
}

static void run_in_directory(char* of_root) {
  char path[PATH_MAX];
  snprintf(path, sizeof path, "/old%s/given/file", of_root);
  int old = CHECK_SYS(open(path, O_RDWR));
  describe_mounts(mounts_before, sizeof mounts_before);
  wait_for_go();
  expect_mounts(mounts_before);
  CHECK_STR(read_small_file("/own"), "of the directory");
  expect_text(old, "given");
  CHECK_ERRNO(open("/new", O_WRONLY | O_CREAT, 0600), EROFS);
}

int main(int argc, char** argv) {
  char base[PATH_MAX];
  CHECK(getcwd(base, sizeof base) != NULL);
  if (argc > 1 && strcmp(argv[1], "tmpfs") == 0) return run_in_tmpfs(), 0;
  if (argc > 1) return run_in_directory(getenv("WORKLOAD_BASE")), 0;
  CHECK_SYS(setenv("WORKLOAD_BASE", base, 1));
  static const char* const kDirectories[] = {"given", "tmpfs-root", "directory-root"};
  for (size_t i = 0; i < 3; i++) CHECK_SYS(mkdir(kDirectories[i], 0755));
  write_file("given/file", "given");
  write_file("directory-root/own", "of the directory");
  char program[PATH_MAX] = "";
  CHECK_SYS(readlink("/proc/self/exe", program, sizeof program - 1));
  pid_t tmpfs = spawn(tmpfs_body, program);
  await_waiting_child(tmpfs);
  pid_t directory = spawn(directory_body, program);
  await_waiting_child(directory);
  describe_mounts(mounts_before, sizeof mounts_before);

  workload_ready();

  expect_mounts(mounts_before);
  finish_child(tmpfs);
  CHECK_STR(read_small_file("given/new"), "from the tmpfs");
  finish_child(directory);
  expect_mounts(mounts_before);
  return workload_ok();
}
