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

  Result<checkpoint::CaptureStats> capture(image::Sink& sink) override {
    auto stats = TRY(group_.capture(sink));
    group_.take_back();  // the network is held
    return stats;
  }
  Result<void> hold() override { return sys::freeze_cgroup(freezer_, kFreezerTimeout); }

  // The engine may let tasks execute a last system call, so the cgroup goes first.
  Result<void> thaw() override {
    TRY(thaw_group(freezer_));
    return group_.thaw();
  }

  Result<void> kill() override { return group_.kill(); }

 private:
  checkpoint::FrozenGroup group_;
  std::string freezer_;
};

class RestoredGroupContainer final : public RestoredContainer {
 public:
  RestoredGroupContainer(checkpoint::RestoredGroup group, std::string freezer)
      : group_(std::move(group)), freezer_(std::move(freezer)) {}

  checkpoint::RestoreStats stats() const override { return group_.stats(); }

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
                                                         std::string freezer_cgroup) {
  auto group = TRY(checkpoint::RestoredGroup::build(source, std::move(sandbox)));
  return std::make_unique<RestoredGroupContainer>(std::move(group), std::move(freezer_cgroup));
}

Result<void> thaw_group(const std::string& freezer_cgroup) {
  return sys::thaw_cgroup(freezer_cgroup, kFreezerTimeout);
}

}  // namespace martlet::migrate
