// What a migration asks of the host it runs on. The agent implements it over its containers.
//
// A SourceContainer or a ReservedContainer holds the exclusive right to change its container until
// it is destroyed. Each is used by one thread at a time.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "checkpoint/group.h"
#include "checkpoint/memory_rounds.h"
#include "migrate/socket_channel.h"
#include "sys/net_address.h"
#include "sys/time_namespace.h"

namespace martlet::migrate {

// Files that move with the container. Both hosts know a tree by the same name.
struct FileTree {
  enum class Kind { kDirectory, kFile };
  std::string name;  // "upper", "log"
  Kind kind = Kind::kDirectory;
  std::string path;  // absolute, on this host
};

// Where the container is attached to this host's network.
struct NetworkPort {
  std::string bridge;
  std::string host_interface;
  sys::MacAddress mac;
  std::vector<sys::IpAddress> addresses;
};

// A container whose every task stands still. Bound to the thread that froze it; destroying it
// thaws.
class FrozenContainer {
 public:
  virtual ~FrozenContainer() = default;
  virtual std::vector<HostPid> processes() const = 0;
  // From the first task that stopped to the last.
  virtual Nanoseconds freeze_time() const { return {}; }
  // See checkpoint::FrozenGroup. The container's network must be held. `ahead` may be null.
  virtual Result<checkpoint::CaptureStats> capture(image::Sink& sink,
                                                   checkpoint::MemoryRounds* ahead,
                                                   checkpoint::MemoryScope scope) = 0;
  // From here on it stays frozen also when this process dies.
  virtual Result<void> hold() = 0;
  virtual Result<void> thaw() = 0;
  virtual Result<void> kill() = 0;
};

// A container that was rebuilt and does not run yet. Bound to the thread that built it; destroying
// it before detach_frozen() leaves nothing of it.
class RestoredContainer {
 public:
  virtual ~RestoredContainer() = default;
  virtual checkpoint::RestoreStats stats() const = 0;
  // The memory that is still to come; to be taken before detach_frozen().
  virtual std::vector<checkpoint::LateMemory> take_late_memory() { return {}; }
  // Completes every task and leaves all of them in the frozen cgroup, independent of this process;
  // none has executed an instruction of its own.
  virtual Result<void> detach_frozen() = 0;
};

class SourceContainer {
 public:
  virtual ~SourceContainer() = default;
  // What reserve() on the destination needs to know; its form is the agents' own.
  virtual std::string record() const = 0;
  // Drawn when the container came to be on this host: tells it from another one that has its name.
  virtual std::string incarnation() const = 0;
  // Its first process; 0 unless it runs.
  virtual HostPid init() const = 0;
  virtual std::vector<FileTree> files() const = 0;
  // The writable layer over a read-only base that must be the same on both hosts; empty if the root
  // is the container's own.
  virtual std::string upper_layer() const = 0;
  virtual std::optional<NetworkPort> network() const = 0;

  // For rounds of memory while it runs; on the thread that will freeze it.
  virtual Result<std::unique_ptr<checkpoint::MemoryRounds>> follow_memory() = 0;
  // It gets this share of the processor time that it used to get; 100 takes that back.
  virtual Result<void> throttle(int percent) = 0;
  virtual Result<std::unique_ptr<FrozenContainer>> freeze() = 0;
  // Lets it go on that an earlier process left frozen; no error if it is not.
  virtual Result<void> thaw() = 0;
  // Connections that a peer has opened and the container has not accepted yet, which cannot be
  // captured: one line for each listener that has some. The first call takes longer.
  virtual std::vector<std::string> connections_in_setup() = 0;

  // Nothing reaches the container or leaves it. Idempotent, as is its opposite.
  virtual Result<void> hold_network() = 0;
  virtual Result<void> release_network() = 0;
  // Removes the container with everything it has here, its processes included.
  virtual Result<void> destroy() = 0;
};

class ReservedContainer {
 public:
  virtual ~ReservedContainer() = default;
  virtual std::string incarnation() const = 0;
  // Its first process once it is adopted; 0 if that has ended.
  virtual HostPid init() const = 0;
  virtual std::vector<FileTree> files() const = 0;
  virtual Result<void> build_sandbox(const sys::ClockOffsets& clocks) = 0;
  // Its files were written, perhaps behind its mounted root. Any thread.
  virtual Result<void> files_changed() = 0;
  // Rebuilds the container in the sandbox. May be called once.
  virtual Result<std::unique_ptr<RestoredContainer>> restore(image::Source& source,
                                                             checkpoint::MemoryScope scope) = 0;
  // Thaws what detach_frozen() left. Idempotent, also in a later process.
  virtual Result<void> run() = 0;
  virtual std::optional<NetworkPort> network() const = 0;
  virtual Result<void> attach() = 0;
  // Attaches it to the network and tells the neighbours where it is. Slower.
  virtual Result<void> announce() = 0;
  // A later agent finds the sandbox as a running container. It is ours only by the journal.
  virtual Result<void> adopt() = 0;
  virtual Result<void> destroy() = 0;
};

class Host {
 public:
  virtual ~Host() = default;
  virtual const std::string& name() const = 0;
  virtual Result<std::unique_ptr<SourceContainer>> open_container(const std::string& name) = 0;

  // Where the host of this name takes migrations, as it is now. Errors: kNotFound, kPeerLost.
  virtual Result<Endpoint> locate(const std::string& host) = 0;

  // Everything that keeps this host from taking the container, one sentence each: a taken name or
  // address, a missing volume.
  virtual std::vector<std::string> problems_with(const std::string& record) = 0;
  // The directory of the base layer that the container would use here; empty: none.
  virtual std::string base_layer(const std::string& record) const = 0;
  // A directory of the file system that containers' files are kept on.
  virtual std::string file_store() const = 0;
  virtual Result<std::unique_ptr<ReservedContainer>> reserve(const std::string& record,
                                                             const std::string& incarnation) = 0;
  // A container of this name that an earlier agent reserved here and left. kNotFound if none.
  virtual Result<std::unique_ptr<ReservedContainer>> reopen_reserved(const std::string& name) = 0;

  // The container runs here and memory of it is still to come, as `text` says; empty: no longer.
  // Meanwhile it can be neither moved nor captured.
  virtual void note_arriving(const std::string& /*name*/, const std::string& /*text*/) {}
  // Ends the processes of a container whose memory is lost. It stays, and shows why. No error if it
  // has ended or is gone.
  virtual Result<void> end_lost(const std::string& /*name*/, const std::string& /*incarnation*/,
                                const std::string& /*why*/) {
    return {};
  }
};

}  // namespace martlet::migrate
