#include "checkpoint/capture.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "checkpoint/host_facts.h"
#include "engine/files/file_table.h"
#include "engine/ipc/sysv.h"
#include "engine/memory/layout.h"
#include "engine/memory/pages.h"
#include "engine/mounts/tmpfs.h"
#include "engine/tasks/creation.h"
#include "engine/tasks/process_state.h"
#include "sys/pidfd.h"
#include "sys/time_namespace.h"

namespace martlet::checkpoint {
namespace {

using engine::FrozenProcess;

// A child in another session than its parent was forked before the parent started its own; it has
// to be forked first again. Parents stay before their children.
void order_for_restore(std::vector<FrozenProcess>& processes) {
  std::map<HostPid, pid_t> session;
  for (const auto& process : processes)
    session[process.pid] = process.status.ns_sessions.back().value;
  auto has_older_session = [&](const FrozenProcess& process) {
    auto parent = session.find(process.status.parent);
    pid_t own = process.status.ns_sessions.back().value;
    return parent != session.end() && own != process.ns_pid.value && own != parent->second;
  };
  for (auto first = processes.begin() + 1; first < processes.end();) {
    auto last = std::find_if(first, processes.end(), [&](const FrozenProcess& process) {
      return process.status.parent != first->status.parent;
    });
    std::stable_partition(first, last, has_older_session);
    first = last;
  }
}

image::Process describe_relations(const FrozenProcess& frozen,
                                  const std::map<HostPid, NsPid>& inside) {
  image::Process out;
  out.set_pid(frozen.ns_pid.value);
  auto parent = inside.find(frozen.status.parent);
  out.set_parent(parent == inside.end() ? 0 : parent->second.value);
  out.set_group(frozen.status.ns_groups.back().value);
  out.set_session(frozen.status.ns_sessions.back().value);
  if (frozen.zombie) {
    out.set_zombie(true);
    out.set_exit_code(frozen.stat.exit_code);
    out.set_exit_signal(frozen.stat.exit_signal);
  }
  return out;
}

// The lowest place that is free in every process.
Result<uint64_t> find_work_area(const std::vector<FrozenProcess>& processes) {
  constexpr uint64_t kLowest = 0x10000;  // the kernel's usual vm.mmap_min_addr
  constexpr uint64_t kHighest = 0x7000'0000'0000;
  std::vector<sys::Range> taken;
  for (const auto& process : processes)
    for (const sys::Vma& vma : process.vmas) taken.push_back({vma.start, vma.end});
  std::ranges::sort(taken, {}, &sys::Range::start);
  uint64_t candidate = kLowest;
  for (const sys::Range& range : taken) {
    if (range.start >= candidate + engine::kWorkAreaSize) break;
    candidate = std::max(candidate, range.end);
  }
  if (candidate > kHighest)
    return fail(Code::kUnsupported, "no address range is free in all processes");
  return candidate;
}

// The stand-in for a leader that has ended takes its PID, which a zombie still has.
Result<void> refuse_zombie_leaders(const std::vector<FrozenProcess>& processes) {
  for (const auto& leader : processes) {
    auto is_led = [&](const FrozenProcess& process) {
      return &process != &leader && (process.status.ns_sessions.back() == leader.ns_pid ||
                                     process.status.ns_groups.back() == leader.ns_pid);
    };
    if (leader.zombie && std::ranges::any_of(processes, is_led))
      return fail(Code::kUnsupported,
                  fmt::format("process {} has ended, leads a session or group and is not reaped",
                              leader.pid.value));
  }
  return {};
}

Result<void> refuse_shared_resources(const std::vector<FrozenProcess>& processes) {
  using sys::Shared;
  constexpr std::pair<Shared, const char*> kResources[] = {
      {Shared::kMemory, "its memory (vfork, CLONE_VM)"},
      {Shared::kFiles, "its descriptor table (CLONE_FILES)"},
      {Shared::kFileSystem, "its directories (CLONE_FS)"}};
  std::map<HostPid, const FrozenProcess*> by_pid;
  for (const auto& process : processes) by_pid[process.pid] = &process;
  for (const auto& process : processes) {
    auto parent = by_pid.find(process.status.parent);
    if (process.zombie || parent == by_pid.end() || parent->second->zombie) continue;
    for (auto [what, name] : kResources)
      if (TRY(sys::is_shared(process.pid, parent->first, what)))
        return fail(Code::kUnsupported,
                    fmt::format("process {} shares {} with its parent", process.pid.value, name));
  }
  return {};
}

std::string name_of(const FrozenProcess& frozen) {
  return fmt::format("process {} ({})", frozen.pid.value, frozen.status.name);
}

}  // namespace

Result<CaptureStats> GroupCapture::run() {
  order_for_restore(processes_);
  TRY(survey());
  TRY(gather());
  TRY(write());
  stats_.processes = processes_.size();
  for (const auto& process : processes_) stats_.threads += process.threads.size();
  stats_.files = files_.size();
  return stats_;
}

Result<void> GroupCapture::survey() {
  TRY(refuse_shared_resources(processes_));
  TRY(refuse_zombie_leaders(processes_));
  std::map<HostPid, NsPid> inside;
  for (const auto& process : processes_) inside[process.pid] = process.ns_pid;
  spaces_.resize(processes_.size());
  engine::FileTable files(context_);
  for (FrozenProcess& frozen : processes_) {
    *tree_.add_processes() = describe_relations(frozen, inside);
    if (frozen.zombie) continue;
    image::Process& out = *tree_.mutable_processes(tree_.processes_size() - 1);
    TRY_IN(files.add(frozen, out), name_of(frozen));
  }
  for (FrozenProcess& frozen : processes_)
    if (!frozen.zombie) TRY_IN(survey_process(frozen), name_of(frozen));
  kinds_ = TRY(engine::choose_kinds(context_));
  ipc_ = TRY(engine::capture_sysv(context_, container_ ? engine::SysvScope::kWholeNamespace
                                                       : engine::SysvScope::kMappedSegments));
  tree_.set_work_area(TRY(find_work_area(processes_)));
  return {};
}

Result<void> GroupCapture::survey_process(FrozenProcess& frozen) {
  frozen.vmas = TRY(sys::read_smaps(frozen.pid));
  engine::LayoutReader reader(context_, context_.shared_objects());
  auto mappings = TRY(reader.read(frozen.pid, frozen.vmas));
  auto index = static_cast<size_t>(&frozen - processes_.data());
  spaces_[index].mutable_mappings()->Assign(mappings.begin(), mappings.end());
  return {};
}

Result<void> GroupCapture::gather() {
  for (size_t i = 0; i < processes_.size(); ++i) {
    if (processes_[i].zombie) continue;
    TRY_IN(engine::capture_process(context_, processes_[i],
                                   *tree_.mutable_processes(static_cast<int>(i)), spaces_[i]),
           name_of(processes_[i]));
  }
  return {};
}

// Contents that files bring along (of files without a name) go into the stream while the files are
// captured, before the files themselves.
Result<void> GroupCapture::write() {
  using image::RecordType;
  image::Sink& sink = context_.sink();
  auto clocks = TRY(sys::read_clocks(context_.root()));
  TRY(image::put_message(sink, RecordType::kHeader, make_header(container_, clocks)));
  TRY(image::put_message(sink, RecordType::kTree, tree_));
  TRY(image::put_message(sink, RecordType::kIpc, ipc_));
  TRY(engine::capture_tmpfs(context_));
  files_ = TRY(engine::capture_files(context_, kinds_));
  stats_.memory_bytes += TRY(context_.shared_objects().put(sink));
  for (const image::File& file : files_) TRY(image::put_message(sink, RecordType::kFile, file));
  TRY(write_spaces());
  TRY(sink.put(RecordType::kEnd, {}, {}));
  return sink.flush();
}

Result<void> GroupCapture::write_spaces() {
  for (size_t i = 0; i < processes_.size(); ++i)
    if (!processes_[i].zombie)
      TRY_IN(write_space(processes_[i], spaces_[i]), name_of(processes_[i]));
  return {};
}

Result<void> GroupCapture::write_space(const FrozenProcess& frozen, image::AddressSpace& space) {
  auto pagemap = TRY(sys::Pagemap::open(frozen.pid));
  auto inherited = TRY(find_inherited(frozen, space));
  for (const auto& of_mapping : inherited) {
    for (const sys::Range& range : of_mapping) {
      auto* out = space.add_inherited();
      out->set_start(range.start);
      out->set_end(range.end);
    }
  }
  image::Sink& sink = context_.sink();
  TRY(image::put_message(sink, image::RecordType::kAddressSpace, space));
  engine::PageWriter writer(sink);
  auto mode = processes_.size() > 1 ? engine::ReadMode::kKeepShared : engine::ReadMode::kPinned;
  engine::PageReader reader{frozen.pid, frozen.ns_pid, pagemap, mode};
  for (int i = 0; i < space.mappings_size(); ++i)
    if (engine::has_private_pages(space.mappings(i)))
      stats_.memory_bytes +=
          TRY(writer.put(reader, space.mappings(i), inherited[static_cast<size_t>(i)]));
  image::PageRun owner{static_cast<uint32_t>(frozen.ns_pid.value), 0, 0, 0};
  return sink.put(image::RecordType::kEndOfAddressSpace, std::as_bytes(std::span(&owner, 1)), {});
}

Result<std::vector<std::vector<sys::Range>>> GroupCapture::find_inherited(
    const FrozenProcess& frozen, const image::AddressSpace& space) const {
  std::vector<std::vector<sys::Range>> inherited(static_cast<size_t>(space.mappings_size()));
  auto parent = std::ranges::find(processes_, frozen.status.parent, &FrozenProcess::pid);
  if (parent == processes_.end() || parent->zombie) return inherited;
  const auto& parent_space = spaces_[static_cast<size_t>(parent - processes_.begin())];
  std::vector<image::Mapping> parent_mappings(parent_space.mappings().begin(),
                                              parent_space.mappings().end());
  auto own = TRY(sys::Pagemap::open(frozen.pid));
  auto other = TRY(sys::Pagemap::open(parent->pid));
  for (int i = 0; i < space.mappings_size(); ++i)
    if (auto part = engine::inheritable_part(space.mappings(i), parent_mappings))
      inherited[static_cast<size_t>(i)] = TRY(engine::inherited_pages(own, other, *part));
  return inherited;
}

}  // namespace martlet::checkpoint
