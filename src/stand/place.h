// What a stand leaves outside of its namespaces: a directory and cgroups. Both are gone with this.
#pragma once

#include <array>
#include <string>

#include "base/result.h"
#include "sys/cgroup.h"

namespace martlet::stand {

inline constexpr std::array<const char*, 2> kHostNames = {"host-a", "host-b"};

class Place {
 public:
  static Result<Place> make();
  Place(Place&& other) noexcept;
  Place& operator=(Place&&) = delete;
  ~Place();

  const std::string& directory() const { return directory_; }
  std::string cgroup_of(const std::string& host) const;
  // Ends what runs or is frozen in the cgroups.
  void end_containers() const;

 private:
  Place(std::string directory, sys::CgroupLayout layout)
      : directory_(std::move(directory)), layout_(std::move(layout)) {}

  std::string directory_;  // empty once it was moved from
  sys::CgroupLayout layout_;
};

}  // namespace martlet::stand
