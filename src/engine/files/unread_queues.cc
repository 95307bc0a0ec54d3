#include "engine/files/unread_queues.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <optional>
#include <sstream>
#include <string>

#include "engine/files/inotify_kind.h"
#include "sys/pidfd.h"
#include "sys/procfs.h"
#include "sys/socket_options.h"

namespace martlet::engine {
namespace {

// What waits in a Unix listener are connections that nobody has accepted.
bool is_unix_listener(const Fd& socket) {
  return sys::get_int_option(socket.get(), SOL_SOCKET, SO_DOMAIN).value_or(AF_UNSPEC) == AF_UNIX &&
         sys::get_int_option(socket.get(), SOL_SOCKET, SO_ACCEPTCONN).value_or(0) != 0;
}

bool is_queue(const Fd& socket) {
  return sys::get_int_option(socket.get(), SOL_SOCKET, SO_DOMAIN).value_or(AF_UNSPEC) ==
             AF_NETLINK ||
         is_unix_listener(socket);
}

bool is_read(const Fd& queue) {
  pollfd state{queue.get(), POLLIN, 0};
  return ::poll(&state, 1, 0) == 0;
}

// A duplicate of the descriptor if it is such a queue. It may be closed at any moment.
std::optional<Fd> open_queue(HostPid pid, const Fd& pidfd, int number) {
  auto link = sys::read_link(sys::proc_path(pid, "fd/" + std::to_string(number)));
  if (!link || !(is_inotify_link(*link) || link->starts_with("socket:"))) return std::nullopt;
  auto fd = sys::duplicate_descriptor(pidfd, number);
  if (!fd || !(is_inotify_link(*link) || is_queue(*fd))) return std::nullopt;
  return std::move(*fd);
}

// "sk Eth Pid Groups Rmem ...": the bytes that wait in each netlink socket of the network
// namespace.
bool messages_wait(HostPid root) {
  auto table = read_file(sys::proc_path(root, "net/netlink"));
  if (!table) return true;  // nothing is known
  std::istringstream lines(*table);
  std::string line;
  std::getline(lines, line);
  while (std::getline(lines, line)) {
    std::istringstream words(line);
    std::string skipped;
    uint64_t bytes = 0;
    if (words >> skipped >> skipped >> skipped >> skipped >> bytes && bytes > 0) return true;
  }
  return false;
}

}  // namespace

UnreadQueues UnreadQueues::find(HostPid root) {
  UnreadQueues queues;
  for (HostPid process : sys::list_tree(root))
    for (HostPid holder : sys::list_table_holders(process)) queues.add_table(holder);
  return queues;
}

void UnreadQueues::add_table(HostPid holder) {
  auto pidfd = sys::open_task(holder);
  auto numbers = sys::list_descriptors(holder);
  if (!pidfd || !numbers) return;  // it has ended
  descriptors_ += numbers->size();
  for (int number : *numbers)
    if (auto queue = open_queue(holder, *pidfd, number)) queues_.push_back(std::move(*queue));
}

bool UnreadQueues::all_read_in(HostPid frozen_root) {
  if (messages_wait(frozen_root)) *this = find(frozen_root);
  return all_read();
}

bool UnreadQueues::all_read() const {
  return std::ranges::all_of(queues_, is_read);
}

}  // namespace martlet::engine
