#include "checkpoint/group.h"

#include <signal.h>

#include "base/check.h"
#include "checkpoint/builder.h"
#include "checkpoint/capture.h"
#include "engine/tasks/creation.h"
#include "engine/tasks/frozen.h"
#include "sys/cgroup.h"

namespace martlet::checkpoint {
namespace {

constexpr Nanoseconds kFreezerDeadline = std::chrono::seconds(10);
constexpr Nanoseconds kReapDeadline = std::chrono::seconds(10);

// Killed tasks end in an order of their own: the init of a PID namespace ends after everything else
// there is reaped, and so does the last of its threads, whichever that is. One that does not end in
// time (a device keeps it) will never execute its program again all the same.
void reap(std::vector<engine::FrozenProcess>& processes) {
  SystemClock clock;
  Nanoseconds give_up = clock.now() + kReapDeadline;
  for (bool left = true; left && clock.now() < give_up;) {
    left = false;
    for (engine::FrozenProcess& process : processes)
      for (engine::FrozenThread& thread : process.threads)
        left |= thread.tracee.tid().value != 0 && !thread.tracee.reap_if_ended();
    if (left) clock.sleep_for(std::chrono::microseconds(50));
  }
  for (engine::FrozenProcess& process : processes)
    for (engine::FrozenThread& thread : process.threads) thread.tracee.forget();
}

}  // namespace

struct FrozenGroup::State {
  GroupSpec spec;
  std::vector<engine::FrozenProcess> processes;
  std::unique_ptr<engine::CaptureContext> context;
  double freeze_seconds = 0;
};

FrozenGroup::FrozenGroup(std::unique_ptr<State> state) : state_(std::move(state)) {}
FrozenGroup::FrozenGroup(FrozenGroup&&) noexcept = default;
FrozenGroup& FrozenGroup::operator=(FrozenGroup&&) noexcept = default;

FrozenGroup::~FrozenGroup() {
  if (state_) std::ignore = thaw();
}

Result<FrozenGroup> FrozenGroup::freeze(const GroupSpec& spec) {
  SystemClock clock;
  Stopwatch watch(clock);
  auto state = std::make_unique<State>();
  state->spec = spec;
  state->processes =
      TRY_IN(engine::freeze_processes(spec.root, spec.container, spec.freezer_cgroup), "freeze");
  state->freeze_seconds = watch.seconds();
  return FrozenGroup(std::move(state));
}

Result<CaptureStats> FrozenGroup::capture(image::Sink& sink) {
  CHECK(state_ && !state_->context);
  SystemClock clock;
  Stopwatch watch(clock);
  state_->context = std::make_unique<engine::CaptureContext>(sink, state_->spec.root,
                                                             state_->spec.external_files);
  GroupCapture capture(state_->processes, *state_->context, state_->spec.container);
  CaptureStats stats = TRY_IN(capture.run(), "capture");
  stats.freeze_seconds = state_->freeze_seconds;
  stats.capture_seconds = watch.seconds();
  return stats;
}

void FrozenGroup::take_back() {
  if (state_->context) state_->context->run_undo();
}

Result<void> FrozenGroup::thaw() {
  auto state = std::move(state_);
  if (state->context) state->context->run_undo();
  Result<void> outcome;
  for (auto& process : state->processes) {
    auto thawed = engine::thaw_process(process);
    if (!thawed && outcome) outcome = std::move(thawed);
  }
  return in_context(std::move(outcome), "thaw");
}

Result<void> FrozenGroup::kill() {
  auto state = std::move(state_);
  // Children first, so that no parent is told of an end that belongs to another host.
  for (auto process = state->processes.rbegin(); process != state->processes.rend(); ++process)
    if (!process->zombie && ::kill(process->pid.value, SIGKILL) != 0 && errno != ESRCH)
      return fail_errno("kill process " + to_string(process->pid));
  // Whoever froze the cgroup too: its tasks cannot end while they are in it.
  if (!state->spec.freezer_cgroup.empty())
    TRY(sys::thaw_cgroup(state->spec.freezer_cgroup, kFreezerDeadline));
  reap(state->processes);
  return {};
}

struct RestoredGroup::State {
  explicit State(Sandbox sandbox) : builder(std::move(sandbox)) {}
  GroupBuilder builder;
};

RestoredGroup::RestoredGroup(std::unique_ptr<State> state) : state_(std::move(state)) {}
RestoredGroup::RestoredGroup(RestoredGroup&&) noexcept = default;
RestoredGroup& RestoredGroup::operator=(RestoredGroup&&) noexcept = default;
RestoredGroup::~RestoredGroup() = default;

Result<RestoredGroup> RestoredGroup::build(image::Source& source, Sandbox sandbox) {
  auto state = std::make_unique<State>(std::move(sandbox));
  TRY_IN(state->builder.build(source), "restore");
  return RestoredGroup(std::move(state));
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
