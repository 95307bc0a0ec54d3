// The numbers of a task, a process group or a session: in the PID namespace of its group, and in
// those below it that it is in, from the outermost inward.
#pragma once

#include <vector>

#include "base/ids.h"
#include "image/tasks.pb.h"

namespace martlet::engine {

// A PID namespace lies in fewer others.
inline constexpr size_t kMostPidNamespaces = 32;

struct PidNumbers {
  NsPid in_group;
  std::vector<NsPid> inner{};

  size_t depth() const { return inner.size(); }  // of the namespace that it lives in
  // For who lives at this depth, which is not below its own.
  NsPid at(size_t depth) const { return depth == 0 ? in_group : inner.at(depth - 1); }
  NsPid own() const { return at(depth()); }
};

inline std::vector<NsPid> pids_of(const google::protobuf::RepeatedField<int32_t>& numbers) {
  std::vector<NsPid> pids;
  for (int32_t number : numbers) pids.emplace_back(number);
  return pids;
}

inline PidNumbers numbers_of(const image::Process& process) {
  return {NsPid(process.pid()), pids_of(process.inner_pids())};
}
inline PidNumbers numbers_of(const image::Thread& thread) {
  return {NsPid(thread.tid()), pids_of(thread.inner_tids())};
}
inline bool starts_pid_namespace(const image::Process& process) {
  return numbers_of(process).depth() > 0 && numbers_of(process).own().value == 1;
}
inline PidNumbers group_of(const image::Process& process) {
  return {NsPid(process.group()), pids_of(process.inner_groups())};
}
inline PidNumbers session_of(const image::Process& process) {
  return {NsPid(process.session()), pids_of(process.inner_sessions())};
}

}  // namespace martlet::engine
