// The command that tries the models of migration on two hosts of its own.
#include <fmt/format.h>
#include <unistd.h>

#include "base/fd.h"
#include "cli/command.h"
#include "cli/output.h"
#include "cli/progress_view.h"
#include "cli/stand_output.h"
#include "cli/stand_page.h"
#include "stand/run.h"
#include "sys/seclusion.h"

namespace martlet::cli {
namespace {

struct StandOptions {
  std::string file;
  std::string html;
};

// Progress on standard error: on a terminal what is being done is drawn in place, and everywhere
// there is one line for each move that was made.
class StandView final : public stand::Observer {
 public:
  explicit StandView(ProgressView::Style style) : style_(style) {}

  void begins(const std::string& what) override { draw(what); }
  void begins(size_t number, size_t of, const models::StandCell& cell) override {
    heading_ = fmt::format("[{}/{}] ", number, of);
    doing_ = heading_ + describe(cell);
    draw(doing_);
  }
  void migrates(const agent::MigrationProgress& progress) override {
    const std::string round =
        progress.round() > 0 ? fmt::format(" {}", progress.round()) : std::string();
    draw(fmt::format("{}: {}{}, {} sent", doing_, progress.stage().name(), round,
                     human_bytes(static_cast<double>(progress.transferred()))));
  }
  void moved(const models::MovedCell& cell) override { say(heading_ + describe(cell)); }
  void failed(const stand::FailedCell& cell) override {
    say(fmt::format("{}{}: {}", heading_, describe(cell.cell), cell.error.to_string()));
  }

 private:
  static constexpr const char* kClearLine = "\r\033[K";
  void draw(const std::string& line) {
    if (style_ == ProgressView::Style::kLive) fmt::print(stderr, "{}{}", kClearLine, line);
    if (style_ == ProgressView::Style::kLive) std::fflush(stderr);
  }
  void say(const std::string& line) {
    if (style_ == ProgressView::Style::kQuiet) return;
    fmt::print(stderr, "{}{}\n", style_ == ProgressView::Style::kLive ? kClearLine : "", line);
  }

  const ProgressView::Style style_;
  std::string heading_;
  std::string doing_;
};

// Inside, where everything that is started ends with it.
Result<int> run_and_show(const Session& session, const StandOptions& options,
                         const models::StandGrid& grid, const stand::Place& place) {
  TRY(sys::leave_mounts_and_network());
  StandView view(session.json && ::isatty(STDERR_FILENO) == 0 ? ProgressView::Style::kQuiet
                                                              : ProgressView::style_of(stderr));
  const stand::Outcome outcome = TRY(stand::run_grid(grid, place, view));
  if (!options.html.empty()) TRY(replace_file(options.html, stand_page(grid, outcome), 0644));
  if (session.json)
    print_json(to_json(grid, outcome));
  else
    fmt::print("{}", to_text(grid, outcome));
  return outcome.failed.empty() ? 0 : 1;
}

Result<int> run_stand(const Session& session, const StandOptions& options) {
  const models::StandGrid grid =
      TRY_IN(models::parse_stand(TRY(read_file(options.file))), options.file);
  if (::geteuid() != 0)
    return std::unexpected(Error(Code::kPermission, "the stand makes hosts on this machine")
                               .with_remedy("run it as root"));
  const stand::Place place = TRY(stand::Place::make());
  return sys::run_secluded(
      [&] {
        const auto code = run_and_show(session, options, grid, place);
        return code ? *code : report_error(session, code.error());
      },
      [&] { place.end_containers(); });
}

}  // namespace

void add_stand_command(CLI::App& app, Session& session) {
  const auto options = std::make_shared<StandOptions>();
  CLI::App* command = add_command(
      app, session, "stand", "Try the models of migration: real moves beside what was foretold",
      "  martlet stand examples/stand/small.toml\n"
      "  martlet stand examples/stand/large.toml --html stand.html --json\n"
      "It needs root, and no agent: it makes two hosts, and nothing of them stays.\n"
      "Ends with 1 if a move failed.",
      [&session, options] { return run_stand(session, *options); });
  command->add_option("file", options->file, "TOML file of the grid; see docs/stand.md")
      ->required();
  command->add_option("--html", options->html, "also write a page with charts to this file");
}

}  // namespace martlet::cli
