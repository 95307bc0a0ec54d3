// The second copy of a container's files: what a tracker recorded, beside comparing everything. The
// container is an overlay of this machine, and both hosts are this process, over TLS. Prints one
// line "FILES CHANGED KIND SECONDS BYTES" for each measurement.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "base/clock.h"
#include "migrate/authority.h"
#include "migrate/change_receiver.h"
#include "migrate/file_sync.h"
#include "sys/mounts.h"

namespace martlet::migrate {
namespace {

namespace fs = std::filesystem;

constexpr int kFilesInDirectory = 100;
constexpr size_t kSmallBytes = 1000;
constexpr size_t kLargeBytes = 256u << 20;

template <typename T>
T must(Result<T> result) {
  if (!result) {
    fmt::print(stderr, "file_sync_bench: {}\n", result.error().to_string());
    std::exit(1);
  }
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

TlsContext make_context(const fs::path& directory, const std::string& host) {
  AuthorityFiles authority{.certificate = directory / "ca.pem", .key = directory / "ca.key"};
  if (!fs::exists(authority.certificate)) must(create_authority(authority));
  TlsConfig config{.authority = authority.certificate,
                   .certificate = directory / (host + ".pem"),
                   .key = directory / (host + ".key")};
  must(issue_certificate(authority, host, config));
  return must(TlsContext::load(config));
}

class Bench {
 public:
  explicit Bench(fs::path directory)
      : directory_(std::move(directory)),
        source_tls_(make_context(directory_, "host-a")),
        destination_tls_(make_context(directory_, "host-b")) {
    for (const char* part : {"lower", "upper", "work", "root", "copy"})
      fs::create_directory(directory_ / part);
    must(sys::mount_overlay(
        {.lower = directory_ / "lower", .upper = directory_ / "upper", .work = directory_ / "work"},
        directory_ / "root"));
    listener_ = must(listen_on({.host = "127.0.0.1", .port = "0"}));
  }
  ~Bench() { must(sys::unmount(directory_ / "root")); }
  Bench(const Bench&) = delete;
  Bench& operator=(const Bench&) = delete;

  void make_files(int count) {
    for (int i = 0; i < count; ++i) {
      if (i % kFilesInDirectory == 0) fs::create_directories(file(i).parent_path());
      std::ofstream(file(i)) << std::string(kSmallBytes, 'a');
    }
    files_ = count;
  }

  // Starts both ends anew, with everything copied.
  void begin(bool tracked) {
    sender_ = std::make_unique<FileSender>(
        trees("upper"), std::vector{describe_target(trees("copy")[0])},
        [this](protocol::Channel::Kind kind) { return connect(kind); });
    if (tracked)
      sender_->track("upper", ChangeTracker::start(HostPid(::getpid()), directory_ / "root"));
    must(sender_->first_copy());
    must(sender_->catch_up({}));
  }

  void change_small(int count) {
    for (int i = 0; i < count; ++i)
      std::ofstream(file(files_ / count * i)) << std::string(kSmallBytes, 'b');
  }
  void change_large(int blocks) {
    Fd large = must(open_file(directory_ / "root/large", O_WRONLY));
    for (int i = 0; i < blocks; ++i) {
      auto offset = static_cast<off_t>(kLargeBytes / static_cast<size_t>(blocks)) * i;
      if (::pwrite(large.get(), "changed", 7, offset) != 7) std::exit(1);
    }
  }

  void measure(int files, int changed, const char* kind) {
    SystemClock clock;
    Stopwatch watch(clock);
    uint64_t bytes = must(sender_->last_copy({}));
    fmt::print("{} {} {} {} {}\n", files, changed, kind, watch.seconds(), bytes);
    std::fflush(stdout);
    sender_.reset();
    servers_.clear();
  }

  fs::path root() const { return directory_ / "root"; }

 private:
  fs::path file(int number) const {
    return directory_ / "root" / std::to_string(number / kFilesInDirectory) /
           std::to_string(number);
  }
  std::vector<FileTree> trees(const char* part) const {
    return {{.name = "upper", .kind = FileTree::Kind::kDirectory, .path = directory_ / part}};
  }
  Result<std::unique_ptr<TlsConnection>> connect(protocol::Channel::Kind kind) {
    servers_.emplace_back([this, kind] {
      auto accepted =
          must(TlsConnection::accept(destination_tls_, must(accept_on(listener_.get(), {})), {}));
      if (kind == protocol::Channel::FILES) return must(receive_files(*accepted, trees("copy")));
      MessageChannel messages(std::move(accepted));
      must(receive_changes(messages, trees("copy"), [] { return Result<void>{}; }));
    });
    Endpoint endpoint{.host = "127.0.0.1",
                      .port = std::to_string(must(local_port(listener_.get())))};
    return TlsConnection::connect(source_tls_, endpoint, "host-b", {});
  }

  const fs::path directory_;
  TlsContext source_tls_;
  TlsContext destination_tls_;
  Fd listener_;
  int files_ = 0;
  std::vector<std::jthread> servers_;
  std::unique_ptr<FileSender> sender_;
};

void run(const fs::path& directory, int files, int changed) {
  Bench bench(directory);
  bench.make_files(files);
  std::ofstream(bench.root() / "large") << std::string(kLargeBytes, 'a');
  for (bool tracked : {true, false}) {
    const char* kind = tracked ? "tracked" : "compared";
    bench.begin(tracked);
    bench.change_small(changed);
    bench.measure(files, changed, kind);
  }
  for (bool tracked : {true, false}) {
    bench.begin(tracked);
    bench.change_large(changed);
    bench.measure(1, changed, tracked ? "tracked" : "compared");
  }
}

}  // namespace
}  // namespace martlet::migrate

int main(int argc, char** argv) {
  if (argc != 3) {
    fmt::print(stderr, "usage: file_sync_bench FILES CHANGED\n");
    return 2;
  }
  auto directory = std::filesystem::temp_directory_path() / fmt::format("martlet-{}", ::getpid());
  std::filesystem::create_directory(directory);
  martlet::migrate::run(directory, std::atoi(argv[1]), std::atoi(argv[2]));
  std::filesystem::remove_all(directory);
}
