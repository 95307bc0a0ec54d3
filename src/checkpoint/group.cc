#include "checkpoint/group.h"

#include <signal.h>

#include "base/check.h"
#include "base/worker_thread.h"
#include "checkpoint/builder.h"
#include "checkpoint/capture.h"
#include "checkpoint/memory_rounds.h"
#include "engine/files/file_table.h"
#include "engine/files/unread_queues.h"
#include "engine/memory/aio_contexts.h"
#include "engine/network/network_namespaces.h"
#include "engine/tasks/creation.h"
#include "engine/tasks/frozen.h"
#include "sys/cgroup.h"
#include "sys/mapping_flags.h"
#include "sys/procfs.h"

namespace martlet::checkpoint {
namespace {

constexpr Nanoseconds kFreezerDeadline = std::chrono::seconds(10);
constexpr Nanoseconds kLastEnds = std::chrono::milliseconds(100);

// A program that takes care of its events has soon read them; one that does not is refused.
constexpr Nanoseconds kLongestWait = std::chrono::milliseconds(500);
constexpr Nanoseconds kLookAgain = std::chrono::milliseconds(1);
// For which the group stands still at most until its asynchronous requests are done.
constexpr Nanoseconds kLongestRequest = std::chrono::seconds(1);

class NoSink final : public image::Sink {
 public:
  Result<void> put(image::RecordType /*type*/, std::span<const std::byte> /*head*/,
                   std::span<const std::byte> /*body*/) override {
    return {};
  }
  Result<void> flush() override { return {}; }
};

}  // namespace

// All that is done with the tasks is done on one thread, which ends with this: a main thread that
// has ended before others of its process, and after it was seized, is let go by its tracer's end
// alone. Otherwise nobody would hear of its process's end later.
struct FrozenGroup::State {
  WorkerThread tracer;
  GroupSpec spec;
  std::vector<engine::ContainerCgroup> cgroups;
  std::vector<engine::FrozenProcess> processes;
  std::optional<engine::InnerFreezers> freezers;  // while all tasks are stopped
  NoSink nowhere;
  std::unique_ptr<engine::CaptureContext> context;
  std::optional<engine::NetworkSurvey> network;
  std::optional<engine::NetworkSettings> fresh_settings;  // if processes have networks of their own
  Nanoseconds freeze_time{};

  ~State() {
    tracer.perform([this] {
      freezers.reset();
      processes.clear();
    });
  }

  Result<void> freeze();
  void make_context(image::Sink& sink);
  Result<CaptureStats> capture(image::Sink& sink, std::span<image::Sink* const> lanes,
                               MemoryRounds* ahead, MemoryScope scope);
  Result<CheckReport> check();
  void take_back();
  Result<void> thaw();
  Result<void> kill();

  Result<void> thaw_inner() {
    auto thawed = engine::InnerFreezers::thaw(cgroups);
    if (thawed)
      freezers.emplace(std::move(*thawed));
    else
      std::ignore = engine::thaw_processes(processes);
    return thawed ? Result<void>() : std::unexpected(std::move(thawed.error()));
  }
};

// An event may come between the last look and the freeze, or a request be under way. Then the group
// goes on, each time for twice as long, until it is read or done.
Result<void> FrozenGroup::State::freeze() {
  SystemClock clock;
  std::ignore = sys::MappingFlags::shared();  // made here, nobody waits for it frozen
  auto queues = engine::UnreadQueues::find(spec.root);
  engine::FileTable::make_room(queues.descriptors());
  cgroups = TRY(engine::cgroups_of_container(spec.freezer_cgroup));
  if (spec.network)
    network = TRY_IN(engine::NetworkSurvey::prepare(spec.root, *spec.network), "network");
  if (spec.container && engine::networks_below(spec.root).size() > 1)
    fresh_settings = TRY(engine::read_fresh_settings());
  const Nanoseconds deadline = clock.now() + kLongestWait;
  for (Nanoseconds pause = kLookAgain;; pause *= 2) {
    // Who begins to use AIO after this look and has requests in flight is refused.
    auto aio = engine::find_aio_use(spec.root);
    auto waits = [&] { return !queues.all_read() || aio == engine::AioUse::kUnreadable; };
    while (waits() && clock.now() < deadline) {
      clock.sleep_for(kLookAgain);
      aio = engine::find_aio_use(spec.root);
    }
    TRY(engine::refuse_frozen_by_v1(cgroups));
    Stopwatch watch(clock);
    processes =
        TRY_IN(engine::freeze_processes(spec.root, spec.container, spec.freezer_cgroup), "freeze");
    freeze_time = watch.elapsed();
    TRY_IN(thaw_inner(), "freeze");
    const bool at_rest = queues.all_read_in(spec.root) &&
                         (aio == engine::AioUse::kNone ||
                          engine::await_aio_requests(processes, kLongestRequest).empty());
    if (at_rest || clock.now() >= deadline) return {};
    freezers.reset();
    TRY_IN(engine::thaw_for_another_stop(processes), "thaw");
    clock.sleep_for(pause);
  }
}

void FrozenGroup::State::make_context(image::Sink& sink) {
  CHECK(!context);
  context =
      std::make_unique<engine::CaptureContext>(sink, processes.front().living, spec.external_files);
  context->set_outside_peers(spec.outside_peers);
}

Result<CaptureStats> FrozenGroup::State::capture(image::Sink& sink,
                                                 std::span<image::Sink* const> lanes,
                                                 MemoryRounds* ahead, MemoryScope scope) {
  if (ahead != nullptr && !ahead->begun()) ahead = nullptr;
  SystemClock clock;
  Stopwatch watch(clock);
  make_context(sink);
  GroupCapture capture(processes, *context, lanes, spec, ahead, scope, cgroups, *freezers);
  capture.look_at_networks(network ? &*network : nullptr, fresh_settings);
  CaptureStats stats = TRY_IN(capture.run(), "capture");
  stats.freeze_seconds = in_seconds(freeze_time);
  stats.capture_seconds = watch.seconds();
  return stats;
}

Result<FrozenGroup::CheckReport> FrozenGroup::State::check() {
  make_context(nowhere);
  context->collect_refusals();
  GroupCapture capture(processes, *context, {}, spec, nullptr, MemoryScope::kComplete, cgroups,
                       *freezers);
  capture.look_at_networks(network ? &*network : nullptr, fresh_settings);
  CheckReport report;
  report.stats = TRY_IN(capture.check(), "check");
  report.refusals = std::move(context->refusals());
  return report;
}

void FrozenGroup::State::take_back() {
  if (context) context->run_undo();
  freezers.reset();
}

Result<void> FrozenGroup::State::thaw() {
  take_back();
  return in_context(engine::thaw_processes(processes), "thaw");
}

Result<void> FrozenGroup::State::kill() {
  // Children first, so that no parent is told of an end that belongs to another host.
  for (auto process = processes.rbegin(); process != processes.rend(); ++process)
    if (!process->zombie && ::kill(process->pid.value, SIGKILL) != 0 && errno != ESRCH)
      return fail_errno("kill process " + to_string(process->pid));
  // Whoever froze the cgroup too: its tasks cannot end while they are in it.
  if (!spec.freezer_cgroup.empty()) TRY(sys::thaw_cgroup(spec.freezer_cgroup, kFreezerDeadline));
  // The first of a PID namespace ends when all others in it are reaped: in a process tree maybe by
  // somebody who waits for the end of this process.
  std::vector<sys::Tracee> ended_leaders;
  ended_leaders.reserve(processes.size());
  std::vector<sys::Tracee*> killed, last;
  for (engine::FrozenProcess& process : processes) {
    auto& tracees = process.inner.is_first() && !spec.container ? last : killed;
    for (engine::FrozenThread& thread : process.threads) tracees.push_back(&thread.tracee);
    if (process.ended_leader)
      tracees.push_back(&ended_leaders.emplace_back(sys::Tracee::adopt(process.pid)));
  }
  sys::reap_killed(killed);
  sys::reap_killed(last, kLastEnds);
  return {};
}

FrozenGroup::FrozenGroup(std::unique_ptr<State> state) : state_(std::move(state)) {}
FrozenGroup::FrozenGroup(FrozenGroup&&) noexcept = default;
FrozenGroup& FrozenGroup::operator=(FrozenGroup&&) noexcept = default;

FrozenGroup::~FrozenGroup() {
  if (state_) std::ignore = thaw();
}

Result<FrozenGroup> FrozenGroup::freeze(const GroupSpec& spec) {
  auto state = std::make_unique<State>();
  state->spec = spec;
  TRY(state->tracer.perform([&] { return state->freeze(); }));
  return FrozenGroup(std::move(state));
}

Nanoseconds FrozenGroup::freeze_time() const {
  return state_->freeze_time;
}

Result<CaptureStats> FrozenGroup::capture(image::Sink& sink, std::span<image::Sink* const> lanes,
                                          MemoryRounds* ahead, MemoryScope scope) {
  return state_->tracer.perform([&] { return state_->capture(sink, lanes, ahead, scope); });
}

Result<FrozenGroup::CheckReport> FrozenGroup::check() {
  return state_->tracer.perform([this] { return state_->check(); });
}

std::vector<HostPid> FrozenGroup::processes() const {
  std::vector<HostPid> pids;
  for (const auto& process : state_->processes) pids.push_back(process.pid);
  return pids;
}

uint64_t FrozenGroup::private_bytes() const {
  uint64_t total = 0;
  for (const auto& process : state_->processes)
    total += sys::read_private_bytes(process.living).value_or(0);
  return total;
}

void FrozenGroup::take_back() {
  state_->tracer.perform([this] { state_->take_back(); });
}

Result<void> FrozenGroup::thaw() {
  auto state = std::move(state_);
  return state->tracer.perform([&] { return state->thaw(); });
}

Result<void> FrozenGroup::kill() {
  auto state = std::move(state_);
  return state->tracer.perform([&] { return state->kill(); });
}

struct RestoredGroup::State {
  State(Sandbox sandbox, MemoryScope scope) : builder(std::move(sandbox), scope) {}
  GroupBuilder builder;
};

RestoredGroup::RestoredGroup(std::unique_ptr<State> state) : state_(std::move(state)) {}
RestoredGroup::RestoredGroup(RestoredGroup&&) noexcept = default;
RestoredGroup& RestoredGroup::operator=(RestoredGroup&&) noexcept = default;
RestoredGroup::~RestoredGroup() = default;

Result<RestoredGroup> RestoredGroup::build(image::Source& source, Sandbox sandbox,
                                           std::vector<engine::PageLane> lanes, MemoryScope scope) {
  auto state = std::make_unique<State>(std::move(sandbox), scope);
  TRY_IN(state->builder.build(source, std::move(lanes)), "restore");
  return RestoredGroup(std::move(state));
}

std::vector<LateMemory> RestoredGroup::take_late_memory() {
  return state_->builder.take_late_memory();
}
const RestoreStats& RestoredGroup::stats() const {
  return state_->builder.stats();
}
HostPid RestoredGroup::root() const {
  return state_->builder.root();
}
Result<void> RestoredGroup::resume() {
  return state_->builder.resume();
}

std::span<const std::byte> stub_program() {
  return engine::stub_image();
}

}  // namespace martlet::checkpoint
