// What the kernel keeps of a POSIX message queue and tells by no call: its messages without taking
// them out, and what the process that is notified of the next one (mq_notify) has registered.
//
// It is read by structures whose layout the kernel tells (BTF); all that it does is tried on a
// queue that is known when the reader is made.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "sys/kernel_memory.h"

namespace martlet::sys {

struct StoredMessage {
  uint32_t priority = 0;
  std::string data;
};

struct QueueNotification {
  int kind = 0;  // SIGEV_...
  // SIGEV_SIGNAL: sigev_value; the inode of the user namespace of the process at that time; and
  // false if it has executed another program since, which gets no signal.
  uint64_t value = 0;
  uint64_t user_namespace = 0;
  bool of_this_program = true;
  // SIGEV_THREAD: what is sent, and the inode of the socket it is sent to.
  std::string cookie;
  uint64_t socket = 0;
};

// Any thread.
class PosixQueueMemory {
 public:
  // Errors: kSystem where the kernel does not let this process read its memory, or where what is
  // read of a known queue is not what it is.
  static Result<PosixQueueMemory> load();
  // The one of this process, made by the first caller, who waits some 50 ms.
  static const Result<PosixQueueMemory>& shared();

  // Nobody may use the queue meanwhile. In the order in which they will be received.
  Result<std::vector<StoredMessage>> messages(int queue) const;
  // There must be one, of a process that has not ended.
  Result<QueueNotification> notification(int queue) const;

 private:
  struct Layout;
  PosixQueueMemory(KernelMemory memory, const Layout& layout);

  Result<void> try_known_queue() const;
  Result<KernelAddress> info_of(int queue) const;
  Result<void> add_below(KernelAddress node, std::vector<StoredMessage>& out) const;
  Result<void> add_priority(KernelAddress node, std::vector<StoredMessage>& out) const;
  Result<std::string> read_message(KernelAddress message) const;
  Result<bool> runs_same_program(KernelAddress owner, uint32_t program) const;

  KernelMemory memory_;
  std::shared_ptr<const Layout> layout_;
};

}  // namespace martlet::sys
