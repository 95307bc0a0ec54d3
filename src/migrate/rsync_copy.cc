#include "migrate/rsync_copy.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <iterator>

#include "migrate/byte_bridge.h"
#include "migrate/overlay_notes.h"
#include "migrate/rsync_errors.h"
#include "sys/program.h"

namespace martlet::migrate {

namespace {

constexpr Nanoseconds kExitTimeout = std::chrono::seconds(20);
constexpr int kSocketNumber = 3;
constexpr int kListNumber = 0;
constexpr int kErrorsNumber = 2;

struct SocketPair {
  Fd ours;
  Fd theirs;
};

Result<SocketPair> make_socket_pair() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
    return fail_errno("socketpair");
  return SocketPair{Fd(ends[0]), Fd(ends[1])};
}

Result<Fd> memory_file(const char* name, const std::string& content) {
  Fd file(::memfd_create(name, MFD_CLOEXEC));
  if (!file.valid()) return fail_errno("memfd_create");
  TRY(write_full(file.get(), std::as_bytes(std::span(content))));
  if (::lseek(file.get(), 0, SEEK_SET) != 0) return fail_errno("lseek");
  return file;
}

// A file with a name, because rsync opens its configuration without following links, those of
// /proc/PID/fd included. Removed by the destructor.
class TemporaryFile {
 public:
  static Result<TemporaryFile> create(const std::string& content) {
    auto path = (std::filesystem::temp_directory_path() / "martlet-rsyncd-XXXXXX").string();
    Fd file(::mkostemp(path.data(), O_CLOEXEC));
    if (!file.valid()) return fail_errno("make " + path);
    TemporaryFile made(std::move(path));
    TRY(write_full(file.get(), std::as_bytes(std::span(content))));
    return made;
  }
  ~TemporaryFile() {
    if (!path_.empty()) ::unlink(path_.c_str());
  }
  TemporaryFile(TemporaryFile&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  TemporaryFile& operator=(TemporaryFile&&) = delete;

  const std::string& path() const { return path_; }

 private:
  explicit TemporaryFile(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

std::string daemon_configuration(const std::vector<FileTree>& trees) {
  std::string text = "log file = /dev/null\n";
  for (const FileTree& tree : trees) {
    auto path = tree.kind == FileTree::Kind::kFile
                    ? std::filesystem::path(tree.path).parent_path().string()
                    : tree.path;
    text += fmt::format(
        "[{}]\npath = {}\nread only = no\nuid = 0\ngid = 0\nuse chroot = yes\nnumeric ids = yes\n"
        "munge symlinks = no\n",
        tree.name, path);
  }
  return text;
}

std::vector<std::string> rsync_arguments(const FileTree& tree, const protocol::TreeTarget& target,
                                         bool only_listed) {
  // rsync starts this as the way to reach the daemon. Once our end of the socket closes, rsync must
  // see the end of the stream too, and not wait for the half that carries its own words.
  std::vector<std::string> args = {
      "env",
      fmt::format("RSYNC_CONNECT_PROG=exec 8<&0; cat <&8 >&{0} & cat <&{0}; kill $! 2>/dev/null",
                  kSocketNumber),
      "rsync",
      "-aHAXS",
      "--numeric-ids",
      "--modify-window=-1"};
  std::ranges::move(rsync_without_overlay_notes(), std::back_inserter(args));
  bool directory = tree.kind == FileTree::Kind::kDirectory;
  if (only_listed) {
    // In place, so that neither their directories change nor other names of them come apart. Of
    // directories on the way rsync does not filter the attributes.
    args.insert(args.end(),
                {"--ignore-times", "--inplace", "--no-implied-dirs", "--from0", "--files-from=-"});
  } else if (directory) {
    args.push_back("--delete");
  }
  args.push_back(directory ? tree.path + "/" : tree.path);
  args.push_back(fmt::format("rsync://destination/{}/{}", tree.name, target.file_name()));
  return args;
}

}  // namespace

Result<uint64_t> send_with_rsync(std::unique_ptr<TlsConnection> connection, const FileTree& tree,
                                 const protocol::TreeTarget& target, CopyPass pass,
                                 const std::vector<std::string>* only, const OnSent& on_sent) {
  std::string list;
  if (only)
    for (const std::string& name : *only) list.append(name).push_back('\0');
  Fd list_file = TRY(memory_file("rsync-list", list));
  Fd errors = TRY(make_rsync_error_file());
  SocketPair sockets = TRY(make_socket_pair());
  sys::Program program{.args = rsync_arguments(tree, target, only != nullptr),
                       .descriptors = {{sockets.theirs.get(), kSocketNumber},
                                       {list_file.get(), kListNumber},
                                       {errors.get(), kErrorsNumber}},
                       .new_time_namespace = {},
                       .time_namespace = {}};
  auto rsync = TRY(sys::start_program(program));
  sockets.theirs.reset();
  auto bridged = bridge(*connection, sockets.ours.get(), rsync.pidfd().get(), on_sent);
  connection->shutdown();
  sockets.ours.reset();
  TRY(std::move(bridged));
  int code = TRY(rsync.wait(kExitTimeout));
  bool tolerable = pass == CopyPass::kRunning && only_files_changed(code, errors);
  if (code == 0 || tolerable) return connection->bytes_sent();
  return rsync_failed(code, errors);
}

Result<void> receive_files(TlsConnection& connection, const std::vector<FileTree>& trees) {
  auto configuration = TRY(TemporaryFile::create(daemon_configuration(trees)));
  SocketPair sockets = TRY(make_socket_pair());
  sys::Program program{
      .args = {"rsync", "--server", "--daemon", "--config=" + configuration.path(), "."},
      .descriptors = {{sockets.theirs.get(), 0}, {sockets.theirs.get(), 1}},
      .new_time_namespace = {},
      .time_namespace = {}};
  auto rsync = TRY(sys::start_program(program));
  sockets.theirs.reset();
  auto bridged = bridge(connection, sockets.ours.get(), -1);
  sockets.ours.reset();
  connection.shutdown();
  TRY(std::move(bridged));
  TRY(rsync.wait(kExitTimeout));  // the client reports what went wrong
  return {};
}

}  // namespace martlet::migrate
