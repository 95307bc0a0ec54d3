// Large chains on one core: stationary distribution, and 100 points of time. The chain is that of
// three pools of machines, each with its own crew, and about 10^5 states.
#include <fmt/format.h>

#include <chrono>

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

}  // namespace

int main() {
  const auto result = run();
  if (result) return 0;
  fmt::print(stderr, "markov_bench: {}\n", result.error().to_string());
  return 1;
}
