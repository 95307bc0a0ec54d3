#include "engine/sockets/abandoned.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "engine/sockets/common.h"
#include "sys/pidfd.h"
#include "sys/procfs.h"
#include "sys/socket_options.h"
#include "sys/tcp_repair.h"

namespace martlet::engine {
namespace {

bool is_in_repair(int fd) {
  return sys::get_int_option(fd, IPPROTO_TCP, TCP_REPAIR).value_or(0) != 0;
}

bool drops_everything(int fd) {
  auto filter = sys::read_socket_filter(fd);
  return filter && *filter == sys::drop_everything_filter();
}

bool revive(int fd) {
  bool repaired = is_in_repair(fd);
  // No socket with a program of its own of the extended kind is captured.
  bool dropping = drops_everything(fd) || (repaired && sys::has_extended_filter(fd));
  if (repaired) {
    if (dropping) make_filter_recognisable(fd);
    log_if_failed(sys::set_tcp_repair(fd, sys::RepairMode::kOffWithoutProbe), "end TCP repair");
    log_if_failed(sys::set_int_option(fd, SOL_SOCKET, SO_REUSEADDR, 1), "SO_REUSEADDR");
  }
  if (dropping) log_if_failed(sys::write_socket_filter(fd, ""), "let a socket receive again");
  return repaired || dropping;
}

size_t revive_sockets_in_table(HostPid holder) {
  auto pidfd = sys::open_task(holder);
  auto numbers = sys::list_descriptors(holder);
  if (!pidfd || !numbers) return 0;  // it ended
  size_t revived = 0;
  for (int number : *numbers) {
    auto fd = sys::duplicate_descriptor(*pidfd, number);
    if (fd && sys::socket_type(fd->get()) && revive(fd->get())) ++revived;
  }
  return revived;
}

}  // namespace

void make_filter_recognisable(int fd) {
  log_if_failed(sys::write_socket_filter(fd, sys::drop_everything_filter()), "change a filter");
}

size_t revive_sockets_of(HostPid pid) {
  size_t revived = 0;
  for (HostPid holder : sys::list_table_holders(pid)) revived += revive_sockets_in_table(holder);
  return revived;
}

size_t revive_sockets(HostPid init) {
  size_t revived = 0;
  for (HostPid pid : sys::list_namespace_processes(init).value_or(std::vector<HostPid>()))
    revived += revive_sockets_of(pid);
  return revived;
}

}  // namespace martlet::engine
