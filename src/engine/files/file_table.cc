#include "engine/files/file_table.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <numeric>

#include "base/parallel.h"
#include "engine/batch.h"
#include "engine/files/fd_info.h"
#include "engine/files/file_locks.h"
#include "engine/sockets/unix_queue.h"
#include "sys/pidfd.h"
#include "sys/procfs.h"

namespace martlet::engine {
namespace {

// Those of the description and, of the descriptor, close-on-exec.
Result<int> flags_in(const std::string& info) {
  size_t at = info.find("flags:");
  if (at == std::string::npos) return fail(Code::kUnsupported, "fdinfo has no flags");
  return static_cast<int>(std::strtoul(info.c_str() + at + 6, nullptr, 8));
}

// The kernel's number of an eventfd; 0 for other files, and before Linux 5.2.
uint64_t event_number(const std::string& info) {
  auto field = info_field(info, "eventfd-id");
  return field ? take_number(*field, 10).value_or(0) : 0;
}

// Every socket is a file of one mount, which shows in what fdinfo tells (from Linux 5.14 on). To
// look at the file itself costs more than all else that is asked of a descriptor.
class SocketMount {
 public:
  static const SocketMount& get() {
    static const SocketMount mount = look();
    return mount;
  }

  // Fills in what is certain of a socket. The rest is known when it is open.
  bool recognise(OpenFile& file) const {
    auto mount = info_number(file.info, "mnt_id", 10);
    auto inode = info_number(file.info, "ino", 10);
    if (!mount || *mount != number_ || !inode) return false;
    file.status.st_dev = device_;
    file.status.st_ino = *inode;
    file.status.st_mode = S_IFSOCK;
    file.link = fmt::format("socket:[{}]", *inode);
    return true;
  }

 private:
  static SocketMount look() {
    SocketMount mount;
    const Fd any(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    struct stat status{};
    if (::fstat(any.get(), &status) == 0) mount.device_ = status.st_dev;
    auto info = read_file(fmt::format("/proc/self/fdinfo/{}", any.get()));
    if (info) mount.number_ = info_number(*info, "mnt_id", 10).value_or(kUnknown);
    return mount;
  }

  static constexpr uint64_t kUnknown = UINT64_MAX;
  uint64_t number_ = kUnknown;
  dev_t device_ = 0;
};

// What a process shows of its descriptors. Each is found below an open directory, so that the way
// to the process is gone once.
class DescriptorView {
 public:
  static Result<DescriptorView> open(HostPid pid) {
    DescriptorView view(pid);
    view.links_ = TRY(open_file(sys::proc_path(pid, "fd"), O_PATH | O_DIRECTORY));
    view.infos_ = TRY(open_file(sys::proc_path(pid, "fdinfo"), O_PATH | O_DIRECTORY));
    return view;
  }

  Result<OpenFile> look_at(int number) const {
    OpenFile file;
    file.holder = pid_;
    file.number = number;
    const std::string name = std::to_string(number);
    file.info = TRY(read_file(infos_, name));
    file.flags = TRY(flags_in(file.info));
    if (SocketMount::get().recognise(file)) return file;
    if (::fstatat(links_.get(), name.c_str(), &file.status, 0) != 0) return fail_errno("stat");
    file.link = TRY(sys::read_link(links_, name));
    return file;
  }

 private:
  explicit DescriptorView(HostPid pid) : pid_(pid) {}

  HostPid pid_;
  Fd links_, infos_;
};

std::string descriptor_name(HostPid pid, int number) {
  return fmt::format("process {}: fd {}", pid.value, number);
}

std::string where(const OpenFile& file) {
  if (file.number < 0) return fmt::format("in no process ({})", file.link);
  return fmt::format("process {}: fd {} ({})", file.holder.value, file.number, file.link);
}

const FileKind* kind_of(const image::File& file) {
  for (const FileKind* kind : file_kinds())
    if (kind->owns(file)) return kind;
  return nullptr;
}

Result<const FileKind*> required_kind_of(const image::File& file) {
  const FileKind* kind = kind_of(file);
  if (kind == nullptr)
    return fail(Code::kBadImage, fmt::format("file {} is of no kind", file.id()));
  return kind;
}

bool in_one_pid_namespace(HostPid one, HostPid other) {
  auto of = [](HostPid task) {
    return sys::read_link(sys::proc_path(sys::living_thread(task), "ns/pid")).value_or("");
  };
  return of(one) == of(other);
}

// Who holds the file makes it the owner's, which it must have a number for.
Result<void> capture_owner(const CaptureContext& context, const OpenFile& file, image::File& out) {
  out.set_owner_signal(std::max(::fcntl(file.fd, F_GETSIG), 0));
  int owner = ::fcntl(file.fd, F_GETOWN);
  if (owner == 0 || owner == -1) return {};
  HostPid process(owner < 0 ? -owner : owner);
  auto status = sys::read_status(process);
  if (!status) return {};  // signals to a process that is gone go nowhere
  const auto member = context.task(process);
  if (member && !in_one_pid_namespace(process, file.holder))
    return fail(Code::kUnsupported, "its owner (F_SETOWN) lives in another PID namespace");
  int inside = member.value_or(status->ns_tids.back()).value;
  out.set_owner(owner < 0 ? -inside : inside);
  f_owner_ex exact{};
  if (::fcntl(file.fd, F_GETOWN_EX, &exact) != 0) return fail_errno("read the owner");
  out.set_owner_is_thread(exact.type == F_OWNER_TID);
  return {};
}

// Null if its refusal is noted.
Result<const FileKind*> choose_kind(CaptureContext& context, const OpenFile& file) {
  auto kind = std::ranges::find_if(
      file_kinds(), [&](const FileKind* candidate) { return candidate->recognises(file); });
  const bool known = kind != file_kinds().end();
  const bool foreign = file.network == Networks::kForeign;
  auto sound = known ? (*kind)->check_at_rest(file)
                     : Result<void>(fail(Code::kUnsupported, unsupported(file)));
  if (foreign) sound = fail(Code::kUnsupported, "is of a network namespace of others");
  TRY(context.judge(in_context(std::move(sound), where(file))));
  return known && !foreign ? *kind : nullptr;
}

// From here on `fd` is the description.
Result<void> open_here(OpenFile& file, int fd) {
  file.fd = fd;
  if (!S_ISSOCK(file.status.st_mode)) return {};
  if (::fstat(fd, &file.status) != 0) return fail_errno("stat");
  file.socket = sys::socket_type(fd);
  return {};
}

// A description in flight; if no process has it, it belongs to the group's root and has no number.
Result<uint32_t> add_received(CaptureContext& context, Fd& received) {
  HostPid here(::getpid());
  OpenFile file = TRY(TRY(DescriptorView::open(here)).look_at(received.get()));
  for (const OpenFile& other : context.files()) {
    bool alike =
        other.status.st_dev == file.status.st_dev && other.status.st_ino == file.status.st_ino;
    if (alike && TRY(sys::compare_files(here, received.get(), here, other.fd)) == 0)
      return other.id;
  }
  file.flags &= ~O_CLOEXEC;
  file.holder = context.root();
  file.number = -1;
  file.id = static_cast<uint32_t>(context.files().size() + 1);
  TRY(open_here(file, received.get()));
  if (file.socket) file.network = TRY(context.networks().of_socket(file.fd));
  context.keep(std::move(received));
  context.files().push_back(file);
  return file.id;
}

// The owner as the task names it.
Result<int32_t> owner_for(const ApplyContext& context, const image::File& file, const Task& task) {
  if (file.owner() == 0 || task.numbers().depth() == 0) return file.owner();
  auto owner = context.task(NsPid(std::abs(file.owner())));
  if (!owner || !in_one_pid_namespace(*owner, task.host_pid()))
    return fail(Code::kBadImage, "its owner (F_SETOWN) lives in another PID namespace");
  const int32_t inside = TRY(sys::read_status(*owner)).ns_tids.back().value;
  return file.owner() < 0 ? -inside : inside;
}

// Who is told when the description becomes ready, and how.
Result<void> apply_owner(const ApplyContext& context, const image::File& file, Task& task,
                         int number) {
  const int32_t whom = TRY(owner_for(context, file, task));
  Program program(task.arena());
  if (file.owner_is_thread()) {
    f_owner_ex owner{F_OWNER_TID, whom};
    program.call("set owner", SYS_fcntl, {number, F_SETOWN_EX, program.put_value(owner)});
  } else if (whom != 0) {
    program.call("set owner", SYS_fcntl, {number, F_SETOWN, whom});
  }
  if (file.owner_signal() > 0)
    program.call("set owner's signal", SYS_fcntl, {number, F_SETSIG, file.owner_signal()});
  if ((file.flags() & O_ASYNC) != 0)
    program.call("set O_ASYNC", SYS_fcntl, {number, F_SETFL, file.flags()});
  return program.empty() ? Result<void>() : task.run(program);
}

Result<void> capture_file(CaptureContext& context, size_t index, const FileKind& kind,
                          image::File& out) {
  const OpenFile& file = context.files()[index];
  out.set_id(file.id);
  out.set_flags(static_cast<uint32_t>(file.flags));
  out.set_network(file.network);
  TRY_IN(capture_owner(context, file, out), where(file));
  auto captured = kind.capture(context, file, out);
  if (captured) return {};
  return context.judge(
      in_context(std::move(captured), where(file) + ": " + std::string(kind.name())));
}

// A lease is taken with an owner.
bool has_owner(const image::File& file) {
  return file.owner() != 0 || file.owner_signal() > 0 || (file.flags() & O_ASYNC) != 0 ||
         file.regular().lease() != image::LEASE_NONE;
}

// The same for a description that no task has: the owner is named by its PID here.
Result<void> apply_owner_in_flight(const ApplyContext& context, const image::File& file, int fd) {
  pid_t owner = 0;
  if (file.owner() != 0) {
    auto task = context.task(NsPid(std::abs(file.owner())));
    if (!task) return fail(Code::kUnsupported, "its owner (F_SETOWN) is not in the group");
    owner = task->value;
  }
  f_owner_ex exact{F_OWNER_PID, owner};
  if (file.owner() < 0) exact.type = F_OWNER_PGRP;
  if (file.owner_is_thread()) exact.type = F_OWNER_TID;
  if (::fcntl(fd, F_SETOWN_EX, &exact) != 0) return fail_errno("set owner");
  if (::fcntl(fd, F_SETSIG, file.owner_signal()) != 0) return fail_errno("set owner's signal");
  if ((file.flags() & O_ASYNC) != 0 && ::fcntl(fd, F_SETFL, file.flags()) != 0)
    return fail_errno("set O_ASYNC");
  return {};
}

// Calls work(0) to work(count - 1), of which one processor takes many at a time.
Result<void> for_each_part(size_t count, const std::function<Result<void>(size_t)>& work) {
  constexpr size_t kPart = 256;
  return for_each_in_parallel((count + kPart - 1) / kPart, [&](size_t part) -> Result<void> {
    const size_t end = std::min(count, (part + 1) * kPart);
    for (size_t i = part * kPart; i < end; ++i) TRY(work(i));
    return {};
  });
}

enum class NeedsTasks { kNo, kYes };

Result<void> create_all(ApplyContext& context, NeedsTasks which) {
  for (const auto& [id, file] : context.files()) {
    if (file.has_unix_socket()) continue;  // see create_unix_sockets()
    const FileKind* kind = TRY(required_kind_of(file));
    if (kind->needs_tasks(file) != (which == NeedsTasks::kYes)) continue;
    Fd fd = TRY_IN(kind->create(context, file),
                   fmt::format("file {} ({})", id, std::string(kind->name())));
    context.set_description(id, std::move(fd));
  }
  return {};
}

}  // namespace

void FileTable::make_room(size_t descriptors) {
  const Fd any(::eventfd(0, EFD_CLOEXEC));
  const Fd last(::fcntl(any.get(), F_DUPFD_CLOEXEC, static_cast<int>(descriptors)));
}

Result<std::vector<OpenFile>> FileTable::look_at(HostPid holder) {
  const std::vector<int> numbers = TRY(sys::list_descriptors(holder));
  const DescriptorView view = TRY(DescriptorView::open(holder));
  std::vector<OpenFile> files(numbers.size());
  TRY(for_each_part(numbers.size(), [&](size_t i) -> Result<void> {
    files[i] = TRY_IN(view.look_at(numbers[i]), descriptor_name(holder, numbers[i]));
    return {};
  }));
  return files;
}

Result<void> FileTable::add(HostPid holder, std::vector<OpenFile> descriptors, Descriptors& out,
                            ProcessLocks& locks) {
  for (OpenFile& file : descriptors) {
    auto* descriptor = out.Add();
    descriptor->set_fd(file.number);
    descriptor->set_close_on_exec((file.flags & O_CLOEXEC) != 0);
    file.flags &= ~O_CLOEXEC;
    const int number = file.number;
    TRY_IN(capture_process_locks(file, locks), descriptor_name(holder, number));
    uint32_t id = TRY_IN(identify(std::move(file)), descriptor_name(holder, number));
    descriptor->set_file(id);
    context_.set_file_of(holder, number, id);
  }
  return {};
}

// The search begins where the last one ended: duplicates often come one after the other.
Result<uint32_t> FileTable::identify(OpenFile candidate) {
  Similar& similar = similar_[{candidate.status.st_dev, candidate.status.st_ino, candidate.flags,
                               event_number(candidate.info)}];
  size_t first = 0, last = similar.ids.size();
  for (size_t middle = similar.latest; first < last; middle = (first + last) / 2) {
    const OpenFile& other = context_.files()[similar.ids[middle] - 1];
    int order =
        TRY(sys::compare_files(candidate.holder, candidate.number, other.holder, other.number));
    similar.latest = middle;
    if (order == 0) return other.id;
    (order < 0 ? last : first) = order < 0 ? middle : middle + 1;
  }
  similar.latest = first;
  candidate.id = static_cast<uint32_t>(context_.files().size() + 1);
  uint32_t id = candidate.id;
  context_.files().push_back(std::move(candidate));
  similar.ids.insert(similar.ids.begin() + static_cast<ptrdiff_t>(first), id);
  return id;
}

Result<void> FileTable::open_all() {
  std::map<HostPid, Fd> holders;
  for (const OpenFile& file : context_.files())
    if (!holders.contains(file.holder))
      holders.emplace(file.holder, TRY(sys::open_task(file.holder)));
  std::vector<OpenFile>& files = context_.files();
  std::vector<Fd> opened(files.size());
  TRY(for_each_part(files.size(), [&](size_t i) -> Result<void> {
    OpenFile& file = files[i];
    opened[i] = TRY_IN(sys::duplicate_descriptor(holders.at(file.holder), file.number),
                       descriptor_name(file.holder, file.number));
    return open_here(file, opened[i].get());
  }));
  for (Fd& fd : opened) context_.keep(std::move(fd));
  return {};
}

Result<std::vector<const FileKind*>> choose_kinds(CaptureContext& context) {
  std::vector<const FileKind*> kinds;
  for (const OpenFile& file : context.files()) kinds.push_back(TRY(choose_kind(context, file)));
  return kinds;
}

Result<std::vector<image::File>> capture_files(CaptureContext& context,
                                               std::vector<const FileKind*> kinds) {
  TRY(read_unix_queues(context, [&](Fd received) { return add_received(context, received); }));
  for (size_t i = kinds.size(); i < context.files().size(); ++i)
    kinds.push_back(TRY(choose_kind(context, context.files()[i])));
  std::vector<image::File> captured(kinds.size());
  auto capture = [&](size_t i) { return capture_file(context, i, *kinds[i], captured[i]); };
  std::vector<size_t> in_parallel;
  for (size_t i = 0; i < kinds.size(); ++i) {
    if (kinds[i] == nullptr) continue;  // its refusal is noted
    if (kinds[i]->is_captured_in_parallel())
      in_parallel.push_back(i);
    else
      TRY(capture(i));
  }
  TRY(for_each_in_parallel(in_parallel.size(), [&](size_t n) { return capture(in_parallel[n]); }));
  std::erase_if(captured, [](const image::File& file) { return file.id() == 0; });
  return captured;
}

Result<void> create_files(ApplyContext& context) {
  return create_all(context, NeedsTasks::kNo);
}

Result<void> create_files_of_tasks(ApplyContext& context) {
  return create_all(context, NeedsTasks::kYes);
}

// The descriptors arrive at the lowest free numbers. In ascending order of their final numbers each
// final number is at least the one it arrived at, so moving them up from the last to the first
// never overwrites one that is still to be moved.
Result<void> install_descriptors(ApplyContext& context, DescriptorChannel& channel, Task& task,
                                 const Descriptors& descriptors) {
  std::vector<image::Descriptor> wanted(descriptors.begin(), descriptors.end());
  std::ranges::sort(wanted, {}, &image::Descriptor::fd);
  std::vector<int> local;
  for (size_t i = 0; i < wanted.size(); ++i) {
    bool sound = wanted[i].fd() >= 0 && wanted[i].fd() < channel.number() &&
                 (i == 0 || wanted[i].fd() != wanted[i - 1].fd());
    int description = context.description(wanted[i].file());
    if (!sound || description < 0)
      return fail(Code::kBadImage,
                  fmt::format("descriptor {} of task {}", wanted[i].fd(), task.tid().value));
    local.push_back(description);
  }
  std::vector<int> numbers = TRY(channel.send(task, local));
  Batch batch(task);
  for (size_t i = wanted.size(); i-- > 0;) {
    int flags = wanted[i].close_on_exec() ? O_CLOEXEC : 0;
    if (numbers[i] == wanted[i].fd()) {
      if (flags == 0)
        TRY(batch.room(1))->call("set descriptor flags", SYS_fcntl, {numbers[i], F_SETFD, 0});
      continue;
    }
    Program* program = TRY(batch.room(2));
    program->call("move descriptor", SYS_dup3, {numbers[i], wanted[i].fd(), flags});
    program->call("close descriptor", SYS_close, {numbers[i]});
  }
  return batch.finish();
}

Result<void> complete_files(ApplyContext& context, const std::vector<TableHolder>& tables) {
  struct Holder {
    Task* task;
    int number;
  };
  std::map<uint32_t, Holder> holders;
  for (const TableHolder& table : tables)
    for (const image::Descriptor& descriptor : *table.descriptors)
      holders.try_emplace(descriptor.file(), Holder{table.task, descriptor.fd()});
  for (const auto& [id, file] : context.files()) {
    const FileKind* kind = TRY(required_kind_of(file));
    auto what = [&] { return fmt::format("file {} ({})", file.id(), std::string(kind->name())); };
    TRY_IN(kind->complete(context, file, context.description(id)), what());
  }
  for (const auto& [id, file] : context.files()) {
    auto holder = holders.find(id);
    const FileKind* kind = TRY(required_kind_of(file));
    auto what = [&] { return fmt::format("file {} ({})", file.id(), std::string(kind->name())); };
    if (holder == holders.end()) {
      int fd = context.description(id);
      TRY_IN(kind->complete_in_flight(context, file, fd), what());
      if (has_owner(file)) TRY_IN(apply_owner_in_flight(context, file, fd), what());
      continue;
    }
    auto [task, number] = holder->second;
    TRY_IN(kind->complete_in_task(context, file, *task, number), what());
    TRY_IN(apply_owner(context, file, *task, number), what());
  }
  return {};
}

void files_go_live(ApplyContext& context) {
  for (const auto& [id, file] : context.files())
    if (const FileKind* kind = kind_of(file)) kind->let_in(context, file, context.description(id));
  for (const auto& [id, file] : context.files())
    if (const FileKind* kind = kind_of(file)) kind->go_live(context, file, context.description(id));
}

}  // namespace martlet::engine
