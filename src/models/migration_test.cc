#include "models/migration.h"

#include "models/experience.h"
#include "models/stage_costs.h"
#include "models/testing.h"

namespace martlet::models {
namespace {

double per_page(const MoveInputs& inputs) {
  return page_costs(inputs).all().middle();
}

TEST(PredictStop, PauseGrowsByTheCostOfEachPage) {
  const Prediction small = predict(MoveMode::kStop, example_inputs(1000));
  const Prediction large = predict(MoveMode::kStop, example_inputs(101'000));
  const PageCosts page = page_costs(with_pages_made(example_inputs()));
  EXPECT_NEAR(large.pause.lower - small.pause.lower, 100'000 * page.all().lower, 1e-9);
  EXPECT_NEAR(large.pause.upper - small.pause.upper, 100'000 * page.all().upper, 1e-9);
  EXPECT_NEAR(
      large.at(MoveStage::kRounds).seconds.upper - small.at(MoveStage::kRounds).seconds.upper,
      100'000 * example_inputs().destination.page_touch, 1e-9);
  EXPECT_EQ(large.at(MoveStage::kFetch).seconds.upper, 0);
}

// T_mig = T_down + what happens while it runs.
TEST(PredictStop, TotalIsTheSumOfTheStages) {
  const Prediction prediction = predict(MoveMode::kStop, example_inputs());
  double upper = 0;
  for (const StageEstimate& stage : prediction.stages) upper += stage.seconds.upper;
  EXPECT_DOUBLE_EQ(prediction.total.upper, upper);
  EXPECT_LT(prediction.pause.upper, prediction.total.upper);
}

TEST(PredictPrecopy, PauseDoesNotGrowWithMemory) {
  MoveInputs inputs = example_inputs(1e6);
  inputs.container.memory = WorkingSetCurve::linear(1e6, 0.01 / per_page(inputs));
  const Prediction large = predict(MoveMode::kPrecopy, inputs);
  inputs.container.memory = WorkingSetCurve::linear(1e4, 0.01 / per_page(inputs));
  const Prediction small = predict(MoveMode::kPrecopy, inputs);
  EXPECT_EQ(large.converges, Rounds::Converges::kYes);
  EXPECT_LE(large.pause.upper, inputs.options.max_pause);
  EXPECT_LE(small.pause.upper, inputs.options.max_pause);
  EXPECT_GT(large.total.lower, 10 * small.at(MoveStage::kRounds).seconds.upper);
}

TEST(PredictPrecopy, ThePauseComparesSharedMemory) {
  MoveInputs inputs = example_inputs();
  const Prediction plain = predict(MoveMode::kPrecopy, inputs);
  inputs.container.shared_pages = 5000;
  EXPECT_NEAR(predict(MoveMode::kPrecopy, inputs).pause.upper - plain.pause.upper,
              compare_seconds(inputs).upper, 1e-9);
  EXPECT_NEAR(predict(MoveMode::kStop, inputs).pause.upper -
                  predict(MoveMode::kStop, example_inputs()).pause.upper,
              5000 * (inputs.destination.page_touch -
                      with_pages_made(example_inputs()).destination.page_touch),
              1e-9);  // it is not made before the freeze
}

TEST(PredictPostcopy, ThePauseCarriesPagesOfFileMappings) {
  MoveInputs inputs = example_inputs();
  const Prediction plain = predict(MoveMode::kPostcopy, inputs);
  inputs.container.file_memory = WorkingSetCurve(1000);
  EXPECT_NEAR(predict(MoveMode::kPostcopy, inputs).pause.upper - plain.pause.upper,
              1000 * page_costs(inputs).all().upper, 1e-9);
}

// Of files that are hardly written, rounds leave little for the pause.
TEST(PredictHybrid, ThePauseCarriesFilePagesThatAreWritten) {
  MoveInputs inputs = example_inputs();
  const Prediction plain = predict(MoveMode::kHybrid, inputs);
  inputs.container.file_memory = WorkingSetCurve::linear(1000, 10, 50);
  const Prediction written = predict(MoveMode::kHybrid, inputs);
  EXPECT_GE(written.pause.upper, plain.pause.upper);
  EXPECT_LE(written.pause.upper, plain.pause.upper + 50 * page_costs(inputs).all().upper + 1e-9);
}

TEST(PredictPrecopy, SaysWhatAForcedStopCosts) {
  MoveInputs inputs = example_inputs(1e6);
  inputs.container.memory = WorkingSetCurve::linear(1e6, 10 / per_page(inputs));
  const Prediction forced = predict(MoveMode::kPrecopy, inputs);
  const Prediction stop = predict(MoveMode::kStop, inputs);
  EXPECT_EQ(forced.converges, Rounds::Converges::kNo);
  const double touch =
      inputs.destination.page_touch - with_pages_made(inputs).destination.page_touch;
  EXPECT_NEAR(forced.pause.upper, stop.pause.upper + 1e6 * touch, 0.02 * stop.pause.upper);
}

// T_down = S/R + T_resume, independent of what the container writes and of how large it is.
TEST(PredictPostcopy, PauseIsThatOfTheFirstPages) {
  MoveInputs idle = example_inputs(1e4);
  MoveInputs busy = example_inputs(1e6);
  busy.container.memory = WorkingSetCurve::linear(1e6, 1e6);
  const Prediction a = predict(MoveMode::kPostcopy, idle);
  const Prediction b = predict(MoveMode::kPostcopy, busy);
  EXPECT_DOUBLE_EQ(a.pause.upper, b.pause.upper);
  EXPECT_NEAR(b.at(MoveStage::kFetch).seconds.lower, 1e6 * page_costs(busy).all().lower, 1e-9);
}

TEST(PredictHybrid, FetchesWhatOneRoundLeaves) {
  MoveInputs inputs = example_inputs(1e6);
  const double rate = 0.1 / per_page(inputs);
  inputs.container.memory = WorkingSetCurve::linear(1e6, rate);
  const Prediction hybrid = predict(MoveMode::kHybrid, inputs);
  const Prediction postcopy = predict(MoveMode::kPostcopy, inputs);
  EXPECT_DOUBLE_EQ(hybrid.pause.upper, postcopy.pause.upper);
  EXPECT_LT(hybrid.at(MoveStage::kFetch).seconds.upper,
            0.5 * postcopy.at(MoveStage::kFetch).seconds.upper);
}

TEST(Predict, SecondCopyStartsNothingWhereNothingChanges) {
  MoveInputs inputs = example_inputs();
  const Bounds quiet = predict(MoveMode::kStop, inputs).at(MoveStage::kSecondCopy).seconds;
  EXPECT_LT(quiet.upper, inputs.source.copy_start);
  inputs.container.files.changed_files = 100;
  const Bounds busy = predict(MoveMode::kStop, inputs).at(MoveStage::kSecondCopy).seconds;
  EXPECT_GT(busy.lower, inputs.source.copy_start);
}

// Only the state has the further connections, and only the better bounds count on them.
TEST(Predict, MoreConnectionsMayMakeTheStateFaster) {
  MoveInputs inputs = example_inputs(1e6);
  inputs.container.files.bytes = 1e9;
  inputs.link.bytes_per_second = Bounds::exactly(100e6);
  for (const MoveMode mode : {MoveMode::kStop, MoveMode::kPostcopy}) {
    inputs.options.streams = 1;
    const Prediction one = predict(mode, inputs);
    inputs.options.streams = 2;
    const Prediction two = predict(mode, inputs);
    EXPECT_EQ(two.at(MoveStage::kFetch).seconds.lower, one.at(MoveStage::kFetch).seconds.lower);
    EXPECT_EQ(two.at(MoveStage::kFetch).seconds.upper, one.at(MoveStage::kFetch).seconds.upper);
    EXPECT_NEAR(
        two.at(MoveStage::kFirstCopy).seconds.lower - one.at(MoveStage::kFirstCopy).seconds.lower,
        inputs.link.connect, 1e-9);
    EXPECT_LT(two.pause.lower, one.pause.lower);
    EXPECT_NEAR(two.pause.upper, one.pause.upper, 1e-9);
  }
  EXPECT_LT(predict(MoveMode::kStop, inputs).at(MoveStage::kTransfer).seconds.lower, 25);
}

TEST(Predict, MoreConnectionsThanProcessorsAreNotFaster) {
  MoveInputs inputs = example_inputs(1e6);
  inputs.options.streams = 2;
  const Prediction two = predict(MoveMode::kStop, inputs);
  inputs.options.streams = 16;
  const Prediction many = predict(MoveMode::kStop, inputs);
  EXPECT_NEAR(many.pause.lower, two.pause.lower, 1e-9);
  EXPECT_NEAR(many.pause.upper, two.pause.upper, 1e-9);
}

class Properties : public testing::Test {
 protected:
  void SetUp() override { RecordProperty("seed", static_cast<int>(random_.seed())); }
  RandomInputs random_;
};

void expect_ordered(const Bounds& bounds, std::string_view what) {
  EXPECT_GE(bounds.lower, 0) << what;
  EXPECT_LE(bounds.lower, bounds.upper) << what;
  EXPECT_TRUE(std::isfinite(bounds.upper)) << what;
}

TEST_F(Properties, LowerIsNeverAboveUpper) {
  SCOPED_TRACE(testing::Message() << "seed " << random_.seed());
  for (int i = 0; i < 2000; ++i) {
    const MoveInputs inputs = random_.draw();
    for (const MoveMode mode : kMoveModes) {
      const Prediction prediction = predict(mode, inputs);
      for (const StageEstimate& stage : prediction.stages) {
        expect_ordered(stage.seconds, stage_name(stage.stage));
        expect_ordered(stage.bytes, stage_name(stage.stage));
      }
      expect_ordered(prediction.pause, "pause");
      expect_ordered(prediction.total, "total");
      expect_ordered(prediction.source.cpu_seconds, "source");
      expect_ordered(prediction.destination.cpu_seconds, "destination");
      expect_ordered(prediction.demand_faults, "demand faults");
      expect_ordered(prediction.slowdown_seconds, "slow-down");
      EXPECT_LE(prediction.pause.upper, prediction.total.upper);
    }
  }
}

TEST_F(Properties, MoreMemoryOrASlowerLinkIsNeverFaster) {
  SCOPED_TRACE(testing::Message() << "seed " << random_.seed());
  for (int i = 0; i < 2000; ++i) {
    MoveInputs inputs = random_.draw();
    const double pages = inputs.container.memory.pages();
    inputs.container.memory = WorkingSetCurve::linear(pages, 0);
    MoveInputs larger_one = inputs;
    larger_one.container.memory = WorkingSetCurve::linear(2 * pages, 0);
    MoveInputs slower_one = inputs;
    slower_one.link.bytes_per_second = inputs.link.bytes_per_second * 0.5;
    for (const MoveMode mode : kMoveModes) {
      const Prediction prediction = predict(mode, inputs);
      for (const MoveInputs& worse : {larger_one, slower_one}) {
        const Prediction other = predict(mode, worse);
        EXPECT_GE(other.total.lower, prediction.total.lower * (1 - 1e-9)) << mode_name(mode);
        EXPECT_GE(other.total.upper, prediction.total.upper * (1 - 1e-9)) << mode_name(mode);
        if (mode == MoveMode::kStop) {
          EXPECT_GE(other.pause.lower, prediction.pause.lower * (1 - 1e-9));
          EXPECT_GE(other.pause.upper, prediction.pause.upper * (1 - 1e-9));
        }
      }
    }
  }
}

TEST_F(Properties, PostcopyPausesNoLongerThanStop) {
  SCOPED_TRACE(testing::Message() << "seed " << random_.seed());
  for (int i = 0; i < 2000; ++i) {
    const MoveInputs inputs = random_.draw();
    const ContainerLoad& container = inputs.container;
    const double touch =  // the pages of a stop are made before the freeze
        (container.first_pages + container.file_memory.pages()) * inputs.destination.page_touch;
    EXPECT_LE(predict(MoveMode::kPostcopy, inputs).pause.upper,
              predict(MoveMode::kStop, inputs).pause.upper + touch);
  }
}

}  // namespace
}  // namespace martlet::models
