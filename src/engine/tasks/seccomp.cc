#include "engine/tasks/seccomp.h"

#include <fmt/format.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>

#include <algorithm>

namespace martlet::engine {
namespace {

constexpr uint64_t kKeptFlags = SECCOMP_FILTER_FLAG_LOG;

// Whoever listens to such a filter cannot be found; without a listener the call fails.
bool asks_a_listener(const std::vector<sock_filter>& code) {
  return std::ranges::any_of(code, [](const sock_filter& instruction) {
    return instruction.code == (BPF_RET | BPF_K) &&
           (instruction.k & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_USER_NOTIF;
  });
}

Result<void> check(const image::Thread& thread, const SeccompFilterList& filters) {
  bool filtered = thread.seccomp_mode() == SECCOMP_MODE_FILTER;
  bool sound = thread.seccomp_mode() <= SECCOMP_MODE_FILTER &&
               filtered == !thread.seccomp_filters().empty() &&
               std::ranges::all_of(thread.seccomp_filters(), [&](uint32_t index) {
                 return index < static_cast<uint32_t>(filters.size());
               });
  if (!sound) return fail(Code::kBadImage, "seccomp mode");
  return {};
}

Result<void> check(const image::SeccompFilter& filter) {
  size_t size = filter.code().size();
  if (size == 0 || size % sizeof(sock_filter) != 0 || size / sizeof(sock_filter) > BPF_MAXINSNS ||
      (filter.flags() & ~kKeptFlags) != 0)
    return fail(Code::kBadImage, "seccomp filter");
  return {};
}

Result<void> install(Task& task, const image::SeccompFilter& filter, uint64_t more_flags) {
  TRY(check(filter));
  Program program(task.arena());
  TargetAddr code = program.put(std::as_bytes(std::span(filter.code())));
  sock_fprog described{static_cast<unsigned short>(filter.code().size() / sizeof(sock_filter)),
                       reinterpret_cast<sock_filter*>(code.value)};
  auto installed = program.call(
      "install seccomp filter", SYS_seccomp,
      {SECCOMP_SET_MODE_FILTER, filter.flags() | more_flags, program.put_value(described)});
  TRY(task.run(program));
  if (long thread = program.result(installed); thread != 0)  // the one that has another filter
    return fail(Code::kSystem, fmt::format("thread {} cannot share the seccomp filter", thread));
  return {};
}

Result<void> forbid_new_privileges(Task& task, const image::Thread& thread) {
  if (!thread.credentials().no_new_privileges()) return {};
  TRY(task.call("set no_new_privs", SYS_prctl, {PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0}));
  return {};
}

int count_common(const image::Process& process) {
  const auto& first = process.threads(0).seccomp_filters();
  int common = first.size();
  for (const image::Thread& thread : process.threads()) {
    auto differs = std::ranges::mismatch(first, thread.seccomp_filters());
    common = std::min(common, static_cast<int>(differs.in1 - first.begin()));
  }
  return common;
}

// The others take over no_new_privs from the thread that installs a filter for all, so that is one
// that does not have it.
Result<void> install_common(std::vector<Task>& threads, const image::Process& process, int common,
                            const SeccompFilterList& filters) {
  auto may_gain = std::ranges::find_if(process.threads(), [](const image::Thread& thread) {
    return !thread.credentials().no_new_privileges();
  });
  auto index = may_gain == process.threads().end() ? 0 : may_gain - process.threads().begin();
  const image::Thread& thread = process.threads(static_cast<int>(index));
  Task& task = threads[static_cast<size_t>(index)];
  TRY(forbid_new_privileges(task, thread));
  for (int i = 0; i < common; ++i)
    TRY(install(task, filters[static_cast<int>(thread.seccomp_filters(i))],
                SECCOMP_FILTER_FLAG_TSYNC));
  return {};
}

Result<void> install_own(Task& task, const image::Thread& thread, int common,
                         const SeccompFilterList& filters) {
  TRY(forbid_new_privileges(task, thread));
  for (int i = common; i < thread.seccomp_filters_size(); ++i)
    TRY(install(task, filters[static_cast<int>(thread.seccomp_filters(i))], 0));
  if (thread.seccomp_mode() == SECCOMP_MODE_STRICT)
    TRY(task.call("enter seccomp strict mode", SYS_prctl,
                  {PR_SET_SECCOMP, SECCOMP_MODE_STRICT, 0, 0, 0}));
  return {};
}

}  // namespace

Result<void> SeccompFilters::read(const FrozenProcess& process) {
  for (const FrozenThread& thread : process.threads)
    if (thread.status.seccomp_mode == SECCOMP_MODE_FILTER)
      chains_[thread.tracee.tid()] = TRY(read_chain(thread));
  return {};
}

Result<std::vector<uint32_t>> SeccompFilters::read_chain(const FrozenThread& thread) {
  std::vector<uint32_t> chain;
  for (uint64_t index = 0;; ++index) {
    auto filter = TRY(thread.tracee.seccomp_filter(index));
    if (!filter) return chain;
    if (asks_a_listener(filter->code))
      return fail(Code::kUnsupported,
                  fmt::format("task {} has a seccomp filter that asks another process",
                              thread.tracee.tid().value));
    if ((filter->flags & ~kKeptFlags) != 0)
      return fail(Code::kUnsupported, fmt::format("task {} has a seccomp filter with flags {:#x}",
                                                  thread.tracee.tid().value, filter->flags));
    chain.push_back(number_of(*filter));
  }
}

uint32_t SeccompFilters::number_of(const sys::Tracee::SeccompFilter& filter) {
  auto bytes = std::as_bytes(std::span(filter.code));
  std::string code(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  auto [known, is_new] = numbers_.try_emplace({code, filter.flags}, filters_.size());
  if (is_new) {
    image::SeccompFilter& added = *filters_.Add();
    added.set_code(std::move(code));
    added.set_flags(static_cast<uint32_t>(filter.flags));
  }
  return known->second;
}

void SeccompFilters::describe(const FrozenProcess& process, image::Process& out) const {
  for (size_t i = 0; i < process.threads.size(); ++i) {
    const FrozenThread& thread = process.threads[i];
    image::Thread& described = *out.mutable_threads(static_cast<int>(i));
    described.set_seccomp_mode(thread.status.seccomp_mode);
    if (auto chain = chains_.find(thread.tracee.tid()); chain != chains_.end())
      described.mutable_seccomp_filters()->Assign(chain->second.begin(), chain->second.end());
  }
}

Result<void> apply_seccomp(std::vector<Task>& threads, const image::Process& process,
                           const SeccompFilterList& filters) {
  for (const image::Thread& thread : process.threads()) TRY(check(thread, filters));
  if (std::ranges::none_of(process.threads(), &image::Thread::seccomp_mode)) return {};
  for (Task& task : threads) TRY(task.tracee().suspend_seccomp(sys::Death::kKill));
  int common = threads.size() > 1 ? count_common(process) : 0;
  if (common > 0) TRY(install_common(threads, process, common, filters));
  for (int i = 0; i < process.threads_size(); ++i)
    TRY(install_own(threads[static_cast<size_t>(i)], process.threads(i), common, filters));
  return {};
}

}  // namespace martlet::engine
