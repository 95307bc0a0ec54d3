#include "engine/files/event_kind.h"

#include <fcntl.h>
#include <sys/eventfd.h>

#include <limits>

#include "engine/files/descriptions.h"
#include "engine/files/fd_info.h"

namespace martlet::engine {
namespace {

// Kernels before 6.5 do not print whether an eventfd is a semaphore. Reading tells: with a count of
// at least two, a semaphore yields one and a counter everything. The count is put back. Nobody sees
// it meanwhile, for the group is frozen.
Result<bool> probe_semaphore(int fd, uint64_t count) {
  bool nearly_full = count > std::numeric_limits<uint64_t>::max() - 4;
  eventfd_t seen = 0;
  bool done = (nearly_full || ::eventfd_write(fd, 2) == 0) && ::eventfd_read(fd, &seen) == 0;
  bool semaphore = done && seen == 1;
  if (done && semaphore)
    done = nearly_full ? ::eventfd_write(fd, 1) == 0 : ::eventfd_read(fd, &seen) == 0;
  if (done && !semaphore && count > 0) done = ::eventfd_write(fd, count) == 0;
  if (!done) return fail_errno("probe an eventfd");
  return semaphore;
}

Result<bool> is_semaphore(const OpenFile& file, uint64_t count) {
  if (!info_field(file.info, "eventfd-semaphore")) return probe_semaphore(file.fd, count);
  return TRY(info_number(file.info, "eventfd-semaphore", 10)) != 0;
}

class EventKind final : public FileKind {
 public:
  std::string_view name() const override { return "eventfd"; }

  bool recognises(const OpenFile& file) const override {
    return file.link == "anon_inode:[eventfd]";
  }

  Result<void> capture(CaptureContext&, const OpenFile& file, image::File& out) const override {
    image::EventFile& event = *out.mutable_event();
    event.set_count(TRY(info_number(file.info, "eventfd-count", 16)));
    event.set_semaphore(TRY(is_semaphore(file, event.count())));
    return {};
  }

  bool owns(const image::File& file) const override { return file.has_event(); }

  Result<Fd> create(ApplyContext&, const image::File& file) const override {
    const image::EventFile& event = file.event();
    if (event.count() == std::numeric_limits<uint64_t>::max())
      return fail(Code::kBadImage, "count of an eventfd is out of range");
    Fd fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | (event.semaphore() ? EFD_SEMAPHORE : 0)));
    if (!fd.valid()) return fail_errno("create an eventfd");
    if (event.count() > 0 && ::eventfd_write(fd.get(), event.count()) != 0)
      return fail_errno("set the count of an eventfd");
    TRY(set_status_flags(fd.get(), static_cast<int>(file.flags())));
    return fd;
  }
};

}  // namespace

const FileKind& event_kind() {
  static const EventKind kind;
  return kind;
}

}  // namespace martlet::engine
