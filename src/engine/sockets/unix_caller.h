// Who makes the calls whose caller the kernel remembers (SO_PEERCRED).
//
// A pair remembers who made it, an accepted socket who connected, a listener who called listen(),
// and a connecting socket its listener's. Engine's thread only.
#pragma once

#include <functional>
#include <string>

#include "base/fd.h"
#include "base/result.h"
#include "engine/files/descriptor_channel.h"
#include "engine/network/networks.h"
#include "engine/task.h"
#include "image/sockets.pb.h"

namespace martlet::engine {

struct UnixEnds {
  Fd first;
  Fd second;
};

// What to connect to. A path is relative to the directory.
struct UnixTarget {
  std::string address;
  Fd directory;  // not valid for an abstract address

  // On a thread that sees the path. Everybody may connect to the socket and pass its directory.
  static Result<UnixTarget> find(const std::string& address);
  // The same, with the modes left as they are.
  static Result<UnixTarget> at(const std::string& address);
};

// Each call is made as the process and user that SO_PEERCRED of `as` reports.
class UnixCaller {
 public:
  virtual ~UnixCaller() = default;
  // In one of the group's network namespaces.
  virtual Result<UnixEnds> make_pair(const image::UnixSocket& as, uint32_t network) = 0;
  virtual Result<void> listen(const image::UnixSocket& as, int fd, int backlog) = 0;
  virtual Result<void> connect(const image::UnixSocket& as, int fd, const UnixTarget& target) = 0;
};

// This process, on a thread of that user.
class LocalUnixCaller final : public UnixCaller {
 public:
  explicit LocalUnixCaller(const Networks& networks) : networks_(networks) {}
  Result<UnixEnds> make_pair(const image::UnixSocket& as, uint32_t network) override;
  Result<void> listen(const image::UnixSocket& as, int fd, int backlog) override;
  Result<void> connect(const image::UnixSocket& as, int fd, const UnixTarget& target) override;

 private:
  const Networks& networks_;
};

// A task with that PID under restore, still without descriptors of its own and with every right;
// this process where there can be no such task.
class TaskUnixCaller final : public UnixCaller {
 public:
  // The task of a PID inside the group, or null.
  using TaskOf = std::function<Result<Task*>(int32_t pid)>;

  TaskUnixCaller(const Networks& networks, DescriptorChannel& channel, TaskOf task_of)
      : networks_(networks), local_(networks), channel_(channel), task_of_(std::move(task_of)) {}
  Result<UnixEnds> make_pair(const image::UnixSocket& as, uint32_t network) override;
  Result<void> listen(const image::UnixSocket& as, int fd, int backlog) override;
  Result<void> connect(const image::UnixSocket& as, int fd, const UnixTarget& target) override;

 private:
  Result<Task*> task_for(const image::UnixSocket& as);
  Result<UnixEnds> make_pair_in(Task& task, const image::UnixSocket& as);

  const Networks& networks_;
  LocalUnixCaller local_;
  DescriptorChannel& channel_;
  TaskOf task_of_;
};

}  // namespace martlet::engine
