// Extended attributes of an overlay's upper layer that mean something on one host only.
//
// An overlay marks files with two kinds of trusted.overlay.*. What a file *is* (opaque, redirect,
// metacopy, whiteout, protattr) belongs to the layer and is copied. What else the kernel notes for
// itself refers to file handles, inode numbers and the index of this very mount:
//
//   origin  handle of the lower file it was copied up from. On another file system it names nothing
//           or something else, and an overlay with file handles then refuses to be mounted or does
//           not merge the directory.
//   impure  something in this directory has an origin. Taken away by reading the directory.
//   nlink   links relative to the index, which is not copied.
//   upper   of the index.
//   uuid    of the mount.
//
// The kernel does without them, and makes its own where it wants them. So these are neither copied
// nor compared, and what a destination has of them stays.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace martlet::migrate {

bool is_overlay_note(std::string_view attribute);

// Options of rsync for copies with --xattrs that leave the notes of both sides alone.
std::vector<std::string> rsync_without_overlay_notes();

}  // namespace martlet::migrate
