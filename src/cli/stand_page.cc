#include "cli/stand_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>

#include "cli/chart.h"
#include "cli/markup.h"
#include "cli/stand_output.h"

namespace martlet::cli {
namespace {

using models::MovedCell;
using models::MoveMode;

const char* class_of(MoveMode mode) {
  switch (mode) {
    case MoveMode::kStop: return "range";
    case MoveMode::kPrecopy: return "still";
    case MoveMode::kPostcopy: return "runs";
    case MoveMode::kHybrid: return "dirty";
  }
  return "";
}

std::string legend() {
  std::string html = "<p>";
  for (const MoveMode mode : models::kMoveModes)
    html += fmt::format(
        "<svg viewBox=\"0 0 14 14\" style=\"width:14px;display:inline\"><circle class={} cx=7 cy=9 "
        "r=4 /></svg> {} &nbsp; ",
        class_of(mode), models::mode_name(mode));
  return html + "</p>\n";
}

// One quantity of every move over w/R: a dot for what was measured, a line between the bounds that
// the agents foretold.
std::string chart_of(const std::vector<MovedCell>& moves, const std::string& label,
                     double MovedCell::* measured, models::Bounds models::Foretold::* foretold) {
  double most = 1.2;
  double low = moves.front().*measured;
  double high = low;
  for (const MovedCell& move : moves) {
    most = std::max(most, 1.05 * move.cell.write_share());
    low = std::min(low, move.*measured);
    high = std::max(high, move.*measured);
  }
  const Chart chart(most, low, high);
  std::string svg = chart.open(label, "writes / rate of the link");
  svg += fmt::format(
      "<line class=range x1={0:.1f} x2={0:.1f} y1={1:.1f} y2={2:.1f} "
      "stroke-dasharray=\"4 4\" />\n",
      chart.x(1), chart.y(low), chart.y(high));
  for (const MovedCell& move : moves) {
    const double x = chart.x(move.cell.write_share()) + 5 * static_cast<double>(move.cell.mode);
    if (move.calibrated) {
      const models::Bounds& bounds = (*move.calibrated).*foretold;
      svg += fmt::format(
          "<line class=range stroke-opacity=.5 x1={0:.1f} x2={0:.1f} y1={1:.1f} y2={2:.1f} />\n", x,
          chart.y(std::clamp(bounds.lower, low, high)),
          chart.y(std::clamp(bounds.upper, low, high)));
    }
    svg +=
        fmt::format("<circle class={} cx={:.1f} cy={:.1f} r=4><title>{}</title></circle>\n",
                    class_of(move.cell.mode), x, chart.y(move.*measured), escaped(describe(move)));
  }
  return svg + "</svg>\n";
}

std::string table_of(const Rows& rows) {
  std::string html = "<div class=wide><table>";
  for (size_t i = 0; i < rows.size(); ++i) {
    html += "<tr>";
    for (const std::string& cell : rows[i]) html += (i == 0 ? "<th>" : "<td>") + escaped(cell);
    html += "</tr>\n";
  }
  return html + "</table></div>\n";
}

std::string failures(const stand::Outcome& outcome) {
  if (outcome.failed.empty()) return "";
  std::string html = "<h2>Failed</h2>\n<ul>\n";
  for (const stand::FailedCell& cell : outcome.failed)
    html += fmt::format("<li class=miss>{}: {}\n", escaped(describe(cell.cell)),
                        escaped(cell.error.to_string()));
  return html + "</ul>\n";
}

std::string charts(const std::vector<MovedCell>& moves) {
  if (moves.empty()) return "";
  return "<h2>Pause</h2>\n<p class=faint>Seconds (logarithmic) over the rate of writing as a share "
         "of the link's; grey lines are what the agents foretold. Right of the dashed line rounds "
         "cannot get ahead.</p>\n" +
         legend() + chart_of(moves, "pause", &MovedCell::pause, &models::Foretold::pause) +
         "<h2>Whole move</h2>\n" +
         chart_of(moves, "whole move", &MovedCell::total, &models::Foretold::total);
}

}  // namespace

std::string stand_page(const models::StandGrid& grid, const stand::Outcome& outcome) {
  const auto effects = models::write_effects(outcome.moved);
  std::string html = page_head(escaped(grid.title));
  html += fmt::format("<h1>{}</h1>\n<p>{} moves between two hosts of this machine</p>\n",
                      escaped(grid.title), outcome.moved.size());
  html += failures(outcome) + charts(outcome.moved);
  html +=
      "<h2>What writing does</h2>\n<p class=faint>Medians. M: memory, V: with files, R: rate of "
      "the link.</p>\n" +
      table_of(effect_rows(effects)) + "<ul>\n";
  for (const std::string& sentence : findings(effects)) html += "<li>" + escaped(sentence) + "\n";
  html +=
      "</ul>\n<h2>How far the models are off</h2>\n<p class=faint>Declared: from the grid's "
      "numbers and a typical host. Calibrated: from what the agents measured. Above 1: it took "
      "longer than foretold.</p>\n" +
      table_of(error_rows(models::model_errors(outcome.moved)));
  html +=
      "<h2>The moves</h2>\n<p class=faint>&lt;: measured above what was foretold, &gt;: below "
      "it. Client: its longest wait for an answer.</p>\n" +
      table_of(move_rows(outcome.moved));
  return html + "</body></html>\n";
}

}  // namespace martlet::cli
