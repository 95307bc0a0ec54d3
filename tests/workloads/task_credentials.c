// User and group ids, supplementary groups, capability sets and secure bits, different in each
// process.
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

static void observe(struct credentials* now) {
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

static void check_same(const struct credentials* was) {
  struct credentials now;
  observe(&now);
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

static void set_caps(uint32_t effective, uint32_t permitted, uint32_t inheritable) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2] = {{effective, permitted, inheritable}, {0, 0, 0}};
  CHECK_SYS(syscall(SYS_capset, &header, data));
}

static void hold(void) {
  struct credentials was;
  observe(&was);
  wait_for_go();
  check_same(&was);
}

static void ordinary_user(void* argument) {
  (void)argument;
  gid_t groups[] = {7, 100, 4711};
  CHECK_SYS(setgroups(3, groups));
  CHECK_SYS(setresgid(1001, 1001, 1001));
  CHECK_SYS(setresuid(1001, 1001, 1001));
  hold();
  CHECK_ERRNO(setuid(0), EPERM);
}

static void distinct_ids(void* argument) {
  (void)argument;
  CHECK_SYS(setgroups(0, NULL));
  CHECK_SYS(setresgid(2001, 2002, 2003));
  setfsgid(2001);
  CHECK_SYS(setresuid(3001, 3002, 0));
  setfsuid(3001);
  hold();
  CHECK_SYS(setresuid(-1, 0, -1));  // the saved id gives the privilege back
}

// An unprivileged user with some capabilities of its own, as a server that binds port 80.
static void capable_user(void* argument) {
  (void)argument;
  uint32_t chown = 1u << CAP_CHOWN;
  uint32_t kill = 1u << CAP_KILL;
  uint32_t bind = 1u << CAP_NET_BIND_SERVICE;
  CHECK_SYS(prctl(PR_CAPBSET_DROP, CAP_AUDIT_WRITE));
  CHECK_SYS(prctl(PR_SET_KEEPCAPS, 1));
  CHECK_SYS(setresgid(1002, 1002, 1002));
  CHECK_SYS(setresuid(1002, 1002, 1002));
  set_caps(chown | bind, chown | bind | kill, bind);
  CHECK_SYS(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_BIND_SERVICE, 0, 0));
  CHECK_SYS(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  hold();
  set_caps(kill, chown | bind | kill, bind);
}

static void locked_root(void* argument) {
  (void)argument;
  CHECK_SYS(prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NO_SETUID_FIXUP));
  set_caps(0, 1u << CAP_CHOWN, 0);
  hold();
}

int main(void) {
  struct credentials was;
  observe(&was);
  void (*bodies[])(void*) = {ordinary_user, distinct_ids, capable_user, locked_root};
  pid_t children[4];
  for (int i = 0; i < 4; i++) {
    children[i] = spawn(bodies[i], NULL);
    await_waiting_child(children[i]);
  }

  workload_ready();

  check_same(&was);
  for (int i = 0; i < 4; i++) finish_child(children[i]);
  return workload_ok();
}
