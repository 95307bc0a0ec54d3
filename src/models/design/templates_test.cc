#include "models/design/templates.h"

#include <gmock/gmock.h>

#include <set>

#include "models/markov/interruption.h"
#include "models/markov/stationary.h"
#include "models/markov/testing.h"
#include "models/markov/transient.h"

namespace martlet::models {
namespace {

using testing::HasSubstr;

ChainModel model_of(const DesignOptions& options) {
  return must(ChainModel::make(must(design_chain(options))));
}
double unavailability(const DesignOptions& options, const ParameterValues& values = {}) {
  return must(availability(must(model_of(options).at(values)))).unavailability;
}

std::vector<DesignOptions> every_variant() {
  std::vector<DesignOptions> all;
  for (const DesignInfo& info : designs())
    for (int bits = 0; bits < 32; ++bits)
      for (const int switches : {0, 1, 2}) {
        DesignOptions options{.design = info.design, .switches = switches, .hosts = 3, .spares = 1};
        options.repair = static_cast<Repair>(bits & 1);
        options.crews = static_cast<Crews>(bits >> 1 & 1);
        options.storage = static_cast<Storage>(bits >> 2 & 1);
        options.move_back = static_cast<MoveBack>(bits >> 3 & 1);
        options.rebuild = static_cast<Rebuild>(bits >> 4 & 1);
        all.push_back(options);
      }
  return all;
}

TEST(Designs, EveryVariantIsAChainWithOneClosedClass) {
  for (const DesignOptions& options : every_variant()) {
    const double found = unavailability(options);
    EXPECT_GE(found, 0) << describe(options);
    EXPECT_LT(found, 0.01) << describe(options);
  }
}

TEST(Designs, ASingleServerInClosedForm) {
  DesignOptions options{.design = Design::kSingle, .storage = Storage::kShared, .switches = 0};
  const double server = 1.115e-5 / 0.33;
  const double storage = 3.425e-6 / 0.17;
  // Two components that fail and are repaired on their own.
  EXPECT_NEAR(unavailability(options) / (1 - 1 / ((1 + server) * (1 + storage))), 1, 1e-12);
}

TEST(Designs, ATwoServerClusterThatNeverRestartsSlowlyIsAParallelPair) {
  DesignOptions options{.design = Design::kHa, .storage = Storage::kShared, .switches = 0};
  const double ratio = 1e-3 / (1e-3 + 0.33);
  const double found =
      unavailability(options, {{"lambda_s", 1e-3}, {"lambda_st", 0}, {"gamma", 1e12}, {"c", 1}});
  EXPECT_NEAR(found / (ratio * ratio), 1, 1e-8);
}

// Failures often enough that a few thousand walks see them all.
const ParameterValues& busy_rates() {
  static const ParameterValues kRates{{"lambda_s", 0.02},  {"lambda_d", 0.01}, {"lambda_sw", 0.01},
                                      {"lambda_st", 0.01}, {"mu_s", 0.3},      {"mu_d", 0.2},
                                      {"mu_sw", 0.5},      {"mu_st", 0.4},     {"nu", 0.2},
                                      {"sigma", 1},        {"gamma", 3},       {"c", 0.8},
                                      {"rho", 0.7},        {"m", 1},           {"theta", 5}};
  return kRates;
}

ParameterValues busy_rates_of(const ChainModel& model) {
  ParameterValues values;
  for (const ParameterDescription& parameter : model.description().parameters)
    if (busy_rates().contains(parameter.name))
      values[parameter.name] = busy_rates().at(parameter.name);
  return values;
}

// Down time, first failure and interruptions of each design as a simulation sees them.
TEST(Designs, AgreeWithSimulation) {
  constexpr double kMission = 60;
  constexpr size_t kRuns = 10'000;
  for (const DesignOptions& options : every_variant()) {
    if (options.switches == 0 || (options.switches == 2) != (options.crews == Crews::kOne))
      continue;
    if (options.design != Design::kHa && options.move_back == MoveBack::kYes) continue;
    if (options.design != Design::kFt && options.rebuild == Rebuild::kStopped) continue;
    const ChainModel model = model_of(options);
    const Chain chain = must(model.at(busy_rates_of(model)));
    std::mt19937_64 random(41);
    std::vector<double> down;
    std::vector<double> kept;
    for (size_t i = 0; i < kRuns; ++i) {
      const Walk seen = walk(chain, kMission, random);
      down.push_back(seen.down_hours);
      kept.push_back(seen.longest_interruption <= 1 ? 1 : 0);
    }
    const TransientPoint end = must(transient(chain, {kMission})).back();
    EXPECT_TRUE(estimate_of(down).agrees_with(end.down_hours)) << describe(options);
    const Bounds bounds = must(no_interruption(chain, 1, kMission));
    const Estimate estimate = estimate_of(kept);
    EXPECT_LE(bounds.lower, estimate.mean + 3 * estimate.error) << describe(options);
    EXPECT_GE(bounds.upper, estimate.mean - 3 * estimate.error) << describe(options);
  }
}

TEST(Designs, MoreRepairLessDownTime) {
  for (const Design design : {Design::kSingle, Design::kHa, Design::kFt, Design::kPool}) {
    DesignOptions options{.design = design};
    const double prompt = unavailability(options);
    options.crews = Crews::kOne;
    EXPECT_GE(unavailability(options), prompt);
    options.repair = Repair::kVisit;
    EXPECT_GT(unavailability(options), prompt);
    options = {.design = design, .switches = 2};
    EXPECT_LT(unavailability(options), prompt);
  }
}

TEST(Designs, APauseOfTheMoveBackIsDownTime) {
  const DesignOptions moves{.design = Design::kHa, .move_back = MoveBack::kYes};
  const double stays = unavailability({.design = Design::kHa});
  EXPECT_NEAR(unavailability(moves, {{"theta", 1e9}}) / stays, 1, 1e-3);
  EXPECT_GT(unavailability(moves, {{"theta", 10}}), 1.15 * stays);
}

TEST(Designs, SparesHelpAPool) {
  double before = 1;
  for (const int spares : {0, 1, 2}) {
    const double now =
        unavailability({.design = Design::kPool, .switches = 0, .hosts = 8, .spares = spares});
    EXPECT_LT(now, before);
    before = now;
  }
}

// The orderings of Aleksankov 2017 at equal total cost: what is saved on the number of servers buys
// better ones. K(t) at many times; the failure rates are those of the source.

std::vector<double> unavailability_over_time(const DesignOptions& options,
                                             const ParameterValues& values) {
  std::vector<double> result;
  for (const TransientPoint& point :
       must(transient(must(model_of(options).at(values)), {24, 168, 720, 2190, 8766})))
    result.push_back(point.unavailability);
  return result;
}

TEST(Orderings, PromptRepairFavoursFaultTolerance) {
  const auto ft = unavailability_over_time({.design = Design::kFt}, {{"lambda_s", 1e-4}});
  const auto ha = unavailability_over_time({.design = Design::kHa}, {{"lambda_s", 1e-3}});
  const auto single = unavailability_over_time({.design = Design::kSingle}, {{"lambda_s", 9e-6}});
  for (size_t i = 0; i < ft.size(); ++i) {
    EXPECT_LT(ft[i], ha[i]);
    EXPECT_LT(ft[i], single[i]);
  }
}

// This ordering does not follow from the failure rates alone. It needs a single server that serves
// without a switch and whose rate has its disks in it, visits that are rare (each 400 h), and a
// shadow that repeats some of the faults of its original, which a restart would cure: coverage 0.5
// in FT, 0.99 in HA.
TEST(Orderings, RepairByVisitFavoursTheSingleServer) {
  const ParameterValues rare{{"nu", 1.0 / 400}, {"lambda_d", 0}};
  const auto with = [&](ParameterValues values) {
    values.insert(rare.begin(), rare.end());
    return values;
  };
  const auto visit = [](Design design, int switches) {
    return DesignOptions{.design = design, .repair = Repair::kVisit, .switches = switches};
  };
  const auto ft =
      unavailability_over_time(visit(Design::kFt, 1), with({{"lambda_s", 1e-5}, {"c", 0.5}}));
  const auto ha = unavailability_over_time(visit(Design::kHa, 1), with({{"lambda_s", 1e-4}}));
  const auto single =
      unavailability_over_time(visit(Design::kSingle, 0), with({{"lambda_s", 9e-6}}));
  EXPECT_LT(single.back(), ha.back());
  EXPECT_LT(ha.back(), ft.back());
  for (size_t i = 0; i < ft.size(); ++i) EXPECT_GT(ft[i], single[i]);
}

TEST(Orderings, SameServersWithoutLimitsFavourFaultTolerance) {
  const double ft = unavailability({.design = Design::kFt});
  const double ha = unavailability({.design = Design::kHa});
  EXPECT_LT(ft, ha);
  EXPECT_LT(ha, unavailability({.design = Design::kSingle}));
}

// A link too slow to build a shadow while the service runs: it stops for 1/m instead.
TEST(Orderings, ALimitedNetworkFavoursHighAvailability) {
  const DesignOptions limited{.design = Design::kFt, .rebuild = Rebuild::kStopped};
  const double ha = unavailability({.design = Design::kHa});
  EXPECT_LT(ha, unavailability(limited));
  EXPECT_LT(ha, unavailability({.design = Design::kSingle}));
}

// One crew that comes once in a week: both wait for the same repairs.
TEST(Orderings, LimitedRepairMakesHighAvailabilityAndFaultToleranceAlike) {
  const auto limited = [](Design design) {
    return unavailability({.design = design, .repair = Repair::kVisit, .crews = Crews::kOne},
                          {{"nu", 1.0 / 168}, {"c", 1}});
  };
  EXPECT_NEAR(limited(Design::kHa) / limited(Design::kFt), 1, 0.01);
  EXPECT_LE(limited(Design::kFt), limited(Design::kHa));
}

TEST(Designs, OptionsAreSetByNameOrRefused) {
  DesignOptions options;
  for (const auto& [name, text] :
       std::initializer_list<std::pair<const char*, const char*>>{{"repair", "visit"},
                                                                  {"crews", "one"},
                                                                  {"storage", "shared"},
                                                                  {"switches", "2"},
                                                                  {"move_back", "yes"},
                                                                  {"rebuild", "stopped"},
                                                                  {"hosts", "6"},
                                                                  {"spares", "2"}})
    must(set_option(options, name, text));
  EXPECT_EQ(describe(options),
            "ha, repair by visit by one crew, shared storage, 2 switches, moves back");
  EXPECT_THAT(set_option(options, "repair", "never").error().to_string(),
              HasSubstr("'prompt' or 'visit'"));
  EXPECT_THAT(set_option(options, "switches", "-1").error().to_string(), HasSubstr("from 0 to"));
  EXPECT_THAT(set_option(options, "colour", "red").error().to_string(),
              HasSubstr("no option 'colour'"));
  EXPECT_FALSE(design_chain({.switches = 3}));
  EXPECT_FALSE(design_chain({.design = Design::kPool, .hosts = 30, .spares = 3}));
}

}  // namespace
}  // namespace martlet::models
