#include "checkpoint/shared_rounds.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <tuple>

#include "engine/memory/layout.h"

namespace martlet::checkpoint {
namespace {

bool may_be_staged(const sys::Vma& vma) {
  if (!vma.shared || vma.inode == 0 || vma.path.starts_with("/SYSV")) return false;
  return engine::maps_shared_object(vma);
}

}  // namespace

void SharedRounds::begin() {
  for (auto& [identity, object] : objects_) object.found = false;
}

// What cannot be opened any more is not there any more, and what cannot be read is left to the
// capture.
void SharedRounds::find(HostPid pid, const std::vector<sys::Vma>& vmas) {
  for (const sys::Vma& vma : vmas) {
    if (!may_be_staged(vma)) continue;
    auto known = objects_.find({vma.device, vma.inode});
    if (known != objects_.end())
      known->second.found = true;
    else
      std::ignore = add(pid, vma);
  }
}

Result<void> SharedRounds::add(HostPid pid, const sys::Vma& vma) {
  Fd fd = TRY(open_file(engine::map_files_link(pid, vma), O_RDONLY));
  std::string link = TRY(sys::read_link(fmt::format("/proc/self/fd/{}", fd.get())));
  struct stat status{};
  struct statfs system{};
  if (::fstat(fd.get(), &status) != 0 || ::fstatfs(fd.get(), &system) != 0)
    return fail_errno("stat " + link);
  if (system.f_type != TMPFS_MAGIC) return {};  // of huge pages
  auto identity = TRY(engine::identify_shared_object(fd.get(), status, link));
  if (identity != engine::SharedObjectIdentity{vma.device, vma.inode}) return {};
  Object object;
  object.message = engine::describe_shared_object(fd.get(), status, link);
  object.message.set_staged(next_number_++);
  object.fd = std::move(fd);
  objects_.emplace(identity, std::move(object));
  return {};
}

std::vector<uint32_t> SharedRounds::settle_objects() {
  std::erase_if(objects_, [](const auto& object) { return !object.second.found; });
  std::vector<uint32_t> numbers;
  for (const auto& [identity, object] : objects_) numbers.push_back(object.message.staged());
  return numbers;
}

Result<uint64_t> SharedRounds::send(image::Sink& sink) {
  uint64_t total = 0;
  for (auto& [identity, object] : objects_) {
    auto reader = TRY(engine::ContentReader::open(object.fd.get()));
    object.message.set_size(reader.size());
    TRY(image::put_message(sink, image::RecordType::kSharedMemory, object.message));
    total += TRY(object.sent.put_changes(sink, object.message.staged(), reader));
  }
  return total;
}

engine::SentContent::Outlook SharedRounds::outlook() const {
  engine::SentContent::Outlook all;
  for (const auto& [identity, object] : objects_) {
    auto reader = engine::ContentReader::open(object.fd.get());
    if (!reader) continue;
    auto one = object.sent.outlook(*reader);
    if (!one) continue;
    all.changed_bytes += one->changed_bytes;
    all.seconds += one->seconds;
  }
  return all;
}

void SharedRounds::build_on(engine::SharedObjectTable& table) {
  for (const auto& object : table.objects()) {
    auto known = objects_.find(object.identity);
    if (known == objects_.end() || known->second.message.kind() != object.message.kind()) continue;
    table.build_on(object.message.id(), known->second.message.staged(), known->second.sent);
  }
}

}  // namespace martlet::checkpoint
