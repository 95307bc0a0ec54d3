#include "models/markov/transient.h"

#include <gtest/gtest.h>

#include <Eigen/Dense>
#include <numeric>
#include <unsupported/Eigen/MatrixFunctions>

#include "models/markov/poisson.h"
#include "models/markov/squaring.h"
#include "models/markov/stationary.h"
#include "models/markov/testing.h"

namespace martlet::models {
namespace {

using TransientMethod::kSquaring;
using TransientMethod::kUniformisation;

// e^{Qt} in 64 bits of mantissa by Padé's approximation: another method, of another library.
Eigen::Matrix<long double, -1, -1> exponential(const Chain& chain, double hours) {
  const auto n = static_cast<Eigen::Index>(chain.size());
  Eigen::Matrix<long double, -1, -1> q = Eigen::Matrix<long double, -1, -1>::Zero(n, n);
  for (size_t i = 0; i < chain.size(); ++i) {
    const auto row = static_cast<Eigen::Index>(i);
    for (const Arc& arc : chain.from(i)) {
      q(row, static_cast<Eigen::Index>(arc.to)) = arc.rate;
      q(row, row) -= arc.rate;
    }
  }
  q *= hours;
  return q.exp();
}

TEST(Poisson, WeightsAreThoseOfTheLaw) {
  for (const double mean : {0.0, 0.1, 1.0, 30.5, 1e4, 1e7}) {
    const PoissonWeights poisson = poisson_weights(mean);
    EXPECT_LT(poisson.left_out, 1e-18);
    double sum = 0;
    double first_moment = 0;
    for (size_t i = 0; i < poisson.weights.size(); ++i) {
      sum += poisson.weights[i];
      first_moment += poisson.weights[i] * static_cast<double>(poisson.first + i);
    }
    EXPECT_NEAR(sum, 1, 1e-12);
    EXPECT_NEAR(first_moment, mean, 1e-12 * std::max(mean, 1.0));
  }
  EXPECT_NEAR(poisson_weights(2).weights[0], std::exp(-2), 1e-15);
  EXPECT_EQ(poisson_quantile(0, 1e-9), 0u);
  EXPECT_EQ(poisson_quantile(1e-6, 1e-9), 1u);
}

TEST(Transient, OfASingleMachineInClosedForm) {
  const double l = 1e-3;
  const double m = 0.25;
  const Chain chain = birth_death(2, [&](double) { return l; }, [&](double) { return m; }, 1);
  for (const TransientMethod method : {kUniformisation, kSquaring}) {
    for (const TransientPoint& point : must(transient(chain, {0, 0.1, 1, 10, 1000, 1e5}, method))) {
      const double s = l + m;
      const double gone = -std::expm1(-s * point.hours);
      EXPECT_NEAR(point.unavailability, l / s * gone, 1e-12 * l / s);
      EXPECT_NEAR(point.down_hours, l / s * (point.hours - gone / s), 1e-12 * point.hours);
      EXPECT_LT(point.error_bound, 1e-9);
    }
  }
}

// K(0) = 1; probabilities stay probabilities; the hours add up; K(t) comes to K.
TEST(Transient, HasTheseProperties) {
  std::mt19937 random(21);
  for (int i = 0; i < 30; ++i) {
    const Chain chain = random_chain(random, 2 + random() % 20, 1e-2, 10);
    for (const TransientMethod method : {kUniformisation, kSquaring}) {
      Evolution evolution(chain, chain.start(), method);
      EXPECT_EQ(dot(evolution.distribution(), chain.up_indicator()), 1);
      for (const double step : {0.01, 1.0, 10.0, 3000.0}) {
        must(evolution.advance(step));
        const auto& p = evolution.distribution();
        EXPECT_NEAR(std::accumulate(p.begin(), p.end(), 0.0), 1, 1e-14);
        EXPECT_GE(*std::ranges::min_element(p), 0);
        const auto& hours = evolution.cumulated();
        EXPECT_NEAR(std::accumulate(hours.begin(), hours.end(), 0.0) / evolution.now(), 1, 1e-12);
      }
      const std::vector<double> limit = must(stationary_distribution(chain));
      for (size_t k = 0; k < limit.size(); ++k)
        EXPECT_NEAR(evolution.distribution()[k], limit[k], 1e-11);
    }
  }
}

TEST(Transient, BothMethodsAgreeWithTheExponential) {
  std::mt19937 random(22);
  for (int i = 0; i < 20; ++i) {
    const Chain chain = random_chain(random, 12, 1e-3, 10);
    const double hours = std::pow(10, i % 4 - 1);
    const auto expected = exponential(chain, hours);
    for (const TransientMethod method : {kUniformisation, kSquaring}) {
      Evolution evolution(chain, chain.start(), method);
      must(evolution.advance(hours));
      double difference = 0;
      for (size_t k = 0; k < chain.size(); ++k)
        difference += std::abs(evolution.distribution()[k] -
                               static_cast<double>(expected(0, static_cast<Eigen::Index>(k))));
      EXPECT_LT(difference, 1e-12);
      EXPECT_LT(difference, evolution.error_bound() + 1e-13);
    }
  }
}

// Rates from 1e-9 to 1e3 over a year: 10^7 events.
TEST(Transient, OfStiffChainsAgreesWithHigherPrecision) {
  std::mt19937 random(23);
  for (int i = 0; i < 5; ++i) {
    const Chain chain = random_chain(random, 15, 1e-9, 1e3);
    for (const double hours : {1.0, 8766.0}) {
      Evolution evolution(chain, chain.start(), kSquaring);
      must(evolution.advance(hours));
      const auto expected = exponential(chain, hours);
      for (size_t k = 0; k < chain.size(); ++k)
        EXPECT_NEAR(evolution.distribution()[k],
                    static_cast<double>(expected(0, static_cast<Eigen::Index>(k))), 1e-11);
    }
  }
}

TEST(Transient, MethodsAgreeOnAStiffChain) {
  const Chain chain = chain_of(3, {{0, 1, 2e-6}, {1, 2, 1e-6}, {1, 0, 50}, {2, 1, 0.1}}, 2);
  const auto series = must(transient(chain, {100, 2000}, kUniformisation));
  const auto matrix = must(transient(chain, {100, 2000}, kSquaring));
  for (size_t i = 0; i < series.size(); ++i) {
    EXPECT_NEAR(series[i].unavailability / matrix[i].unavailability, 1, 1e-10);
    EXPECT_NEAR(series[i].down_hours / matrix[i].down_hours, 1, 1e-10);
  }
}

TEST(Transient, StopsEarlyOnlyWhereNothingChangesAnyMore) {
  std::mt19937 random(24);
  const Chain chain = random_chain(random, 40, 0.1, 5);
  Evolution early(chain, chain.start(), kUniformisation);
  early.ends_in(must(stationary_distribution(chain)));
  Evolution full(chain, chain.start(), kUniformisation);
  for (const double hours : {0.5, 20.0, 2000.0}) {
    must(early.advance(hours));
    must(full.advance(hours));
    for (size_t k = 0; k < chain.size(); ++k) {
      EXPECT_NEAR(early.distribution()[k], full.distribution()[k], 2e-12);
      EXPECT_NEAR(early.cumulated()[k], full.cumulated()[k], 2e-12 * full.now());
    }
  }
}

TEST(Transient, RefusesTimesThatFallAndWorkWithoutEnd) {
  const Chain chain = chain_of(2, {{0, 1, 1e12}, {1, 0, 1}}, 1);
  EXPECT_FALSE(transient(chain, {2, 1}));
  EXPECT_FALSE(transient(chain, {NAN}));
  const auto refused = transient(chain, {1e6}, kUniformisation);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().to_string().find("leaves '0'"), std::string::npos);
  EXPECT_TRUE(transient(chain, {1e6}));
}

}  // namespace
}  // namespace martlet::models
