#include "base/units.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <limits>
#include <span>

namespace martlet {

namespace {

struct Unit {
  std::string_view name;
  double size;
};

constexpr Unit kDurations[] = {{"ns", 1},  {"us", 1e3}, {"ms", 1e6},
                               {"s", 1e9}, {"m", 60e9}, {"h", 3600e9}};
constexpr Unit kRates[] = {{"bit", 1.0 / 8},  {"kbit", 1e3 / 8}, {"Mbit", 1e6 / 8},
                           {"Gbit", 1e9 / 8}, {"B", 1},          {"kB", 1e3},
                           {"MB", 1e6},       {"GB", 1e9},       {"KiB", 1024.0},
                           {"MiB", 1 << 20},  {"GiB", 1u << 30}};

// In units of 1, rounded. A refusal says what a right value looks like.
Result<int64_t> parse_quantity(std::string_view text, std::string_view unit_suffix,
                               std::span<const Unit> units, const char* what) {
  double number = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
  const std::string_view unit(end, static_cast<size_t>(text.data() + text.size() - end));
  const bool is_number = error == std::errc() && std::isfinite(number) && number >= 0;
  if (is_number && number == 0 && unit.empty()) return 0;
  for (const Unit& known : units) {
    if (!is_number || !unit.starts_with(known.name)) continue;
    const std::string_view rest = unit.substr(known.name.size());
    if (!rest.empty() && rest != unit_suffix) continue;
    const double value = std::round(number * known.size);
    if (value >= static_cast<double>(std::numeric_limits<int64_t>::max())) break;
    if (value < 1 && number > 0) break;
    return static_cast<int64_t>(value);
  }
  return fail(Code::kInvalidArgument, fmt::format("'{}' is not {}", text, what));
}

}  // namespace

Result<Nanoseconds> parse_duration(std::string_view text) {
  return Nanoseconds(
      TRY(parse_quantity(text, "", kDurations, "a duration such as 10ms, 2s or 1m")));
}

Result<uint64_t> parse_rate(std::string_view text) {
  return static_cast<uint64_t>(
      TRY(parse_quantity(text, "/s", kRates, "a rate such as 200Mbit/s or 50MB/s")));
}

}  // namespace martlet
