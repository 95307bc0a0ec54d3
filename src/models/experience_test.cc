#include "models/experience.h"

#include "models/testing.h"

namespace martlet::models {
namespace {

PastMove move_that_took(double factor, const Prediction& model) {
  PastMove move{.likeness = {true, true, true}};
  for (size_t i = 0; i < kMoveStages; ++i) {
    move.modelled[i] = model.stages[i].seconds.middle();
    move.measured[i] = factor * move.modelled[i];
    move.total += move.measured[i];
    if (is_pause(static_cast<MoveStage>(i))) move.pause += move.measured[i];
  }
  return move;
}

TEST(RatioAverage, MovesTheMiddleToWhatWasMeasured) {
  RatioAverage average;
  for (int i = 0; i < 5; ++i) average.add(1, 10, 1);
  const Bounds bounds = average.apply(Bounds::exactly(1));
  EXPECT_NEAR(bounds.middle(), 10, 0.1);
  EXPECT_LT(bounds.upper / bounds.lower, 3);
}

TEST(RatioAverage, IsNeverWiderThanThreeNorNarrowerThanTheModel) {
  RatioAverage nothing;
  const Bounds unknown = nothing.apply(Bounds::exactly(1));
  EXPECT_NEAR(unknown.upper / unknown.lower, 3, 1e-9);
  RatioAverage scattered;
  for (const double ratio : {0.1, 1.0, 10.0}) scattered.add(1, ratio, 1);
  const Bounds wide = scattered.apply(Bounds::exactly(1));
  EXPECT_NEAR(wide.upper / wide.lower, 3, 1e-9);
  const Bounds wider = scattered.apply({1, 100});
  EXPECT_NEAR(wider.upper / wider.lower, 100, 1e-6);
}

// What was learned of stages of a millisecond says little about one of a minute.
TEST(RatioAverage, CountsStagesOfAboutTheSameLengthMore) {
  RatioAverage average;
  average.add(0.001, 0.01, 1);
  average.add(60, 60, 1);
  EXPECT_GT(average.apply(Bounds::exactly(0.001)).middle(), 0.008);
  EXPECT_LT(average.apply(Bounds::exactly(60)).middle(), 66);
}

TEST(RatioAverage, LeavesWhatDoesNotHappenAtZero) {
  RatioAverage average;
  average.add(1, 10, 1);
  EXPECT_EQ(average.apply({}).upper, 0);
  EXPECT_EQ(average.apply({0, 1}).lower, 0);
}

TEST(Experience, PredictsWhatItHasSeen) {
  const MoveInputs inputs = example_inputs();
  const Prediction model = predict(MoveMode::kStop, inputs);
  std::vector<PastMove> moves;
  for (uint32_t i = 0; i < 4; ++i) {
    moves.push_back(move_that_took(3, model));
    moves.back().age = i;
  }
  const Experience experience(moves);
  const Prediction corrected = predict(MoveMode::kStop, inputs, &experience);
  EXPECT_TRUE(corrected.pause.contains(moves[0].pause));
  EXPECT_TRUE(corrected.total.contains(moves[0].total));
  EXPECT_FALSE(predict(MoveMode::kStop, inputs).pause.contains(moves[0].pause));
  EXPECT_LE(corrected.pause.upper, 3.01 * corrected.pause.lower);
}

TEST(Experience, CountsNewAndAlikeMovesMore) {
  const Prediction model = predict(MoveMode::kStop, example_inputs());
  PastMove old_one = move_that_took(10, model);
  old_one.age = 30;
  PastMove other_one = move_that_took(10, model);
  other_one.likeness = {};
  const Experience experience({move_that_took(1, model), old_one, other_one});
  const Bounds stage = experience.stage(MoveMode::kStop, MoveStage::kFreeze, Bounds::exactly(1));
  EXPECT_LT(stage.middle(), 1.3);
}

}  // namespace
}  // namespace martlet::models
