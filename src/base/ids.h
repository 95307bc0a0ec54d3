// Strong types for numbers that must not be mixed up.
#pragma once

#include <sys/types.h>

#include <compare>
#include <cstdint>
#include <functional>
#include <string>

namespace martlet {

// A number with its own type. `Tag` only tells the types apart.
template <typename Tag, typename Rep>
struct Id {
  Rep value{};
  constexpr Id() = default;
  constexpr explicit Id(Rep v) : value(v) {}
  auto operator<=>(const Id&) const = default;
};

using HostPid = Id<struct HostPidTag, pid_t>;  // a task as the agent's PID namespace numbers it
using NsPid = Id<struct NsPidTag, pid_t>;      // the same task as its own PID namespace numbers it

template <typename Tag, typename Rep>
std::string to_string(Id<Tag, Rep> id) {
  return std::to_string(id.value);
}

// An address in another process. It cannot be dereferenced here.
struct TargetAddr {
  uint64_t value = 0;
  constexpr TargetAddr() = default;
  constexpr explicit TargetAddr(uint64_t v) : value(v) {}
  auto operator<=>(const TargetAddr&) const = default;
  constexpr TargetAddr operator+(uint64_t offset) const { return TargetAddr(value + offset); }
};

inline constexpr uint64_t kPageSize = 4096;

}  // namespace martlet

template <typename Tag, typename Rep>
struct std::hash<martlet::Id<Tag, Rep>> {
  size_t operator()(const martlet::Id<Tag, Rep>& id) const noexcept {
    return std::hash<Rep>{}(id.value);
  }
};
