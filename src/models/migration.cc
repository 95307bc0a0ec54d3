#include "models/migration.h"

#include "models/stage_costs.h"

namespace martlet::models {
namespace {

constexpr double kPage = 4096;

// Builds one prediction, stage by stage, in the order of time.
class Estimator {
 public:
  Estimator(MoveMode mode, const MoveInputs& inputs, const Correction* correction)
      : inputs_(mode == MoveMode::kStop ? with_pages_made(inputs) : inputs),
        correction_(correction) {
    result_.mode = mode;
    for (size_t i = 0; i < kMoveStages; ++i) result_.stages[i].stage = static_cast<MoveStage>(i);
    if (mode == MoveMode::kStop) set(MoveStage::kRounds, prepare_seconds(inputs));
  }

  Prediction run() {
    set(MoveStage::kCheck, check_seconds(inputs_));
    set(MoveStage::kFirstCopy, first_copy_seconds(inputs_),
        Bounds::exactly(inputs_.container.files.bytes));
    set_pause_without_pages();
    Bounds left = Bounds::exactly(all_pages());
    if (has_rounds()) left = run_memory_rounds();
    const Bounds first = has_fetch() ? smaller(left, first_pages()) : left;
    set_state(first);
    if (has_fetch()) set_fetch(left);
    set(MoveStage::kStopSource, stop_source_seconds(inputs_));
    set(MoveStage::kRemoveSource, remove_source_seconds(inputs_));
    add_up();
    return result_;
  }

 private:
  bool has_rounds() const {
    return result_.mode == MoveMode::kPrecopy || result_.mode == MoveMode::kHybrid;
  }
  bool has_fetch() const {
    return result_.mode == MoveMode::kPostcopy || result_.mode == MoveMode::kHybrid;
  }
  double all_pages() const { return inputs_.container.memory.pages(); }

  Bounds corrected(MoveStage stage, const Bounds& seconds) const {
    return correction_ ? correction_->stage(result_.mode, stage, seconds) : seconds;
  }
  void set(MoveStage stage, const Bounds& seconds, const Bounds& bytes = {}) {
    result_.at(stage).seconds = corrected(stage, seconds);
    result_.at(stage).bytes = bytes;
  }

  // The stages whose time does not depend on pages, and what they alone make of the pause.
  void set_pause_without_pages() {
    set(MoveStage::kFreeze, freeze_seconds(inputs_));
    set(MoveStage::kResume, resume_seconds(inputs_));
    set_state({});
    // Rounds do not end earlier or later for what is compared.
    result_.fixed_pause = pause().upper - (has_rounds() ? compare_seconds(inputs_).upper : 0);
  }

  // Everything of the pause that depends on how many pages it carries.
  void set_state(const Bounds& pages) {
    Bounds since = result_.at(MoveStage::kFirstCopy).seconds;
    since += result_.at(MoveStage::kRounds).seconds;
    // It goes on while the capture looks at everything that is not pages.
    const Bounds beside = capture_seconds(inputs_, {});
    const Bounds copy = second_copy_seconds(inputs_, since);
    set(MoveStage::kSecondCopy,
        {std::max(0.0, copy.lower - beside.upper), std::max(0.0, copy.upper - beside.lower)},
        second_copy_bytes(inputs_.container, since));
    set(MoveStage::kCapture,
        capture_seconds(inputs_, pages) + (has_rounds() ? compare_seconds(inputs_) : Bounds{}));
    set(MoveStage::kRestore, restore_seconds(inputs_, pages));
    set(MoveStage::kTransfer, transfer_seconds(inputs_, pages),
        pages * page_bytes(inputs_.options) + record_bytes(inputs_.container));
  }

  // The pages that may be left for the pause to stay within its limit.
  double enough_pages() const {
    const PageCosts page = page_costs(inputs_);
    const double seconds = corrected(MoveStage::kCapture, page.capture).upper +
                           corrected(MoveStage::kTransfer, page.transfer).upper;
    const double room = inputs_.options.max_pause - result_.fixed_pause;
    return room > 0 ? room / seconds : 0;
  }

  Bounds run_memory_rounds() {
    const RoundCosts costs{
        .seconds_per_page = corrected(MoveStage::kRounds, page_costs(inputs_).all()),
        .fixed_seconds =
            inputs_.link.round_trip + inputs_.container.mappings * inputs_.source.mapping_read,
        .stop_seconds = corrected(MoveStage::kFreeze, freeze_seconds(inputs_)).middle()};
    RoundLimits limits{.rule = inputs_.options.stop_rule,
                       .max_rounds = inputs_.options.max_rounds,
                       .enough_pages = enough_pages(),
                       .rounds_after = 1};
    if (result_.mode == MoveMode::kHybrid) limits.max_rounds = inputs_.options.hybrid_rounds;
    const Rounds rounds = run_rounds(inputs_.container.memory, costs, limits);
    result_.rounds = rounds.count;
    result_.at(MoveStage::kRounds).seconds = rounds.seconds;
    result_.at(MoveStage::kRounds).bytes = rounds.pages_sent * page_bytes(inputs_.options);
    if (result_.mode == MoveMode::kPrecopy) result_.converges = rounds.converges;
    // Each page that is written again in a round costs its writer one fault.
    const Bounds again{std::max(0.0, rounds.pages_sent.lower - all_pages()),
                       std::max(0.0, rounds.pages_sent.upper - all_pages())};
    result_.slowdown_seconds = again * inputs_.source.page_touch;
    return rounds.pages_left;
  }

  // What cannot follow: after rounds, of the pages of files those that were written again.
  Bounds first_pages() const {
    const ContainerLoad& container = inputs_.container;
    Bounds of_files = Bounds::exactly(container.file_memory.pages());
    if (has_rounds()) {
      const Bounds all = result_.at(MoveStage::kRounds).seconds;
      const double round = all.upper / std::max(1.0, result_.rounds.lower);
      of_files = {0, container.file_memory.within(round).upper};
    }
    return Bounds::exactly(container.first_pages) + of_files;
  }

  // T_mig ≈ T_down + V/R. A page that the container touches before it was pushed costs one round
  // trip and the page itself; how many are touched only to be read is not known.
  void set_fetch(const Bounds& left) {
    const Bounds page = late_page_costs(inputs_).all();
    set(MoveStage::kFetch, {left.lower * page.lower, left.upper * page.upper},
        left * page_bytes(inputs_.options));
    const Bounds seconds = result_.at(MoveStage::kFetch).seconds;
    const Bounds touched = inputs_.container.memory.within(seconds.upper);
    result_.demand_faults = {std::min(touched.lower, left.lower) / 2, left.upper};
    const double wait = inputs_.link.round_trip + page.upper + inputs_.destination.page_touch;
    Bounds lost = result_.demand_faults * wait;
    lost = smaller(lost, seconds);
    result_.slowdown_seconds += lost;
  }

  // Until the thaw, which is somewhere within the resume.
  Bounds pause() const {
    Bounds sum;
    for (const StageEstimate& stage : result_.stages)
      if (is_pause(stage.stage)) sum += stage.seconds;
    sum.lower -= result_.at(MoveStage::kResume).seconds.lower / 2;
    return correction_ ? correction_->pause(result_.mode, sum) : sum;
  }

  void add_up() {
    Bounds seconds;
    for (const StageEstimate& stage : result_.stages) {
      seconds += stage.seconds;
      result_.bytes += stage.bytes;
    }
    result_.pause = pause();
    result_.total = correction_ ? correction_->total(result_.mode, seconds) : seconds;
    set_overhead();
  }

  void set_overhead() {
    const Bounds pages =
        (result_.at(MoveStage::kRounds).bytes + result_.at(MoveStage::kTransfer).bytes +
         result_.at(MoveStage::kFetch).bytes) *
        (1 / page_bytes(inputs_.options));
    const double tasks = inputs_.container.threads;
    result_.source.cpu_seconds =
        pages * source_page_cpu(inputs_.source) +
        Bounds::exactly(tasks * (inputs_.source.task_stop + inputs_.source.task_read));
    result_.destination.cpu_seconds =
        pages * destination_page_cpu(inputs_.destination) +
        Bounds::exactly(inputs_.destination.sandbox_start + tasks * inputs_.destination.task_stop);
    // Both hosts hold the pages for a while: one of them for nothing.
    const Bounds copy = Bounds::exactly(all_pages() * kPage);
    (has_fetch() ? result_.source : result_.destination).memory_bytes = copy;
  }

  const MoveInputs inputs_;
  const Correction* correction_;
  Prediction result_;
};

}  // namespace

std::string_view mode_name(MoveMode mode) {
  constexpr std::array<std::string_view, kMoveModes.size()> kNames = {"stop", "precopy", "postcopy",
                                                                      "hybrid"};
  return kNames[static_cast<size_t>(mode)];
}

std::string_view stage_name(MoveStage stage) {
  constexpr std::array<std::string_view, kMoveStages> kNames = {
      "pre-flight check", "first file copy", "memory rounds", "freeze",
      "second file copy", "capture",         "transfer",      "restore",
      "resume",           "late memory",     "stop source",   "remove source"};
  return kNames[static_cast<size_t>(stage)];
}

bool is_pause(MoveStage stage) {
  return stage >= MoveStage::kFreeze && stage <= MoveStage::kResume;
}

Prediction predict(MoveMode mode, const MoveInputs& inputs, const Correction* correction) {
  return Estimator(mode, inputs, correction).run();
}

}  // namespace martlet::models
