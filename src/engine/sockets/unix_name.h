// Names of Unix sockets, and the places in which they are given.
//
// The kernel keeps the name of a socket as the bytes that bind() got, and finds the file from the
// root and working directory of the caller. So a name is given on a thread whose root is the
// group's, or, when no file may appear there (it is unlinked, or belongs to another socket), an
// empty directory. Engine's thread only.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "engine/mounts/mount_view.h"
#include "image/sockets.pb.h"

namespace martlet::engine {

// The kernel reports a socket without a name as an address that holds only the family.
std::string named_or_empty(const std::string& address);

bool is_abstract(const std::string& address);
// Empty for an abstract or no name.
std::string path_of(const std::string& address);

using Work = std::function<Result<void>()>;

// Runs `work` on a thread that sees the mount namespace that has the file of the socket, with the
// directory that its name starts from as its working directory.
Result<void> run_in_root_of(const MountViews& views, const image::UnixSocket& socket,
                            const Work& work);

// Runs `work` on a thread whose working directory is this one.
Result<void> run_in_directory(const Fd& directory, const Work& work);

// A fresh directory in which the directories that the paths of `names` need are there. It vanishes
// with the object.
class EmptyRoot {
 public:
  static Result<EmptyRoot> make(const std::vector<std::string>& names);
  // On a thread whose root it is.
  Result<void> run(const Work& work) const;
  EmptyRoot(EmptyRoot&& other) noexcept : path_(std::exchange(other.path_, std::string())) {}
  EmptyRoot& operator=(EmptyRoot&&) = delete;
  ~EmptyRoot();

 private:
  explicit EmptyRoot(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

// Runs `work` in an empty root that vanishes afterwards.
Result<void> run_in_empty_root(const std::vector<std::string>& names, const Work& work);

// Runs `work` on a thread of the user that `socket` reports as SO_PEERCRED, with the capabilities
// of the caller. Sockets that it connects or lets listen are remembered as that user's. The process
// is remembered as the caller's.
Result<void> run_with_credentials(const image::UnixSocket& socket, const Work& work);

// Binds the socket to a path that others can find, with the owner and mode of its file. A file left
// by a socket that nobody has any more is replaced. Call it in the group's root.
Result<void> bind_with_file(int fd, const image::UnixSocket& socket);

}  // namespace martlet::engine
