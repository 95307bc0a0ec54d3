#include "agent/container_manager.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "agent/declaration_check.h"
#include "base/log.h"
#include "base/random_id.h"
#include "engine/sockets/abandoned.h"
#include "sys/capabilities.h"
#include "sys/pidfd.h"
#include "sys/procfs.h"

namespace martlet::agent {
namespace {

constexpr Nanoseconds kKillTimeout = std::chrono::seconds(20);
constexpr Nanoseconds kFreezeTimeout = std::chrono::seconds(10);
constexpr const char* kPrefix = "containers/";

// A veth name has at most 15 characters; agents that share a namespace must not collide.
std::string interface_name(const std::string& agent, const std::string& container) {
  uint32_t hash = 2166136261;  // FNV-1a
  for (const char c : agent + "/" + container) hash = (hash ^ static_cast<uint8_t>(c)) * 16777619;
  return fmt::format("mlt{:08x}", hash);
}

Error in_container(Error error, const std::string& name) {
  return std::move(error).with_context("container " + name);
}

std::unexpected<Error> refuse(Code code, const std::string& name, std::string cause,
                              std::string remedy) {
  return std::unexpected(
      in_container(Error(code, std::move(cause)).with_remedy(std::move(remedy)), name));
}

Result<Fd> make_program_file(std::span<const std::byte> program) {
  const Fd writable(memfd_create("martlet-stub", MFD_CLOEXEC));
  if (!writable.valid()) return fail_errno("memfd_create");
  TRY(write_full(writable.get(), program));
  // A file that is open for writing cannot be executed.
  return open_file(fmt::format("/proc/self/fd/{}", writable.get()), O_RDONLY);
}

bool runs(const ContainerRecord& record) {
  return record.state() == STATE_RUNNING || record.state() == STATE_PAUSED;
}

}  // namespace

Operation::Operation(Operation&& other) noexcept
    : manager_(std::exchange(other.manager_, nullptr)), name_(std::move(other.name_)) {}

Operation::~Operation() {
  if (manager_) manager_->finish(name_);
}

Result<std::unique_ptr<ContainerManager>> ContainerManager::open(ManagerOptions options,
                                                                 cluster::Store& store) {
  std::error_code error;
  for (const char* part : {"/containers", "/runc"}) {
    std::filesystem::create_directories(options.state_dir + part, error);
    if (error) return std::unexpected(Error::from_errno(error.value(), options.state_dir + part));
  }
  std::unique_ptr<ContainerManager> manager(new ContainerManager(
      std::move(options), store, TRY(sys::detect_cgroups()), TRY(sys::own_capabilities())));
  manager->watcher_ = TRY(ExitWatcher::start(
      [raw = manager.get()](const std::string& name, std::optional<int> exit_code) {
        raw->on_exit(name, exit_code);
      }));
  TRY(manager->recover());
  return manager;
}

ContainerManager::ContainerManager(ManagerOptions options, cluster::Store& store,
                                   sys::CgroupLayout cgroups, std::vector<std::string> capabilities)
    : options_(std::move(options)),
      store_(store),
      cgroups_(std::move(cgroups)),
      capabilities_(std::move(capabilities)),
      files_(options_.state_dir),
      network_(options_.bridge),
      runc_(options_.state_dir + "/runc") {}

// The cgroup above the containers' goes with the agent that leaves none. Not with the last
// container: runc may be creating the next one just then.
ContainerManager::~ContainerManager() {
  for (const std::string& hierarchy : cgroups_.hierarchies)
    rmdir((hierarchy + options_.cgroup_parent).c_str());
}

// --- Records ---

std::string ContainerManager::cgroup_of(const std::string& name) const {
  return options_.cgroup_parent + "/" + name;
}

Container ContainerManager::snapshot(const Entry& entry) const {
  const Declaration& declaration = entry.record.declaration();
  Container container;
  container.record = entry.record;
  container.paths = files_.paths_of(declaration);
  container.freezer_cgroup = cgroups_.freezer + cgroup_of(declaration.name());
  if (!declaration.addresses().empty())
    container.host_interface = interface_name(options_.agent_name, declaration.name());
  container.busy_with = entry.busy_with;
  container.arriving = entry.arriving;
  return container;
}

std::vector<Container> ContainerManager::list() const {
  const std::lock_guard lock(mutex_);
  std::vector<Container> all;
  for (const auto& [name, entry] : containers_) all.push_back(snapshot(entry));
  return all;
}

Result<Container> ContainerManager::find(const std::string& name) const {
  const std::lock_guard lock(mutex_);
  const auto found = containers_.find(name);
  if (found == containers_.end())
    return refuse(Code::kNotFound, name, fmt::format("does not exist on {}", options_.agent_name),
                  "'martlet ps' lists the containers of a host");
  return snapshot(found->second);
}

Result<void> ContainerManager::update(const std::string& name, const Change& change) {
  const std::lock_guard lock(mutex_);
  const auto found = containers_.find(name);
  if (found == containers_.end()) return fail(Code::kGone, "the container was removed");
  ContainerRecord record = found->second.record;
  change(record);
  TRY(store_.put(kPrefix + name, record.SerializeAsString()));
  found->second.record = std::move(record);
  changed_.notify_all();
  return {};
}

Result<Container> ContainerManager::expect_running(const std::string& name) const {
  Container container = TRY(find(name));
  if (container.record.state() == STATE_RUNNING) return container;
  const bool paused = container.record.state() == STATE_PAUSED;
  return refuse(Code::kInvalidArgument, name, paused ? "is paused" : "is not running",
                paused ? fmt::format("resume it with 'martlet unpause {}'", name)
                       : "'martlet ps' shows its state");
}

// --- Operations ---

Result<Operation> ContainerManager::begin(const std::string& name, std::string what,
                                          WhileArriving while_arriving) {
  TRY(find(name));
  const std::lock_guard lock(mutex_);
  const auto found = containers_.find(name);
  if (found == containers_.end()) return fail(Code::kGone, "the container was removed");
  if (!found->second.busy_with.empty())
    return refuse(Code::kAlreadyExists, name,
                  fmt::format("is busy with another operation ({})", found->second.busy_with),
                  "try again when that has finished");
  if (!found->second.arriving.empty() && while_arriving == WhileArriving::kRefuse)
    return refuse(Code::kAlreadyExists, name,
                  fmt::format("is not complete here yet ({})", found->second.arriving),
                  "try again when all of its memory has come");
  found->second.busy_with = std::move(what);
  return Operation(*this, name);
}

void ContainerManager::note_arriving(const std::string& name, const std::string& text) {
  const std::lock_guard lock(mutex_);
  if (const auto found = containers_.find(name); found != containers_.end())
    found->second.arriving = text;
}

Result<void> ContainerManager::end_lost(const std::string& name, const std::string& incarnation,
                                        const std::string& why) {
  const auto container = find(name);
  if (!container || container->record.incarnation() != incarnation) return {};
  TRY_IN(sys::kill_cgroup(container->freezer_cgroup, kKillTimeout), "container " + name);
  return update(name, [&](ContainerRecord& record) { record.set_lost(why); });
}

void ContainerManager::finish(const std::string& name) {
  const std::lock_guard lock(mutex_);
  if (const auto found = containers_.find(name); found != containers_.end())
    found->second.busy_with.clear();
  changed_.notify_all();
}

Result<void> ContainerManager::refuse_taken(const Declaration& declaration) const {
  const std::string& name = declaration.name();
  if (containers_.contains(name))
    return refuse(Code::kAlreadyExists, name, "exists already",
                  fmt::format("choose another name or remove it with 'martlet rm {}'", name));
  for (const auto& [other, entry] : containers_) {
    if (entry.record.state() == STATE_EXITED) continue;
    for (const std::string& taken : entry.record.declaration().addresses())
      for (const std::string& wanted : declaration.addresses())
        if (taken.substr(0, taken.find('/')) == wanted.substr(0, wanted.find('/')))
          return refuse(Code::kAlreadyExists, name,
                        fmt::format("address {} belongs to container {}", wanted, other),
                        "choose another --ip");
  }
  return {};
}

Result<void> ContainerManager::check_available(const Declaration& declaration) const {
  const std::lock_guard lock(mutex_);
  return refuse_taken(declaration);
}

Result<Operation> ContainerManager::reserve(Declaration declaration, uint64_t generation,
                                            std::string what, std::string incarnation) {
  const std::string name = declaration.name();
  TRY_IN(complete(declaration), "container " + name);
  Entry entry;
  *entry.record.mutable_declaration() = std::move(declaration);
  entry.record.set_generation(generation);
  entry.record.set_incarnation(incarnation.empty() ? random_id() : std::move(incarnation));
  entry.record.set_state(STATE_CREATING);
  entry.record.set_created_at(time(nullptr));
  entry.busy_with = std::move(what);
  const ContainerPaths paths = files_.paths_of(entry.record.declaration());
  {
    const std::lock_guard lock(mutex_);
    TRY(refuse_taken(entry.record.declaration()));
    TRY(store_.put(kPrefix + name, entry.record.SerializeAsString()));
    containers_.emplace(name, std::move(entry));
  }
  Operation operation(*this, name);
  if (auto made = files_.make(paths); !made) {
    (void)destroy(operation);
    return std::unexpected(in_container(std::move(made).error(), name));
  }
  return operation;
}

// --- Starting ---

Result<Container> ContainerManager::run(Declaration declaration) {
  const Operation operation = TRY(reserve(std::move(declaration), 1, "start"));
  auto started = run_reserved(operation);
  if (started) return started;
  if (auto cleared = destroy(operation); !cleared)
    spdlog::warn("after a failed start: {}", cleared.error().to_string());
  return std::unexpected(in_container(std::move(started).error(), operation.name()));
}

Result<Container> ContainerManager::run_reserved(const Operation& operation) {
  const std::string& name = operation.name();
  TRY(prepare_environment(TRY(find(name)), FirstProcess::kDeclared));
  TRY(create_init(name, sys::ClockOffsets{}, {}));
  const Container container = TRY(find(name));
  TRY_IN(network_.attach(container), "network");
  TRY_IN(network_.announce(container), "network");
  TRY(start_init(name, STATE_RUNNING));
  spdlog::info("container {}: started, init is process {}", name, container.init().value);
  return find(name);
}

Result<void> ContainerManager::prepare_environment(const Container& container, FirstProcess first) {
  TRY_IN(files_.mount_root(container), "root file system");
  return write_config(container, first);
}

Result<void> ContainerManager::write_config(const Container& container, FirstProcess first) {
  const OciEnvironment environment{cgroup_of(container.name()), options_.state_dir, capabilities_};
  const std::string config = TRY(make_oci_config(container, environment, first));
  return in_context(files_.write_bundle(container, config), "bundle");
}

Result<void> ContainerManager::create_init(const std::string& name, sys::ClockOffsets clocks,
                                           std::vector<Fd> extra) {
  InitSpec init{clocks, TRY(files_.open_log(TRY(find(name)).paths)), std::move(extra)};
  const HostPid pid = TRY(runc_.create(TRY(find(name)), init));
  const sys::TaskStat stat = TRY(sys::read_stat(pid));
  TRY(update(name, [&](ContainerRecord& record) {
    record.set_init_pid(pid.value);
    record.set_init_start_time(stat.start_ticks);
  }));
  const Container container = TRY(find(name));
  TRY(files_.note_mounts(container.paths, TRY(read_file(sys::proc_path(pid, "mountinfo")))));
  return in_context(network_.create(container), "network");
}

Result<void> ContainerManager::start_init(const std::string& name, State state) {
  // The state first: a program that ends at once must find something to end.
  TRY(update(name, [&](ContainerRecord& record) { record.set_state(state); }));
  const Container container = TRY(find(name));
  Fd pidfd = TRY(sys::open_pidfd(container.init()));
  TRY(runc_.start(container));
  return watcher_->watch(name, container.init(), std::move(pidfd));
}

Result<Fd> ContainerManager::build_sandbox(const Operation& operation, sys::ClockOffsets clocks,
                                           std::span<const std::byte> program) {
  const std::string& name = operation.name();
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
    return fail_errno("socketpair");
  Fd ours(ends[0]);
  std::vector<Fd> theirs;
  theirs.push_back(Fd(ends[1]));                      // kStubControl
  theirs.push_back(TRY(make_program_file(program)));  // kStubProgram
  const auto build = [&]() -> Result<void> {
    TRY(prepare_environment(TRY(find(name)), FirstProcess::kStub));
    TRY(create_init(name, clocks, std::move(theirs)));
    TRY(start_init(name, STATE_RESTORING));
    // An exec is to get what was declared, not the capabilities that a restore needs.
    return write_config(TRY(find(name)), FirstProcess::kDeclared);
  };
  TRY_IN(in_context(build(), "sandbox"), "container " + name);
  return ours;
}

Result<void> ContainerManager::adopt(const Operation& operation) {
  return in_context(
      update(operation.name(), [](ContainerRecord& record) { record.set_state(STATE_RUNNING); }),
      "container " + operation.name());
}

// --- Ending ---

void ContainerManager::on_exit(const std::string& name, std::optional<int> exit_code) {
  spdlog::info("container {}: exited with code {}", name,
               exit_code ? std::to_string(*exit_code) : "unknown");
  const auto updated = update(name, [&](ContainerRecord& record) {
    record.set_state(STATE_EXITED);
    record.set_init_pid(0);
    record.clear_exit_code();
    if (exit_code) record.set_exit_code(*exit_code);
  });
  if (!updated) spdlog::warn("container {}: {}", name, updated.error().to_string());
}

Result<Container> ContainerManager::wait_for_exit(const std::string& name,
                                                  Nanoseconds timeout) const {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, timeout, [&] {
    const auto found = containers_.find(name);
    return found == containers_.end() || found->second.record.state() == STATE_EXITED;
  });
  lock.unlock();
  return find(name);
}

Result<Container> ContainerManager::stop(const std::string& name, Nanoseconds timeout) {
  const Operation operation = TRY(begin(name, "stop", WhileArriving::kAllow));
  const Container container = TRY(find(name));
  if (container.record.state() == STATE_EXITED) return container;
  if (container.record.state() == STATE_PAUSED)
    TRY_IN(sys::thaw_cgroup(container.freezer_cgroup, kFreezeTimeout), "container " + name);
  const auto pidfd = sys::open_pidfd(container.init());
  if (pidfd) syscall(SYS_pidfd_send_signal, pidfd->get(), SIGTERM, nullptr, 0);
  Container now = TRY(wait_for_exit(name, timeout));
  if (now.record.state() == STATE_EXITED) return now;
  TRY_IN(sys::kill_cgroup(container.freezer_cgroup, kKillTimeout), "container " + name);
  return wait_for_exit(name, kKillTimeout);
}

Result<void> ContainerManager::remove(const std::string& name, Force force) {
  const Operation operation = TRY(begin(name, "removal", WhileArriving::kAllow));
  const Container container = TRY(find(name));
  if (container.record.state() != STATE_EXITED && force == Force::kNo)
    return refuse(Code::kInvalidArgument, name, "is still running",
                  fmt::format("stop it first, or use 'martlet rm --force {}'", name));
  TRY(destroy(operation));
  spdlog::info("container {}: removed", name);
  return {};
}

Result<void> ContainerManager::destroy(const Operation& operation) {
  const std::string& name = operation.name();
  const Container container = TRY(find(name));
  watcher_->forget(name);
  TRY_IN(clear(container), "container " + name);
  const std::lock_guard lock(mutex_);
  TRY(store_.erase(kPrefix + name));
  containers_.erase(name);
  changed_.notify_all();
  return {};
}

Result<void> ContainerManager::clear(const Container& container) {
  TRY(sys::kill_cgroup(container.freezer_cgroup, kKillTimeout));
  TRY(network_.remove(container));
  TRY(runc_.forget(container));
  sys::remove_cgroup(cgroups_, cgroup_of(container.name()));
  return files_.remove(container.paths);
}

// --- Pausing and the network ---

Result<Container> ContainerManager::set_frozen(const std::string& name, State wanted) {
  const bool freeze = wanted == STATE_PAUSED;
  const Operation operation = TRY(begin(name, freeze ? "pause" : "unpause", WhileArriving::kAllow));
  const Container container = TRY(find(name));
  if (!runs(container.record)) return expect_running(name);
  if (container.record.state() == wanted) return container;
  const std::string& cgroup = container.freezer_cgroup;
  TRY_IN(freeze ? sys::freeze_cgroup(cgroup, kFreezeTimeout)
                : sys::thaw_cgroup(cgroup, kFreezeTimeout),
         "container " + name);
  TRY(update(name, [&](ContainerRecord& record) { record.set_state(wanted); }));
  return find(name);
}

Result<Container> ContainerManager::pause(const std::string& name) {
  return set_frozen(name, STATE_PAUSED);
}

Result<Container> ContainerManager::unpause(const std::string& name) {
  return set_frozen(name, STATE_RUNNING);
}

Result<void> ContainerManager::hold_network(const Operation& operation) {
  const Container container = TRY(find(operation.name()));
  return in_context(network_.detach(container), "container " + operation.name());
}

Result<void> ContainerManager::release_network(const Operation& operation) {
  const Container container = TRY(find(operation.name()));
  return in_context(network_.attach(container), "container " + operation.name());
}

Result<void> ContainerManager::announce(const Operation& operation) {
  TRY(release_network(operation));
  return in_context(network_.announce(TRY(find(operation.name()))),
                    "container " + operation.name());
}

Result<sys::Program> ContainerManager::exec_command(const std::string& name,
                                                    const ExecSpec& spec) const {
  return in_context(runc_.exec(TRY(expect_running(name)), spec), "container " + name);
}

// --- Recovery ---

Result<void> ContainerManager::recover() {
  for (const cluster::StoredRecord& stored : TRY(store_.list(kPrefix))) {
    Entry entry;
    if (!entry.record.ParseFromString(stored.value))
      return fail(Code::kBadImage, fmt::format("the record {} is damaged", stored.key));
    const std::string name = entry.record.declaration().name();
    containers_.emplace(name, std::move(entry));
    if (auto recovered = recover_one(name); !recovered)
      spdlog::error("container {}: {}", name, recovered.error().to_string());
  }
  return {};
}

Result<void> ContainerManager::recover_one(const std::string& name) {
  const Container container = TRY(find(name));
  switch (container.record.state()) {
    case STATE_RUNNING:
    case STATE_PAUSED: return supervise(container);
    case STATE_CREATING:
    case STATE_RESTORING:
      spdlog::warn("container {}: clearing away what an earlier agent left half-built", name);
      return destroy(Operation(*this, name));
    default: return {};
  }
}

Result<void> ContainerManager::supervise(const Container& container) {
  // A descriptor first, then the check: the PID cannot be taken by another process in between.
  auto pidfd = sys::open_pidfd(container.init());
  const auto stat = sys::read_stat(container.init());
  if (!pidfd || !stat || stat->start_ticks != container.record.init_start_time()) {
    on_exit(container.name(), std::nullopt);
    return {};
  }
  spdlog::info("container {}: found again, init is process {}", container.name(),
               container.init().value);
  // Only an agent that died has left any behind. A task that waits for a missing page may hold the
  // lock of a socket, and what it waits for comes through this agent: nothing may be asked of it.
  const std::string keeper =
      keeper_directory(options_.state_dir) + "/" + container.record.incarnation();
  if (access(keeper.c_str(), F_OK) == 0) {
    spdlog::info("container {}: its memory is still arriving", container.name());
  } else if (const size_t revived = engine::revive_sockets(container.init()); revived > 0) {
    spdlog::warn("container {}: {} sockets speak again that a capture had silenced",
                 container.name(), revived);
  }
  return watcher_->watch(container.name(), container.init(), std::move(*pidfd));
}

}  // namespace martlet::agent
