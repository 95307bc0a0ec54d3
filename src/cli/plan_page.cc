#include "cli/plan_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "cli/chain_report.h"
#include "cli/chart.h"
#include "cli/markup.h"
#include "cli/plan_output.h"
#include "cli/state_diagram.h"
#include "models/markov/transient.h"

namespace martlet::cli {
namespace {

using models::Candidate;

constexpr size_t kShown = 20;           // rows of the ranking
constexpr double kLeastMinutes = 1e-4;  // a year: the lower end of the axis of down time

double shown_minutes(const Candidate& candidate) {
  return std::max(candidate.downtime_minutes_per_year(), kLeastMinutes);
}

bool was_evaluated(const Candidate& candidate) {
  return candidate.downtime_minutes_per_year() > 0;
}

// Every design is a dot; those on the front are joined.
std::string cost_chart(const models::Plan& plan, const models::Selection& selection) {
  double most = 1;
  double low = 1e9;
  double high = kLeastMinutes;
  for (const Candidate& candidate : selection.candidates) {
    if (!was_evaluated(candidate)) continue;
    most = std::max(most, candidate.cost);
    low = std::min(low, shown_minutes(candidate));
    high = std::max(high, shown_minutes(candidate));
  }
  if (low > high) return "";
  const Chart chart(most, low, high);
  std::string svg = chart.open("cost against down time", "cost, " + plan.currency);
  for (const Candidate& candidate : selection.candidates)
    if (was_evaluated(candidate))
      svg += fmt::format("<circle class={} cx={:.1f} cy={:.1f} r={} fill-opacity=.5 />\n",
                         candidate.misses.empty() ? "runs" : "still", chart.x(candidate.cost),
                         chart.y(shown_minutes(candidate)), candidate.misses.empty() ? 3 : 1.5);
  std::string points;
  for (const size_t i : selection.pareto)
    points += fmt::format("{:.1f},{:.1f} ", chart.x(selection.candidates[i].cost),
                          chart.y(shown_minutes(selection.candidates[i])));
  svg += fmt::format("<polyline class=range points=\"{}\" />\n", points);
  return "<h2>Cost against down time</h2>\n<p class=faint>Minutes a year (logarithmic). Large "
         "dots satisfy every requirement; the line joins the designs of which no other is both "
         "cheaper and less often down.</p>\n" +
         svg + "</svg>\n";
}

std::string candidate_rows(const models::Plan& plan, const models::Selection& selection,
                           const std::vector<size_t>& which) {
  std::string html =
      "<table><tr><th>design<th>cost<th>down a year<th>kept up<th>slowest move<th>longest "
      "pause</tr>\n";
  size_t shown = 0;
  for (const size_t i : which) {
    if (shown++ == kShown) break;
    const Candidate& candidate = selection.candidates[i];
    const bool moves = candidate.options.design != models::Design::kSingle;
    html += fmt::format(
        "<tr><td>{}<td>{}<td>{:.3g} min<td>{}<td>{}<td>{}</tr>\n",
        escaped(describe(plan, candidate)), escaped(price(plan, candidate.cost)),
        candidate.downtime_minutes_per_year(),
        candidate.no_interruption ? fmt::format("{:.4f}", candidate.no_interruption->lower) : "-",
        moves ? human_seconds(candidate.slowest_move.total_seconds) : "-",
        moves ? human_seconds(candidate.longest_pause.pause_seconds) : "-");
  }
  return html + "</table>\n";
}

// 1 - K(t) of the design over a year.
Result<std::string> time_chart(const models::Chain& chain) {
  std::vector<double> hours;
  for (int i = 1; i <= 100; ++i) hours.push_back(8766.0 * i / 100);
  const auto points = TRY(models::transient(chain, hours));
  double low = 1;
  double high = 1e-300;
  for (const models::TransientPoint& point : points) {
    low = std::min(low, point.unavailability);
    high = std::max(high, point.unavailability);
  }
  if (!(low > 0)) return std::string();
  const Chart chart(365.25, low, high);
  std::string line;
  for (const models::TransientPoint& point : points)
    line += fmt::format("{:.1f},{:.1f} ", chart.x(point.hours / 24), chart.y(point.unavailability));
  return "<h2>Its availability over the first year</h2>\n<p class=faint>1 - K(t), "
         "logarithmic</p>\n" +
         chart.open("unavailability over time", "days") +
         fmt::format("<polyline class=link points=\"{}\" /></svg>\n", line);
}

std::string improvement(const models::Selection& selection) {
  if (selection.sensitivities.empty()) return "";
  constexpr double kRow = 24;
  const double most = std::abs(selection.sensitivities.front().elasticity);
  if (!(most > 0)) return "";
  std::string svg =
      fmt::format("<svg viewBox=\"0 0 860 {:.0f}\" role=img aria-label=\"elasticities\">\n",
                  kRow * static_cast<double>(selection.sensitivities.size()) + 8);
  double y = 4;
  for (const models::Sensitivity& each : selection.sensitivities) {
    const double width = std::max(1.0, 380 * std::abs(each.elasticity) / most);
    svg += fmt::format(
        "<text x=330 y={:.1f} text-anchor=end>{}</text><rect class={} x=340 y={:.1f} "
        "width={:.1f} height=14 rx=2 /><text class=faint x={:.1f} y={:.1f}>{}</text>\n",
        y + 13, escaped(meaning_of(each.parameter)), each.elasticity > 0 ? "still" : "runs", y + 2,
        width, 346 + width, y + 13, elasticity(each));
    y += kRow;
  }
  return "<h2>What to improve first</h2>\n<p class=faint>Change of its down time for 1% more of "
         "each rate (or of the coverage).</p>\n" +
         svg + "</svg>\n";
}

std::string discarded(const models::Plan& plan, const models::Selection& selection) {
  if (selection.discarded.empty()) return "";
  std::string html =
      "<h2>Discarded</h2>\n<table class=text><tr><th>requirement "
      "missed<th>designs<th>nearest</tr>\n";
  for (const models::MissSummary& summary : selection.discarded)
    html +=
        fmt::format("<tr><td>{}<td>{}<td>{}</tr>\n", escaped(describe(plan, summary.smallest)),
                    summary.count, escaped(describe(plan, selection.candidates[summary.nearest])));
  return html + "</table>\n";
}

std::string assumptions(const models::Plan& plan, const Candidate* best) {
  const models::Assumptions& assumed = plan.assumptions;
  std::string html = "<h2>Assumptions</h2>\n<ul>\n";
  const auto item = [&](const std::string& text) { html += "<li>" + escaped(text) + "\n"; };
  item(
      "Failures and repairs come at constant rates and independently of each other; what is "
      "down does not fail, apart from machines beside it.");
  item(
      fmt::format("Costs are for {:g} years; coverage {:g} (HA, pool) and {:g} (FT); recovery by "
                  "hand takes {} on average.",
                  assumed.years, assumed.coverage_ha, assumed.coverage_ft,
                  human_hours(assumed.recovery_hours)));
  item(
      fmt::format("A move gets {:g}% of one port's rate; costs of memory, hashing and encryption "
                  "are those of a typical host. Moves and pauses are upper bounds.",
                  assumed.link_share * 100));
  item(
      "The service that restarts most slowly stands for all; after the loss of both machines the "
      "one repaired first runs the services.");
  html += "</ul>\n";
  if (best == nullptr) return html;
  html += "<table class=text><tr><th>parameter<th>per hour<th>meaning</tr>\n";
  for (const auto& [name, value] : best->values)
    html +=
        fmt::format("<tr><td>{}<td>{:.4g}<td>{}</tr>\n", name, value, escaped(meaning_of(name)));
  return html + "</table>\n";
}

Result<std::string> cheapest(const models::Plan& plan, const models::Selection& selection) {
  const Candidate& best = selection.candidates[selection.satisfying.front()];
  const models::ChainModel model =
      TRY(models::ChainModel::make(TRY(models::design_chain(best.options))));
  return fmt::format(
             "<h2>The cheapest that satisfies: {}</h2>\n<p>{}; down {:.3g} minutes a "
             "year</p>\n",
             escaped(describe(plan, best)), escaped(price(plan, best.cost)),
             best.downtime_minutes_per_year()) +
         TRY(time_chart(TRY(model.at(best.values)))) + improvement(selection) +
         fmt::format(
             "<h2>Its states</h2>\n<p class=faint>{} states; those that are filled are "
             "down</p>\n<div class=wide>{}</div>\n",
             model.description().states.size(), state_diagram(model.description()));
}

}  // namespace

Result<std::string> plan_page(const models::Plan& plan, const models::Selection& selection) {
  const bool found = !selection.satisfying.empty();
  std::string html = page_head(escaped(plan.title));
  html +=
      fmt::format("<h1>{}</h1>\n<p>{} designs, {} satisfy every requirement</p>\n",
                  escaped(plan.title), selection.candidates.size(), selection.satisfying.size());
  html += cost_chart(plan, selection);
  html += found ? "<h2>Ranking</h2>\n" + candidate_rows(plan, selection, selection.satisfying)
                : "<p class=miss>No design satisfies every requirement.</p>\n";
  html += "<h2>The front</h2>\n" + candidate_rows(plan, selection, selection.pareto);
  if (found) html += TRY(cheapest(plan, selection));
  html += discarded(plan, selection);
  html += assumptions(plan, found ? &selection.candidates[selection.satisfying.front()] : nullptr);
  return html + "</body></html>\n";
}

}  // namespace martlet::cli
