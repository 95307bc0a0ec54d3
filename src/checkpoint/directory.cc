#include "checkpoint/directory.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <tuple>

#include "base/clock.h"
#include "image/group.pb.h"

namespace martlet::checkpoint {
namespace {

std::string image_path(const std::string& directory) {
  return directory + "/image";
}

// The image under construction: removed unless it is published.
class Draft {
 public:
  static Result<Draft> create(const std::string& directory) {
    if (::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST)
      return fail_errno("create directory " + directory);
    if (::access(image_path(directory).c_str(), F_OK) == 0)
      return std::unexpected(Error(Code::kAlreadyExists, directory + " holds a checkpoint already")
                                 .with_remedy("name another directory"));
    std::string path = image_path(directory) + ".new";
    Fd fd = TRY(open_file(path, O_RDWR | O_CREAT | O_TRUNC, 0600));
    return Draft(directory, std::move(path), std::move(fd));
  }

  int fd() const { return fd_.get(); }

  Result<uint64_t> publish() {
    if (::fsync(fd_.get()) != 0) return fail_errno("sync " + path_);
    if (::rename(path_.c_str(), image_path(directory_).c_str()) != 0)
      return fail_errno("rename " + path_);
    path_.clear();
    Fd directory = TRY(open_file(directory_, O_RDONLY | O_DIRECTORY));
    if (::fsync(directory.get()) != 0) return fail_errno("sync " + directory_);
    struct stat status{};
    if (::fstat(fd_.get(), &status) != 0) return fail_errno("stat image");
    return static_cast<uint64_t>(status.st_size);
  }

  Draft(Draft&& other) noexcept
      : directory_(std::move(other.directory_)),
        path_(std::exchange(other.path_, {})),
        fd_(std::move(other.fd_)) {}
  Draft& operator=(Draft&&) = delete;
  ~Draft() {
    if (!path_.empty()) ::unlink(path_.c_str());
  }

 private:
  Draft(std::string directory, std::string path, Fd fd)
      : directory_(std::move(directory)), path_(std::move(path)), fd_(std::move(fd)) {}
  std::string directory_;
  std::string path_;
  Fd fd_;
};

}  // namespace

Result<CheckpointReport> checkpoint_to_directory(const GroupSpec& spec,
                                                 const std::string& directory,
                                                 Afterwards afterwards,
                                                 const WhileFrozen& while_frozen) {
  Draft draft = TRY(Draft::create(directory));
  SystemClock clock;
  Stopwatch frozen(clock);
  CheckpointReport report;
  {
    FrozenGroup group = TRY(FrozenGroup::freeze(spec));
    auto sink = image::make_file_sink(draft.fd());
    report.stats = TRY(group.capture(*sink));
    if (while_frozen) TRY(while_frozen());
    if (afterwards == Afterwards::kKill) {
      report.image_bytes = TRY(draft.publish());
      TRY(group.kill());
    } else {
      TRY(group.thaw());
    }
  }
  report.frozen_seconds = frozen.seconds();
  if (afterwards == Afterwards::kLeaveRunning) report.image_bytes = TRY(draft.publish());
  return report;
}

Result<Fd> open_image(const std::string& directory) {
  auto fd = open_file(image_path(directory), O_RDONLY);
  if (!fd && fd.error().code() == Code::kNotFound)
    return fail(Code::kNotFound, directory + " holds no checkpoint");
  return fd;
}

Result<bool> holds_container(const std::string& directory) {
  Fd image = TRY(open_image(directory));
  auto source = image::make_file_source(image.get());
  return TRY_IN(image::parse_as<image::Header>(TRY_IN(source->next(), directory)), directory)
      .container();
}

Result<RestoreReport> restore_from_directory(const std::string& directory) {
  Fd image = TRY(open_image(directory));
  auto source = image::make_file_source(image.get());
  RestoredGroup group = TRY(RestoredGroup::build(*source, {}));
  TRY(group.resume());
  return RestoreReport{group.stats(), group.root()};
}

}  // namespace martlet::checkpoint
