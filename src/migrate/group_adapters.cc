#include "migrate/group_adapters.h"

#include "base/log.h"
#include "sys/cgroup.h"

namespace martlet::migrate {

namespace {

constexpr Nanoseconds kFreezerTimeout = std::chrono::seconds(10);

class FrozenGroupContainer final : public FrozenContainer {
 public:
  FrozenGroupContainer(checkpoint::FrozenGroup group, std::string freezer)
      : group_(std::move(group)), freezer_(std::move(freezer)) {}
  ~FrozenGroupContainer() override {
    if (!held_) return;
    if (auto thawed = thaw_group(freezer_); !thawed)
      spdlog::error("{}", thawed.error().to_string());
  }

  std::vector<HostPid> processes() const override { return group_.processes(); }
  Nanoseconds freeze_time() const override { return group_.freeze_time(); }
  Result<checkpoint::CaptureStats> capture(image::Sink& sink, checkpoint::MemoryRounds* ahead,
                                           checkpoint::MemoryScope scope) override {
    auto stats = TRY(group_.capture(sink, {}, ahead, scope));
    group_.take_back();  // the network is held
    return stats;
  }
  Result<void> hold() override {
    held_ = true;
    return sys::freeze_cgroup(freezer_, kFreezerTimeout);
  }

  // The engine may let tasks execute a last system call, so the cgroup goes first.
  Result<void> thaw() override {
    TRY(thaw_group(freezer_));
    held_ = false;
    return group_.thaw();
  }

  Result<void> kill() override {
    held_ = false;
    return group_.kill();
  }

 private:
  checkpoint::FrozenGroup group_;
  std::string freezer_;
  bool held_ = false;
};

class RestoredGroupContainer final : public RestoredContainer {
 public:
  RestoredGroupContainer(checkpoint::RestoredGroup group, std::string freezer)
      : group_(std::move(group)), freezer_(std::move(freezer)) {}

  checkpoint::RestoreStats stats() const override { return group_.stats(); }

  std::vector<checkpoint::LateMemory> take_late_memory() override {
    return group_.take_late_memory();
  }

  // A traced task that is let go into a freezing cgroup stops before it returns to user mode.
  Result<void> detach_frozen() override {
    TRY(sys::freeze_cgroup(freezer_, kFreezerTimeout));
    return group_.resume();
  }

 private:
  checkpoint::RestoredGroup group_;
  std::string freezer_;
};

}  // namespace

Result<std::unique_ptr<FrozenContainer>> freeze_group(const checkpoint::GroupSpec& spec) {
  auto group = TRY(checkpoint::FrozenGroup::freeze(spec));
  return std::make_unique<FrozenGroupContainer>(std::move(group), spec.freezer_cgroup);
}

Result<std::unique_ptr<RestoredContainer>> restore_group(image::Source& source,
                                                         checkpoint::Sandbox sandbox,
                                                         std::string freezer_cgroup,
                                                         checkpoint::MemoryScope scope) {
  auto group = TRY(checkpoint::RestoredGroup::build(source, std::move(sandbox), {}, scope));
  return std::make_unique<RestoredGroupContainer>(std::move(group), std::move(freezer_cgroup));
}

Result<void> thaw_group(const std::string& freezer_cgroup) {
  return sys::thaw_cgroup(freezer_cgroup, kFreezerTimeout);
}

}  // namespace martlet::migrate
