#include "agent/migration_host.h"

#include <fmt/format.h>
#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <filesystem>

#include "agent/container_checkpoint.h"
#include "agent/peer.grpc.pb.h"
#include "agent/rpc_status.h"
#include "engine/cgroups/inner_freezers.h"
#include "engine/sockets/connections_in_setup.h"
#include "migrate/group_adapters.h"
#include "sys/cpu_quota.h"
#include "sys/mounts.h"

namespace martlet::agent {
namespace {

using migrate::FileTree;

constexpr auto kLocateTimeout = std::chrono::seconds(5);
constexpr const char* kOperation = "migration";

std::vector<FileTree> trees_of(const Container& container) {
  return {{.name = "upper", .kind = FileTree::Kind::kDirectory, .path = container.paths.upper},
          {.name = "log", .kind = FileTree::Kind::kFile, .path = container.paths.log}};
}

// A container of this host under an operation.
class HeldContainer {
 public:
  HeldContainer(ContainerManager& manager, Operation operation, std::string bridge)
      : manager_(manager), operation_(std::move(operation)), bridge_(std::move(bridge)) {}

  Result<Container> find() const { return manager_.find(operation_.name()); }
  std::vector<FileTree> files() const {
    auto container = find();
    return container ? trees_of(*container) : std::vector<FileTree>{};
  }
  std::string incarnation() const {
    auto container = find();
    return container ? container->record.incarnation() : "";
  }
  HostPid init() const {
    auto container = find();
    bool runs = container && container->record.state() == STATE_RUNNING;
    return runs ? container->init() : HostPid(0);
  }
  std::optional<migrate::NetworkPort> network() const {
    auto container = find();
    if (!container || container->host_interface.empty()) return std::nullopt;
    const Declaration& declaration = container->record.declaration();
    auto mac = sys::parse_mac(declaration.mac());
    if (!mac) return std::nullopt;
    migrate::NetworkPort port{bridge_, container->host_interface, *mac, {}};
    for (const std::string& text : declaration.addresses())
      if (auto prefix = sys::parse_prefix(text)) port.addresses.push_back(prefix->address);
    return port;
  }
  Result<void> thaw() const { return migrate::thaw_group(TRY(find()).freezer_cgroup); }

  ContainerManager& manager() { return manager_; }
  const Operation& operation() const { return operation_; }

 private:
  ContainerManager& manager_;
  Operation operation_;
  std::string bridge_;
};

class MovingContainer final : public migrate::SourceContainer {
 public:
  explicit MovingContainer(HeldContainer held) : held_(std::move(held)) {}

  std::string record() const override {
    auto container = held_.find();
    return container ? container->record.SerializeAsString() : "";
  }
  std::string incarnation() const override { return held_.incarnation(); }
  HostPid init() const override { return held_.init(); }
  std::vector<FileTree> files() const override { return held_.files(); }
  std::string upper_layer() const override {
    auto container = held_.find();
    bool overlaid = container && !container->record.declaration().overlay().empty();
    return overlaid ? container->paths.upper : "";
  }
  std::optional<migrate::NetworkPort> network() const override { return held_.network(); }
  Result<std::unique_ptr<checkpoint::MemoryRounds>> follow_memory() override {
    Container container = TRY(held_.find());
    if (auto quota = sys::CpuQuota::of(container.freezer_cgroup))
      used_before_ = quota->used().value_or(Nanoseconds{});
    followed_.restart();
    return std::make_unique<checkpoint::MemoryRounds>(group_of(container));
  }
  // The share is one of what it used while its memory was followed.
  Result<void> throttle(int percent) override {
    Container container = TRY(held_.find());
    auto quota = TRY(sys::CpuQuota::of(container.freezer_cgroup));
    double processors = container.record.declaration().cpus();  // 0: all
    if (percent < 100) {
      if (used_before_.count() == 0) return fail(Code::kInvalidArgument, "nothing was measured");
      auto used = TRY(quota.used()) - used_before_;
      if (processors_used_ == 0)
        processors_used_ = std::chrono::duration<double>(used).count() / followed_.seconds();
      processors = processors_used_ * percent / 100;
    }
    return quota.limit(processors);
  }
  Result<std::unique_ptr<migrate::FrozenContainer>> freeze() override {
    return migrate::freeze_group(group_of(TRY(held_.find())));
  }
  // Also what a move that was killed has thawed of the container's own.
  Result<void> thaw() override {
    engine::freeze_marked(TRY(held_.find()).freezer_cgroup);
    return held_.thaw();
  }
  std::vector<std::string> connections_in_setup() override {
    if (!setup_) {
      auto watched = engine::ConnectionsInSetup::watch(init());
      if (!watched) return {};  // the capture says so if it matters
      setup_.emplace(std::move(*watched));
    }
    auto waiting = setup_->list().value_or(std::vector<std::string>());
    if (setup_->is_of_several()) setup_.reset();
    return waiting;
  }
  Result<void> hold_network() override { return held_.manager().hold_network(held_.operation()); }
  // The other host announces the address only once the container is its own, so the neighbours
  // still look for it here.
  Result<void> release_network() override {
    return held_.manager().release_network(held_.operation());
  }
  Result<void> destroy() override { return held_.manager().destroy(held_.operation()); }

 private:
  HeldContainer held_;
  std::optional<engine::ConnectionsInSetup> setup_;
  SystemClock clock_;
  Stopwatch followed_{clock_};
  Nanoseconds used_before_{};
  double processors_used_ = 0;
};

class ArrivingContainer final : public migrate::ReservedContainer {
 public:
  explicit ArrivingContainer(HeldContainer held) : held_(std::move(held)) {}

  std::string incarnation() const override { return held_.incarnation(); }
  HostPid init() const override { return held_.init(); }
  std::vector<FileTree> files() const override { return held_.files(); }
  Result<void> build_sandbox(const sys::ClockOffsets& clocks) override {
    control_ =
        TRY(held_.manager().build_sandbox(held_.operation(), clocks, checkpoint::stub_program()));
    return {};
  }
  Result<void> files_changed() override { return sys::forget_names(TRY(held_.find()).paths.root); }
  Result<std::unique_ptr<migrate::RestoredContainer>> restore(
      image::Source& source, checkpoint::MemoryScope scope) override {
    Container container = TRY(held_.find());
    checkpoint::Sandbox sandbox{.stub = container.init(),
                                .control = std::move(control_),
                                .external_files = group_of(container).external_files};
    return migrate::restore_group(source, std::move(sandbox), container.freezer_cgroup, scope);
  }
  std::optional<migrate::NetworkPort> network() const override { return held_.network(); }
  Result<void> attach() override { return held_.manager().release_network(held_.operation()); }
  Result<void> announce() override { return held_.manager().announce(held_.operation()); }
  Result<void> adopt() override { return held_.manager().adopt(held_.operation()); }
  Result<void> run() override { return held_.thaw(); }
  Result<void> destroy() override { return held_.manager().destroy(held_.operation()); }

 private:
  HeldContainer held_;
  Fd control_;
};

Result<ContainerRecord> parse_record(const std::string& text) {
  ContainerRecord record;
  if (record.ParseFromString(text) && record.has_declaration()) return record;
  return fail(Code::kBadImage, "the container's record is not readable");
}

}  // namespace

Result<std::unique_ptr<migrate::SourceContainer>> MigrationHost::open_container(
    const std::string& name) {
  Operation operation = TRY(manager_.begin(name, kOperation));
  return std::make_unique<MovingContainer>(
      HeldContainer(manager_, std::move(operation), config_.bridge));
}

Result<migrate::Endpoint> MigrationHost::locate(const std::string& name) {
  const agent::Host host = TRY(membership_.find_host(name));
  const auto channel = TRY(membership_.connect(host));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kLocateTimeout);
  HostInfo info;
  const grpc::Status status = Peer::NewStub(channel)->Info(&context, InfoRequest(), &info);
  if (!status.ok()) return std::unexpected(from_status(status, "host " + name));
  if (info.migration_port() == 0)
    return fail(Code::kUnsupported, "host " + name + " takes no migrations");
  return migrate::Endpoint{.host = host.address().substr(0, host.address().rfind(':')),
                           .port = std::to_string(info.migration_port())};
}

std::vector<std::string> MigrationHost::problems_with(const std::string& text) {
  auto record = parse_record(text);
  if (!record) return {record.error().to_string()};
  std::vector<std::string> problems;
  const Declaration& declaration = record->declaration();
  if (manager_.find(declaration.name()))
    problems.push_back(fmt::format("it has a container {} already", declaration.name()));
  else if (auto available = manager_.check_available(declaration); !available)
    problems.push_back(available.error().to_string());
  for (const Volume& volume : declaration.volumes())
    if (!std::filesystem::exists(volume.source()))
      problems.push_back(fmt::format(
          "the volume {} does not exist there, and volumes are not copied", volume.source()));
  if (!declaration.overlay().empty() && !std::filesystem::is_directory(declaration.overlay()))
    problems.push_back(
        fmt::format("the base layer {} does not exist there", declaration.overlay()));
  return problems;
}

std::string MigrationHost::base_layer(const std::string& text) const {
  auto record = parse_record(text);
  return record ? record->declaration().overlay() : "";
}

Result<std::unique_ptr<migrate::ReservedContainer>> MigrationHost::reserve(
    const std::string& text, const std::string& incarnation) {
  ContainerRecord record = TRY(parse_record(text));
  Operation operation =
      TRY(manager_.reserve(record.declaration(), record.generation() + 1, kOperation, incarnation));
  return std::make_unique<ArrivingContainer>(
      HeldContainer(manager_, std::move(operation), config_.bridge));
}

Result<std::unique_ptr<migrate::ReservedContainer>> MigrationHost::reopen_reserved(
    const std::string& name) {
  Operation operation = TRY(manager_.begin(name, kOperation));
  return std::make_unique<ArrivingContainer>(
      HeldContainer(manager_, std::move(operation), config_.bridge));
}

}  // namespace martlet::agent
