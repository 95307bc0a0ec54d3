// Extended attributes and file capabilities, of a file that is open, of one that is not, of a
// directory and of an open file without a name in a tmpfs; ownership, set-id bits and times too.
#include <linux/capability.h>
#include <sys/xattr.h>

#include "workload.h"

static const struct timespec kTimes[2] = {{1000000000, 111111111}, {1100000000, 222222222}};

static void expect_attribute(const char* path, const char* name, const char* value) {
  char found[64] = {0};
  CHECK_EQ(CHECK_SYS(getxattr(path, name, found, sizeof found)), (long)strlen(value));
  CHECK_STR(found, value);
}

static struct vfs_cap_data capability(void) {
  struct vfs_cap_data data = {.magic_etc = VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE};
  data.data[0].permitted = 1u << CAP_NET_BIND_SERVICE;
  return data;
}

int main(void) {
  int fd = make_file("open", "open");
  close(make_file("closed", "closed"));
  CHECK_SYS(mkdir("directory", 0750));
  if (setxattr("open", "user.kind", "first", 5, 0) != 0)
    workload_skip("no extended attributes in this file system");
  CHECK_SYS(fsetxattr(fd, "user.other", "second", 6, 0));
  CHECK_SYS(setxattr("directory", "user.place", "shelf", 5, 0));
  struct vfs_cap_data wanted = capability();
  CHECK_SYS(chown("closed", 1234, 5678));
  CHECK_SYS(chmod("closed", 06755));
  CHECK_SYS(setxattr("closed", "security.capability", &wanted, XATTR_CAPS_SZ_2, 0));
  CHECK_SYS(utimensat(AT_FDCWD, "closed", kTimes, 0));

  workload_ready();

  expect_attribute("open", "user.kind", "first");
  expect_attribute("open", "user.other", "second");
  expect_attribute("directory", "user.place", "shelf");
  struct vfs_cap_data found = {0};
  CHECK_EQ(getxattr("closed", "security.capability", &found, sizeof found), XATTR_CAPS_SZ_2);
  CHECK_EQ(found.data[0].permitted, wanted.data[0].permitted);
  struct stat status;
  CHECK_SYS(stat("closed", &status));
  CHECK_EQ(status.st_uid, 1234);
  CHECK_EQ(status.st_gid, 5678);
  CHECK_EQ(status.st_mode & 07777, 06755);
  CHECK_EQ(status.st_mtim.tv_sec, kTimes[1].tv_sec);
  CHECK_EQ(status.st_mtim.tv_nsec, kTimes[1].tv_nsec);
  CHECK_SYS(fsetxattr(fd, "user.kind", "third", 5, XATTR_REPLACE));
  expect_attribute("open", "user.kind", "third");
  return workload_ok();
}
