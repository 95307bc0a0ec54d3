#include "models/mode_choice.h"

#include <gmock/gmock.h>

#include "models/testing.h"

namespace martlet::models {
namespace {

using testing::HasSubstr;

Prediction prediction_of(MoveMode mode, double pause, double total) {
  Prediction prediction;
  prediction.mode = mode;
  prediction.pause = {pause / 2, pause};
  prediction.total = {total / 2, total};
  return prediction;
}

std::vector<Prediction> all_modes(double stop, double precopy) {
  return {prediction_of(MoveMode::kPostcopy, 0.01, 3), prediction_of(MoveMode::kHybrid, 0.01, 4),
          prediction_of(MoveMode::kPrecopy, precopy, 5), prediction_of(MoveMode::kStop, stop, 2)};
}

TEST(ChooseMode, PrefersWhatCannotLoseTheContainer) {
  EXPECT_EQ(choose_mode(all_modes(0.04, 0.02), {.max_pause = 0.05})->prediction.mode,
            MoveMode::kStop);
  EXPECT_EQ(choose_mode(all_modes(0.4, 0.02), {.max_pause = 0.05})->prediction.mode,
            MoveMode::kPrecopy);
  EXPECT_EQ(choose_mode(all_modes(0.4, 0.2), {.max_pause = 0.05})->prediction.mode,
            MoveMode::kHybrid);
  EXPECT_EQ(choose_mode(all_modes(0.4, 0.2), {.max_pause = 0.05, .max_time = 3.5})->prediction.mode,
            MoveMode::kPostcopy);
}

TEST(ChooseMode, SaysWhy) {
  const auto choice = choose_mode(all_modes(0.4, 0.02), {.max_pause = 0.05});
  EXPECT_THAT(choice->reason, HasSubstr("precopy: its pause is at most 20 ms"));
  EXPECT_THAT(choice->reason, HasSubstr("not stop: its pause may be 400 ms"));
}

TEST(ChooseMode, RefusesAndSaysWhatWouldFit) {
  const auto choice = choose_mode(all_modes(0.4, 0.2), {.max_pause = 0.001});
  ASSERT_FALSE(choice);
  EXPECT_EQ(choice.error().code(), Code::kUnsupported);
  EXPECT_THAT(choice.error().remedy(), HasSubstr("--max-pause 10 ms"));
}

TEST(ChooseMode, LimitsThatAreNotBindingNeitherRefuseNorRiskTheContainer) {
  const MoveLimits aim{.max_pause = 0.05, .binding = false};
  EXPECT_EQ(choose_mode(all_modes(0.04, 0.02), aim)->prediction.mode, MoveMode::kStop);
  const auto choice = choose_mode(all_modes(0.4, 0.2), aim);
  ASSERT_TRUE(choice);
  EXPECT_EQ(choice->prediction.mode, MoveMode::kPrecopy);
  EXPECT_THAT(choice->reason, HasSubstr("precopy comes nearest"));
  EXPECT_THAT(choice->reason, HasSubstr("not precopy: its pause may be 200 ms"));
}

TEST(ChooseMode, NamesRoundsThatDoNotConverge) {
  auto precopy = prediction_of(MoveMode::kPrecopy, 2, 9);
  precopy.converges = Rounds::Converges::kNo;
  const auto choice = choose_mode({precopy}, {.max_pause = 0.05});
  EXPECT_THAT(choice.error().to_string(), HasSubstr("do not converge, a forced stop may take 2 s"));
}

TEST(ChooseMode, NeverTakesWhatDoesNotFit) {
  RandomInputs random;
  SCOPED_TRACE(testing::Message() << "seed " << random.seed());
  for (int i = 0; i < 1000; ++i) {
    const MoveInputs inputs = random.draw();
    std::vector<Prediction> predictions;
    for (const MoveMode mode : kMoveModes) predictions.push_back(predict(mode, inputs));
    const MoveLimits limits{inputs.options.max_pause, random.between(0.1, 1000)};
    const auto choice = choose_mode(predictions, limits);
    if (choice) {
      EXPECT_LE(choice->prediction.pause.upper, limits.max_pause);
      EXPECT_LE(choice->prediction.total.upper, limits.max_time);
      continue;
    }
    for (const Prediction& prediction : predictions)
      EXPECT_TRUE(prediction.pause.upper > limits.max_pause ||
                  prediction.total.upper > limits.max_time);
  }
}

}  // namespace
}  // namespace martlet::models
