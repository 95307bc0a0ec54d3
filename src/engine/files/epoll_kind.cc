#include "engine/files/epoll_kind.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/kcmp.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <sstream>

#include "engine/context.h"
#include "engine/files/descriptions.h"
#include "engine/files/fd_info.h"
#include "engine/files/private_descriptors.h"
#include "engine/program.h"
#include "engine/task.h"

namespace martlet::engine {
namespace {

// What an entry keeps of its events when EPOLLONESHOT has disabled it.
constexpr uint32_t kKeptWhenDisabled = EPOLLWAKEUP | EPOLLONESHOT | EPOLLET | EPOLLEXCLUSIVE;

// One line of fdinfo: "tfd: 4 events: 80000019 data: 7  pos:0 ino:40e sdev:10".
struct Watch {
  int number = -1;
  uint32_t occurrence = 0;  // how many entries before it carry the same number
  uint32_t events = 0;
  uint64_t data = 0;
  uint64_t inode = 0;
  dev_t device = 0;
};

Result<Watch> parse_watch(std::string_view line) {
  Watch watch;
  watch.number = static_cast<int>(TRY(take_labelled(line, "tfd:", 10)));
  watch.events = static_cast<uint32_t>(TRY(take_labelled(line, "events:", 16)));
  watch.data = TRY(take_labelled(line, "data:", 16));
  watch.inode = TRY(take_labelled(line, "ino:", 16));
  watch.device = unpack_device(TRY(take_labelled(line, "sdev:", 16)));
  return watch;
}

Result<std::vector<Watch>> parse_watches(const std::string& info) {
  std::vector<Watch> watches;
  std::map<int, uint32_t> seen;
  std::istringstream lines(info);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("tfd:")) continue;
    Watch watch = TRY(parse_watch(line));
    watch.occurrence = seen[watch.number]++;
    watches.push_back(watch);
  }
  return watches;
}

bool has_inode_of(const OpenFile& file, const Watch& watch) {
  return file.status.st_ino == watch.inode && file.status.st_dev == watch.device;
}

// kcmp(2) compares a description with the target of an epoll entry. Both are open here.
Result<bool> is_target(const OpenFile& epoll, const Watch& watch, const OpenFile& candidate) {
  if (!has_inode_of(candidate, watch)) return false;
  if (S_ISSOCK(candidate.status.st_mode)) return true;  // a socket has one description
  kcmp_epoll_slot slot{static_cast<uint32_t>(epoll.fd), static_cast<uint32_t>(watch.number),
                       watch.occurrence};
  pid_t self = ::getpid();
  long order = ::syscall(SYS_kcmp, self, self, KCMP_EPOLL_TFD, candidate.fd, &slot);
  if (order < 0) return fail_errno("compare with an entry of an epoll");
  return order == 0;
}

// The description with this number is tried first: nearly always it is the one.
Result<const OpenFile*> find_target(CaptureContext& context, const OpenFile& epoll,
                                    const Watch& watch) {
  const OpenFile* likely = context.file_of(epoll.holder, watch.number);
  if (likely && TRY(is_target(epoll, watch, *likely))) return likely;
  for (const OpenFile& file : context.files())
    if (TRY(is_target(epoll, watch, file))) return &file;
  return fail(Code::kUnsupported,
              fmt::format("watches a file (added as descriptor {}) that no process of the group "
                          "has open",
                          watch.number));
}

bool is_signal_file(const OpenFile& file) {
  return file.link == "anon_inode:[signalfd]";
}

struct Addition {
  const image::EpollEntry* entry;
  int description;
};

bool is_disabled(const image::EpollEntry& entry) {
  return (entry.events() & EPOLLONESHOT) && !(entry.events() & ~kKeptWhenDisabled);
}

Result<void> control(int epoll, int operation, const image::EpollEntry& entry, uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = entry.data();
  if (::epoll_ctl(epoll, operation, entry.fd(), &event) != 0)
    return fail_errno(fmt::format("watch descriptor {}", entry.fd()));
  return {};
}

// No call makes a disabled entry: adding always asks for EPOLLERR and EPOLLHUP as well. So it is
// added for all events and, if one is there, received, which disables it. If none is, the entry is
// left waiting for errors alone.
Result<void> add_disabled(int epoll, const image::EpollEntry& entry) {
  TRY(control(epoll, EPOLL_CTL_ADD, entry,
              entry.events() | EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP));
  epoll_event event{};
  if (::epoll_wait(epoll, &event, 1, 0) == 1) return {};
  return control(epoll, EPOLL_CTL_MOD, entry, entry.events());
}

Result<void> add(int epoll, const Addition& addition) {
  const image::EpollEntry& entry = *addition.entry;
  if (::dup2(addition.description, entry.fd()) != entry.fd())
    return fail_errno(fmt::format("use descriptor number {}", entry.fd()));
  return is_disabled(entry) ? add_disabled(epoll, entry)
                            : control(epoll, EPOLL_CTL_ADD, entry, entry.events());
}

// Runs with a descriptor table of its own. First everything needed is moved out of the way of the
// numbers that the entries are to have.
Result<void> add_all(int epoll, std::vector<Addition> additions) {
  int highest = 0;
  for (const Addition& addition : additions) highest = std::max(highest, addition.entry->fd());
  auto move_up = [&](int fd) { return ::fcntl(fd, F_DUPFD_CLOEXEC, highest + 1); };
  epoll = move_up(epoll);
  if (epoll < 0) return fail_errno("move an epoll to a high descriptor number");
  for (Addition& addition : additions) {
    addition.description = move_up(addition.description);
    if (addition.description < 0) return fail_errno("move to a high descriptor number");
  }
  // Disabled entries are received from, so they come while no other entry can have events.
  std::ranges::stable_partition(additions, [](const Addition& a) { return is_disabled(*a.entry); });
  for (const Addition& addition : additions) TRY(add(epoll, addition));
  return {};
}

// A signalfd tells an epoll of the signals of whichever process added it, so its holder has to.
bool is_for_its_task(ApplyContext& context, const image::EpollEntry& entry) {
  auto target = context.files().find(entry.file());
  return target != context.files().end() && target->second.has_signal();
}

class EpollKind final : public FileKind {
 public:
  std::string_view name() const override { return "epoll"; }

  bool recognises(const OpenFile& file) const override {
    return file.link == "anon_inode:[eventpoll]";
  }

  Result<void> capture(CaptureContext& context, const OpenFile& file,
                       image::File& out) const override {
    image::EpollFile& epoll = *out.mutable_epoll();
    for (const Watch& watch : TRY(parse_watches(file.info))) {
      const OpenFile* target = TRY(find_target(context, file, watch));
      // Whose signals it is told of, nothing tells.
      if (file.number < 0 && is_signal_file(*target))
        return fail(Code::kUnsupported, "watches a signalfd while it is in no process itself");
      image::EpollEntry& entry = *epoll.add_entries();
      entry.set_fd(watch.number);
      entry.set_file(target->id);
      entry.set_events(watch.events);
      entry.set_data(watch.data);
    }
    return {};
  }

  bool owns(const image::File& file) const override { return file.has_epoll(); }

  Result<Fd> create(ApplyContext&, const image::File& file) const override {
    Fd fd(::epoll_create1(EPOLL_CLOEXEC));
    if (!fd.valid()) return fail_errno("create an epoll");
    TRY(set_status_flags(fd.get(), static_cast<int>(file.flags())));
    return fd;
  }

  Result<void> complete(ApplyContext& context, const image::File& file, int fd) const override {
    std::vector<Addition> additions;
    for (const image::EpollEntry& entry : file.epoll().entries()) {
      if (is_for_its_task(context, entry)) continue;
      int description = context.description(entry.file());
      if (description < 0 || entry.fd() < 0)
        return fail(Code::kBadImage, "epoll entry of a file that is not in the image");
      additions.push_back({&entry, description});
    }
    if (additions.empty()) return {};
    return with_private_descriptors([&] { return add_all(fd, std::move(additions)); });
  }

  // The entry's number is the signalfd's in the task: whoever added it had it there.
  Result<void> complete_in_task(ApplyContext& context, const image::File& file, Task& task,
                                int number) const override {
    for (const image::EpollEntry& entry : file.epoll().entries()) {
      if (!is_for_its_task(context, entry)) continue;
      Program program(task.arena());
      epoll_event event{};
      event.events = entry.events();
      event.data.u64 = entry.data();
      program.call("watch signalfd", SYS_epoll_ctl,
                   {number, EPOLL_CTL_ADD, entry.fd(), program.put_value(event)});
      TRY(task.run(program));
    }
    return {};
  }
};

}  // namespace

const FileKind& epoll_kind() {
  static const EpollKind kind;
  return kind;
}

}  // namespace martlet::engine
