#include "models/markov/interruption.h"

#include <gtest/gtest.h>

#include "models/markov/testing.h"
#include "models/markov/transient.h"

namespace martlet::models {
namespace {

Chain single(double lambda, double mu) {
  return chain_of(2, {{0, 1, lambda}, {1, 0, mu}}, 1);
}

TEST(NoInterruption, WithNoneAllowedIsTheTimeToTheFirst) {
  const Bounds found = must(no_interruption(single(1e-3, 0.5), 0, 1000));
  EXPECT_EQ(found.lower, found.upper);
  EXPECT_NEAR(found.lower, std::exp(-1), 1e-12);
}

// Each failure is too long with probability e^{-mu·allowed}; the lower bound takes no time off.
TEST(NoInterruption, OfASingleMachineInClosedForm) {
  const double lambda = 1e-3;
  const double mu = 2;
  const double allowed = 0.5;
  const Bounds found = must(no_interruption(single(lambda, mu), allowed, 1000));
  EXPECT_NEAR(found.lower, std::exp(-lambda * std::exp(-mu * allowed) * (1000 - allowed)), 1e-12);
  EXPECT_GE(found.upper, found.lower);
  EXPECT_LT(found.upper - found.lower, 5e-3);
}

TEST(NoInterruption, IsOneForAnyThatIsAsLongAsTheMission) {
  EXPECT_EQ(must(no_interruption(single(1, 1), 10, 5)).lower, 1);
  EXPECT_EQ(must(no_interruption(single(1, 1), 10, 0)).lower, 1);
}

TEST(NoInterruption, CountsFromAStartThatIsDown) {
  const Chain chain = chain_of(2, {{0, 1, 1e-9}, {1, 0, 2}}, 1, 1);
  EXPECT_NEAR(must(no_interruption(chain, 1, 100)).lower, 1 - std::exp(-2), 1e-6);
}

TEST(NoInterruption, RandomChainsAgreeWithSimulation) {
  std::mt19937 random(31);
  for (int i = 0; i < 6; ++i) {
    const Chain chain = random_chain(random, 6, 0.05, 2);
    const double allowed = 0.5 + 0.5 * i;
    const Bounds found = must(no_interruption(chain, allowed, 20));
    const Estimate seen = simulate(chain, 20, 20'000, 77, [&](const Walk& walk) {
      return walk.longest_interruption <= allowed ? 1.0 : 0.0;
    });
    EXPECT_LE(found.lower, seen.mean + 3 * seen.error) << i;
    EXPECT_GE(found.upper, seen.mean - 3 * seen.error) << i;
  }
}

// An interval of many equal phases is nearly a fixed one.
TEST(NoInterruption, PhasesComeToTheFixedTime) {
  const Chain chain =
      chain_of(4, {{0, 1, 0.02}, {1, 2, 3}, {1, 0, 1}, {2, 0, 2}, {0, 3, 0.01}, {3, 0, 0.2}}, 1);
  const Bounds fixed = must(no_interruption(chain, 1, 50));
  const double few = must(no_interruption(chain, PhaseType::erlang(4, 1), 50));
  const double many = must(no_interruption(chain, PhaseType::erlang(200, 1), 50));
  EXPECT_GT(many, fixed.lower - 1e-3);
  EXPECT_LT(many, fixed.upper + 1e-3);
  EXPECT_GT(std::abs(few - fixed.middle()), std::abs(many - fixed.middle()));
}

// Exponential limit: a race between repair and limit.
TEST(NoInterruption, WithOnePhaseIsARace) {
  const double found = must(no_interruption(single(1e-3, 2), PhaseType::erlang(1, 1), 1000));
  const Chain chain = chain_of(3, {{0, 1, 1e-3}, {1, 0, 2}, {1, 2, 1}}, 1);
  Evolution race(chain);
  must(race.advance(1000));
  EXPECT_NEAR(found, 1 - race.distribution()[2], 1e-12);
}

TEST(NoInterruption, FallsWithTheMissionAndRisesWithWhatIsAllowed) {
  const Chain chain = single(1e-2, 0.5);
  double before = 1;
  for (const double mission : {10.0, 100.0, 1000.0}) {
    const double now = must(no_interruption(chain, 1, mission)).lower;
    EXPECT_LT(now, before);
    EXPECT_GT(must(no_interruption(chain, 2, mission)).lower, now);
    before = now;
  }
}

}  // namespace
}  // namespace martlet::models
