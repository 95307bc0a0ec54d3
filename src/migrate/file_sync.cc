#include "migrate/file_sync.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "migrate/byte_bridge.h"
#include "migrate/file_scan.h"
#include "sys/procfs.h"
#include "sys/program.h"

namespace martlet::migrate {

namespace {

constexpr Nanoseconds kExitTimeout = std::chrono::seconds(20);
// Exit codes of rsync.
constexpr int kConnectionErrors[] = {5, 10, 12, 30,
                                     35};  // of the start, the socket, the stream, time
constexpr int kPartialTransfer = 23;
constexpr int kVanishedFiles = 24;
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

// Equal for the same file seen from two agents of one machine, and only then.
std::string identity_of(const std::string& path) {
  struct stat status;
  auto boot = read_file("/proc/sys/kernel/random/boot_id");
  if (::stat(path.c_str(), &status) != 0 || !boot) return "";
  return fmt::format("{} {}:{}", boot->substr(0, boot->find('\n')), status.st_dev, status.st_ino);
}

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

std::string last_line(int file) {
  std::string text(4096, '\0');
  off_t size = ::lseek(file, 0, SEEK_END);
  off_t start = std::max<off_t>(0, size - static_cast<off_t>(text.size()));
  ssize_t got = ::pread(file, text.data(), text.size(), start);
  text.resize(got > 0 ? static_cast<size_t>(got) : 0);
  while (text.ends_with('\n')) text.pop_back();
  // rsync's last line only counts the errors of the lines before.
  size_t summary = text.rfind("\nrsync error: ");
  if (summary != std::string::npos) text.resize(summary);
  return text.substr(text.rfind('\n') + 1);
}

std::vector<std::string> rsync_arguments(const FileTree& tree, const protocol::TreeTarget& target,
                                         bool only_listed) {
  // rsync starts this as the way to reach the daemon. Once our end of the socket closes, rsync must
  // see the end of the stream too, and not wait for the half that carries its own words.
  std::vector<std::string> args = {
      "env",
      fmt::format("RSYNC_CONNECT_PROG=exec 8<&0; cat <&8 >&{0} & cat <&{0}; kill $!",
                  kSocketNumber),
      "rsync", "-aHAXS", "--numeric-ids"};
  bool directory = tree.kind == FileTree::Kind::kDirectory;
  if (only_listed) {
    args.insert(args.end(), {"--ignore-times", "--from0", "--files-from=-"});
  } else if (directory) {
    args.push_back("--delete");
  }
  args.push_back(directory ? tree.path + "/" : tree.path);
  args.push_back(fmt::format("rsync://destination/{}/{}", tree.name, target.file_name()));
  return args;
}

// Files of the tree that some process may change through memory, which leaves no trace in ctime.
void add_mapped_files(const FileTree& tree, const std::vector<HostPid>& processes, TreeScan& scan) {
  for (HostPid process : processes) {
    auto mappings = sys::read_maps(process);
    if (!mappings) continue;  // it ended meanwhile
    for (const sys::Vma& mapping : *mappings) {
      bool writable = mapping.shared && (mapping.protection & PROT_WRITE) != 0;
      if (!writable || !mapping.path.starts_with('/')) continue;
      if (::access((tree.path + mapping.path).c_str(), F_OK) != 0) continue;
      scan.changed = true;
      scan.changed_files.push_back(mapping.path.substr(1));
    }
  }
}

}  // namespace

protocol::TreeTarget describe_target(const FileTree& tree) {
  protocol::TreeTarget target;
  target.set_name(tree.name);
  target.set_identity(identity_of(tree.path));
  if (tree.kind == FileTree::Kind::kFile)
    target.set_file_name(std::filesystem::path(tree.path).filename().string());
  return target;
}

FileSender::FileSender(std::vector<FileTree> trees, std::vector<protocol::TreeTarget> targets,
                       Connect connect)
    : trees_(std::move(trees)), targets_(std::move(targets)), connect_(std::move(connect)) {}

const protocol::TreeTarget* FileSender::target_of(const FileTree& tree) const {
  auto found = std::ranges::find(targets_, tree.name, &protocol::TreeTarget::name);
  return found == targets_.end() ? nullptr : &*found;
}

Result<uint64_t> FileSender::copy(CopyPass pass, const std::vector<HostPid>& processes,
                                  const OnSent& on_sent) {
  if (pass == CopyPass::kRunning) first_copy_began_ = file_time_now();
  uint64_t sent = 0;
  auto add_up = [&](uint64_t bytes) {
    if (on_sent) on_sent(sent + bytes);
  };
  for (const FileTree& tree : trees_) {
    const protocol::TreeTarget* target = target_of(tree);
    if (!target) return fail(Code::kInvalidArgument, "the destination knows no tree " + tree.name);
    if (!target->identity().empty() && target->identity() == identity_of(tree.path)) continue;
    sent += TRY_IN(copy_tree(tree, pass, processes, add_up), "files of " + tree.name);
  }
  return sent;
}

Result<uint64_t> FileSender::copy_tree(const FileTree& tree, CopyPass pass,
                                       const std::vector<HostPid>& processes,
                                       const OnSent& on_sent) {
  if (pass == CopyPass::kRunning) return run_rsync(tree, pass, nullptr, on_sent);
  TreeScan scan = TRY(scan_tree(tree.path, first_copy_began_));
  if (tree.kind == FileTree::Kind::kDirectory) add_mapped_files(tree, processes, scan);
  if (!scan.changed) return 0;
  uint64_t sent = TRY(run_rsync(tree, pass, nullptr, on_sent));
  // rsync takes a file for unchanged by its size and time; these may have changed within one tick.
  if (!scan.changed_files.empty()) sent += TRY(run_rsync(tree, pass, &scan.changed_files, on_sent));
  return sent;
}

Result<uint64_t> FileSender::run_rsync(const FileTree& tree, CopyPass pass,
                                       const std::vector<std::string>* only,
                                       const OnSent& on_sent) {
  std::string list;
  if (only)
    for (const std::string& name : *only) list.append(name).push_back('\0');
  Fd list_file = TRY(memory_file("rsync-list", list));
  Fd errors = TRY(memory_file("rsync-errors", ""));
  SocketPair sockets = TRY(make_socket_pair());
  auto connection = TRY(connect_());
  sys::Program program{.args = rsync_arguments(tree, *target_of(tree), only != nullptr),
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
  bool tolerable =
      pass == CopyPass::kRunning && (code == kPartialTransfer || code == kVanishedFiles);
  if (code == 0 || tolerable) return connection->bytes_sent();
  bool lost = std::ranges::find(kConnectionErrors, code) != std::end(kConnectionErrors);
  return fail(lost ? Code::kPeerLost : Code::kSystem,
              fmt::format("rsync failed with {}: {}", code, last_line(errors.get())));
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
