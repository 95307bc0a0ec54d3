// Mount namespaces that get the container's mounts, as the services of systemd do: one whose mounts
// are slaves, one whose mounts are slaves that share in turn with those of a third, and one that
// shares all mounts with the container. The container shares all of its own mounts.
// modes: container
// rights: CAP_SYS_ADMIN CAP_SYS_CHROOT
#include <sched.h>

#include "workload_mounts.h"

static char mounts_before[kMountTable];
static int from_children, to_parent;  // a pipe for each generation

static void unshare_mounts(void) {
  if (unshare(CLONE_NEWNS) != 0) workload_skip("no right to make mount namespaces");
}

static void mount_tmpfs(const char* point) {
  CHECK_SYS(mount("mine", point, "tmpfs", 0, NULL));
}

// What is mounted here from what root and others did.
static void expect_shown(const char* wanted) {
  static const char* const kNames[] = {"root", "peer", "slave", "inner"};
  char shown[64] = "";
  for (size_t i = 0; i < sizeof kNames / sizeof *kNames; i++) {
    char path[64];
    snprintf(path, sizeof path, "hub/%s/mounted", kNames[i]);
    if (!is_there(path)) continue;
    strcat(shown, kNames[i]);
    strcat(shown, " ");
  }
  CHECK_STR(shown, wanted);
}

static void mount_for(const char* name) {
  char path[64];
  snprintf(path, sizeof path, "hub/%s", name);
  mount_tmpfs(path);
  strcat(path, "/mounted");
  write_file(path, "");
}

static void listen_to_children(void) {
  int ends[2];
  CHECK_SYS(pipe(ends));
  from_children = ends[0];
  to_parent = ends[1];
}

static void answer(char key) {
  write_all(to_parent, &key, 1);
}

// Lets a process take its next step, and waits until that is done.
static void give_turn(pid_t process, char key) {
  CHECK_SYS(kill(process, SIGUSR1));
  char done = 0;
  read_all(from_children, &done, 1);
  CHECK_EQ(done, key);
}

static void take_turn(const char* name, const char* shown) {
  wait_for_go();
  mount_for(name);
  expect_shown(shown);
}

static void expect_same_mounts(void) {
  describe_mounts(mounts_before, sizeof mounts_before);
  wait_for_go();
  expect_mounts(mounts_before);
}

static void peer_body(void* argument) {
  (void)argument;
  unshare_mounts();
  expect_same_mounts();
  answer('c');
  take_turn("peer", "peer ");
  answer('p');
}

static void inner_body(void* argument) {
  (void)argument;
  unshare_mounts();
  spread_mounts("/", MS_SLAVE | MS_REC);
  mount_tmpfs("own");
  write_file("own/file", "inner");
  expect_same_mounts();
  answer('c');
  take_turn("inner", "root peer slave inner ");
  CHECK_STR(read_small_file("own/file"), "inner");
  answer('i');
}

static void slave_body(void* argument) {
  (void)argument;
  unshare_mounts();
  spread_mounts("/", MS_SLAVE | MS_REC);
  spread_mounts("/", MS_SHARED | MS_REC);
  mount_tmpfs("own");
  write_file("own/file", "slave");
  const int own_parent = to_parent;
  listen_to_children();
  pid_t inner = spawn(inner_body, NULL);
  to_parent = own_parent;
  await_waiting_child(inner);
  expect_same_mounts();
  give_turn(inner, 'c');
  answer('c');
  take_turn("slave", "root peer slave ");
  CHECK_STR(read_small_file("own/file"), "slave");
  give_turn(inner, 'i');
  reap_child(inner);
  expect_shown("root peer slave ");
  answer('s');
}

int main(void) {
  listen_to_children();
  CHECK_SYS(mkdir("own", 0755));
  CHECK_SYS(mkdir("hub", 0755));
  if (mount("mine", "hub", "tmpfs", 0, NULL) != 0) workload_skip("no right to mount");
  static const char* const kPoints[] = {"hub/root", "hub/peer", "hub/slave", "hub/inner"};
  for (size_t i = 0; i < 4; i++) CHECK_SYS(mkdir(kPoints[i], 0755));
  spread_mounts("/", MS_SHARED | MS_REC);
  pid_t peer = spawn(peer_body, NULL);
  await_waiting_child(peer);
  pid_t slave = spawn(slave_body, NULL);
  await_waiting_child(slave);
  describe_mounts(mounts_before, sizeof mounts_before);

  workload_ready();

  expect_mounts(mounts_before);
  CHECK(!is_there("own/file"));
  give_turn(peer, 'c');
  give_turn(slave, 'c');
  give_turn(peer, 'p');
  reap_child(peer);
  mount_for("root");
  expect_shown("root peer ");
  give_turn(slave, 's');
  reap_child(slave);
  expect_shown("root peer ");
  return workload_ok();
}
