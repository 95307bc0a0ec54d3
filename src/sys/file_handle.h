// Names of files that stay the same when the file is renamed: what name_to_handle_at(2) gives and
// fanotify reports. A handle is a plain value; it means something only on its own file system.
#pragma once

#include <fcntl.h>

#include <compare>
#include <cstdint>
#include <string>

#include "base/fd.h"
#include "base/result.h"

namespace martlet::sys {

struct FileHandle {
  int32_t type = 0;
  std::string bytes;  // empty: no file

  bool empty() const { return bytes.empty(); }
  auto operator<=>(const FileHandle&) const = default;
};

FileHandle to_file_handle(const ::file_handle& raw);

// The handle of `path` relative to `directory`, links not followed; "" is the directory itself.
// Errors: kNotFound; EOPNOTSUPP where the file system has no handles.
Result<FileHandle> handle_of(int directory, const std::string& path);

// The handle by which fdinfo names the object behind `fd`. It may be one that cannot be opened.
Result<FileHandle> naming_handle_of(int fd);

// Opens with open_by_handle_at(2); `mount` is any descriptor on the file system. kGone if the file
// does not exist any more.
Result<Fd> open_handle(int mount, const FileHandle& handle, int flags);

// Where an open file is now, as the kernel prints it for this process. What was removed is followed
// by " (deleted)".
Result<std::string> path_of(const Fd& file);

}  // namespace martlet::sys

template <>
struct std::hash<martlet::sys::FileHandle> {
  size_t operator()(const martlet::sys::FileHandle& handle) const noexcept {
    return std::hash<std::string>{}(handle.bytes) ^ static_cast<size_t>(handle.type);
  }
};
