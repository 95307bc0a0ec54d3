// On one core: a large chain's stationary distribution and 100 points of time (three pools of
// machines, each with its own crew, about 10^5 states), and a choice among thousands of designs.
#include <fmt/format.h>

#include <chrono>

#include "models/design/selection.h"
#include "models/markov/stationary.h"
#include "models/markov/transient.h"

namespace {

using martlet::models::Chain;
using martlet::models::ChainState;
using martlet::models::Rate;
using martlet::models::Service;

constexpr size_t kSide = 47;  // 0 to 46 failed machines in each pool
constexpr size_t kEnough = 10;

size_t index_of(size_t a, size_t b, size_t c) {
  return (a * kSide + b) * kSide + c;
}

martlet::Result<Chain> three_pools() {
  std::vector<ChainState> states;
  std::vector<Rate> rates;
  const auto add = [&](size_t fewer, size_t more, size_t failed) {
    rates.push_back({fewer, more, 1e-3 * static_cast<double>(kSide - failed)});
    rates.push_back({more, fewer, 0.33});
  };
  for (size_t a = 0; a < kSide; ++a)
    for (size_t b = 0; b < kSide; ++b)
      for (size_t c = 0; c < kSide; ++c) {
        const bool up = a <= kEnough && b <= kEnough && c <= kEnough;
        states.push_back({"", up ? Service::kUp : Service::kDown, up ? 1.0 : 0.0});
        const size_t here = index_of(a, b, c);
        if (a + 1 < kSide) add(here, index_of(a + 1, b, c), a);
        if (b + 1 < kSide) add(here, index_of(a, b + 1, c), b);
        if (c + 1 < kSide) add(here, index_of(a, b, c + 1), c);
      }
  return Chain::make(std::move(states), rates);
}

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

martlet::Result<void> run() {
  const Chain chain = TRY(three_pools());
  fmt::print("{} states, {} arcs\n", chain.size(), chain.arcs());
  auto begin = std::chrono::steady_clock::now();
  const auto availability = TRY(martlet::models::availability(chain));
  fmt::print("stationary {:.2f} s, unavailability {:.6e}\n", seconds_since(begin),
             availability.unavailability);
  for (const double mission : {168.0, 8766.0}) {
    std::vector<double> hours;
    for (int i = 1; i <= 100; ++i) hours.push_back(mission * i / 100);
    begin = std::chrono::steady_clock::now();
    const auto points = TRY(martlet::models::transient(chain, hours));
    fmt::print("transient, 100 points to {} h {:.2f} s, unavailability {:.6e}, error {:.1e}\n",
               mission, seconds_since(begin), points.back().unavailability,
               points.back().error_bound);
  }
  return {};
}

std::string catalogue() {
  std::string text;
  for (int i = 1; i <= 10; ++i)
    text += fmt::format(
        "[[servers]]\nname = 's{0}'\nprice = {1}\nmtbf_hours = {2}\n"
        "disk_mtbf_hours = {2}\nmemory = '256GB'\n",
        i, 3000 + 900 * i, 30000 + 15000 * i);
  for (int i = 1; i <= 6; ++i)
    text += fmt::format(
        "[[switches]]\nname = 'w{0}'\nprice = {1}\nmtbf_hours = {2}\n"
        "rate = '{0}0Gbit/s'\n",
        i, 500 * i, 100000 * i);
  for (int i = 1; i <= 2; ++i)
    text += fmt::format("[[storages]]\nname = 'a{0}'\nprice = {0}0000\nmtbf_hours = {0}00000\n", i);
  for (int i = 1; i <= 4; ++i)
    text += fmt::format(
        "[[repairs]]\nname = 'r{0}'\nprice_per_year = {1}\nrepair = '{2}'\n"
        "visit_hours = {0}0\n",
        i, 9000 / i, i == 1 ? "prompt" : "visit");
  return text;
}

martlet::Result<void> choose() {
  const auto plan = TRY(martlet::models::parse_plan(
      catalogue() + "[requirements]\ndowntime_minutes_per_year = 60\nbudget = 80000\n"
                    "[[services]]\nname = 'db'\nmemory = '48GB'\nfile_bytes = '200GB'\n"
                    "write_rate = '40MB/s'\nrestart = '45s'\n",
      nullptr));
  const auto begin = std::chrono::steady_clock::now();
  const auto selection = TRY(martlet::models::select(plan));
  fmt::print("choice among {} designs {:.2f} s, {} satisfy\n", selection.candidates.size(),
             seconds_since(begin), selection.satisfying.size());
  return {};
}

martlet::Result<void> run_all() {
  TRY(run());
  return choose();
}

}  // namespace

int main() {
  const auto result = run_all();
  if (result) return 0;
  fmt::print(stderr, "markov_bench: {}\n", result.error().to_string());
  return 1;
}
