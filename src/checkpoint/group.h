// Checkpoint and restore of a group of processes: the order of phases.
//
// A group is a container (all processes of its PID namespace) or any process tree. Capturing:
// freeze, capture into a Sink, then thaw (it goes on here) or kill (it lives elsewhere). Restoring:
// build from a Source inside a sandbox (every task exists, nothing runs), then resume.
//
// A RestoredGroup is bound to the thread that made it: ptrace is per thread. A FrozenGroup that is
// destroyed thaws; a RestoredGroup that is destroyed before resume() kills what it built. If this
// process dies the kernel does the same: frozen tasks go on, half-built tasks are killed.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/fd.h"
#include "base/ids.h"
#include "base/result.h"
#include "engine/context.h"
#include "engine/memory/lane_reader.h"
#include "engine/memory/ranges.h"
#include "engine/network/own_network.h"
#include "image/stream.h"
#include "sys/userfaultfd.h"

namespace martlet::checkpoint {

struct GroupSpec {
  HostPid root;                // the container's init, or the root of the tree
  bool container = false;      // the group is all of root's PID namespace
  std::string freezer_cgroup;  // absolute cgroup directory to freeze; empty: ptrace alone
  std::vector<engine::ExternalFile> external_files;
  engine::OutsidePeers outside_peers = engine::OutsidePeers::kRefuse;
  std::string first_mounts;  // see own_mounts.h; empty: not known, so not compared
  std::optional<engine::GivenNetwork> network;  // none: it cannot change its network
};

struct CaptureStats {
  size_t processes = 0;
  size_t threads = 0;
  size_t files = 0;
  uint64_t memory_bytes = 0;  // contents of pages put into the stream
  uint64_t late_bytes = 0;    // of pages that were only named
  double freeze_seconds = 0;  // from the first task stopped to the last
  double capture_seconds = 0;
};

class MemoryRounds;

// What of the memory goes into the stream.
enum class MemoryScope {
  kComplete,
  kUrgent,  // pages that may come after the group runs again are only named there
};

class FrozenGroup {
 public:
  // Stops every task of the group at one point of its execution, which is one where it has read
  // its queues of events (engine/files/unread_queues.h) if there is such a point soon. On failure
  // all go on.
  static Result<FrozenGroup> freeze(const GroupSpec& spec);

  // Puts the complete state into the sink, from kHeader to kEnd. Refuses what is not supported, by
  // name, before anything is touched. May be called once. `lanes` are streams for pages beside the
  // sink, each used by a thread of its own; build() needs all of them. The first record is put when
  // all that does not go into the stream was found. `ahead` is what was sent
  // into the same sink, without lanes, while this group still ran; null: nothing.
  Result<CaptureStats> capture(image::Sink& sink, std::span<image::Sink* const> lanes = {},
                               MemoryRounds* ahead = nullptr,
                               MemoryScope scope = MemoryScope::kComplete);

  // How long it took to stop them, from the first to the last.
  Nanoseconds freeze_time() const;

  // Everything that capture() would refuse; nothing is kept, and the group is as it was after
  // thaw(). May be called once, instead of capture().
  struct CheckReport {
    std::vector<Error> refusals;
    CaptureStats stats;
  };
  Result<CheckReport> check();

  // Those that were frozen, ended ones included.
  std::vector<HostPid> processes() const;

  // About how much memory the group has for itself: what capture() will have to put.
  uint64_t private_bytes() const;

  // After capture(): takes back at once what it changed outside of the tasks (socket filters, TCP
  // repair mode), so that the group would go on rightly even if this process died. Only for a group
  // that nothing can reach.
  void take_back();

  // The group goes on here, exactly where it stopped.
  Result<void> thaw();
  // The group ends here without a word to its peers: connections are dropped silently.
  Result<void> kill();

  FrozenGroup(FrozenGroup&&) noexcept;
  FrozenGroup& operator=(FrozenGroup&&) noexcept;
  ~FrozenGroup();

 private:
  struct State;
  explicit FrozenGroup(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// Where a group is rebuilt. For a container, `stub` is its init: the Martlet stub program, started
// by the OCI runtime inside the new environment with `control` as the other end of the socket pair
// it got as descriptor 3 (see engine/blob/stub.c). For a plain tree, `control` is not valid and
// build() makes the stub itself, as a child of the calling process.
struct Sandbox {
  HostPid stub;
  Fd control;
  std::vector<engine::ExternalFile> external_files;
};

struct RestoreStats {
  size_t processes = 0;
  size_t threads = 0;
  uint64_t memory_bytes = 0;
  double build_seconds = 0;
};

// A restored process whose pages `missing` are still to come. Nothing of them is there, and whoever
// touches one waits for as long as the descriptor, or a duplicate of it, is open.
struct LateMemory {
  NsPid process;
  sys::Userfaultfd userfaultfd;
  engine::Ranges missing;
};

class RestoredGroup {
 public:
  // Reads the streams to their end and builds everything, frozen. On failure nothing is left.
  // `lanes` are those that capture() wrote, in the same order. A stream with missing pages is
  // refused unless the scope is kUrgent.
  static Result<RestoredGroup> build(image::Source& source, Sandbox sandbox,
                                     std::vector<engine::PageLane> lanes = {},
                                     MemoryScope scope = MemoryScope::kComplete);

  // What a stream of scope kUrgent left out. To be taken before resume().
  std::vector<LateMemory> take_late_memory();

  const RestoreStats& stats() const;
  HostPid root() const;

  // Lets the group run. Cannot fail half-way: past the first task there is no way back.
  Result<void> resume();

  RestoredGroup(RestoredGroup&&) noexcept;
  RestoredGroup& operator=(RestoredGroup&&) noexcept;
  ~RestoredGroup();

 private:
  struct State;
  explicit RestoredGroup(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// The program that waits as PID 1 of a sandbox for build(): the bytes of a static executable. The
// agent puts it into a memfd that the OCI runtime passes on as descriptor 4.
std::span<const std::byte> stub_program();

}  // namespace martlet::checkpoint
