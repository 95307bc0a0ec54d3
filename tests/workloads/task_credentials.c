// User and group ids, supplementary groups, capability sets and secure bits, different in each
// process.
#include "workload_credentials.h"

static void set_caps(uint32_t effective, uint32_t permitted, uint32_t inheritable) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2] = {{effective, permitted, inheritable}, {0, 0, 0}};
  CHECK_SYS(syscall(SYS_capset, &header, data));
}

static void hold(void) {
  struct credentials was;
  observe_credentials(&was);
  wait_for_go();
  check_credentials(&was);
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
  observe_credentials(&was);
  void (*bodies[])(void*) = {ordinary_user, distinct_ids, capable_user, locked_root};
  pid_t children[4];
  for (int i = 0; i < 4; i++) {
    children[i] = spawn(bodies[i], NULL);
    await_waiting_child(children[i]);
  }

  workload_ready();

  check_credentials(&was);
  for (int i = 0; i < 4; i++) finish_child(children[i]);
  return workload_ok();
}
