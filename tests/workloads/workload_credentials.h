// What a task is allowed to do, as it sees it itself, and whether that is still so.
#pragma once

#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>

#include "workload.h"

struct credentials {
  uid_t uids[4];
  gid_t gids[4];
  int group_count;
  gid_t groups[32];
  struct __user_cap_data_struct caps[2];
  int bounding[41];
  int ambient[41];
  int securebits;
  int no_new_privileges;
};

static inline void observe_credentials(struct credentials* now) {
  memset(now, 0, sizeof *now);
  CHECK_SYS(getresuid(&now->uids[0], &now->uids[1], &now->uids[2]));
  CHECK_SYS(getresgid(&now->gids[0], &now->gids[1], &now->gids[2]));
  now->uids[3] = setfsuid(-1);
  now->gids[3] = setfsgid(-1);
  now->group_count = CHECK_SYS(getgroups(32, now->groups));
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  CHECK_SYS(syscall(SYS_capget, &header, now->caps));
  for (int i = 0; i < 41; i++) {
    now->bounding[i] = prctl(PR_CAPBSET_READ, i);
    now->ambient[i] = prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, i, 0, 0);
  }
  now->securebits = CHECK_SYS(prctl(PR_GET_SECUREBITS));
  now->no_new_privileges = CHECK_SYS(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
}

static inline void check_credentials(const struct credentials* was) {
  struct credentials now;
  observe_credentials(&now);
  for (int i = 0; i < 4; i++) {
    CHECK_EQ(now.uids[i], was->uids[i]);
    CHECK_EQ(now.gids[i], was->gids[i]);
  }
  CHECK_EQ(now.group_count, was->group_count);
  CHECK_EQ(memcmp(now.groups, was->groups, sizeof now.groups), 0);
  for (int i = 0; i < 2; i++) {
    CHECK_EQ(now.caps[i].effective, was->caps[i].effective);
    CHECK_EQ(now.caps[i].permitted, was->caps[i].permitted);
    CHECK_EQ(now.caps[i].inheritable, was->caps[i].inheritable);
  }
  CHECK_EQ(memcmp(now.bounding, was->bounding, sizeof now.bounding), 0);
  CHECK_EQ(memcmp(now.ambient, was->ambient, sizeof now.ambient), 0);
  CHECK_EQ(now.securebits, was->securebits);
  CHECK_EQ(now.no_new_privileges, was->no_new_privileges);
}
