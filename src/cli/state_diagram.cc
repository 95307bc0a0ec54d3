#include "cli/state_diagram.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <numeric>
#include <vector>

#include "cli/markup.h"

namespace martlet::cli {
namespace {

constexpr double kWidth = 170;      // of a box
constexpr double kLine = 16;        // height of a line of text
constexpr double kPadding = 8;      // in a box, above and below its text
constexpr double kGapBeside = 150;  // between columns, where the rates stand
constexpr double kGapBelow = 34;    // between the boxes of a column
constexpr double kMargin = 40;
constexpr double kTitle = 40;
constexpr int kSweeps = 6;  // over all columns, to put boxes beside those they lead to

constexpr const char* kHead =
    R"(<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {0:.0f} {1:.0f}" width="{0:.0f}" height="{1:.0f}" role="img" aria-label="{2}">
<style>
.diagram {{ --ground: #fff; --text: #1c2330; --line: #68707f; --up: #e8f0fa; --down: #f6d3cb; --edge: #4a7dbd; }}
@media (prefers-color-scheme: dark) {{ .diagram {{ --ground: #14181f; --text: #e3e7ee; --line: #98a1b1;
  --up: #1f2c3f; --down: #5b2b22; --edge: #6ea1e0; }} }}
.diagram text {{ fill: var(--text); font: 12px system-ui, sans-serif; }}
.diagram .rate {{ font-size: 11px; paint-order: stroke; stroke: var(--ground); stroke-width: 4px; }}
.diagram .title {{ font-size: 15px; }} .diagram .ground {{ fill: var(--ground); }}
.diagram .up {{ fill: var(--up); stroke: var(--line); }} .diagram .down {{ fill: var(--down); stroke: var(--line); }}
.diagram .initial {{ stroke-width: 2.5; }} .diagram path {{ fill: none; stroke: var(--edge); stroke-width: 1.2; }}
.diagram .head {{ fill: var(--edge); stroke: none; }}
</style>
<g class="diagram">
<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path class="head" d="M0 0 L8 4 L0 8 z"/></marker></defs>
<rect class="ground" width="100%" height="100%"/>
<text class="title" x="{3:.0f}" y="26">{2}</text>
)";

struct Box {
  std::vector<std::string> lines;
  bool up = true;
  size_t column = 0;
  double rank = 0;  // order in its column
  double x = 0;     // of the left edge
  double y = 0;     // of the upper edge
  double height() const { return 2 * kPadding + kLine * static_cast<double>(lines.size()); }
  double middle() const { return y + height() / 2; }
};

struct Edge {
  size_t from;
  size_t to;
  std::string rate;
};

std::vector<std::string> lines_of(const std::string& name) {
  std::vector<std::string> lines;
  size_t begin = 0;
  for (;;) {
    const size_t end = name.find("; ", begin);
    lines.push_back(name.substr(begin, end - begin));
    if (end == std::string::npos) return lines;
    begin = end + 2;
  }
}

class Diagram {
 public:
  explicit Diagram(const models::ChainDescription& chain) : title_(chain.title) {
    std::map<std::string, size_t> index;
    for (const models::StateDescription& state : chain.states) {
      index[state.name] = boxes_.size();
      boxes_.push_back(
          {.lines = lines_of(state.name), .up = state.service == models::Service::kUp});
    }
    for (const models::TransitionDescription& transition : chain.transitions)
      edges_.push_back(
          {index.at(transition.from), index.at(transition.to), transition.rate.text()});
    initial_ = chain.initial.empty() ? 0 : index.at(chain.initial);
  }

  std::string draw() {
    set_columns();
    set_order();
    place();
    std::string svg = fmt::format(fmt::runtime(kHead), width_, height_, escaped(title_), kMargin);
    for (const Edge& edge : edges_) svg += curve(edge);
    for (size_t i = 0; i < boxes_.size(); ++i) svg += box(i);
    for (const Edge& edge : edges_) svg += label(edge);
    return svg + "</g>\n</svg>\n";
  }

 private:
  struct Point {
    double x;
    double y;
  };

  // By the least number of transitions from the initial state.
  void set_columns() {
    std::vector<std::vector<size_t>> next(boxes_.size());
    for (const Edge& edge : edges_) next[edge.from].push_back(edge.to);
    std::vector<bool> seen(boxes_.size(), false);
    std::vector<size_t> front{initial_};
    seen[initial_] = true;
    while (!front.empty()) {
      columns_.push_back(front);
      std::vector<size_t> further;
      for (const size_t state : front)
        for (const size_t to : next[state]) {
          if (seen[to]) continue;
          seen[to] = true;
          boxes_[to].column = columns_.size();
          further.push_back(to);
        }
      front = std::move(further);
    }
    for (const auto& column : columns_)
      for (size_t i = 0; i < column.size(); ++i) boxes_[column[i]].rank = static_cast<double>(i);
  }

  // Each box goes to the mean place of its neighbours in other columns.
  void set_order() {
    for (int sweep = 0; sweep < kSweeps; ++sweep)
      for (auto& column : columns_) {
        std::map<size_t, double> wanted;
        for (const size_t state : column) wanted[state] = mean_place(state);
        std::ranges::stable_sort(column, {}, [&](size_t state) { return wanted[state]; });
        for (size_t i = 0; i < column.size(); ++i) boxes_[column[i]].rank = static_cast<double>(i);
      }
  }

  double mean_place(size_t state) const {
    double sum = 0;
    double count = 0;
    for (const Edge& edge : edges_) {
      if (edge.from != state && edge.to != state) continue;
      const size_t other = edge.from == state ? edge.to : edge.from;
      if (boxes_[other].column == boxes_[state].column) continue;
      const auto size = static_cast<double>(columns_[boxes_[other].column].size());
      sum += (boxes_[other].rank + 0.5) / size;
      count++;
    }
    return count > 0 ? sum / count : 0;
  }

  double column_height(const std::vector<size_t>& column) const {
    double height = -kGapBelow;
    for (const size_t state : column) height += boxes_[state].height() + kGapBelow;
    return height;
  }

  void place() {
    double tallest = 0;
    for (const auto& column : columns_) tallest = std::max(tallest, column_height(column));
    double x = kMargin;
    for (const auto& column : columns_) {
      double y = kTitle + kMargin + (tallest - column_height(column)) / 2;
      for (const size_t state : column) {
        boxes_[state].x = x;
        boxes_[state].y = y;
        y += boxes_[state].height() + kGapBelow;
      }
      x += kWidth + kGapBeside;
    }
    width_ = std::max(x - kGapBeside + 2 * kMargin, 480.0);
    height_ = tallest + kTitle + 2 * kMargin;
  }

  // The four points of the curve: forward ones leave and enter above the middle, those that lead
  // back below it, so that the two of a pair do not cover each other.
  std::array<Point, 4> points(const Edge& edge) const {
    const Box& from = boxes_[edge.from];
    const Box& to = boxes_[edge.to];
    if (from.column == to.column) {
      const bool falls = to.y > from.y;
      const double x = falls ? from.x + kWidth : from.x;
      const double bend = (falls ? 1 : -1) * (26 + std::abs(to.middle() - from.middle()) / 8);
      return {Point{x, from.middle()},
              {x + bend, from.middle()},
              {x + bend, to.middle()},
              {x, to.middle()}};
    }
    const bool forward = to.column > from.column;
    const double shift = forward ? -kLine / 2 : kLine / 2;
    const Point begin{from.x + (forward ? kWidth : 0), from.middle() + shift};
    const Point end{to.x + (forward ? 0 : kWidth), to.middle() + shift};
    const double pull = (end.x - begin.x) * 0.45;
    return {begin, {begin.x + pull, begin.y}, {end.x - pull, end.y}, end};
  }

  std::string curve(const Edge& edge) const {
    const auto p = points(edge);
    return fmt::format(
        "<path d=\"M{:.1f} {:.1f} C{:.1f} {:.1f} {:.1f} {:.1f} {:.1f} {:.1f}\" "
        "marker-end=\"url(#head)\"/>\n",
        p[0].x, p[0].y, p[1].x, p[1].y, p[2].x, p[2].y, p[3].x, p[3].y);
  }

  // On the curve, nearer to where it begins.
  std::string label(const Edge& edge) const {
    const auto p = points(edge);
    const bool far = boxes_[edge.from].column > boxes_[edge.to].column + 1;
    const double at = far ? 0.13 : 0.3;  // in the gap beside the box that it leaves
    const double a = (1 - at) * (1 - at) * (1 - at);
    const double b = 3 * at * (1 - at) * (1 - at);
    const double c = 3 * at * at * (1 - at);
    const double d = at * at * at;
    const size_t from = boxes_[edge.from].column;
    const size_t to = boxes_[edge.to].column;
    const char* anchor = from < to ? "start" : from > to ? "end" : "middle";
    return fmt::format(
        "<text class=\"rate\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\">{}</text>\n",
        a * p[0].x + b * p[1].x + c * p[2].x + d * p[3].x,
        a * p[0].y + b * p[1].y + c * p[2].y + d * p[3].y + 4, anchor, escaped(edge.rate));
  }

  std::string box(size_t index) const {
    const Box& box = boxes_[index];
    std::string svg = fmt::format(
        "<rect class=\"{}{}\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.0f}\" height=\"{:.0f}\" "
        "rx=\"6\"/>\n",
        box.up ? "up" : "down", index == initial_ ? " initial" : "", box.x, box.y, kWidth,
        box.height());
    double y = box.y + kPadding + kLine - 4;
    for (const std::string& line : box.lines) {
      svg += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}</text>\n",
                         box.x + kWidth / 2, y, escaped(line));
      y += kLine;
    }
    return svg;
  }

  std::string title_;
  std::vector<Box> boxes_;
  std::vector<Edge> edges_;
  size_t initial_ = 0;
  std::vector<std::vector<size_t>> columns_;
  double width_ = 0;
  double height_ = 0;
};

}  // namespace

std::string state_diagram(const models::ChainDescription& chain) {
  return Diagram(chain).draw();
}

}  // namespace martlet::cli
