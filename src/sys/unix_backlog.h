// The connections that wait in a Unix listener to be accepted.
//
// No descriptor leads to them, and accept() cannot be taken back. So they are read where the kernel
// keeps them, by structures whose layout it tells (BTF). Where the pages of long messages are is
// learnt when the reader is made, from a message that is known; all that it does is tried then.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "sys/kernel_memory.h"
#include "sys/socket_queue.h"

namespace martlet::sys {

struct WaitingConnection {
  uint32_t client_inode = 0;            // 0: the client has closed its end
  std::string client_name;              // sockaddr; empty: unnamed
  ucred client{};                       // who has connected, as the asked PID namespace numbers it
  std::vector<QueuedMessage> received;  // with credentials where the kernel has kept them
};

// Any thread.
class UnixBacklog {
 public:
  // Errors: kSystem where the kernel does not let this process read its memory, or where what is
  // read of a known connection is not what it is.
  static Result<UnixBacklog> load();
  // The one of this process, made by the first caller, who waits some 50 ms.
  static const Result<UnixBacklog>& shared();

  // In the order in which they will be accepted. Nobody may send, connect, accept or close
  // meanwhile. Those who have connected are numbered as in the PID namespace with that inode, and
  // as 0 if they are not in it. Descriptors in flight are found among the `open` ones of this
  // process. kUnsupported: there is an urgent byte, or a descriptor that is not found.
  Result<std::vector<WaitingConnection>> read(int listener, uint64_t pid_namespace,
                                              std::span<const int> open) const;
  static Result<uint64_t> own_pid_namespace();

 private:
  struct Layout;
  UnixBacklog(KernelMemory memory, const Layout& layout);

  Result<void> learn();
  Result<void> find_pages(KernelAddress known, const std::string& data);
  Result<std::vector<KernelAddress>> buffers_of(KernelAddress sock) const;
  Result<KernelAddress> sock_of(int fd) const;
  struct Question {
    uint64_t own_namespace, pid_namespace;
    std::map<uint64_t, int> open;  // descriptors by the kernel's address of their file
  };
  Result<WaitingConnection> read_connection(KernelAddress sock, const Question& question) const;
  Result<void> read_client(KernelAddress sock, WaitingConnection& out) const;
  Result<pid_t> number_of(KernelAddress pid, uint64_t pid_namespace) const;
  Result<QueuedMessage> read_message(KernelAddress buffer, const Question& question) const;
  Result<std::vector<Fd>> find_descriptors(KernelAddress list,
                                           const std::map<uint64_t, int>& open) const;
  struct Fragment {
    uint64_t page;  // address of its struct page
    uint32_t offset, length;
  };
  Result<std::vector<Fragment>> fragments_of(const KernelObject& buffer) const;
  KernelAddress address_of(const Fragment& fragment) const;
  Result<std::string> read_data(const KernelObject& buffer) const;

  KernelMemory memory_;
  std::shared_ptr<const Layout> layout_;
  uint64_t pages_start_ = 0;  // a page is at this + the address of its struct page * a factor
};

}  // namespace martlet::sys
