#include "cli/chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "cli/markup.h"

namespace martlet::cli {
namespace {

constexpr double kLeft = 90;  // of the axes
constexpr double kWidth = 700;
constexpr double kHeight = 300;

}  // namespace

Chart::Chart(double x_end, double y_low, double y_high)
    : x_end_(x_end), low_(std::floor(std::log10(y_low))), high_(std::ceil(std::log10(y_high))) {
  high_ = std::max(high_, low_ + 1);
}

double Chart::x(double value) const {
  return kLeft + kWidth * value / x_end_;
}

double Chart::y(double value) const {
  return 10 + kHeight * (high_ - std::log10(value)) / (high_ - low_);
}

std::string Chart::open(const std::string& label, const std::string& x_title) const {
  std::string svg = fmt::format("<svg viewBox=\"0 0 {:.0f} {:.0f}\" role=img aria-label=\"{}\">\n",
                                kLeft + kWidth + 60, kHeight + 60, escaped(label));
  for (double power = low_; power <= high_; ++power) {
    const double at = y(std::pow(10, power));
    svg += fmt::format(
        "<line class=grid x1={0:.0f} x2={1:.0f} y1={2:.1f} y2={2:.1f} />"
        "<text class=faint x={3:.0f} y={4:.1f} text-anchor=end>{5:g}</text>\n",
        kLeft, kLeft + kWidth, at, kLeft - 8, at + 4, std::pow(10, power));
  }
  const double step = round_step(x_end_);
  for (int i = 0; i * step <= x_end_; ++i)
    svg += fmt::format("<text class=faint x={:.0f} y={:.0f} text-anchor=middle>{:g}</text>\n",
                       x(i * step), kHeight + 28, i * step);
  return svg + fmt::format("<text class=faint x={:.0f} y={:.0f} text-anchor=middle>{}</text>\n",
                           kLeft + kWidth / 2, kHeight + 48, escaped(x_title));
}

}  // namespace martlet::cli
