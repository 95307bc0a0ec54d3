#include "models/markov/stationary.h"

#include <gmock/gmock.h>

#include <Eigen/Dense>
#include <numeric>

#include "models/markov/elimination.h"
#include "models/markov/multilevel.h"
#include "models/markov/testing.h"

namespace martlet::models {
namespace {

using testing::HasSubstr;

void expect_relative(double value, double expected, double tolerance) {
  EXPECT_NEAR(value / expected, 1, tolerance) << value << " for " << expected;
}

TEST(Stationary, OfASingleMachine) {
  const Chain chain =
      birth_death(2, [](double) { return 1.115e-5; }, [](double) { return 0.33; }, 1);
  const Availability found = must(availability(chain));
  expect_relative(found.unavailability, 1.115e-5 / (1.115e-5 + 0.33), 1e-12);
  expect_relative(found.mean_interruption, 1 / 0.33, 1e-12);
  expect_relative(must(mean_time_to_failure(chain)), 1 / 1.115e-5, 1e-12);
}

// Two machines in parallel, down when both are: one crew and two.
TEST(Stationary, OfTwoMachinesWithOneCrewAndWithTwo) {
  const double lambda = 1e-4;
  const double mu = 0.25;
  const double rho = lambda / mu;
  const auto failure = [&](double failed) { return (2 - failed) * lambda; };
  const Chain one = birth_death(3, failure, [&](double) { return mu; }, 2);
  const Chain two = birth_death(3, failure, [&](double failed) { return failed * mu; }, 2);
  expect_relative(must(availability(one)).unavailability,
                  2 * rho * rho / (1 + 2 * rho + 2 * rho * rho), 1e-12);
  expect_relative(must(availability(two)).unavailability, std::pow(lambda / (lambda + mu), 2),
                  1e-12);
  expect_relative(must(mean_time_to_failure(two)), (3 * lambda + mu) / (2 * lambda * lambda),
                  1e-12);
}

// The queue M/M/1 with room for 40, and a birth-death chain with rates of its own for each state.
TEST(Stationary, OfBirthAndDeath) {
  const double rho = 0.7;
  const Chain queue = birth_death(41, [&](double) { return rho; }, [](double) { return 1.0; }, 41);
  const std::vector<double> lengths = must(stationary_distribution(queue));
  for (size_t k = 0; k < lengths.size(); ++k)
    expect_relative(lengths[k], (1 - rho) * std::pow(rho, k) / (1 - std::pow(rho, 41)), 1e-12);
  const auto birth = [](double k) { return 1e-3 * (1 + k); };
  const auto death = [](double k) { return std::sqrt(k) * 2; };
  const std::vector<double> found = must(stationary_distribution(birth_death(30, birth, death, 1)));
  double product = 1;
  for (size_t k = 0; k + 1 < found.size(); ++k) {
    product *= birth(static_cast<double>(k)) / death(static_cast<double>(k + 1));
    expect_relative(found[k + 1] / found[0], product, 1e-12);
  }
}

TEST(Stationary, OfRandomChainsAsALibrarySolvesThem) {
  std::mt19937 random(11);
  for (int i = 0; i < 50; ++i) {
    const Chain chain = random_chain(random, 2 + random() % 40, 0.01, 10);
    const auto n = static_cast<Eigen::Index>(chain.size());
    Eigen::MatrixXd q = Eigen::MatrixXd::Zero(n, n);
    for (size_t from = 0; from < chain.size(); ++from)
      for (const Arc& arc : chain.from(from)) {
        q(static_cast<Eigen::Index>(arc.to), static_cast<Eigen::Index>(from)) += arc.rate;
        q(static_cast<Eigen::Index>(from), static_cast<Eigen::Index>(from)) -= arc.rate;
      }
    q.row(n - 1).setOnes();
    Eigen::VectorXd right = Eigen::VectorXd::Zero(n);
    right(n - 1) = 1;
    const Eigen::VectorXd expected = q.fullPivLu().solve(right);
    const std::vector<double> found = must(stationary_distribution(chain));
    EXPECT_NEAR(std::accumulate(found.begin(), found.end(), 0.0), 1, 1e-14);
    for (Eigen::Index k = 0; k < n; ++k)
      EXPECT_NEAR(found[static_cast<size_t>(k)], expected(k), 1e-10);
  }
}

// Rates from 1e-9 to 1e3, against elimination with 34 digits: each component has its digits.
TEST(Stationary, OfStiffChainsHasSmallRelativeErrors) {
  std::mt19937 random(12);
  for (int i = 0; i < 20; ++i) {
    const Chain chain = random_chain(random, 30, 1e-9, 1e3);
    const std::vector<__float128> expected = solve_stationary<__float128>(chain);
    const std::vector<double> found = must(stationary_distribution(chain));
    for (size_t k = 0; k < found.size(); ++k)
      expect_relative(found[k], static_cast<double>(expected[k]), 1e-12);
  }
}

TEST(Stationary, ByLevelsAgreesWithElimination) {
  std::mt19937 random(13);
  for (const double low : {1e-2, 1e-6}) {
    const Chain chain = random_chain(random, 700, low, 10);
    std::vector<size_t> all(chain.size());
    std::iota(all.begin(), all.end(), size_t{0});
    const std::vector<double> expected = stationary_by_elimination(RateMatrix(chain, all));
    const std::vector<double> found = must(stationary_by_levels(incoming_arcs(chain)));
    for (size_t k = 0; k < found.size(); ++k) expect_relative(found[k], expected[k], 1e-9);
  }
}

TEST(Stationary, ByLevelsOfAGridOfTwoIndependentPools) {
  constexpr size_t kSide = 60;
  const double failure = 1e-3;
  const double repair = 0.05;
  std::vector<Rate> rates;
  for (size_t a = 0; a < kSide; ++a)
    for (size_t b = 0; b < kSide; ++b) {
      const size_t here = a * kSide + b;
      if (a + 1 < kSide)
        rates.push_back({here, here + kSide, failure * static_cast<double>(kSide - a)});
      if (a + 1 < kSide) rates.push_back({here + kSide, here, repair});
      if (b + 1 < kSide) rates.push_back({here, here + 1, failure});
      if (b + 1 < kSide) rates.push_back({here + 1, here, repair});
    }
  const std::vector<double> found =
      must(stationary_distribution(chain_of(kSide * kSide, rates, 1)));
  const std::vector<double> b = must(stationary_distribution(
      birth_death(kSide, [&](double) { return failure; }, [&](double) { return repair; }, 1)));
  const std::vector<double> a = must(stationary_distribution(birth_death(
      kSide, [&](double k) { return failure * (kSide - k); }, [&](double) { return repair; }, 1)));
  for (size_t i = 0; i < found.size(); ++i)
    EXPECT_NEAR(found[i], a[i / kSide] * b[i % kSide], 1e-11);
}

TEST(Stationary, LeavesTransientStatesEmptyAndNamesTwoClosedClasses) {
  const Chain once = chain_of(3, {{0, 1, 1}, {1, 2, 2}, {2, 1, 3}}, 2);
  EXPECT_EQ(must(stationary_distribution(once))[0], 0);
  const Chain split = chain_of(3, {{0, 1, 1}, {0, 2, 2}}, 2);
  const auto refused = stationary_distribution(split);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().to_string(),
              HasSubstr("two closed classes, that of '1' and that of '2'"));
}

TEST(Stationary, RefusesBadRatesByName) {
  const auto make = [](double rate, size_t to) {
    return Chain::make({{.name = "a"}, {.name = "b"}}, {{0, to, rate}});
  };
  EXPECT_THAT(make(-1, 1).error().to_string(), HasSubstr("'a' to 'b' is negative"));
  EXPECT_THAT(make(INFINITY, 1).error().to_string(), HasSubstr("not a finite number"));
  EXPECT_THAT(make(1, 0).error().to_string(), HasSubstr("leads nowhere"));
}

TEST(MeanTimeToFailure, OfStiffChainsHasASmallRelativeError) {
  // Three of three units must fail; two crews of very different speed.
  const double l = 1e-7;
  const double m = 1e2;
  const Chain chain =
      chain_of(4, {{0, 1, 3 * l}, {1, 2, 2 * l}, {2, 3, l}, {1, 0, m}, {2, 1, m}}, 3);
  // x0 = 1/(3l) + x1, x1 = (1 + 2l·x2 + m·x0)/(2l + m), x2 = (1 + m·x1)/(l + m), solved by hand.
  const double expected =
      1 / (3 * l) + (1 + m / (3 * l)) / (2 * l) + (1 + m / (2 * l) * (1 + m / (3 * l))) / l;
  expect_relative(must(mean_time_to_failure(chain)), expected, 1e-12);
}

TEST(MeanTimeToFailure, NamesTheStateThatNeverFails) {
  const Chain chain = chain_of(2, {{0, 1, 1}, {1, 0, 1}}, 2);
  EXPECT_THAT(mean_time_to_failure(chain).error().to_string(), HasSubstr("no way from state"));
}

ChainModel pair_model() {
  ChainDescription pair{
      .title = "pair", .parameters = {}, .states = {}, .transitions = {}, .initial = ""};
  const auto rate = [](const char* text) { return must(Expression::parse(text)); };
  pair.parameters = {{"lambda", rate("1e-3"), ""},
                     {"mu", rate("0.2"), ""},
                     {"c", rate("1"), ""},
                     {"gamma", rate("50*mu"), ""}};
  pair.states = {{.name = "both"},
                 {.name = "one"},
                 {.name = "none", .service = Service::kDown},
                 {.name = "stuck", .service = Service::kDown}};
  pair.transitions = {
      {"both", "one", rate("2*lambda*c"), ""}, {"both", "stuck", rate("2*lambda*(1-c)"), ""},
      {"one", "none", rate("lambda"), ""},     {"one", "both", rate("mu"), ""},
      {"none", "one", rate("mu"), ""},         {"stuck", "one", rate("gamma"), ""}};
  return must(ChainModel::make(std::move(pair)));
}

// Also by c = 1, where the state that it would fill is empty, and by a parameter of a parameter.
TEST(Sensitivity, IsTheDerivative) {
  const ChainModel model = pair_model();
  for (const double c : {1.0, 0.9}) {
    for (const Sensitivity& found : must(sensitivities(model, {{"c", c}}))) {
      const double step = found.value * 1e-4 * (found.parameter == "c" ? -1 : 1);
      const auto at = [&](double value) {
        ParameterValues values{{"c", c}};
        values[found.parameter] = value;
        return must(availability(must(model.at(values)))).unavailability;
      };
      // One-sided, of second order: c cannot pass 1.
      const double expected =
          (-3 * at(found.value) + 4 * at(found.value + step) - at(found.value + 2 * step)) /
          (2 * step);
      EXPECT_NEAR(found.unavailability, expected, 1e-4 * std::abs(expected) + 1e-12);
      EXPECT_NEAR(found.reward, -found.unavailability, 1e-9 * std::abs(found.unavailability));
    }
  }
}

TEST(Sensitivity, OfASingleMachineInClosedForm) {
  ChainDescription single{
      .title = "single", .parameters = {}, .states = {}, .transitions = {}, .initial = ""};
  single.parameters = {{"l", Expression(1e-5), ""}, {"m", Expression(0.3), ""}};
  single.states = {{.name = "up"}, {.name = "down", .service = Service::kDown}};
  single.transitions = {{"up", "down", must(Expression::parse("l")), ""},
                        {"down", "up", must(Expression::parse("m")), ""}};
  const auto found = must(sensitivities(must(ChainModel::make(single))));
  const double sum = 1e-5 + 0.3;
  expect_relative(found[0].unavailability, 0.3 / (sum * sum), 1e-12);
  expect_relative(found[1].unavailability, -1e-5 / (sum * sum), 1e-12);
  expect_relative(found[0].elasticity, 0.3 / sum, 1e-12);
}

}  // namespace
}  // namespace martlet::models
