#include "sys/processors.h"

#include <tuple>

namespace martlet::sys {
namespace {

constexpr HostPid kThisThread(0);

}  // namespace

Result<cpu_set_t> allowed_processors(HostPid tid) {
  cpu_set_t processors;
  CPU_ZERO(&processors);
  if (::sched_getaffinity(tid.value, sizeof processors, &processors) != 0)
    return fail_errno("read the processors of task " + to_string(tid));
  return processors;
}

Result<void> allow_processors(HostPid tid, const cpu_set_t& processors) {
  if (::sched_setaffinity(tid.value, sizeof processors, &processors) != 0)
    return fail_errno("set the processors of task " + to_string(tid));
  return {};
}

cpu_set_t only_processor(int number) {
  cpu_set_t processors;
  CPU_ZERO(&processors);
  CPU_SET(static_cast<size_t>(number), &processors);
  return processors;
}

OnProcessor::OnProcessor(int number) {
  auto before = allowed_processors(kThisThread);
  if (before && allow_processors(kThisThread, only_processor(number))) before_ = *before;
}

OnProcessor::~OnProcessor() {
  if (before_) std::ignore = allow_processors(kThisThread, *before_);
}

}  // namespace martlet::sys
