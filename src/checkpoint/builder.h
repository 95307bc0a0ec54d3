// Rebuilds a group from a stream, in the order in which its records come (builder.cc). It makes the
// tree of processes on the way (builder_tree.cc), and what each of them needs beyond its memory at
// the end (builder_finish.cc).
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "checkpoint/group.h"
#include "engine/arena.h"
#include "engine/cgroups/inner_cgroups.h"
#include "engine/context.h"
#include "engine/files/descriptor_channel.h"
#include "engine/files/file_table.h"
#include "engine/ipc/ipc_namespaces.h"
#include "engine/ipc/sysv.h"
#include "engine/memory/lane_reader.h"
#include "engine/memory/page_filler.h"
#include "engine/memory/rebuild.h"
#include "engine/mounts/own_mounts.h"
#include "engine/mounts/tmpfs.h"
#include "engine/network/network_namespaces.h"
#include "engine/task.h"
#include "engine/tasks/pid_namespaces.h"
#include "engine/tasks/time_namespaces.h"
#include "engine/tasks/user_namespaces.h"
#include "image/group.pb.h"
#include "image/memory.pb.h"
#include "sys/processors.h"

namespace martlet::checkpoint {

// Who makes the process: its parent, or who has what it is born with.
int32_t creator_of(const image::Process& process);

// What the steps of the builder call a process in their errors.
std::string name_of(const image::Process& process);
Error impossible(const image::Process& process);

class GroupBuilder {
 public:
  GroupBuilder(Sandbox sandbox, MemoryScope scope) : sandbox_(std::move(sandbox)), scope_(scope) {}
  ~GroupBuilder();
  GroupBuilder(const GroupBuilder&) = delete;
  GroupBuilder& operator=(const GroupBuilder&) = delete;

  // Consumes the streams up to kEnd; every task exists and stands still afterwards. `lanes` are
  // those that the image's header announces.
  Result<void> build(image::Source& source, std::vector<engine::PageLane> lanes);
  Result<void> resume();

  std::vector<LateMemory> take_late_memory();

  const RestoreStats& stats() const { return stats_; }
  HostPid root() const { return root_; }

 private:
  struct Member {
    const image::Process* process = nullptr;
    std::optional<image::AddressSpace> space;
    std::optional<image::AddressSpace> staged;  // what the leader has mapped from the rounds before
    uint32_t number = 0;                        // image::Process::staged
    int32_t parent = 0;
    int exit_signal = 0;
    std::vector<engine::Task> tasks;  // the leader first, until it has made the threads if it ends
    std::optional<engine::Task> ending_leader;
    image::AioContexts aio_contexts;
    engine::Ranges missing;  // pages that come after the group runs
    engine::Ranges guards;
    std::optional<sys::Userfaultfd> missing_handler;
    bool started_session = false;
    bool took_terminal = false;
    bool owns_files = false;  // the first of those with its descriptor table
    bool owns_directories = false;
    engine::Task& leader() { return tasks.front(); }
  };

  // Holds the PID of a leader that has ended, while others join its process group or session; or is
  // a zombie that joins a group itself before it ends.
  struct StandIn {
    engine::Task task;
    Member* parent;
    const image::Process* zombie = nullptr;
  };

  Result<void> read_records(image::Source& source, std::vector<engine::PageLane> lanes);
  Result<image::Record> next_record(image::Source& source);
  Result<void> read_ahead(const image::Record& record);
  Result<void> read_record(const image::Record& record);
  Result<void> create_ipc(image::Ipc ipc);
  Result<void> make_networks(const image::NetworkNamespaces& networks);
  Result<void> make_user_namespaces();
  // Memory that is sent ahead: tasks are made, and their memory is filled, while the group still
  // runs elsewhere.
  Result<void> begin_round(image::Round round);
  Result<void> stage_space(image::AddressSpace space);
  Result<void> begin(image::Tree tree);
  Result<void> open_sandbox(int highest_descriptor);
  // Members that the tree does not name, or names as new, end.
  Result<void> adopt_members();
  Result<void> dismiss(Member& member);
  Result<void> check_tree(const image::Tree& tree) const;
  Result<void> check_threads(const image::Tree& tree) const;
  Result<void> prepare_files();
  Result<void> build_space(image::AddressSpace space);
  engine::SpaceBuilder::Before space_before(
      const Member& member, std::optional<image::AddressSpace> Member::* of_creator) const;
  engine::FillTarget target_of(Member& member) const;
  Result<void> fill(const image::Record& record);
  Result<void> note_missing(const image::Record& record);
  Result<void> note_guard(const image::Record& record);
  Result<void> note_aio_contexts(image::AioContexts contexts);
  Result<engine::Task> make_process(Member& member);
  Result<engine::Task> fork(engine::Task& creator, const image::Process& process);
  Result<void> join_group_from_outside(engine::Task& creator, const image::Process& process);
  Result<engine::Task> make_orphan(Member& parent, const image::Process& process);
  Result<void> start_session(Member& member);
  const image::ControllingTerminal* terminal_of(const Member& member) const;
  Result<void> take_terminal(Member& member);
  Result<void> leave_terminal(Member& member);
  Result<void> set_foreground_groups();
  NsPid group_for(int32_t group, const engine::Task& task) const;

  Result<engine::Task*> task_with_pid(int32_t pid);

  // After the stream: each step for all members before the next step.
  Result<void> finish();
  void find_table_owners();
  Result<void> leave_tables(Member& member);
  Result<void> turn_children(Member& member);
  Result<void> set_last_pids();
  Result<void> make_zombies();
  Result<void> make_late_zombie(Member& parent, const image::Process& process);
  Result<void> join_late_zombies();
  Result<void> end_late_zombies();
  Result<void> settle(Member& member);
  Result<void> make_threads(Member& member);
  bool enters_user_namespace(const image::Process& process) const;
  Result<engine::Task> make_thread(Member& member, const image::Thread& thread);
  Result<void> set_directories(engine::Task& task, const image::Directories& directories);
  Result<void> enter_directory(engine::Task& task, int description);
  Result<void> equip_thread(engine::Task& task, const image::Thread& thread);
  std::vector<engine::TableHolder> table_holders();
  Result<void> equip(Member& member);  // descriptors, signals, state of the threads
  Result<void> join_group(Member& member);
  Result<void> dismiss(StandIn& stand_in);
  Result<void> dismiss_stand_ins();
  Result<void> create_unix_sockets();
  Result<void> set_process_state(Member& member);
  Result<void> end_leader(Member& member);
  Result<void> set_seccomp(Member& member);
  Result<void> set_credentials(Member& member);
  Result<void> release(Member& member);      // its last calls
  Result<void> leave_arena(Member& member);  // and its own registers
  Result<void> catch_missing(Member& member);
  Result<void> leave_processor(Member& member);

  Result<Member*> member(int32_t pid);
  void let_stopped_go();
  static void let_go(Member& member);
  void kill_all();

  Sandbox sandbox_;
  MemoryScope scope_;
  HostPid root_;
  image::Tree tree_;
  std::unique_ptr<engine::Arena> arena_;
  std::unique_ptr<engine::DescriptorChannel> channel_;
  std::unique_ptr<engine::ApplyContext> context_;
  std::unique_ptr<engine::SpaceBuilder> spaces_;
  std::unique_ptr<engine::MountsRestore> mounts_;
  std::unique_ptr<engine::TmpfsRestore> tmpfs_;
  engine::InnerCgroups cgroups_;
  engine::PidNamespacesRestore pid_namespaces_;
  engine::TimeNamespacesRestore time_namespaces_;  // borrows tree_
  bool is_container_ = false;
  image::Ipc ipc_;
  engine::SysvObjects sysv_;
  engine::IpcNamespaces ipc_namespaces_;  // borrows ipc_
  std::optional<engine::UserNamespacesRestore> user_namespaces_;
  engine::NetworkNamespaces networks_;
  bool has_networks_ = false;
  std::map<int32_t, Member> members_;  // without zombies
  std::map<int32_t, StandIn> stand_ins_;
  std::unique_ptr<engine::LaneReader> lanes_;
  engine::PageFiller filler_;          // of the main stream
  std::vector<int32_t> order_;         // of their address spaces in the stream
  std::vector<int32_t> staged_order_;  // of staged processes, as they were made
  bool staging_ = false;
  // The tasks take turns with this thread on one processor while they are built.
  int processor_ = -1;
  cpu_set_t processors_{};  // where they may run afterwards, unless the image says where
  bool files_ready_ = false;
  bool running_ = false;
  RestoreStats stats_;
};

}  // namespace martlet::checkpoint
