#include "cli/move_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "cli/markup.h"
#include "cli/output.h"
#include "cli/prediction_output.h"
#include "models/migration.h"

namespace martlet::cli {
namespace {

constexpr double kLeft = 150;   // of the drawings, where the time axis begins
constexpr double kWidth = 700;  // of the time axis
constexpr double kRow = 26;

struct Bar {
  std::string name;
  double begin = 0;  // seconds since the move began
  double seconds = 0;
  bool still = false;  // the container stands still
  agent::Bounds foretold{};
};

const agent::StageEstimate* estimate_of(const agent::MoveRecord& move, const std::string& name) {
  for (const agent::StageEstimate& stage : move.measured().predicted().stages())
    if (stage.name() == name) return &stage;
  return nullptr;
}

// The stages in the order in which they happen; those that only another version knows come last.
std::vector<Bar> bars_of(const agent::MoveRecord& move) {
  std::vector<Bar> bars;
  const auto add = [&](const agent::MigrationStage& measured, bool still) {
    Bar bar{.name = measured.name(), .seconds = measured.seconds(), .still = still};
    if (!bars.empty()) bar.begin = bars.back().begin + bars.back().seconds;
    if (const auto* estimate = estimate_of(move, bar.name)) bar.foretold = estimate->seconds();
    bars.push_back(std::move(bar));
  };
  std::vector<std::string> known;
  for (size_t i = 0; i < models::kMoveStages; ++i) {
    const auto stage = static_cast<models::MoveStage>(i);
    known.emplace_back(models::stage_name(stage));
    for (const agent::MigrationStage& measured : move.measured().stages())
      if (measured.name() == known.back()) add(measured, models::is_pause(stage));
  }
  for (const agent::MigrationStage& measured : move.measured().stages())
    if (std::ranges::find(known, measured.name()) == known.end()) add(measured, false);
  return bars;
}

std::string grid(double seconds, double height) {
  std::string svg;
  const double tick = round_step(seconds);
  for (int i = 0; i * tick <= seconds * 1.0001; ++i) {
    const double x = kLeft + kWidth * (i * tick / seconds);
    svg += fmt::format(
        "<line class=grid x1={0:.1f} x2={0:.1f} y1=0 y2={1:.0f} />"
        "<text class=faint x={0:.1f} y={2:.0f} text-anchor=middle>{3}</text>\n",
        x, height, height + 15, i == 0 ? "0" : human_seconds(i * tick));
  }
  return svg;
}

std::string open_svg(double height, const std::string& label) {
  return fmt::format("<svg viewBox=\"0 0 {:.0f} {:.0f}\" role=img aria-label=\"{}\">\n",
                     kLeft + kWidth + 90, height + 22, escaped(label));
}

// One row for each bar, from `begin` on.
std::string time_line(const std::vector<Bar>& bars, double begin, double seconds,
                      double pause_begin, double pause, const std::string& label) {
  const double height = kRow * static_cast<double>(bars.size());
  const auto x_of = [&](double at) { return kLeft + kWidth * (at - begin) / seconds; };
  std::string svg = open_svg(height, label);
  svg += fmt::format("<rect class=band x={:.1f} y=0 width={:.1f} height={:.0f} />\n",
                     x_of(pause_begin), std::max(1.0, kWidth * pause / seconds), height);
  svg += grid(seconds, height);
  double y = 0;
  for (const Bar& bar : bars) {
    const double x = x_of(bar.begin);
    const double width = std::max(1.0, kWidth * bar.seconds / seconds);
    svg += fmt::format(
        "<text x={:.0f} y={:.1f} text-anchor=end>{}</text>"
        "<rect class={} x={:.1f} y={:.1f} width={:.1f} height={:.0f} rx=2 />"
        "<text class=faint x={:.1f} y={:.1f}>{}</text>\n",
        kLeft - 8, y + kRow / 2 + 4, escaped(bar.name), bar.still ? "still" : "runs", x, y + 5,
        width, kRow - 10, x + width + 5, y + kRow / 2 + 4, human_seconds(bar.seconds));
    y += kRow;
  }
  return svg + "</svg>\n";
}

std::string polyline(const char* css, const agent::MoveRecord& move, double seconds, double top,
                     double height, double (*value)(const agent::MigrationRound&)) {
  std::string points;
  double at = 0;
  for (const agent::MigrationRound& round : move.rounds()) {
    const double y = height * (1 - value(round) / top);
    points += fmt::format("{:.1f},{:.1f} ", kLeft + kWidth * at / seconds, y);
    at += round.seconds();
    points += fmt::format("{:.1f},{:.1f} ", kLeft + kWidth * at / seconds, y);
  }
  return fmt::format("<polyline class={} points=\"{}\" />\n", css, points);
}

// The rounds on a time axis of their own: how fast pages were sent and written.
std::string rounds_drawing(const agent::MoveRecord& move) {
  constexpr double kHeight = 140;
  double seconds = 0;
  double top = 1;
  for (const agent::MigrationRound& round : move.rounds()) {
    seconds += round.seconds();
    top = std::max({top, round.link_rate(), round.dirty_rate()});
  }
  if (!(seconds > 0)) return "";
  std::string html =
      "<h2>Rounds</h2><p><span class=link-key>sent</span> and "
      "<span class=dirty-key>written</span>, bytes per second</p>\n";
  html += open_svg(kHeight, "rates of the rounds") + grid(seconds, kHeight);
  html += fmt::format("<text class=faint x={:.0f} y=12 text-anchor=end>{}/s</text>\n", kLeft - 8,
                      human_bytes(top));
  html += polyline("link", move, seconds, top, kHeight,
                   [](const agent::MigrationRound& round) { return round.link_rate(); });
  html += polyline("dirty", move, seconds, top, kHeight,
                   [](const agent::MigrationRound& round) { return round.dirty_rate(); });
  html += "</svg>\n<table><tr><th>round<th>time<th>sent<th>left<th>written<th>link</tr>\n";
  for (const agent::MigrationRound& round : move.rounds())
    html += fmt::format("<tr><td>{}<td>{}<td>{}<td>{} pages<td>{}/s<td>{}/s</tr>\n", round.number(),
                        human_seconds(round.seconds()),
                        human_bytes(static_cast<double>(round.bytes())), round.pages_left(),
                        human_bytes(round.dirty_rate()), human_bytes(round.link_rate()));
  return html + "</table>\n";
}

std::string comparison_row(const std::string& name, const agent::Bounds& foretold,
                           double measured) {
  const std::string miss = outside(foretold, measured);
  return fmt::format("<tr><td>{}<td>{}<td>{}<td class=miss>{}</tr>\n", escaped(name),
                     foretold.upper() > 0 ? human_seconds(foretold) : "-", human_seconds(measured),
                     miss);
}

std::string comparison(const agent::MoveRecord& move, const std::vector<Bar>& bars) {
  const agent::MigrationSummary& measured = move.measured();
  if (!measured.has_predicted()) return "<p class=faint>This move was not foretold.</p>\n";
  std::string html =
      "<h2>Foretold and measured</h2>\n"
      "<table><tr><th>stage<th>foretold<th>measured<th>outside by</tr>\n";
  html += comparison_row("pause", measured.predicted().pause(), measured.pause_seconds());
  html += comparison_row("in all", measured.predicted().total(), measured.total_seconds());
  for (const Bar& bar : bars) html += comparison_row(bar.name, bar.foretold, bar.seconds);
  return html + "</table>\n";
}

std::vector<Bar> standing_still(const std::vector<Bar>& bars) {
  std::vector<Bar> still;
  std::ranges::copy_if(bars, std::back_inserter(still), &Bar::still);
  return still;
}

}  // namespace

std::string move_page(const agent::MoveRecord& move) {
  const agent::MigrationSummary& measured = move.measured();
  const std::string title = escaped(fmt::format("{} from {} to {}", measured.container(),
                                                measured.source(), measured.destination()));
  const std::vector<Bar> bars = bars_of(move);
  const std::vector<Bar> still = standing_still(bars);
  std::string html = page_head(title);
  html += fmt::format("<h1>{}</h1>\n<p>mode {}: pause {}, in all {}, {} sent</p>\n", title,
                      escaped(move.mode()), human_seconds(measured.pause_seconds()),
                      human_seconds(measured.total_seconds()),
                      human_bytes(static_cast<double>(measured.bytes())));
  if (!measured.reason().empty())
    html += fmt::format("<p class=faint>{}</p>\n", escaped(measured.reason()));
  double end = measured.total_seconds();
  for (const Bar& bar : bars) end = std::max(end, bar.begin + bar.seconds);
  if (end > 0) {
    const double pause_begin = still.empty() ? 0 : still.front().begin;
    html += "<h2>Stages</h2><p class=faint>The container stands still in the shaded time.</p>\n";
    html += time_line(bars, 0, end, pause_begin, measured.pause_seconds(), "time line of the move");
    const double pause_end = still.empty() ? 0 : still.back().begin + still.back().seconds;
    const double span = std::max(measured.pause_seconds(), pause_end - pause_begin);
    if (span > 0)
      html +=
          "<h2>The pause</h2>\n" + time_line(still, pause_begin, span, pause_begin,
                                             measured.pause_seconds(), "time line of the pause");
  }
  html += rounds_drawing(move) + comparison(move, bars);
  return html + "</body></html>\n";
}

}  // namespace martlet::cli
