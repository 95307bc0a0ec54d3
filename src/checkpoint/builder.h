// Rebuilds a group from a stream, in the order in which its records come.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "checkpoint/group.h"
#include "engine/arena.h"
#include "engine/context.h"
#include "engine/files/descriptor_channel.h"
#include "engine/ipc/sysv.h"
#include "engine/memory/rebuild.h"
#include "engine/mounts/tmpfs.h"
#include "engine/task.h"
#include "image/group.pb.h"
#include "image/memory.pb.h"

namespace martlet::checkpoint {

class GroupBuilder {
 public:
  explicit GroupBuilder(Sandbox sandbox) : sandbox_(std::move(sandbox)) {}
  ~GroupBuilder();
  GroupBuilder(const GroupBuilder&) = delete;
  GroupBuilder& operator=(const GroupBuilder&) = delete;

  // Consumes the stream up to kEnd; every task exists and stands still afterwards.
  Result<void> build(image::Source& source);
  Result<void> resume();

  const RestoreStats& stats() const { return stats_; }
  HostPid root() const { return root_; }

 private:
  struct Member {
    const image::Process* process = nullptr;
    std::optional<image::AddressSpace> space;
    std::vector<engine::Task> tasks;  // the leader first
    bool started_session = false;
    engine::Task& leader() { return tasks.front(); }
  };

  // Holds the PID of a leader that has ended, while others join its process group or session.
  struct StandIn {
    engine::Task task;
    Member* parent;
  };

  Result<void> read_records(image::Source& source);
  Result<void> read_record(const image::Record& record);
  Result<void> begin(const image::Tree& tree);
  Result<void> check_tree() const;
  Result<void> prepare_files();
  Result<void> build_space(image::AddressSpace space);
  Result<void> fill(const image::Record& record);
  Result<engine::Task> make_process(Member& member);
  Result<engine::Task> make_orphan(Member& parent, const image::Process& process);
  Result<void> start_session(Member& member);

  // After the stream: each step for all members before the next step.
  Result<void> finish();
  Result<void> make_zombies();
  Result<void> equip(Member& member);  // directories, descriptors, signals, threads
  Result<void> join_group(Member& member);
  Result<void> dismiss_stand_ins();
  Result<void> set_process_state(Member& member);
  Result<void> set_credentials(Member& member);
  Result<void> release(Member& member);  // arena away, registers loaded

  Result<Member*> member(int32_t pid);
  void kill_all();

  Sandbox sandbox_;
  HostPid root_;
  image::Tree tree_;
  std::unique_ptr<engine::Arena> arena_;
  std::unique_ptr<engine::DescriptorChannel> channel_;
  std::unique_ptr<engine::ApplyContext> context_;
  std::unique_ptr<engine::SpaceBuilder> spaces_;
  std::unique_ptr<engine::TmpfsRestore> tmpfs_;
  image::Ipc ipc_;
  engine::SysvObjects sysv_;
  std::map<int32_t, Member> members_;  // without zombies
  std::map<int32_t, StandIn> stand_ins_;
  std::vector<int32_t> order_;  // of their address spaces in the stream
  bool files_ready_ = false;
  bool running_ = false;
  RestoreStats stats_;
};

}  // namespace martlet::checkpoint
