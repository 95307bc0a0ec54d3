#include "engine/context.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>

#include <algorithm>
#include <optional>
#include <thread>

#include "base/check.h"
#include "engine/files/paths.h"
#include "sys/procfs.h"

namespace martlet::engine {
namespace {

bool is_own(const Fd& name_space, const std::string& kind) {
  struct stat there{};
  struct stat here{};
  return ::fstat(name_space.get(), &there) == 0 &&
         ::stat(("/proc/thread-self/ns/" + kind).c_str(), &here) == 0 &&
         there.st_ino == here.st_ino && there.st_dev == here.st_dev;
}

}  // namespace

Result<void> run_in_namespace(HostPid process, const std::string& kind,
                              const std::function<Result<void>()>& work) {
  Fd name_space = TRY(open_file(sys::proc_path(process, "ns/" + kind), O_RDONLY));
  if (is_own(name_space, kind)) return work();
  std::optional<Result<void>> outcome;
  std::thread([&] {
    outcome = ::setns(name_space.get(), 0) == 0 ? work() : fail_errno("enter namespace " + kind);
  }).join();
  return *std::move(outcome);
}

const OpenFile* CaptureContext::file_of(HostPid process, int number) const {
  auto found = file_of_.find({process, number});
  if (found == file_of_.end()) return nullptr;
  CHECK(found->second >= 1 && found->second <= files_.size());
  return &files_[found->second - 1];
}

Result<void> CaptureContext::judge(Result<void> outcome) {
  if (outcome || !refusals_ || outcome.error().code() != Code::kUnsupported) return outcome;
  const auto lock = alone();
  refusals_->push_back(std::move(outcome.error()));
  return {};
}

Result<void> CaptureContext::judge_in(const std::string& link,
                                      const std::function<Result<void>()>& step) {
  const size_t before = refusals_ ? refusals_->size() : 0;
  auto outcome = in_context(judge(step()), link);
  for (size_t i = before; refusals_ && i < refusals_->size(); ++i)
    (*refusals_)[i] = std::move((*refusals_)[i]).with_context(link);
  return outcome;
}

void CaptureContext::set_file_of(HostPid process, int number, uint32_t file) {
  file_of_[{process, number}] = file;
}

std::optional<NsPid> CaptureContext::task(HostPid task) const {
  auto found = tasks_.find(task);
  if (found == tasks_.end()) return std::nullopt;
  return found->second;
}

bool CaptureContext::is_member(NsPid inside) const {
  return std::ranges::any_of(tasks_, [&](const auto& task) { return task.second == inside; });
}

int CaptureContext::stashed(const std::string& key) const {
  auto found = stash_.find(key);
  return found == stash_.end() ? -1 : found->second.get();
}

std::pair<const CapturedModel&, bool> CaptureContext::socket_model(
    std::pair<sys::SocketType, bool> sort, const std::function<CapturedModel()>& make) {
  const auto lock = alone();
  auto found = socket_models_.find(sort);
  if (found != socket_models_.end()) return {found->second, false};
  return {socket_models_.try_emplace(sort, make()).first->second, true};
}

Result<const std::string*> CaptureContext::network_table(uint32_t network,
                                                         const std::string& name) {
  auto [found, is_new] = network_tables_.try_emplace({network, name});
  if (is_new)
    TRY(networks_.run_inside(network, [&, text = &found->second]() -> Result<void> {
      *text = TRY(read_file("/proc/thread-self/" + name));
      return {};
    }));
  return &found->second;
}

const sys::DropEverything& CaptureContext::drop_filter() {
  const auto lock = alone();
  if (!drop_filter_) drop_filter_ = sys::DropEverything::load();
  return *drop_filter_;
}

void CaptureContext::on_thaw(std::function<void()> undo) {
  const auto lock = alone();
  undo_.push_back(std::move(undo));
}

void CaptureContext::run_undo() {
  for (auto undo = undo_.rbegin(); undo != undo_.rend(); ++undo) (*undo)();
  undo_.clear();
}

Result<Fd> ApplyContext::open_in_root(const std::string& path, int flags, mode_t mode) const {
  return open_below_root(root_, path, flags, mode);
}

std::optional<Fd> ApplyContext::take_stashed(const std::string& key) {
  auto found = stash_.find(key);
  if (found == stash_.end()) return std::nullopt;
  Fd fd = std::move(found->second);
  stash_.erase(found);
  return fd;
}

std::optional<HostPid> ApplyContext::task(NsPid inside) const {
  auto found = tasks_.find(inside);
  if (found == tasks_.end()) return std::nullopt;
  return found->second;
}

int ApplyContext::description(uint32_t file) const {
  auto found = descriptions_.find(file);
  return found == descriptions_.end() ? -1 : found->second.get();
}

}  // namespace martlet::engine
