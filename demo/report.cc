#include "demo/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace martlet::demo {
namespace {

double to_ms(Nanoseconds duration) {
  return std::chrono::duration<double, std::milli>(duration).count();
}

}  // namespace

void Failures::note(uint64_t Failures::* counter, std::string what) {
  ++(this->*counter);
  if (first.empty()) first = std::move(what);
}

void Report::add_reply(Nanoseconds intended, Nanoseconds now) {
  auto latency = std::chrono::duration_cast<std::chrono::microseconds>(now - intended).count();
  latencies_.push_back(static_cast<uint32_t>(std::max<int64_t>(latency, 0)));
  if (now - last_reply_ > longest_gap_) {
    longest_gap_ = now - last_reply_;
    longest_gap_start_ = last_reply_ - start_;
  }
  last_reply_ = now;
}

double Report::seconds() const {
  return std::chrono::duration<double>(end_ - start_).count();
}

double Report::percentile_ms(double fraction) const {
  if (latencies_.empty()) return 0;
  std::vector<uint32_t> sorted = latencies_;
  auto rank = static_cast<size_t>(fraction * static_cast<double>(sorted.size() - 1));
  auto nth = sorted.begin() + static_cast<std::ptrdiff_t>(rank);
  std::nth_element(sorted.begin(), nth, sorted.end());
  return *nth / 1000.0;
}

std::string Report::to_text() const {
  const Failures& f = failures_;
  std::string text = fmt::format(
      "{} replies in {:.1f} s ({:.0f}/s); errors {}, resets {}, lost {}, wrong {}, damaged {}\n"
      "latency p50 {:.2f} ms, p99 {:.2f} ms, max {:.2f} ms; longest gap {:.1f} ms\n",
      replies(), seconds(), static_cast<double>(replies()) / std::max(seconds(), 1e-9), f.errors,
      f.resets, f.lost, f.wrong, f.damaged, percentile_ms(0.5), percentile_ms(0.99),
      percentile_ms(1), to_ms(longest_gap_));
  if (!f.first.empty()) text += fmt::format("first failure: {}\n", f.first);
  return text;
}

std::string Report::to_json() const {
  const Failures& f = failures_;
  nlohmann::json json = {
      {"replies", replies()},
      {"seconds", seconds()},
      {"replies_per_second", static_cast<double>(replies()) / std::max(seconds(), 1e-9)},
      {"errors", f.errors},
      {"resets", f.resets},
      {"lost", f.lost},
      {"wrong", f.wrong},
      {"damaged", f.damaged},
      {"first_failure", f.first},
      {"p50_ms", percentile_ms(0.5)},
      {"p99_ms", percentile_ms(0.99)},
      {"max_ms", percentile_ms(1)},
      {"longest_gap_ms", to_ms(longest_gap_)},
      {"longest_gap_at_seconds", std::chrono::duration<double>(longest_gap_start_).count()},
  };
  return json.dump();
}

}  // namespace martlet::demo
