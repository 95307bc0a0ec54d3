#include "checkpoint/mending.h"

#include <algorithm>
#include <optional>

#include "base/clock.h"
#include "engine/cgroups/inner_freezers.h"
#include "engine/sockets/abandoned.h"
#include "engine/tasks/frozen.h"
#include "engine/tasks/injection.h"
#include "engine/tasks/way_back.h"
#include "sys/procfs.h"

namespace martlet::checkpoint {
namespace {

constexpr Nanoseconds kPatience = std::chrono::seconds(1);
constexpr Nanoseconds kPause = std::chrono::milliseconds(1);

std::vector<HostPid> processes_of(const GroupSpec& spec) {
  if (spec.container)
    return sys::list_namespace_processes(spec.root).value_or(std::vector<HostPid>());
  return sys::list_tree(spec.root);
}

bool has_arena(HostPid pid) {
  return !engine::find_abandoned_arenas(pid).empty();
}

// A thread may be in the arena of another process, whose memory its own shares.
Result<void> expect_nobody_in_arenas(std::vector<engine::FrozenProcess>& processes) {
  for (engine::FrozenProcess& process : processes) {
    if (process.zombie) continue;
    auto is_inside = [](const auto& thread) { return engine::is_in_arena(thread.registers); };
    if (engine::is_on_way_back(process.living, process.leader().registers) ||
        std::ranges::any_of(process.threads, is_inside))
      return fail(Code::kSystem,
                  "process " + to_string(process.pid) + " makes a call of a capture");
  }
  return {};
}

// How many processes had one.
Result<size_t> remove_from(std::vector<engine::FrozenProcess>& processes) {
  TRY(expect_nobody_in_arenas(processes));
  size_t count = 0;
  for (engine::FrozenProcess& process : processes) {
    if (process.zombie) continue;
    auto arenas = engine::find_abandoned_arenas(process.living);
    if (arenas.empty()) continue;
    process.vmas = TRY(sys::read_maps(process.living));
    for (TargetAddr arena : arenas) TRY(engine::Injection::remove_abandoned(process, arena));
    ++count;
  }
  return count;
}

Result<size_t> remove_while_thawed(const std::vector<engine::ContainerCgroup>& cgroups,
                                   std::vector<engine::FrozenProcess>& processes,
                                   std::optional<engine::InnerFreezers>& thawed) {
  thawed.emplace(TRY(engine::InnerFreezers::thaw(cgroups)));
  return remove_from(processes);
}

// A thread that is about to leave the arena is given the time to, for which what the container has
// frozen itself goes on, too.
Result<size_t> remove_arenas(const GroupSpec& spec) {
  SystemClock clock;
  const auto cgroups = TRY(engine::cgroups_of_container(spec.freezer_cgroup));
  const Nanoseconds give_up = clock.now() + kPatience;
  for (;;) {
    auto frozen = TRY(engine::freeze_processes(spec.root, spec.container, spec.freezer_cgroup));
    std::optional<engine::InnerFreezers> thawed;
    auto removed = remove_while_thawed(cgroups, frozen, thawed);
    const bool again = !removed && clock.now() <= give_up;
    if (!again) thawed.reset();
    TRY(engine::thaw_processes(frozen));
    if (!again) return removed;
    clock.sleep_for(kPause);
  }
}

}  // namespace

Result<Mended> mend_group(const GroupSpec& spec, Died died) {
  Mended mended;
  engine::freeze_marked(spec.freezer_cgroup);
  auto processes = processes_of(spec);
  for (HostPid pid : processes) mended.sockets += engine::revive_sockets_of(pid);
  if (died == Died::kJustNow || std::ranges::any_of(processes, has_arena))
    mended.arenas = TRY(remove_arenas(spec));
  return mended;
}

}  // namespace martlet::checkpoint
