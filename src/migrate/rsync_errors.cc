#include "migrate/rsync_errors.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <sstream>
#include <string_view>

namespace martlet::migrate {
namespace {

// Exit codes of a failing start, socket and stream, and of two timeouts.
constexpr int kConnectionErrors[] = {5, 10, 12, 30, 35};

constexpr int kPartialTransfer = 23;
constexpr int kVanishedFiles = 24;
// How the lines look that rsync writes because a file changed while it was read: what it wanted to
// open or stat has gone (ENOENT, ESTALE), became something else (ENXIO, ENOTDIR, EISDIR, EINVAL,
// ELOOP) or shorter (ENODATA).
constexpr std::string_view kChangedMeanwhile[] = {"file has vanished: ",
                                                  "(2)",
                                                  "(116)",
                                                  "(6)",
                                                  "(20)",
                                                  "(21)",
                                                  "(22)",
                                                  "(40)",
                                                  "(61)",
                                                  "failed verification",
                                                  "failed to re-read xattr"};

std::string read_end(int file, off_t limit) {
  off_t size = ::lseek(file, 0, SEEK_END);
  off_t start = std::max<off_t>(0, size - limit);
  std::string text(static_cast<size_t>(size - start), '\0');
  ssize_t got = ::pread(file, text.data(), text.size(), start);
  text.resize(got > 0 ? static_cast<size_t>(got) : 0);
  return text;
}

std::string last_line(int file) {
  std::string text = read_end(file, 4096);
  while (text.ends_with('\n')) text.pop_back();
  // The last line only counts the errors of the lines before.
  size_t summary = text.rfind("\nrsync error: ");
  if (summary != std::string::npos) text.resize(summary);
  return text.substr(text.rfind('\n') + 1);
}

// The first line that a change of a file does not explain.
std::optional<std::string> unexpected_line(int file) {
  std::istringstream lines(read_end(file, std::numeric_limits<off_t>::max()));
  for (std::string line; std::getline(lines, line);) {
    if (line.empty() || line.starts_with("rsync error: ")) continue;  // that only counts
    bool known = std::ranges::any_of(kChangedMeanwhile, [&](std::string_view sign) {
      return line.find(sign) != std::string::npos;
    });
    if (!known) return line;
  }
  return std::nullopt;
}

Code code_of(int exit_code, const std::string& message) {
  if (message.find("No space left") != std::string::npos) return Code::kNoSpace;
  if (message.find("Permission denied") != std::string::npos) return Code::kPermission;
  if (std::ranges::find(kConnectionErrors, exit_code) != std::end(kConnectionErrors))
    return Code::kPeerLost;
  return Code::kSystem;
}

}  // namespace

Result<Fd> make_rsync_error_file() {
  Fd file(::memfd_create("rsync-errors", MFD_CLOEXEC));
  if (!file.valid()) return fail_errno("memfd_create");
  return file;
}

bool only_files_changed(int exit_code, const Fd& error_file) {
  return exit_code == kVanishedFiles ||
         (exit_code == kPartialTransfer && !unexpected_line(error_file.get()));
}

std::unexpected<Error> rsync_failed(int exit_code, const Fd& error_file) {
  std::string message = last_line(error_file.get());
  if (exit_code == kPartialTransfer) message = unexpected_line(error_file.get()).value_or(message);
  return fail(code_of(exit_code, message),
              fmt::format("rsync failed with {}: {}", exit_code, message));
}

}  // namespace martlet::migrate
