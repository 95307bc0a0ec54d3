// For tests of file kinds: this process plays the frozen group, and what was captured from its
// descriptors is created again in the same process.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "engine/context.h"
#include "engine/files/file_kind.h"
#include "engine/files/unlinked_file.h"
#include "engine/test_util.h"
#include "sys/procfs.h"

namespace martlet::engine {

class KindTest : public testing::Test {
 protected:
  // Captures these descriptors of this process as one group.
  Result<void> capture(const std::vector<int>& fds) {
    for (int fd : fds) add(fd);
    for (const OpenFile& file : capture_context_->files()) {
      const FileKind* kind = kind_of(file);
      if (!kind) return fail(Code::kUnsupported, unsupported(file));
      TRY_IN(kind->check_at_rest(file), file.link);
      image::File& record = files_[file.id];
      record.set_id(file.id);
      record.set_flags(static_cast<uint32_t>(file.flags));
      TRY_IN(kind->capture(*capture_context_, file, record), file.link);
    }
    return {};
  }

  // Creates everything captured; restored(fd) is then the new description for `fd`.
  Result<void> restore() {
    for (const StoredRecord& record : sink_.records)
      if (record.type == image::RecordType::kFileContent)
        TRY(apply_content(*apply_context_, record.view()));
    apply_context_->files() = files_;
    for (const auto& [id, file] : files_)
      apply_context_->set_description(id, TRY(kind_of(file)->create(*apply_context_, file)));
    for (const auto& [id, file] : files_)
      TRY(kind_of(file)->complete(*apply_context_, file, apply_context_->description(id)));
    for (const auto& [id, file] : files_)
      kind_of(file)->go_live(*apply_context_, file, apply_context_->description(id));
    return {};
  }

  int restored(int fd) const { return apply_context_->description(ids_.at(fd)); }
  image::File& record(int fd) { return files_.at(ids_.at(fd)); }

  // Before the first capture.
  void set_external_files(const std::vector<ExternalFile>& there,
                          const std::vector<ExternalFile>& here) {
    capture_context_.emplace(sink_, self(), there);
    apply_context_.emplace(self(), here);
  }

  static HostPid self() { return HostPid(::getpid()); }

  using NoFiles = std::vector<ExternalFile>;

  MemorySink sink_;
  std::optional<CaptureContext> capture_context_{std::in_place, sink_, self(), NoFiles()};
  std::optional<ApplyContext> apply_context_{std::in_place, self(), NoFiles()};

 private:
  void add(int fd) {
    OpenFile file;
    file.id = static_cast<uint32_t>(capture_context_->files().size() + 1);
    file.fd = fd;
    file.socket = sys::socket_type(fd);
    file.holder = self();
    file.number = fd;
    ASSERT_EQ(::fstat(fd, &file.status), 0);
    file.flags = ::fcntl(fd, F_GETFL);
    file.link = *sys::read_link("/proc/self/fd/" + std::to_string(fd));
    file.info = *read_file("/proc/self/fdinfo/" + std::to_string(fd));
    ids_[fd] = file.id;
    capture_context_->files().push_back(file);
    capture_context_->set_file_of(self(), fd, file.id);
  }

  static const FileKind* kind_of(const OpenFile& file) {
    for (const FileKind* kind : file_kinds())
      if (kind->recognises(file)) return kind;
    return nullptr;
  }

  static const FileKind* kind_of(const image::File& file) {
    for (const FileKind* kind : file_kinds())
      if (kind->owns(file)) return kind;
    return nullptr;
  }

  std::map<int, uint32_t> ids_;
  std::map<uint32_t, image::File> files_;
};

}  // namespace martlet::engine
