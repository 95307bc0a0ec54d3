#include "engine/files/inotify_kind.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <sstream>

#include "base/log.h"
#include "engine/context.h"
#include "engine/files/descriptions.h"
#include "engine/files/fd_info.h"
#include "engine/files/watched_object.h"
#include "sys/pidfd.h"
#include "sys/procfs.h"

namespace martlet::engine {
namespace {

constexpr uint32_t kMaskBits = IN_ALL_EVENTS | IN_EXCL_UNLINK | IN_ONESHOT;
// Numbers are counted up to, one watch at a time.
constexpr int kHighestNumber = 1 << 20;
// Each watch that is made and removed on the way leaves an event; the queue takes 16,384 of them by
// default.
constexpr int kEventsBeforeDraining = 1000;

// One line of fdinfo: "inotify wd:3 ino:9e7e sdev:800013 mask:fff ignored_mask:0 fhandle-bytes:8
// fhandle-type:1 f_handle:7e9e0000640d1b6c".
struct Watch {
  int number = 0;
  uint32_t mask = 0;
  dev_t device = 0;
  sys::FileHandle handle;
};

Result<std::string> parse_bytes(std::string_view digits, size_t size) {
  std::string bytes;
  for (; bytes.size() < size && digits.size() >= 2; digits.remove_prefix(2)) {
    std::string_view pair = digits.substr(0, 2);
    auto byte = take_number(pair, 16);
    if (!byte || !pair.empty()) break;
    bytes.push_back(static_cast<char>(*byte));
  }
  if (bytes.size() != size) return fail(Code::kUnsupported, "fdinfo has no whole file handle");
  return bytes;
}

Result<Watch> parse_watch(std::string_view line) {
  Watch watch;
  watch.number = static_cast<int>(TRY(take_labelled(line, "wd:", 16)));
  watch.device = unpack_device(TRY(take_labelled(line, "sdev:", 16)));
  watch.mask = static_cast<uint32_t>(TRY(take_labelled(line, "mask:", 16))) & kMaskBits;
  size_t size = TRY(take_labelled(line, "fhandle-bytes:", 16));
  watch.handle.type = static_cast<int32_t>(TRY(take_labelled(line, "fhandle-type:", 16)));
  constexpr std::string_view kLabel = "f_handle:";
  size_t at = line.find(kLabel);
  if (at == std::string_view::npos) return fail(Code::kUnsupported, "fdinfo has no file handle");
  watch.handle.bytes = TRY(parse_bytes(line.substr(at + kLabel.size()), size));
  return watch;
}

Result<std::vector<Watch>> parse_watches(const std::string& info) {
  std::vector<Watch> watches;
  std::istringstream lines(info);
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with("inotify ")) watches.push_back(TRY(parse_watch(line)));
  std::ranges::sort(watches, {}, &Watch::number);
  return watches;
}

const OpenFile* find_open(CaptureContext& context, const Watch& watch) {
  auto found = std::ranges::find_if(context.files(), [&](const OpenFile& file) {
    auto handle = sys::naming_handle_of(file.fd);
    return file.link.starts_with('/') && handle && *handle == watch.handle;
  });
  return found == context.files().end() ? nullptr : &*found;
}

// By its path or, if it has none, by an open file of the group.
Result<void> name_object(CaptureContext& context, const WatchedObjects& objects, const Watch& watch,
                         image::InotifyWatch& out) {
  auto path = objects.known_path(watch.device, watch.handle);
  if (!path) {
    if (const OpenFile* file = find_open(context, watch)) {
      out.set_file(file->id);
      return {};
    }
    if (path.error().code() == Code::kNotFound) path = objects.search(watch.device, watch.handle);
  }
  if (!path)
    return fail(Code::kUnsupported,
                fmt::format("watch {} is on a file or directory that has no name any more, or none "
                            "that the group can see",
                            watch.number));
  out.set_path(*path);
  return {};
}

Result<void> check(const image::InotifyFile& inotify) {
  int before = 0;
  for (const image::InotifyWatch& watch : inotify.watches()) {
    bool sound = watch.number() > before && watch.number() <= kHighestNumber &&
                 (watch.mask() & ~kMaskBits) == 0 && watch.path().empty() == (watch.file() != 0);
    if (!sound) return fail(Code::kBadImage, fmt::format("inotify watch {}", watch.number()));
    before = watch.number();
  }
  return {};
}

Result<void> drain(int fd) {
  alignas(inotify_event) std::array<char, 16384> events;
  for (;;) {
    int waiting = 0;
    if (::ioctl(fd, FIONREAD, &waiting) != 0) return fail_errno("size of an inotify queue");
    if (waiting == 0) return {};
    if (::read(fd, events.data(), events.size()) < 0) return fail_errno("read an inotify queue");
  }
}

Result<int> watch_object(int fd, int object, uint32_t mask) {
  std::string link = "/proc/self/fd/" + std::to_string(object);
  int number = ::inotify_add_watch(fd, link.c_str(), mask);
  if (number < 0) return fail_errno("add an inotify watch");
  return number;
}

// The kernel gives each new watch the number behind that of the last one, so those in between are
// used up with a file that nobody else has.
class NumberCounter {
 public:
  explicit NumberCounter(int fd) : fd_(fd) {}

  // The next watch gets this number.
  Result<void> count_to(int number) {
    if (next_ < number && !spare_.valid()) {
      spare_ = Fd(::memfd_create("martlet", MFD_CLOEXEC));
      if (!spare_.valid()) return fail_errno("create a file to watch");
    }
    for (; next_ < number; ++next_) {
      int used = TRY(watch_object(fd_, spare_.get(), IN_DELETE_SELF));
      if (used != next_)
        return fail(Code::kUnsupported, "this kernel numbers inotify watches in another way");
      if (::inotify_rm_watch(fd_, used) != 0) return fail_errno("remove an inotify watch");
      if (next_ % kEventsBeforeDraining == 0) TRY(drain(fd_));
    }
    ++next_;
    return {};
  }

 private:
  int fd_;
  int next_ = 1;
  Fd spare_;
};

Result<int> watch_it(ApplyContext& context, const image::InotifyWatch& watch, int fd,
                     uint32_t mask) {
  if (watch.file() == 0) {
    Fd object = TRY(context.open_in_root(watch.path(), O_PATH | O_NOFOLLOW));
    return in_context(watch_object(fd, object.get(), mask), watch.path());
  }
  int description = context.description(watch.file());
  if (description < 0)
    return fail(Code::kBadImage, "inotify watch of a file that is not in the image");
  return watch_object(fd, description, mask);
}

class InotifyKind final : public FileKind {
 public:
  std::string_view name() const override { return "inotify"; }

  bool recognises(const OpenFile& file) const override { return is_inotify_link(file.link); }

  // Nothing can put an event into a queue again.
  Result<void> check_at_rest(const OpenFile& file) const override {
    int waiting = 0;
    if (::ioctl(file.fd, FIONREAD, &waiting) != 0) return fail_errno("size of an inotify queue");
    if (waiting == 0) return {};
    return std::unexpected(
        Error(Code::kUnsupported, "events of inotify are waiting to be read by the program")
            .with_remedy("try again when it has read them"));
  }

  Result<void> capture(CaptureContext& context, const OpenFile& file,
                       image::File& out) const override {
    image::InotifyFile& inotify = *out.mutable_inotify();
    auto objects = TRY(WatchedObjects::in_mounts_of(context.root()));
    for (const Watch& watch : TRY(parse_watches(file.info))) {
      if (watch.number > kHighestNumber)
        return fail(Code::kUnsupported, fmt::format("watch number {} is too high", watch.number));
      image::InotifyWatch& record = *inotify.add_watches();
      record.set_number(watch.number);
      record.set_mask(watch.mask);
      TRY(name_object(context, objects, watch, record));
    }
    return {};
  }

  bool owns(const image::File& file) const override { return file.has_inotify(); }

  Result<Fd> create(ApplyContext&, const image::File& file) const override {
    TRY(check(file.inotify()));
    Fd fd(::inotify_init1(IN_CLOEXEC));
    if (!fd.valid()) return fail_errno("create an inotify");
    TRY(set_status_flags(fd.get(), static_cast<int>(file.flags())));
    return fd;
  }

  // What the restore itself still does with files must not be seen, so for now each watch is for an
  // event that it does not cause.
  Result<void> complete(ApplyContext& context, const image::File& file, int fd) const override {
    NumberCounter counter(fd);
    for (const image::InotifyWatch& watch : file.inotify().watches()) {
      TRY(counter.count_to(watch.number()));
      int number = TRY(watch_it(context, watch, fd, IN_DELETE_SELF));
      if (number != watch.number())
        return fail(Code::kUnsupported, fmt::format("inotify watch {} is on the same file as {}",
                                                    watch.number(), number));
    }
    return drain(fd);
  }

  // Another mask for the same object leaves its number as it is.
  void go_live(ApplyContext& context, const image::File& file, int fd) const override {
    for (const image::InotifyWatch& watch : file.inotify().watches())
      if (auto live = watch_it(context, watch, fd, watch.mask()); !live)
        spdlog::error("file {}: {}", file.id(), live.error().to_string());
  }
};

}  // namespace

bool is_inotify_link(std::string_view link) {
  return link == "anon_inode:inotify" || link == "anon_inode:[inotify]";
}

// A queue that is closed meanwhile tells nobody anything.
std::set<dev_t> devices_watched_for_reads(HostPid root) {
  constexpr uint32_t kOfReads = IN_OPEN | IN_ACCESS | IN_CLOSE_NOWRITE;
  std::set<dev_t> devices;
  for (HostPid process : sys::list_tree(root))
    for (HostPid holder : sys::list_table_holders(process))
      for (int number : sys::list_descriptors(holder).value_or(std::vector<int>{})) {
        auto link = sys::read_link(sys::proc_path(holder, fmt::format("fd/{}", number)));
        if (!link || !is_inotify_link(*link)) continue;
        auto info = read_file(sys::proc_path(holder, fmt::format("fdinfo/{}", number)));
        auto watches = info ? parse_watches(*info) : std::vector<Watch>{};
        if (!watches) continue;
        for (const Watch& watch : *watches)
          if ((watch.mask & kOfReads) != 0) devices.insert(watch.device);
      }
  return devices;
}

const FileKind& inotify_kind() {
  static const InotifyKind kind;
  return kind;
}

}  // namespace martlet::engine
