// The containers of one host: their records, their environments and their supervision.
//
// It owns the record of each container (in the store), its directory, its runc state, its cgroup
// and the host end of its link. Processes of containers belong to nobody: they outlive the agent,
// and open() finds them again. All functions may be called from any thread. Who changes a container
// holds an Operation on it; at most one exists for a name, so a stop cannot run into a migration.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "agent/container.h"
#include "agent/container_files.h"
#include "agent/container_network.h"
#include "agent/exit_watcher.h"
#include "agent/oci_config.h"
#include "agent/runc.h"
#include "base/fd.h"
#include "base/result.h"
#include "cluster/store.h"
#include "sys/cgroup.h"
#include "sys/program.h"

namespace martlet::agent {

class ContainerManager;

// The exclusive right to change the container of one name, given back by the destructor.
class Operation {
 public:
  Operation(Operation&& other) noexcept;
  Operation& operator=(Operation&&) = delete;
  ~Operation();
  const std::string& name() const { return name_; }

 private:
  friend class ContainerManager;
  Operation(ContainerManager& manager, std::string name)
      : manager_(&manager), name_(std::move(name)) {}
  ContainerManager* manager_;
  std::string name_;
};

struct ManagerOptions {
  std::string agent_name;
  std::string state_dir;      // absolute; one agent only
  std::string cgroup_parent;  // such as "/martlet-host-a", in every hierarchy
  std::string bridge;         // that containers with an address are attached to
};

// Where the processes that keep missing pages (migrate/page_keeper.h) have their sockets, each
// named by the incarnation of its container.
inline std::string keeper_directory(const std::string& state_dir) {
  return state_dir + "/keepers";
}

class ContainerManager {
 public:
  // Finds the containers that an earlier agent left and clears away what was half-built.
  static Result<std::unique_ptr<ContainerManager>> open(ManagerOptions options,
                                                        cluster::Store& store);
  ~ContainerManager();

  // --- What the operator asks for. Errors name the container. ---

  Result<Container> run(Declaration declaration);
  std::vector<Container> list() const;
  Result<Container> find(const std::string& name) const;
  // SIGTERM to init, SIGKILL to all after the timeout; success if it had already exited.
  Result<Container> stop(const std::string& name, Nanoseconds timeout);
  enum class Force { kNo, kYes };
  Result<void> remove(const std::string& name, Force force);
  Result<Container> pause(const std::string& name);
  Result<Container> unpause(const std::string& name);
  // Waits until init has ended or the deadline passed; returns the container as it is then.
  Result<Container> wait_for_exit(const std::string& name, Nanoseconds timeout) const;
  // A command that, run on the host, runs `args` inside the container. See start_program().
  Result<sys::Program> exec_command(const std::string& name, const ExecSpec& spec) const;

  // --- For checkpoint, restore and migration. ---

  // kAlreadyExists if another operation has the container; `what` is what `martlet ps` shows. A
  // container whose memory is still arriving can be ended and paused, but neither moved nor
  // captured.
  enum class WhileArriving { kRefuse, kAllow };
  Result<Operation> begin(const std::string& name, std::string what,
                          WhileArriving while_arriving = WhileArriving::kRefuse);

  // What `martlet ps` shows of memory that is still to come; empty: it is all there. No effect if
  // the container is gone.
  void note_arriving(const std::string& name, const std::string& text);
  // Ends all processes of the container of this incarnation, whose memory is lost. It stays, with
  // the reason in its record.
  Result<void> end_lost(const std::string& name, const std::string& incarnation,
                        const std::string& why);

  // kAlreadyExists if the name or an address is taken.
  Result<void> check_available(const Declaration& declaration) const;
  // Takes the name and makes the container's directories (and an empty log), nothing else, so that
  // files can be copied to paths.upper and paths.log. Refuses what check_available() does.
  // The record's state is kCreating until build_sandbox(). An empty incarnation is drawn.
  Result<Operation> reserve(Declaration declaration, uint64_t generation, std::string what,
                            std::string incarnation = "");

  // Builds the environment of a reserved container with `program` (a static executable) as its PID
  // 1 instead of the declared command. Inside, descriptor 3 is the other end of the socket that is
  // returned and 4 the program's memfd; the process has all capabilities of this agent. `clocks`
  // comes from sys::offsets_to_show(). The link exists and is configured, but is not attached to
  // the bridge before announce(). The record's state is kRestoring until adopt().
  Result<Fd> build_sandbox(const Operation& operation, sys::ClockOffsets clocks,
                           std::span<const std::byte> program);

  // The sandbox has become the container: its record says that it runs.
  Result<void> adopt(const Operation& operation);

  // Detaches the container from the bridge: nothing reaches it or leaves it.
  Result<void> hold_network(const Operation& operation);
  Result<void> release_network(const Operation& operation);
  // Attaches it and tells the network where its addresses are now (gratuitous ARP, unsolicited NA).
  Result<void> announce(const Operation& operation);

  // Removes the container with everything it has on this host: processes, link, mounts, cgroup,
  // files, record. Also for one that is only reserved.
  Result<void> destroy(const Operation& operation);

 private:
  friend class Operation;
  struct Entry {
    ContainerRecord record;
    std::string busy_with;
    std::string arriving;
  };

  ContainerManager(ManagerOptions options, cluster::Store& store, sys::CgroupLayout cgroups,
                   std::vector<std::string> capabilities);

  Result<void> recover();
  Result<void> recover_one(const std::string& name);
  Result<void> supervise(const Container& container);

  Result<Container> run_reserved(const Operation& operation);
  Result<void> prepare_environment(const Container& container, FirstProcess first);
  // What the OCI runtime starts from now on, as the first process or beside it.
  Result<void> write_config(const Container& container, FirstProcess first);
  // The init process exists and waits; its link is made but not attached.
  Result<void> create_init(const std::string& name, sys::ClockOffsets clocks,
                           std::vector<Fd> extra);
  // Init runs its program, and its end will be noticed.
  Result<void> start_init(const std::string& name, State state);
  Result<void> clear(const Container& container);
  Result<Container> set_frozen(const std::string& name, State wanted);
  void on_exit(const std::string& name, std::optional<int> exit_code);

  std::string cgroup_of(const std::string& name) const;
  Container snapshot(const Entry& entry) const;
  Result<Container> expect_running(const std::string& name) const;
  Result<void> refuse_taken(const Declaration& declaration) const;  // with mutex_ held
  void finish(const std::string& name);

  using Change = std::function<void(ContainerRecord&)>;
  // Changes the record first in the store, then here.
  Result<void> update(const std::string& name, const Change& change);

  const ManagerOptions options_;
  cluster::Store& store_;
  const sys::CgroupLayout cgroups_;
  const std::vector<std::string> capabilities_;  // that this agent can give
  const ContainerFiles files_;
  const ContainerNetwork network_;
  const Runc runc_;
  mutable std::mutex mutex_;  // of containers_
  mutable std::condition_variable changed_;
  std::map<std::string, Entry> containers_;
  std::unique_ptr<ExitWatcher> watcher_;  // last: its thread calls on_exit()
};

}  // namespace martlet::agent
