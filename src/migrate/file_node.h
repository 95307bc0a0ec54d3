// One file of a tree, opened so that nothing leads out of the tree: no symbolic link is followed,
// not even in the middle of a path, whoever renames things meanwhile. And its attributes, as the
// second copy carries them.
#pragma once

#include <sys/stat.h>

#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "migrate/file_changes.pb.h"

namespace martlet::migrate {

// Opens `path` relative to `root`; "" is the root itself. Errors: kNotFound also if something on
// the way is not a directory.
Result<Fd> open_beneath(const Fd& root, const std::string& path, int flags);

// What stat(2) says of it, links not followed.
Result<struct stat> status_beneath(const Fd& root, const std::string& path);

// The names in a directory.
Result<std::vector<std::string>> read_directory(const Fd& directory);

// A whiteout: it hides what the layer below has under its name.
bool is_whiteout(const struct stat& status);

// Of the file that `file` was opened as (O_PATH suffices).
Result<protocol::FileAttributes> read_attributes(const Fd& file);

// Makes everything but type, device and target so. The file is reached through `file`.
Result<void> apply_attributes(const Fd& file, const protocol::FileAttributes& wanted);

// Removes what is at `name` of the directory, with everything in it. Success if nothing is there.
Result<void> remove_entry(const Fd& directory, const std::string& name);

}  // namespace martlet::migrate
