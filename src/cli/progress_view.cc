#include "cli/progress_view.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "cli/output.h"

namespace martlet::cli {
namespace {

constexpr size_t kBarColumns = 20;
constexpr size_t kDefaultWidth = 80;

double in_seconds(int64_t nanoseconds) {
  return static_cast<double>(nanoseconds) / 1e9;
}

size_t width_of(std::FILE* out) {
  winsize size{};
  if (ioctl(fileno(out), TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return kDefaultWidth;
  return size.ws_col;
}

std::string heading(const agent::MigrationStage& stage) {
  return fmt::format("stage {} {}", stage.number(), stage.name());
}

// "[#######-------------]", or nothing if the end is not known.
std::string bar(uint64_t done, uint64_t remaining) {
  const double whole = static_cast<double>(done) + static_cast<double>(remaining);
  const double share = whole > 0 ? static_cast<double>(done) / whole : 1;
  const auto filled = std::min(kBarColumns, static_cast<size_t>(share * kBarColumns));
  return "[" + std::string(filled, '#') + std::string(kBarColumns - filled, '-') + "]";
}

std::string where(const agent::MigrationProgress& progress) {
  std::string line = heading(progress.stage());
  if (progress.round() > 0) line += fmt::format(", round {}", progress.round());
  const uint64_t sent = progress.stage().bytes();
  if (progress.has_remaining()) line += "  " + bar(sent, progress.remaining());
  if (sent > 0) line += "  " + human_bytes(static_cast<double>(sent));
  if (progress.has_remaining())
    line += fmt::format(", {} left", human_bytes(static_cast<double>(progress.remaining())));
  if (progress.link_rate() > 0) line += fmt::format("  {}/s", human_bytes(progress.link_rate()));
  return line;
}

std::string outlook(const agent::MigrationProgress& progress) {
  std::vector<std::string> parts;
  if (progress.has_dirty_rate())
    parts.push_back(fmt::format("changing {}/s", human_bytes(progress.dirty_rate())));
  if (progress.has_expected_pause_ns())
    parts.push_back(
        fmt::format("expected pause {}", human_seconds(in_seconds(progress.expected_pause_ns()))));
  if (progress.has_time_left_ns())
    parts.push_back(fmt::format("{} to go", human_seconds(in_seconds(progress.time_left_ns()))));
  return parts.empty() ? "" : fmt::format("  {}", fmt::join(parts, ", "));
}

}  // namespace

std::vector<std::string> progress_lines(const agent::MigrationProgress& progress, size_t width) {
  std::vector<std::string> lines{where(progress)};
  if (std::string line = outlook(progress); !line.empty()) lines.push_back(std::move(line));
  for (std::string& line : lines) line.resize(std::min(line.size(), width));
  return lines;
}

ProgressView::Style ProgressView::style_of(std::FILE* out) {
  const char* terminal = std::getenv("TERM");
  const bool dumb = terminal == nullptr || std::string_view(terminal) == "dumb";
  return isatty(fileno(out)) == 1 && !dumb ? Style::kLive : Style::kPlain;
}

void ProgressView::show(const agent::MigrationProgress& progress) {
  if (style_ == Style::kLive) return draw(progress_lines(progress, width_of(out_) - 1));
  if (style_ == Style::kQuiet || progress.round() == round_) return;
  round_ = progress.round();
  if (round_ == 0) return;
  for (const std::string& line : progress_lines(progress, std::string::npos))
    fmt::print(out_, "{}\n", line);
}

void ProgressView::show_done(const agent::MigrationStage& stage) {
  if (style_ == Style::kQuiet) return;
  clear();
  std::string line = heading(stage) + ": " + human_seconds(stage.seconds());
  if (stage.bytes() > 0) line += ", " + human_bytes(static_cast<double>(stage.bytes()));
  fmt::print(out_, "{}\n", line);
  std::fflush(out_);
}

void ProgressView::draw(const std::vector<std::string>& lines) {
  clear();
  fmt::print(out_, "{}", fmt::join(lines, "\n"));
  drawn_ = lines.size();
  std::fflush(out_);
}

// From the beginning of the first drawn line to the end of the screen.
void ProgressView::clear() {
  if (drawn_ == 0) return;
  if (drawn_ > 1) fmt::print(out_, "\033[{}A", drawn_ - 1);
  fmt::print(out_, "\r\033[J");
  std::fflush(out_);
  drawn_ = 0;
}

}  // namespace martlet::cli
