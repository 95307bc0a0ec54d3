// What a container mounts for itself, and what it does to the mounts that it was given.
// modes: container
// rights: CAP_SYS_ADMIN
#include <limits.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>

#include "workload.h"

static char base[PATH_MAX];  // the program's directory, below which it mounts

static void mount_at(const char* point, const char* type, const char* options) {
  CHECK_SYS(mkdir(point, 0755));
  CHECK_SYS(mount("mine", point, type, 0, options));
}

static void bind(const char* from, const char* to) {
  CHECK_SYS(mount(from, to, NULL, MS_BIND, NULL));
}

static void remount_bind(const char* point, unsigned long flags) {
  CHECK_SYS(mount(NULL, point, NULL, MS_REMOUNT | MS_BIND | flags, NULL));
}

// The line of /proc/self/mountinfo for the last mount at `point`; empty if there is none.
static const char* line_of(const char* point) {
  static char found[1024];
  char key[PATH_MAX + 256];
  if (point[0] == '/')
    snprintf(key, sizeof key, " %s ", point);
  else
    snprintf(key, sizeof key, " %s/%s ", base, point);
  FILE* table = fopen("/proc/self/mountinfo", "r");
  CHECK(table != NULL);
  found[0] = 0;
  char line[1024];
  while (fgets(line, sizeof line, table) != NULL)
    if (strstr(line, key) != NULL) snprintf(found, sizeof found, "%s", line);
  fclose(table);
  return found;
}

static bool is_mounted(const char* point) {
  return line_of(point)[0] != 0;
}

static void expect_in_line(const char* point, const char* text) {
  const char* line = line_of(point);
  if (strstr(line, text) == NULL) workload_fail(__FILE__, __LINE__, point, line, text);
}

static void expect_file(const char* path, const char* text) {
  CHECK_STR(read_small_file(path), text);
}

static void write_file(const char* path, const char* text) {
  close(make_file(path, text));
}

static void make_tmpfs_trees(void) {
  mount_at("t", "tmpfs", "size=3m,mode=0750");
  write_file("t/file", "below");
  CHECK_SYS(mkdir("t/sub", 0711));
  write_file("t/sub/inner", "inner");
  mount_at("t/nested", "tmpfs", NULL);
  write_file("t/nested/file", "nested");
  CHECK_SYS(mkdir("t/stack", 0755));
  CHECK_SYS(mount("lower", "t/stack", "tmpfs", 0, NULL));
  mount_at("ro", "tmpfs", NULL);
  write_file("ro/file", "read-only");
  CHECK_SYS(mount(NULL, "ro", NULL, MS_REMOUNT | MS_RDONLY, NULL));
}

static void make_binds(void) {
  CHECK_SYS(mkdir("bound", 0755));
  bind("t/sub", "bound");
  remount_bind("bound", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME);
  write_file("plain", "plain");
  write_file("over", "over");
  bind("plain", "over");
  CHECK_SYS(mkdir("given", 0755));
  write_file("given/file", "given");
  CHECK_SYS(mkdir("dir", 0755));
  bind("given", "dir");
}

static void make_systems(void) {
  mount_at("proc", "proc", "hidepid=invisible");
  mount_at("sys", "sysfs", NULL);
  mount_at("mqueue", "mqueue", NULL);
  mount_at("pts", "devpts", "ptmxmode=0666,mode=620");
}

static void make_peers(void) {
  mount_at("shared", "tmpfs", NULL);
  CHECK_SYS(mkdir("shared/point", 0755));
  CHECK_SYS(mount(NULL, "shared", NULL, MS_SHARED, NULL));
  CHECK_SYS(mkdir("peer", 0755));
  bind("shared", "peer");
  CHECK_SYS(mkdir("slave", 0755));
  bind("shared", "slave");
  CHECK_SYS(mount(NULL, "slave", NULL, MS_SLAVE, NULL));
  CHECK_SYS(mkdir("alone", 0755));
  bind("shared", "alone");
  CHECK_SYS(mount(NULL, "alone", NULL, MS_UNBINDABLE, NULL));
}

static void check_tmpfs_trees(void) {
  expect_file("t/file", "below");
  expect_file("t/nested/file", "nested");
  expect_in_line("t", "size=3072k");
  expect_in_line("t/stack", " - tmpfs lower ");
  expect_in_line("ro", "ro,");
  expect_file("ro/file", "read-only");
  CHECK_EQ(open("ro/new", O_CREAT | O_WRONLY, 0600), -1);
  CHECK_EQ(errno, EROFS);
  struct stat status;
  CHECK_SYS(stat("t", &status));
  CHECK_EQ(status.st_mode, S_IFDIR | 0750);
  CHECK_SYS(stat("t/sub", &status));
  CHECK_EQ(status.st_mode, S_IFDIR | 0711);
}

static void check_binds(void) {
  expect_file("bound/inner", "inner");
  struct statvfs flags;
  CHECK_SYS(statvfs("bound", &flags));
  const unsigned long wanted = ST_RDONLY | ST_NOSUID | ST_NODEV | ST_NOEXEC | ST_NOATIME;
  CHECK_EQ(flags.f_flag & wanted, wanted);
  CHECK_SYS(statvfs("t", &flags));
  CHECK_EQ(flags.f_flag & wanted, 0);
  write_file("t/sub/later", "later");
  expect_file("bound/later", "later");
  CHECK_SYS(unlink("t/sub/later"));
  expect_file("over", "plain");
  expect_file("dir/file", "given");
  write_file("dir/later", "later");
  expect_file("given/later", "later");
}

static void check_systems(void) {
  struct statfs system;
  CHECK_SYS(statfs("proc", &system));
  CHECK_EQ(system.f_type, 0x9fa0);
  expect_in_line("proc", "hidepid=invisible");
  char self[16], pid[16];
  ssize_t size = CHECK_SYS(readlink("proc/self", self, sizeof self - 1));
  self[size] = 0;
  snprintf(pid, sizeof pid, "%d", getpid());
  CHECK_STR(self, pid);
  CHECK_SYS(access("sys/class/net/lo", F_OK));
  CHECK_SYS(statfs("mqueue", &system));
  CHECK_EQ(system.f_type, 0x19800202);
  CHECK_SYS(statfs("pts", &system));
  CHECK_EQ(system.f_type, 0x1cd1);
  CHECK_SYS(close(CHECK_SYS(open("pts/ptmx", O_RDWR | O_NOCTTY))));
}

static void check_peers(void) {
  expect_in_line("shared", "shared:");
  expect_in_line("slave", "master:");
  expect_in_line("alone", "unbindable");
  CHECK_SYS(mount("later", "shared/point", "tmpfs", 0, NULL));
  CHECK(is_mounted("peer/point"));
  CHECK(is_mounted("slave/point"));
  CHECK(!is_mounted("alone/point"));
  CHECK_SYS(umount("peer/point"));
  CHECK(!is_mounted("shared/point"));
  CHECK(!is_mounted("slave/point"));
  CHECK_SYS(mount("later", "slave/point", "tmpfs", 0, NULL));
  CHECK(!is_mounted("shared/point"));
  CHECK_SYS(umount("slave/point"));
}

// What the container was given: one mount is gone, one is read-only.
static void change_given(void) {
  if (!is_mounted("/dev/shm") || !is_mounted("/dev/mqueue")) return;
  write_file("/dev/shm/mount-own", "written before");
  remount_bind("/dev/shm", MS_RDONLY | MS_NOEXEC);
  CHECK_SYS(umount("/dev/mqueue"));
}

static void check_given(void) {
  if (access("/dev/shm/mount-own", F_OK) != 0) return;
  CHECK(!is_mounted("/dev/mqueue"));
  struct statvfs flags;
  CHECK_SYS(statvfs("/dev/shm", &flags));
  CHECK_EQ(flags.f_flag & (ST_RDONLY | ST_NOEXEC), ST_RDONLY | ST_NOEXEC);
  expect_file("/dev/shm/mount-own", "written before");
  remount_bind("/dev/shm", 0);
  CHECK_SYS(unlink("/dev/shm/mount-own"));
}

static void unmount_all(void) {
  static const char* const kPoints[] = {"alone",  "slave", "peer",    "shared",   "pts",
                                        "mqueue", "sys",   "proc",    "dir",      "over",
                                        "bound",  "ro",    "t/stack", "t/nested", "t"};
  for (size_t i = 0; i < sizeof kPoints / sizeof *kPoints; i++) {
    CHECK(is_mounted(kPoints[i]));
    CHECK_SYS(umount2(kPoints[i], MNT_DETACH));
    CHECK(!is_mounted(kPoints[i]));
  }
}

int main(void) {
  CHECK(getcwd(base, sizeof base) != NULL);
  make_tmpfs_trees();
  make_binds();
  make_systems();
  make_peers();
  change_given();
  int file = make_file("t/open", "opened");
  CHECK_SYS(lseek(file, 3, SEEK_SET));
  int bound = CHECK_SYS(open("bound/inner", O_RDONLY));
  char* mapped = mmap(NULL, 4096, PROT_READ, MAP_SHARED, file, 0);
  CHECK(mapped != MAP_FAILED);
  CHECK_SYS(chdir("t/nested"));

  workload_ready();

  expect_file("file", "nested");
  CHECK_SYS(chdir(base));
  check_tmpfs_trees();
  check_binds();
  check_systems();
  check_peers();
  check_given();
  CHECK_EQ(lseek(file, 0, SEEK_CUR), 3);
  expect_text(bound, "inner");
  CHECK_SYS(pwrite(file, "O", 1, 0));
  CHECK_EQ(mapped[0], 'O');
  expect_file("t/open", "Opened");
  unmount_all();
  return workload_ok();
}
