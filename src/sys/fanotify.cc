#include "sys/fanotify.h"

#include <fcntl.h>
#include <linux/fanotify.h>  // the C library's header has the name of ours
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <string_view>

namespace martlet::sys {

namespace {

// Of newer headers.
constexpr unsigned kReportTarget = 0x1000;  // FAN_REPORT_TARGET_FID
constexpr uint64_t kRename = 0x10000000;    // FAN_RENAME
constexpr uint8_t kOldName = 10;            // FAN_EVENT_INFO_TYPE_OLD_DFID_NAME
constexpr uint8_t kNewName = 12;            // FAN_EVENT_INFO_TYPE_NEW_DFID_NAME

constexpr unsigned kReport = FAN_REPORT_FID | FAN_REPORT_DIR_FID | FAN_REPORT_NAME | kReportTarget;
constexpr uint64_t kWatched =
    FAN_CREATE | FAN_DELETE | kRename | FAN_MODIFY | FAN_ATTRIB | FAN_CLOSE_WRITE | FAN_ONDIR;
constexpr size_t kBufferBytes = 256u << 10;

std::unexpected<Error> malformed() {
  return fail(Code::kSystem, "fanotify reported an event of unknown form");
}

uint32_t what_of(uint64_t mask) {
  uint32_t what = 0;
  if (mask & FAN_CREATE) what |= FileEvent::kCreated;
  if (mask & FAN_DELETE) what |= FileEvent::kDeleted;
  if (mask & kRename) what |= FileEvent::kRenamed;
  if (mask & FAN_MODIFY) what |= FileEvent::kModified;
  if (mask & FAN_ATTRIB) what |= FileEvent::kAttributes;
  if (mask & FAN_CLOSE_WRITE) what |= FileEvent::kClosed;
  if (mask & FAN_Q_OVERFLOW) what |= FileEvent::kOverflow;
  return what;
}

// One information record: a file handle, and behind it a name if its type has one.
Result<void> parse_record(std::span<const std::byte> record, FileEvent& event) {
  fanotify_event_info_fid header;
  ::file_handle raw;
  constexpr size_t kFixed = sizeof header + sizeof raw;
  if (record.size() < kFixed) return malformed();
  std::memcpy(&header, record.data(), sizeof header);
  const auto* handle = reinterpret_cast<const ::file_handle*>(record.data() + sizeof header);
  if (handle->handle_bytes > record.size() - kFixed) return malformed();
  FileHandle file = to_file_handle(*handle);
  const auto* name = reinterpret_cast<const char*>(record.data() + kFixed + handle->handle_bytes);
  size_t room = record.size() - kFixed - handle->handle_bytes;
  switch (header.hdr.info_type) {
    case FAN_EVENT_INFO_TYPE_FID: event.object = std::move(file); break;
    case FAN_EVENT_INFO_TYPE_DFID: event.entry = {std::move(file), "."}; break;
    case FAN_EVENT_INFO_TYPE_DFID_NAME:
    case kNewName: event.entry = {std::move(file), std::string(name, ::strnlen(name, room))}; break;
    case kOldName:
      event.old_entry = {std::move(file), std::string(name, ::strnlen(name, room))};
      break;
    default: break;  // of a newer kernel
  }
  return {};
}

Result<FileEvent> parse_event(std::span<const std::byte> bytes,
                              const fanotify_event_metadata& metadata) {
  FileEvent event{.what = what_of(metadata.mask),
                  .is_directory = (metadata.mask & FAN_ONDIR) != 0,
                  .entry = {},
                  .old_entry = {},
                  .object = {}};
  for (auto rest = bytes.subspan(metadata.metadata_len); !rest.empty();) {
    fanotify_event_info_header header;
    if (rest.size() < sizeof header) return malformed();
    std::memcpy(&header, rest.data(), sizeof header);
    if (header.len < sizeof header || header.len > rest.size()) return malformed();
    TRY(parse_record(rest.first(header.len), event));
    rest = rest.subspan(header.len);
  }
  return event;
}

}  // namespace

Result<void> parse_events(std::span<const std::byte> bytes,
                          const std::function<void(const FileEvent&)>& on_event) {
  while (!bytes.empty()) {
    fanotify_event_metadata metadata;
    if (bytes.size() < sizeof metadata) return malformed();
    std::memcpy(&metadata, bytes.data(), sizeof metadata);
    if (metadata.vers != FANOTIFY_METADATA_VERSION || metadata.event_len > bytes.size() ||
        metadata.metadata_len < sizeof metadata || metadata.metadata_len > metadata.event_len)
      return malformed();
    on_event(TRY(parse_event(bytes.first(metadata.event_len), metadata)));
    bytes = bytes.subspan(metadata.event_len);
  }
  return {};
}

Result<Fanotify> Fanotify::open(Queue queue) {
  unsigned flags = FAN_CLASS_NOTIF | FAN_CLOEXEC | FAN_NONBLOCK | kReport;
  if (queue == Queue::kUnlimited) flags |= FAN_UNLIMITED_QUEUE;
  Fd fd(static_cast<int>(::syscall(SYS_fanotify_init, flags, O_RDONLY | O_CLOEXEC)));
  if (!fd.valid() && errno == EINVAL)
    return fail(Code::kUnsupported, "the kernel's fanotify does not report names (Linux 5.17)");
  if (!fd.valid()) return fail_errno("fanotify_init");
  return Fanotify(std::move(fd));
}

Result<void> Fanotify::watch_file_system(const std::string& path) {
  if (::syscall(SYS_fanotify_mark, fd_.get(), FAN_MARK_ADD | FAN_MARK_FILESYSTEM, kWatched,
                AT_FDCWD, path.c_str()) == 0)
    return {};
  if (errno == EOPNOTSUPP || errno == ENODEV || errno == EXDEV || errno == EINVAL)
    return fail(Code::kUnsupported, "its file system has no file handles that fanotify can report");
  return fail_errno("fanotify_mark of " + path);
}

void Fanotify::stop_watching() {
  ::syscall(SYS_fanotify_mark, fd_.get(), FAN_MARK_FLUSH | FAN_MARK_FILESYSTEM, 0, AT_FDCWD, "/");
}

Result<void> Fanotify::read(const std::function<void(const FileEvent&)>& on_event) {
  auto buffer = std::make_unique_for_overwrite<std::byte[]>(kBufferBytes);
  for (;;) {
    ssize_t got = ::read(fd_.get(), buffer.get(), kBufferBytes);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return {};
    if (got < 0) return fail_errno("read of fanotify events");
    TRY(parse_events({buffer.get(), static_cast<size_t>(got)}, on_event));
  }
}

}  // namespace martlet::sys
