// The connections that wait in a Unix listener to be accepted.
//
// No descriptor leads to them, and accept() cannot be taken back. So they are read where the kernel
// keeps them, by structures whose layout it tells (BTF). Where the pages of long messages are is
// learnt when the reader is made, from a message that is known; all that it does is tried then.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "sys/kernel_memory.h"
#include "sys/socket_queue.h"

namespace martlet::sys {

struct WaitingConnection {
  uint32_t client_inode = 0;  // 0: the client has closed its end
  std::string client_name;    // sockaddr; empty: unnamed
  uint8_t shutdown = 0;       // of the end that waits; bit 0: receive side, bit 1: send side
  // Who has connected: the process as this PID namespace numbers it and those inside of it, from
  // the outermost on; empty if it is of another.
  std::vector<pid_t> client;
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<QueuedMessage> received;
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
  // meanwhile. kUnsupported: what waits there has descriptors or an urgent byte with it.
  Result<std::vector<WaitingConnection>> read(int listener) const;

 private:
  struct Layout;
  UnixBacklog(KernelMemory memory, const Layout& layout);

  Result<void> learn();
  Result<void> find_pages(KernelAddress known, const std::string& data);
  Result<std::vector<KernelAddress>> buffers_of(KernelAddress sock) const;
  Result<KernelAddress> sock_of(int fd) const;
  Result<WaitingConnection> read_connection(KernelAddress sock) const;
  Result<void> read_client(KernelAddress sock, WaitingConnection& out) const;
  Result<std::vector<pid_t>> numbers_of(KernelAddress pid) const;
  Result<QueuedMessage> read_message(KernelAddress buffer) const;
  struct Fragment {
    uint64_t page;  // address of its struct page
    uint32_t offset, length;
  };
  Result<std::vector<Fragment>> fragments_of(const KernelObject& buffer) const;
  KernelAddress address_of(const Fragment& fragment) const;
  Result<std::string> read_data(const KernelObject& buffer) const;

  KernelMemory memory_;
  std::shared_ptr<const Layout> layout_;
  uint32_t own_level_ = 0;    // of this PID namespace
  uint64_t pages_start_ = 0;  // a page is at this + the address of its struct page * a factor
};

}  // namespace martlet::sys
