#include "engine/files/unlinked_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "engine/files/descriptions.h"
#include "sys/procfs.h"

namespace martlet::engine {
namespace {

constexpr size_t kPieceBytes = 1u << 20;

std::string stash_key(const image::RegularFile& file) {
  return fmt::format("unlinked file {}:{}", file.device(), file.inode());
}

std::string random_name() {
  uint64_t number = 0;
  if (::getrandom(&number, sizeof number, 0) < 0) number = 0;
  return fmt::format(".martlet-{:016x}", number);
}

Result<void> make_node(int directory, const std::string& name, uint32_t mode) {
  int failed = S_ISDIR(mode) ? ::mkdirat(directory, name.c_str(), 0700)
                             : ::mknodat(directory, name.c_str(), (mode & S_IFMT) | 0600, 0);
  if (failed != 0) return fail_errno("create " + name);
  return {};
}

Result<Fd> open_with_attributes(int directory, const std::string& name,
                                const image::RegularFile& file) {
  if (::fchownat(directory, name.c_str(), file.uid(), file.gid(), AT_SYMLINK_NOFOLLOW) != 0)
    return fail_errno("set the owner of " + name);
  if (::fchmodat(directory, name.c_str(), file.identity().mode() & 07777, 0) != 0)
    return fail_errno("set the permissions of " + name);
  Fd fd(::openat(directory, name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!fd.valid()) return fail_errno("open " + name);
  return fd;
}

// A new file of this type without a name, in a file system that has `directory`.
Result<Fd> make_unlinked(int directory, const std::string& wanted_name,
                         const image::RegularFile& file) {
  std::string name = wanted_name;
  auto made = make_node(directory, name, file.identity().mode());
  if (!made && made.error().error_number() == EEXIST) {
    name = random_name();
    made = make_node(directory, name, file.identity().mode());
  }
  TRY(std::move(made));
  auto fd = open_with_attributes(directory, name, file);
  if (::unlinkat(directory, name.c_str(), S_ISDIR(file.identity().mode()) ? AT_REMOVEDIR : 0) != 0)
    return fail_errno("remove the name of " + name);
  return fd;
}

// A file that can still get a name can only be had by O_TMPFILE, which is a flag of this one
// description for ever.
Result<Fd> make_nameless(int directory, const image::RegularFile& file) {
  int flags = static_cast<int>(file.made_with());
  Fd fd(::openat(directory, ".", flags | O_CLOEXEC, 0600));
  if (!fd.valid()) return fail_errno("make a file without a name");
  if (::fchown(fd.get(), file.uid(), file.gid()) != 0) return fail_errno("set the owner");
  if (::fchmod(fd.get(), file.identity().mode() & 07777) != 0)
    return fail_errno("set the permissions");
  return fd;
}

// In the directory that it was in, so that it is in the same file system again; if that is gone or
// read-only, in /tmp.
Result<Fd> make_unlinked_near(const ApplyContext& context, const image::RegularFile& file) {
  std::filesystem::path path(file.identity().path());
  Result<Fd> made = fail(Code::kBadImage, "unlinked file without a path");
  for (const std::string& directory : {path.parent_path().string(), std::string("/tmp")}) {
    auto parent =
        context.mounts().open(file.identity().mount_namespace(), directory, O_PATH | O_DIRECTORY);
    if (!parent) continue;
    made = file.made_with() != 0 ? make_nameless(parent->get(), file)
                                 : make_unlinked(parent->get(), path.filename().string(), file);
    if (made) break;
  }
  return in_context(std::move(made), "unlinked file " + file.identity().path());
}

bool has_supported_type(const image::RegularFile& file) {
  uint32_t mode = file.identity().mode();
  if (file.made_with() != 0) return S_ISREG(mode) && (file.made_with() & O_TMPFILE) == O_TMPFILE;
  return S_ISREG(mode) || S_ISDIR(mode) || S_ISFIFO(mode);
}

Result<void> put_piece(image::Sink& sink, image::FileContent& head, int fd,
                       std::span<std::byte> buffer) {
  ssize_t got = ::pread(fd, buffer.data(), buffer.size(), static_cast<off_t>(head.offset()));
  if (got < 0) return fail_errno("read " + head.file().identity().path());
  std::string bytes = head.SerializeAsString();
  return sink.put(image::RecordType::kFileContent, std::as_bytes(std::span(bytes)),
                  buffer.first(static_cast<size_t>(got)));
}

}  // namespace

Result<uint32_t> add_unlinked(CaptureContext& context, HostPid holder, const std::string& link,
                              const std::string& path, int flags) {
  OpenFile file;
  if (::stat(link.c_str(), &file.status) != 0) return fail_errno("stat " + link);
  for (const OpenFile& known : context.files())
    if (known.number < 0 && same_file(known.status, file.status)) return known.id;
  Fd fd = TRY(open_file(link, flags));
  file.id = static_cast<uint32_t>(context.files().size() + 1);
  file.holder = holder;
  file.link = path.ends_with(sys::kDeletedMark) ? path : path + std::string(sys::kDeletedMark);
  file.flags = flags;
  file.fd = fd.get();
  context.keep(std::move(fd));
  context.files().push_back(file);
  return file.id;
}

Result<void> put_content(CaptureContext& context, const image::RegularFile& file, int fd) {
  Fd reader = TRY(reopen(fd, O_RDONLY));
  std::vector<std::byte> buffer(kPieceBytes);
  image::FileContent head;
  *head.mutable_file() = file;
  off_t end = static_cast<off_t>(file.identity().size());
  for (off_t hole = 0; hole < end;) {
    off_t data = ::lseek(reader.get(), hole, SEEK_DATA);
    if (data < 0 && errno == ENXIO) break;
    if (data < 0) return fail_errno("find data in " + file.identity().path());
    hole = ::lseek(reader.get(), data, SEEK_HOLE);
    if (hole < 0) return fail_errno("find holes in " + file.identity().path());
    for (off_t at = data; at < hole; at += static_cast<off_t>(buffer.size())) {
      head.set_offset(static_cast<uint64_t>(at));
      size_t size = std::min(buffer.size(), static_cast<size_t>(hole - at));
      TRY(put_piece(context.sink(), head, reader.get(), std::span(buffer).first(size)));
    }
  }
  return {};
}

Result<int> unlinked_file(ApplyContext& context, const image::RegularFile& file) {
  if (!has_supported_type(file))
    return fail(Code::kBadImage, "unlinked file of an impossible type");
  auto fd = context.take_stashed(stash_key(file));
  if (!fd) {
    fd = TRY(make_unlinked_near(context, file));
    std::string path = "/proc/self/fd/" + std::to_string(fd->get());
    if (S_ISREG(file.identity().mode()) &&
        ::truncate(path.c_str(), static_cast<off_t>(file.identity().size())) != 0)
      return fail_errno("set the size of unlinked file " + file.identity().path());
  }
  int number = fd->get();
  context.stash(stash_key(file), std::move(*fd));
  return number;
}

Result<void> apply_content(ApplyContext& context, const image::Record& record) {
  auto content = TRY(image::parse_as<image::FileContent>(record));
  const image::RegularFile& file = content.file();
  uint64_t size = file.identity().size();
  if (!S_ISREG(file.identity().mode()) || content.offset() > size ||
      record.body.size() > size - content.offset())
    return fail(Code::kBadImage, "content of an unlinked file outside of its size");
  Fd writer = TRY(reopen(TRY(unlinked_file(context, file)), O_WRONLY));
  if (::lseek(writer.get(), static_cast<off_t>(content.offset()), SEEK_SET) < 0)
    return fail_errno("write unlinked file " + file.identity().path());
  return in_context(write_full(writer.get(), record.body),
                    "unlinked file " + file.identity().path());
}

}  // namespace martlet::engine
