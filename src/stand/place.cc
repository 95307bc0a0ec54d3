#include "stand/place.h"

#include <fmt/format.h>
#include <stdlib.h>

#include <filesystem>

#include "base/log.h"

namespace martlet::stand {
namespace {

constexpr auto kEndOfContainer = std::chrono::seconds(10);

}  // namespace

Result<Place> Place::make() {
  sys::CgroupLayout layout = TRY(sys::detect_cgroups());
  std::string name = (std::filesystem::temp_directory_path() / "martlet-stand-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) return fail_errno("directory " + name);
  return Place(std::move(name), std::move(layout));
}

Place::Place(Place&& other) noexcept
    : directory_(std::exchange(other.directory_, {})), layout_(std::move(other.layout_)) {}

Place::~Place() {
  if (directory_.empty()) return;
  for (const char* host : kHostNames) sys::remove_cgroup(layout_, cgroup_of(host));
  std::error_code failed;
  std::filesystem::remove_all(directory_, failed);
  if (failed) spdlog::warn("{} is left behind: {}", directory_, failed.message());
}

std::string Place::cgroup_of(const std::string& host) const {
  return fmt::format("/{}-{}", std::filesystem::path(directory_).filename().string(), host);
}

void Place::end_containers() const {
  std::error_code ignored;
  for (const char* host : kHostNames)
    for (const auto& entry :
         std::filesystem::directory_iterator(layout_.freezer + cgroup_of(host), ignored)) {
      if (!entry.is_directory(ignored)) continue;
      const auto ended = sys::kill_cgroup(entry.path(), kEndOfContainer);
      if (!ended) spdlog::warn("{}", ended.error().to_string());
    }
}

}  // namespace martlet::stand
