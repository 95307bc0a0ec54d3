// Unix sockets with names, in the file system and abstract: listeners that go on accepting,
// connected ones that know both names, a connection that outlived its listener's name.
#include "workload_sockets.h"

static int listen_at(struct address address) {
  int fd = open_socket(AF_UNIX, SOCK_STREAM);
  CHECK_SYS(bind(fd, &address.any, address.size));
  CHECK_SYS(listen(fd, 7));
  return fd;
}

static struct pair connect_named(int listener, struct address own) {
  struct pair pair = {.client = open_socket(AF_UNIX, SOCK_STREAM)};
  struct address address = local_address(listener);
  CHECK_SYS(bind(pair.client, &own.any, own.size));
  CHECK_SYS(connect(pair.client, &address.any, address.size));
  pair.server = CHECK_SYS(accept(listener, NULL, NULL));
  return pair;
}

static void check_names(struct pair pair, struct address listener, struct address own) {
  check_same_address(local_address(pair.client), own);
  check_same_address(peer_address(pair.client), listener);
  check_same_address(local_address(pair.server), listener);
  check_same_address(peer_address(pair.server), own);
}

int main(void) {
  // Abstract names are unique in the whole network namespace.
  char name[32];
  snprintf(name, sizeof name, "martlet-workload-%d", getpid());
  char client_name[48];
  snprintf(client_name, sizeof client_name, "%s-client", name);
  struct address addresses[2] = {unix_path("listener"), unix_abstract(name)};
  struct address own[2] = {unix_path("client"), unix_abstract(client_name)};
  int listeners[2];
  struct pair pairs[2];
  for (int i = 0; i < 2; i++) {
    listeners[i] = listen_at(addresses[i]);
    pairs[i] = connect_named(listeners[i], own[i]);
    write_all(pairs[i].client, "queued", 6);
  }
  CHECK_SYS(chmod("listener", 0620));
  int gone = listen_at(unix_path("gone"));
  struct pair survivor = connect_named(gone, unix_path("survivor"));
  CHECK_SYS(unlink("gone"));
  close(gone);
  int unlinked = listen_at(unix_path("unlinked"));
  CHECK_SYS(unlink("unlinked"));

  workload_ready();

  for (int i = 0; i < 2; i++) {
    workload_context(i == 0 ? "a path" : "an abstract name");
    CHECK_EQ(get_option(listeners[i], SOL_SOCKET, SO_ACCEPTCONN), 1);
    check_names(pairs[i], addresses[i], own[i]);
    expect_text(pairs[i].server, "queued");
    check_conversation(pairs[i]);
    struct pair fresh = {.client = connect_to(addresses[i], SOCK_STREAM)};
    fresh.server = CHECK_SYS(accept(listeners[i], NULL, NULL));
    check_conversation(fresh);
    int second = open_socket(AF_UNIX, SOCK_STREAM);
    CHECK_ERRNO(bind(second, &addresses[i].any, addresses[i].size), EADDRINUSE);
    close(second);
  }
  workload_context("a listener that is gone");
  check_names(survivor, unix_path("gone"), unix_path("survivor"));
  check_conversation(survivor);
  CHECK_ERRNO(access("gone", F_OK), ENOENT);
  check_same_address(local_address(unlinked), unix_path("unlinked"));
  CHECK_ERRNO(access("unlinked", F_OK), ENOENT);
  struct stat status;
  CHECK_SYS(stat("listener", &status));
  CHECK(S_ISSOCK(status.st_mode));
  CHECK_EQ(status.st_mode & 0777, 0620);
  return workload_ok();
}
