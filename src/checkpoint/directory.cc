#include "checkpoint/directory.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <thread>
#include <utility>

#include "base/clock.h"
#include "checkpoint/memory_rounds.h"
#include "checkpoint/mending.h"
#include "sys/cgroup.h"
#include "sys/outliving.h"

namespace martlet::checkpoint {
namespace {

namespace fs = std::filesystem;

// A lane has a thread, and pays from about this much memory on.
constexpr uint64_t kBytesPerLane = 16u << 20;
constexpr uint64_t kMaxStreams = 4;

constexpr Nanoseconds kFreezerDeadline = std::chrono::seconds(10);

std::string image_path(const std::string& directory) {
  return directory + "/image";
}

std::string lane_path(const std::string& directory, size_t number) {
  return fmt::format("{}/pages-{}", directory, number);
}

// Streams beside the main one, for a group with so much memory.
size_t choose_lanes(uint64_t private_bytes) {
  uint64_t streams = std::clamp<uint64_t>(std::thread::hardware_concurrency(), 1, kMaxStreams);
  return std::min(streams - 1, private_bytes / kBytesPerLane);
}

Result<void> must_be_empty(const std::string& directory) {
  std::error_code error;
  fs::directory_iterator first(directory, error);
  if (error) return std::unexpected(Error::from_errno(error.value(), "read " + directory));
  if (first == fs::directory_iterator()) return {};
  bool is_checkpoint = ::access(image_path(directory).c_str(), F_OK) == 0;
  std::string what = is_checkpoint ? " holds a checkpoint already" : " is not empty";
  return std::unexpected(
      Error(Code::kAlreadyExists, directory + what).with_remedy("name another directory"));
}

// A checkpoint under construction in a directory that was made for it, or was empty. Unless it is
// published the directory is as it was afterwards.
class Draft {
 public:
  static Result<Draft> create(const std::string& directory, image::Codec compression) {
    bool made = ::mkdir(directory.c_str(), 0700) == 0;
    if (!made && errno != EEXIST) return fail_errno("create directory " + directory);
    if (!made) TRY(must_be_empty(directory));
    Draft draft(directory, made, compression);
    TRY(draft.add(image_path(directory) + ".new"));
    return draft;
  }

  image::Sink& main_sink() { return *files_.front().sink; }

  // What was sent ahead is in the main stream, and what is left is little: it has no lanes then.
  Result<CaptureStats> capture(FrozenGroup& group, MemoryRounds* ahead) {
    size_t lane_count = ahead == nullptr ? choose_lanes(group.private_bytes()) : 0;
    for (size_t lane = lane_count; lane > 0; --lane) TRY(add(lane_path(directory_, files_.size())));
    std::vector<image::Sink*> lanes;
    for (size_t i = 1; i < files_.size(); ++i) lanes.push_back(files_[i].sink.get());
    return group.capture(main_sink(), lanes, ahead);
  }

  // Without the file "image" the others mean nothing, so that it gets its name last.
  Result<uint64_t> publish() {
    uint64_t total = 0;
    for (const File& file : files_) {
      struct stat status{};
      if (::fsync(file.fd.get()) != 0) return fail_errno("sync " + file.path);
      if (::fstat(file.fd.get(), &status) != 0) return fail_errno("stat " + file.path);
      total += static_cast<uint64_t>(status.st_size);
    }
    Fd directory = TRY(open_file(directory_, O_RDONLY | O_DIRECTORY));
    const std::string& main = files_.front().path;
    if (::rename(main.c_str(), image_path(directory_).c_str()) != 0)
      return fail_errno("rename " + main);
    if (::fsync(directory.get()) != 0) return fail_errno("sync " + directory_);
    directory_.clear();
    return total;
  }

  Draft(Draft&& other) noexcept
      : directory_(std::exchange(other.directory_, {})),
        made_(other.made_),
        compression_(other.compression_),
        files_(std::move(other.files_)) {}
  Draft& operator=(Draft&&) = delete;
  ~Draft() {
    if (directory_.empty()) return;
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator(directory_, ignored))
      fs::remove_all(entry.path(), ignored);
    if (made_) ::rmdir(directory_.c_str());
  }

 private:
  struct File {
    std::string path;
    Fd fd;
    std::unique_ptr<image::Sink> records;
    std::unique_ptr<image::Sink> sink;  // compresses into `records`
  };

  Draft(std::string directory, bool made, image::Codec compression)
      : directory_(std::move(directory)), made_(made), compression_(compression) {}

  Result<void> add(std::string path) {
    Fd fd = TRY(open_file(path, O_RDWR | O_CREAT | O_TRUNC, 0600));
    auto records = image::make_file_sink(fd.get());
    auto sink = std::make_unique<image::CompressingSink>(*records, compression_);
    files_.push_back({std::move(path), std::move(fd), std::move(records), std::move(sink)});
    return {};
  }

  std::string directory_;  // empty: published, or moved from
  bool made_;
  image::Codec compression_;
  std::vector<File> files_;  // the main stream first
};

// A stream in a file that is open as long as the stream is read.
struct OpenStream {
  Fd file;
  std::unique_ptr<image::Source> source;
};

Result<OpenStream> open_stream(const std::string& path) {
  OpenStream stream{TRY(open_file(path, O_RDONLY)), nullptr};
  stream.source = image::make_file_source(stream.file.get());
  return stream;
}

Result<OpenStream> open_image(const std::string& directory) {
  auto stream = open_stream(image_path(directory));
  if (!stream && stream.error().code() == Code::kNotFound)
    return fail(Code::kNotFound, directory + " holds no checkpoint");
  return stream;
}

Result<std::vector<OpenStream>> open_lanes(const std::string& directory, uint32_t count) {
  std::vector<OpenStream> lanes;
  for (uint32_t number = 1; number <= count; ++number) {
    std::string path = lane_path(directory, number);
    auto lane = open_stream(path);
    if (!lane && lane.error().code() == Code::kNotFound)
      return fail(Code::kBadImage, path + " is missing: it holds a part of the memory");
    lanes.push_back(TRY(std::move(lane)));
  }
  return lanes;
}

// Lets the group be what it was if this process is killed on the way.
Result<sys::Guard> guard(const GroupSpec& spec) {
  return sys::Guard::post([spec] {
    if (!spec.freezer_cgroup.empty())
      std::ignore = sys::thaw_cgroup(spec.freezer_cgroup, kFreezerDeadline);
    std::ignore = mend_group(spec, Died::kJustNow);
  });
}

}  // namespace

Result<CheckpointReport> checkpoint_to_directory(const GroupSpec& spec,
                                                 const std::string& directory,
                                                 const CheckpointOptions& options,
                                                 const WhileFrozen& while_frozen) {
  Draft draft = TRY(Draft::create(directory, options.compression));
  sys::Guard guarded = TRY(guard(spec));
  MemoryRounds ahead(spec);
  for (uint32_t i = 0; i < options.rounds; ++i) TRY(ahead.next(draft.main_sink()));
  SystemClock clock;
  CheckpointReport report;
  {
    FrozenGroup group = TRY(FrozenGroup::freeze(spec));
    Stopwatch since_then(clock);
    const double freeze_seconds = in_seconds(group.freeze_time());
    report.stats = TRY(draft.capture(group, options.rounds > 0 ? &ahead : nullptr));
    if (while_frozen) TRY(while_frozen());
    if (options.afterwards == Afterwards::kKill) {
      report.image_bytes = TRY(draft.publish());
      report.frozen_seconds = freeze_seconds + since_then.seconds();
      TRY(group.kill());
    } else {
      TRY(group.thaw());
      report.frozen_seconds = freeze_seconds + since_then.seconds();
    }
  }
  if (options.afterwards == Afterwards::kLeaveRunning) report.image_bytes = TRY(draft.publish());
  return report;
}

Result<image::Header> read_header(const std::string& directory) {
  OpenStream stream = TRY(open_image(directory));
  auto first = TRY_IN(stream.source->next(), directory);
  return TRY_IN(image::parse_as<image::Header>(first), directory);
}

Result<RestoredGroup> build_from_directory(const std::string& directory, Sandbox sandbox) {
  uint32_t lane_count = TRY(read_header(directory)).page_lanes();
  auto streams = TRY(open_lanes(directory, lane_count));
  std::vector<engine::PageLane> lanes;
  for (size_t i = 0; i < streams.size(); ++i)
    lanes.push_back({lane_path(directory, i + 1), streams[i].source.get(), {}});
  OpenStream main = TRY(open_image(directory));
  return RestoredGroup::build(*main.source, std::move(sandbox), std::move(lanes));
}

Result<RestoreReport> restore_from_directory(const std::string& directory,
                                             const BeforeResume& before_resume) {
  RestoredGroup group = TRY(build_from_directory(directory, {}));
  if (before_resume) TRY(before_resume(group.root()));
  TRY(group.resume());
  return RestoreReport{group.stats(), group.root()};
}

}  // namespace martlet::checkpoint
