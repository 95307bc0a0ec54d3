#include "engine/cgroups/inner_freezers.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/xattr.h>

#include <algorithm>

#include "base/fd.h"

namespace martlet::engine {
namespace {

constexpr const char* kMark = "trusted.martlet.frozen";

std::string freezer_of(const std::string& directory) {
  return directory + "/cgroup.freeze";
}

bool is_frozen(const std::string& directory) {
  return read_file(freezer_of(directory)).value_or("").starts_with('1');
}

bool is_marked(const std::string& directory) {
  return ::getxattr(directory.c_str(), kMark, nullptr, 0) >= 0;
}

using Property = bool (*)(const std::string& directory);

// What is below a cgroup that is gone is gone, too.
void find_below(const std::string& directory, Property property, std::vector<std::string>& found) {
  if (!has_cgroups_below(directory)) return;
  for (const std::string& name : cgroups_below(directory).value_or(std::vector<std::string>())) {
    const std::string below = directory + "/" + name;
    if (property(below)) found.push_back(below);
    find_below(below, property, found);
  }
}

std::vector<std::string> find(const std::vector<ContainerCgroup>& cgroups, Property property) {
  std::vector<std::string> found;
  auto unified = std::ranges::find_if(cgroups, &ContainerCgroup::is_v2);
  if (unified != cgroups.end()) find_below(unified->directory, property, found);
  return found;
}

// One that is gone holds nothing to freeze.
void freeze_again(const std::string& directory) {
  std::ignore = write_file(freezer_of(directory), "1");
  std::ignore = ::removexattr(directory.c_str(), kMark);
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

}  // namespace

Result<void> refuse_frozen_by_v1(const std::vector<ContainerCgroup>& cgroups) {
  auto freezer = std::ranges::find(cgroups, "freezer", &ContainerCgroup::hierarchy);
  return freezer == cgroups.end() ? Result<void>() : refuse_frozen_below(freezer->directory);
}

Result<InnerFreezers> InnerFreezers::thaw(const std::vector<ContainerCgroup>& cgroups) {
  InnerFreezers inner;
  inner.directories_ = find(cgroups, is_frozen);
  for (const std::string& directory : inner.directories_) {
    if (::setxattr(directory.c_str(), kMark, "1", 1, 0) != 0)
      return fail_errno("mark cgroup " + directory);
    TRY_IN(write_file(freezer_of(directory), "0"), "cgroup " + directory);
  }
  return inner;
}

InnerFreezers::~InnerFreezers() {
  std::ranges::for_each(directories_, freeze_again);
}

void freeze_marked(const std::string& freezer_cgroup) {
  auto cgroups = cgroups_of_container(freezer_cgroup);
  if (!cgroups)
    spdlog::error("cgroup {}: what was frozen below it: {}", freezer_cgroup,
                  cgroups.error().to_string());
  else
    std::ranges::for_each(find(*cgroups, is_marked), freeze_again);
}

}  // namespace martlet::engine
