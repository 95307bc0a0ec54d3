#include "migrate/change_receiver.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "migrate/block_sums.h"
#include "migrate/change_plan.h"
#include "migrate/file_node.h"

namespace martlet::migrate {

namespace {

constexpr const char* kStashSuffix = ".stash";  // beside the tree

std::string base_name(const std::string& path) {
  return path.substr(path.rfind('/') + 1);  // npos + 1 is 0
}

// The directories on the way are checked by the kernel; see open_beneath.
Result<void> check_path(const std::string& path) {
  std::string name = base_name(path);
  if (name.empty() || name == "." || name == ".." || path.find('\0') != std::string::npos)
    return fail(Code::kBadImage, "the source sent a path that leads nowhere");
  return {};
}

Result<void> create_entry(const Fd& directory, const std::string& name,
                          const protocol::FileAttributes& attributes) {
  int done = -1;
  switch (attributes.mode() & S_IFMT) {
    case S_IFREG: done = ::mknodat(directory.get(), name.c_str(), S_IFREG | 0600, 0); break;
    case S_IFDIR: done = ::mkdirat(directory.get(), name.c_str(), 0700); break;
    case S_IFLNK:
      done = ::symlinkat(attributes.target().c_str(), directory.get(), name.c_str());
      break;
    case S_IFCHR:
    case S_IFBLK:
    case S_IFIFO:
    case S_IFSOCK:
      done = ::mknodat(directory.get(), name.c_str(), (attributes.mode() & S_IFMT) | 0600,
                       attributes.rdev());
      break;
    default: return fail(Code::kBadImage, "the source sent a file of unknown type");
  }
  if (done != 0) return fail_errno("make " + name);
  return {};
}

Result<bool> is_same_kind(const Fd& directory, const std::string& name, const struct stat& status,
                          const protocol::FileAttributes& wanted) {
  if ((status.st_mode & S_IFMT) != (wanted.mode() & S_IFMT)) return false;
  if (S_ISCHR(status.st_mode) || S_ISBLK(status.st_mode)) return status.st_rdev == wanted.rdev();
  if (!S_ISLNK(status.st_mode)) return true;
  std::string target(wanted.target().size() + 1, '\0');
  ssize_t length = ::readlinkat(directory.get(), name.c_str(), target.data(), target.size());
  if (length < 0) return fail_errno("read link " + name);
  return std::string_view(target).substr(0, static_cast<size_t>(length)) == wanted.target();
}

}  // namespace

Result<TreeEditor> TreeEditor::open(const FileTree& tree) {
  auto path = tree.kind == FileTree::Kind::kFile
                  ? std::filesystem::path(tree.path).parent_path().string()
                  : tree.path;
  return TreeEditor(tree, TRY(open_file(path, O_RDONLY | O_DIRECTORY)));
}

TreeEditor::~TreeEditor() {
  if (stash_.valid()) (void)remove_stash();
}

Result<std::optional<TreeEditor::Entry>> TreeEditor::find(const std::string& path) {
  TRY(check_path(path));
  if (tree_.kind == FileTree::Kind::kFile && path != base_name(tree_.path))
    return fail(Code::kBadImage, "the source names a file beside the tree");
  std::string parent = parent_of(path);
  if (directory_path_ != parent) {
    auto directory = open_beneath(root_, parent, O_RDONLY | O_DIRECTORY);
    if (!directory && directory.error().code() == Code::kNotFound) return std::nullopt;
    directory_ = TRY(std::move(directory));
    directory_path_ = parent;
  }
  return Entry{.directory = &directory_, .name = base_name(path)};
}

Result<void> TreeEditor::open_stash() {
  if (stash_.valid()) return {};
  std::string path = tree_.path + kStashSuffix;
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return fail_errno("make " + path);
  stash_ = TRY(open_file(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  return {};
}

Result<void> TreeEditor::remove_stash() {
  for (const std::string& name : TRY(read_directory(stash_))) TRY(remove_entry(stash_, name));
  stash_.reset();
  std::string path = tree_.path + kStashSuffix;
  if (::rmdir(path.c_str()) != 0) return fail_errno("remove " + path);
  return {};
}

Result<void> TreeEditor::stash(const protocol::FileChange::Stash& request) {
  auto entry = TRY(find(request.path()));
  if (!entry) return {};
  TRY(open_stash());
  std::string slot = std::to_string(request.slot());
  forget_directory();
  if (::renameat(entry->directory->get(), entry->name.c_str(), stash_.get(), slot.c_str()) != 0 &&
      errno != ENOENT)
    return fail_errno("put aside " + request.path());
  return {};
}

Result<void> TreeEditor::place(const protocol::FileChange::Place& request) {
  auto entry = TRY(find(request.path()));
  if (!entry || !stash_.valid()) return {};
  TRY(remove_entry(*entry->directory, entry->name));
  forget_directory();
  std::string slot = std::to_string(request.slot());
  if (::renameat(stash_.get(), slot.c_str(), entry->directory->get(), entry->name.c_str()) != 0 &&
      errno != ENOENT)
    return fail_errno("place " + request.path());
  return {};
}

Result<void> TreeEditor::remove(const protocol::FileChange::Remove& request) {
  auto entry = TRY(find(request.path()));
  if (!entry) return {};
  TRY(remove_entry(*entry->directory, entry->name));
  forget_directory();
  return {};
}

// Whether what is there can stay. Otherwise nothing is there afterwards.
Result<bool> TreeEditor::keep_or_remove(const Entry& entry,
                                        const protocol::FileChange::Put& request) {
  struct stat status;
  if (::fstatat(entry.directory->get(), entry.name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno == ENOENT) return false;
    return fail_errno("stat of " + entry.name);
  }
  if (!request.anew() &&
      TRY(is_same_kind(*entry.directory, entry.name, status, request.attributes())))
    return true;
  TRY(remove_entry(*entry.directory, entry.name));
  return false;
}

Result<void> TreeEditor::put(const protocol::FileChange::Put& request) {
  const auto& attributes = request.attributes();
  if (request.path().empty() && tree_.kind == FileTree::Kind::kDirectory)
    return apply_attributes(root_, attributes);
  auto entry = TRY(find(request.path()));
  if (!entry) {
    missing_.insert(request.path());
    return {};
  }
  bool kept = TRY(keep_or_remove(*entry, request));
  if (!kept) TRY(create_entry(*entry->directory, entry->name, attributes));
  bool regular = S_ISREG(attributes.mode());
  bool filled = !regular && !S_ISDIR(attributes.mode());
  if (regular) filled = request.has_content() && !request.builds_on();
  if (!kept && !filled && !request.anew()) missing_.insert(request.path());
  if (regular && request.has_content()) return put_content(*entry, request);
  Fd file(::openat(entry->directory->get(), entry->name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!file.valid()) return fail_errno("open " + request.path());
  return in_context(apply_attributes(file, attributes), request.path());
}

Result<void> TreeEditor::put_content(const Entry& entry, const protocol::FileChange::Put& request) {
  Fd file(::openat(entry.directory->get(), entry.name.c_str(), O_RDWR | O_NOFOLLOW | O_CLOEXEC));
  if (!file.valid()) return fail_errno("open " + request.path());
  if (::ftruncate(file.get(), static_cast<off_t>(request.size())) != 0)
    return fail_errno("set the size of " + request.path());
  file_ = {.fd = std::move(file),
           .path = request.path(),
           .attributes = request.attributes(),
           .size = request.size()};
  return {};
}

Result<void> TreeEditor::close_file() {
  if (!file_) return {};
  auto applied = in_context(apply_attributes(file_->fd, file_->attributes), file_->path);
  file_.reset();
  return applied;
}

Result<void> TreeEditor::data(const protocol::FileChange::Data& request) {
  if (!file_) return {};  // its directory is missing
  if (request.offset() > file_->size || request.bytes().size() > file_->size - request.offset())
    return fail(Code::kBadImage, "content beyond the end of " + file_->path);
  auto bytes = std::as_bytes(std::span(request.bytes()));
  for (auto offset = static_cast<off_t>(request.offset()); !bytes.empty();) {
    ssize_t put = ::pwrite(file_->fd.get(), bytes.data(), bytes.size(), offset);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return fail_errno("write " + file_->path);
    bytes = bytes.subspan(static_cast<size_t>(put));
    offset += put;
  }
  return {};
}

Result<void> TreeEditor::hole(const protocol::FileChange::Hole& request) {
  if (!file_) return {};
  if (request.offset() > file_->size || request.length() > file_->size - request.offset() ||
      request.length() == 0)
    return fail(Code::kBadImage, "a hole beyond the end of " + file_->path);
  if (::fallocate(file_->fd.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                  static_cast<off_t>(request.offset()), static_cast<off_t>(request.length())) != 0)
    return fail_errno("make a hole in " + file_->path);
  return {};
}

Result<void> TreeEditor::link(const protocol::FileChange::Link& request) {
  auto target = TRY(find(request.target()));
  if (!target) {
    missing_.insert(request.path());
    return {};
  }
  Fd first(
      ::openat(target->directory->get(), target->name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  // What became a directory at the source meanwhile has no further names.
  struct stat status;
  if (!first.valid() || ::fstat(first.get(), &status) != 0 || S_ISDIR(status.st_mode)) {
    missing_.insert(request.path());
    return {};
  }
  auto entry = TRY(find(request.path()));
  if (!entry) {
    missing_.insert(request.path());
    return {};
  }
  TRY(remove_entry(*entry->directory, entry->name));
  if (::linkat(first.get(), "", entry->directory->get(), entry->name.c_str(), AT_EMPTY_PATH) != 0)
    return fail_errno("link " + request.path());
  return {};
}

Result<std::string> TreeEditor::compare(const protocol::FileChange::Compare& request) {
  if (!is_block_size(request.block_bytes()))
    return fail(Code::kBadImage, "checksums of blocks of an odd size are asked for");
  if (!file_) return std::string();
  return to_bytes(TRY(sum_blocks(file_->fd, request.block_bytes())));
}

Result<std::vector<std::string>> TreeEditor::finish() {
  forget_directory();
  if (stash_.valid()) TRY(remove_stash());
  auto missing = std::exchange(missing_, {});
  return std::vector<std::string>(missing.begin(), missing.end());
}

namespace {

class Session {
 public:
  Session(MessageChannel& channel, const std::vector<FileTree>& trees,
          const std::function<Result<void>()>& on_finish)
      : channel_(channel), trees_(trees), on_finish_(on_finish) {}

  Result<void> run() {
    for (;;) {
      auto message = channel_.receive();
      if (!message && message.error().code() == Code::kPeerLost) return {};
      if (!message) return std::unexpected(std::move(message.error()));
      if (!message->has_file_changes())
        return fail(Code::kBadImage, "something other than changes of files");
      for (const auto& change : message->file_changes().changes())
        if (auto applied = apply(change); !applied) {
          (void)channel_.send(make_failure(applied.error()));
          return applied;
        }
    }
  }

 private:
  Result<void> apply(const protocol::FileChange& change) {
    using Change = protocol::FileChange;
    if (change.kind_case() == Change::kTree) return select(change.tree().name());
    if (!editor_ && !change.has_finish()) return fail(Code::kBadImage, "no tree was named");
    bool about_content = change.has_data() || change.has_hole() || change.has_compare();
    if (!about_content && editor_) TRY(editor_->close_file());
    switch (change.kind_case()) {
      case Change::kStash: return editor_->stash(change.stash());
      case Change::kPlace: return editor_->place(change.place());
      case Change::kRemove: return editor_->remove(change.remove());
      case Change::kPut: return editor_->put(change.put());
      case Change::kData: return editor_->data(change.data());
      case Change::kHole: return editor_->hole(change.hole());
      case Change::kLink: return editor_->link(change.link());
      case Change::kCompare: return answer_compare(change.compare());
      case Change::kFinish: return answer_finish();
      default: return fail(Code::kBadImage, "an unknown change of a file");
    }
  }

  Result<void> select(const std::string& name) {
    auto found = std::ranges::find(trees_, name, &FileTree::name);
    if (found == trees_.end()) return fail(Code::kInvalidArgument, "no tree " + name);
    editor_.reset();
    editor_.emplace(TRY(TreeEditor::open(*found)));
    is_mounted_ = found->kind == FileTree::Kind::kDirectory;
    return {};
  }

  Result<void> answer_compare(const protocol::FileChange::Compare& request) {
    protocol::Message answer;
    answer.mutable_block_sums()->set_sums(TRY(editor_->compare(request)));
    return channel_.send(answer);
  }

  Result<void> answer_finish() {
    protocol::Message answer;
    answer.mutable_files_applied();
    if (editor_)
      for (std::string& path : TRY(editor_->finish()))
        answer.mutable_files_applied()->add_missing(std::move(path));
    if (is_mounted_) TRY(on_finish_());
    return channel_.send(answer);
  }

  MessageChannel& channel_;
  const std::vector<FileTree>& trees_;
  const std::function<Result<void>()>& on_finish_;
  bool is_mounted_ = true;  // what was written; not the log, which the container holds no names of
  std::optional<TreeEditor> editor_;
};

}  // namespace

Result<void> receive_changes(MessageChannel& channel, const std::vector<FileTree>& trees,
                             const std::function<Result<void>()>& on_finish) {
  return Session(channel, trees, on_finish).run();
}

}  // namespace martlet::migrate
