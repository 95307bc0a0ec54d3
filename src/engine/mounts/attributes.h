// Paths and extended attributes of files in a mount.
#pragma once

#include <string>

#include "base/result.h"
#include "image/tmpfs.pb.h"

namespace martlet::engine {

// "a/b/c" is "c" in "a/b"; "a" is "a" in "".
std::string parent_of(const std::string& path);
std::string name_of(const std::string& path);

// Of the file `name` in an open directory; a symbolic link is not followed.
Result<void> read_attributes(int directory, const std::string& name, image::TmpfsEntry& out);
Result<void> write_attributes(int directory, const std::string& name,
                              const image::TmpfsEntry& entry);

}  // namespace martlet::engine
