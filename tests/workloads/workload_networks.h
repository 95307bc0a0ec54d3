// What programs with network namespaces of their own share.
#pragma once

#include <linux/sockios.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "workload_shell.h"
#include "workload_sockets.h"

// Runs a line of shell, which must succeed.
static inline void run(const char* line) {
  int status = system(line);
  if (status != 0) workload_fail(__FILE__, __LINE__, line, "failure", "success");
}

// The namespace that a process lives in, and its number.
static inline int open_network(pid_t process) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/ns/net", process);
  return (int)CHECK_SYS(open(path, O_RDONLY));
}
static inline ino_t network_number(int network) {
  struct stat status;
  CHECK_SYS(fstat(network, &status));
  return status.st_ino;
}
static inline ino_t network_of_process(pid_t process) {
  int network = open_network(process);
  ino_t number = network_number(network);
  CHECK_SYS(close(network));
  return number;
}
static inline ino_t own_network_number(void) {
  return network_of_process(getpid());
}
// Of the one that a socket was made in.
static inline ino_t network_of(int socket) {
  int network = (int)CHECK_SYS(ioctl(socket, SIOCGSKNS));
  ino_t number = network_number(network);
  CHECK_SYS(close(network));
  return number;
}

// A new one for the process, of which loopback is up.
static inline void leave_network(void) {
  CHECK_SYS(unshare(CLONE_NEWNET));
  run("ip link set lo up");
}

// The same in the network namespace of another process.
struct line_elsewhere {
  pid_t process;
  const char* line;
};
static inline void run_elsewhere(void* argument) {
  struct line_elsewhere* what = argument;
  int network = open_network(what->process);
  CHECK_SYS(setns(network, CLONE_NEWNET));
  run(what->line);
}
static inline void run_in_network_of(pid_t process, const char* line) {
  struct line_elsewhere what = {process, line};
  reap_child(spawn(run_elsewhere, &what));
}

// An IPv6 address has no route as long as somebody might object to it.
static inline void await_addresses(void) {
  for (bool settled = false; !settled;) {
    char* tentative = say("ip -6 -o addr show tentative");
    settled = *tentative == 0;
    free(tentative);
  }
}

// What is in the namespace that the process lives in, but for what passes by itself. The caller
// frees it.
static inline char* network_state(void) {
  await_addresses();
  return say(
      "ip -d -o link | sed -E 's/@if[0-9]*/@/; s/ qlen/\\n qlen/' | grep -v '^2: eth0' |"
      " sed -E 's/[a-z_]*_timer +[0-9.]*//g; s/fdb_n_learned [0-9]*//; s/link-netnsid [0-9]*//;"
      " s/NO-CARRIER,//; s/,LOWER_UP//; s/state [A-Z]*//;"
      " s/ +/ /g';"
      "ip -o addr; ip route show table all | sed -E 's/linkdown//; s/ +$//' | sort;"
      "ip -6 route show table all | sed -E 's/linkdown//; s/ +$//' | grep -v multicast |"
      " sort; ip rule; ip neigh show nud permanent; nft list ruleset 2>/dev/null;"
      "cd /proc/sys/net; grep -s . ipv4/ip_forward ipv4/conf/*/rp_filter ipv4/tcp_retries2"
      " ipv4/ip_local_port_range core/somaxconn || true");
}

static inline void check_network_state(char* before) {
  char* now = network_state();
  const char* after = now;
  const char* want = before;
  const char* line = now;  // that differs
  for (; *want && *want == *after; want++, after++)
    if (*after == '\n') line = after + 1;
  if (*want != *after) {
    char got[200], expected[200];
    snprintf(got, sizeof got, "%.*s", (int)strcspn(line, "\n"), line);
    snprintf(expected, sizeof expected, "%.*s", (int)strcspn(before + (line - now), "\n"),
             before + (line - now));
    workload_fail(__FILE__, __LINE__, "the network", got, expected);
  }
  free(now);
  free(before);
}

// A listener and a connection to it, with bytes under way in both directions.
struct conversation {
  int listener;
  struct pair pair;
};
static inline struct conversation converse(int listener, struct address address) {
  struct conversation made = {.listener = listener};
  made.pair.client = connect_to(address, SOCK_STREAM);
  made.pair.server = (int)CHECK_SYS(accept(listener, NULL, NULL));
  write_all(made.pair.client, "asked before", 12);
  write_all(made.pair.server, "said before", 11);
  return made;
}
// It goes on, and the listener takes further ones.
static inline void check_converses(struct conversation made) {
  expect_text(made.pair.server, "asked before");
  expect_text(made.pair.client, "said before");
  struct pair another = {.client = connect_to(local_address(made.listener), SOCK_STREAM)};
  another.server = (int)CHECK_SYS(accept(made.listener, NULL, NULL));
  check_conversation(another);
  check_conversation(made.pair);
}
