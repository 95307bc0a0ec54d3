#include "engine/cgroups/inner_freezers.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "base/fd.h"

namespace martlet::engine {
namespace {

std::string freezer_of(const std::string& directory) {
  return directory + "/cgroup.freeze";
}

// What is below a cgroup that is gone is gone, too.
void find_frozen(const std::string& directory, std::vector<std::string>& found) {
  if (!has_cgroups_below(directory)) return;
  for (const std::string& name : cgroups_below(directory).value_or(std::vector<std::string>())) {
    const std::string below = directory + "/" + name;
    if (read_file(freezer_of(below)).value_or("").starts_with('1')) found.push_back(below);
    find_frozen(below, found);
  }
}

Result<void> refuse_frozen_below(const std::string& directory) {
  if (!has_cgroups_below(directory)) return {};
  for (const std::string& name : TRY(cgroups_below(directory))) {
    const std::string below = directory + "/" + name;
    if (!read_file(below + "/freezer.state").value_or("THAWED").starts_with("THAWED"))
      return std::unexpected(
          Error(
              Code::kUnsupported,
              fmt::format("the container has frozen cgroup {} by the freezer of cgroup v1", below))
              .with_remedy("thaw it, or use the freezer of cgroup v2"));
    TRY(refuse_frozen_below(below));
  }
  return {};
}

// Takes no lock and no memory: it also runs in the child that outlives this process.
void freeze(const char* freezer) {
  const int fd = ::open(freezer, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;  // the cgroup is gone
  std::ignore = ::write(fd, "1", 1);
  ::close(fd);
}

}  // namespace

Result<void> refuse_frozen_by_v1(const std::vector<ContainerCgroup>& cgroups) {
  auto freezer = std::ranges::find(cgroups, "freezer", &ContainerCgroup::hierarchy);
  return freezer == cgroups.end() ? Result<void>() : refuse_frozen_below(freezer->directory);
}

Result<InnerFreezers> InnerFreezers::thaw(const std::vector<ContainerCgroup>& cgroups) {
  InnerFreezers inner;
  auto unified = std::ranges::find_if(cgroups, &ContainerCgroup::is_v2);
  if (unified != cgroups.end()) find_frozen(unified->directory, inner.directories_);
  if (inner.directories_.empty()) return inner;
  std::vector<std::string> freezers;
  for (const std::string& directory : inner.directories_) freezers.push_back(freezer_of(directory));
  inner.guard_.emplace(TRY(sys::Guard::post([freezers] {
    for (const std::string& freezer : freezers) freeze(freezer.c_str());
  })));
  for (const std::string& directory : inner.directories_)
    TRY_IN(write_file(freezer_of(directory), "0"), "cgroup " + directory);
  return inner;
}

InnerFreezers::~InnerFreezers() {
  for (const std::string& directory : directories_) freeze(freezer_of(directory).c_str());
}

}  // namespace martlet::engine
