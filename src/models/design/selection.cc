#include "models/design/selection.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>
#include <map>

#include "models/markov/interruption.h"

namespace martlet::models {
namespace {

constexpr double kInfinite = std::numeric_limits<double>::infinity();
constexpr double kShortestPause = 1e-3;  // seconds: rates stay within what the chains are made for
constexpr double kFarShorter = 20;       // times
constexpr int kMostHosts = 24;           // of a pool that is tried

double total_memory(const Plan& plan) {
  double sum = 0;
  for (const ServiceClass& service : plan.services) sum += service.count * service.memory_bytes;
  return sum;
}
double total_files(const Plan& plan) {
  double sum = 0;
  for (const ServiceClass& service : plan.services) sum += service.count * service.file_bytes;
  return sum;
}
double total_writes(const Plan& plan) {
  double sum = 0;
  for (const ServiceClass& service : plan.services) sum += service.count * service.write_rate;
  return sum;
}

// The moves of all services over one kind of switch.
struct Moves {
  PlannedMove slowest;
  PlannedMove longest_pause;
  bool converge = true;
  double stopped_seconds = 0;  // the slowest copy of memory while the service stands still
};

Moves moves_over(const Plan& plan, const SwitchKind& kind, Storage storage) {
  Moves moves;
  const double pause = plan.requirements.longest_pause_seconds.value_or(0);
  for (const ServiceClass& service : plan.services) {
    const MoveInputs inputs =
        planned_inputs(service, kind.bytes_per_second, storage, plan.assumptions, pause);
    const PlannedMove move = plan_move(inputs, pause);
    if (move.total_seconds > moves.slowest.total_seconds) moves.slowest = move;
    if (move.pause_seconds > moves.longest_pause.pause_seconds) moves.longest_pause = move;
    moves.converge = moves.converge && move.converges;
    moves.stopped_seconds =
        std::max(moves.stopped_seconds, predict(MoveMode::kStop, inputs).pause.upper);
  }
  return moves;
}

// Lists the candidates without evaluating them.
class Enumeration {
 public:
  explicit Enumeration(const Plan& plan) : plan_(plan) {}

  std::vector<Candidate> run() {
    for (const Design design : plan_.designs)
      for (size_t server = 0; server < plan_.servers.size(); ++server)
        for (size_t repair = 0; repair < plan_.repairs.size(); ++repair)
          add_shapes({.options = options_of(design, repair), .server = server, .repair = repair});
    return std::move(candidates_);
  }

 private:
  DesignOptions options_of(Design design, size_t repair) const {
    return {.design = design,
            .repair = plan_.repairs[repair].repair,
            .crews = plan_.repairs[repair].crews,
            .move_back = design == Design::kHa ? MoveBack::kYes : MoveBack::kNo};
  }

  // As many servers as the design has; for a pool as many as hold the services, and spares.
  void add_shapes(Candidate candidate) {
    DesignOptions& options = candidate.options;
    if (options.design != Design::kPool) {
      candidate.servers = options.design == Design::kSingle ? 1 : 2;
      add_equipment(candidate);
      return;
    }
    const double memory = plan_.servers[candidate.server].memory_bytes;
    const double hosts = memory > 0 ? std::ceil(total_memory(plan_) / memory) : kInfinite;
    if (!(hosts >= 2 && hosts <= kMostHosts)) return;  // one host and a spare are HA
    options.hosts = static_cast<int>(hosts);
    for (int spares = 1; spares <= plan_.assumptions.most_spares; ++spares) {
      options.spares = spares;
      candidate.servers = options.hosts + spares;
      add_equipment(candidate);
    }
  }

  void add_equipment(Candidate candidate) {
    for (size_t kind = 0; kind < plan_.switches.size(); ++kind)
      for (const int switches : {1, 2}) {
        candidate.switch_kind = kind;
        candidate.options.switches = switches;
        candidate.options.storage = Storage::kReplicated;
        candidate.storage.reset();
        add(candidate);
        candidate.options.storage = Storage::kShared;
        for (size_t array = 0; array < plan_.storages.size(); ++array) {
          candidate.storage = array;
          add(candidate);
        }
      }
  }

  void add(Candidate candidate) {
    const Assumptions& assumed = plan_.assumptions;
    const Design design = candidate.options.design;
    double software = 0;
    if (design == Design::kFt) software = assumed.ft_software;
    if (design == Design::kHa || design == Design::kPool) software = assumed.ha_software;
    candidate.cost = candidate.servers * (plan_.servers[candidate.server].price + software) +
                     candidate.options.switches * plan_.switches[candidate.switch_kind].price +
                     assumed.years * plan_.repairs[candidate.repair].price_per_year;
    if (candidate.storage) candidate.cost += plan_.storages[*candidate.storage].price;
    candidates_.push_back(std::move(candidate));
  }

  const Plan& plan_;
  std::vector<Candidate> candidates_;
};

// Whether the candidate can carry the services at all; only then its availability matters.
bool is_possible(const Candidate& candidate) {
  return std::ranges::none_of(candidate.misses, [](const Miss& miss) {
    return miss.requirement == Requirement::kMemory || miss.requirement == Requirement::kNetwork;
  });
}

// Evaluates candidates; keeps the chains of the designs and the moves over each switch.
class Evaluation {
 public:
  explicit Evaluation(const Plan& plan) : plan_(plan) {}

  Result<void> evaluate(Candidate& candidate) {
    const Moves& moves = moves_of(candidate);
    candidate.slowest_move = moves.slowest;
    candidate.longest_pause = moves.longest_pause;
    if (candidate.options.design == Design::kFt && !moves.converge)
      candidate.options.rebuild = Rebuild::kStopped;
    set_values(candidate, moves);
    check_equipment(candidate);
    check_moves(candidate);
    if (!is_possible(candidate)) return {};
    const ChainModel& model = TRY(model_of(candidate.options));
    const Chain chain = TRY(model.at(candidate.values));
    const Availability found = TRY(availability(chain));
    // The rewards of a pool are the share of the services that runs.
    candidate.unavailability = candidate.options.design == Design::kPool
                                   ? std::max(0.0, 1 - found.reward)
                                   : found.unavailability;
    const auto& downtime = plan_.requirements.downtime_minutes;
    if (downtime && candidate.downtime_minutes_per_year() > *downtime)
      miss(candidate, Requirement::kDowntime, *downtime, candidate.downtime_minutes_per_year());
    if (candidate.misses.empty()) return check_interruption(candidate);
    return {};
  }

  Result<std::vector<Sensitivity>> sensitivities_of(const Candidate& candidate) {
    std::vector<std::string> names;  // without those that a pool derives from others
    for (const auto& [name, value] : candidate.values) names.push_back(name);
    auto result = TRY(sensitivities(TRY(model_of(candidate.options)), candidate.values, names));
    for (Sensitivity& each : result)
      if (each.parameter == "c") each = of_the_rest(each);
    std::ranges::stable_sort(result, std::greater{},
                             [](const Sensitivity& each) { return std::abs(each.elasticity); });
    return result;
  }

 private:
  // By what is not covered: a share of 0.99 cannot grow by a hundredth of itself often.
  static Sensitivity of_the_rest(const Sensitivity& coverage) {
    Sensitivity rest{.parameter = "1-c", .value = 1 - coverage.value};
    rest.unavailability = -coverage.unavailability;
    rest.reward = -coverage.reward;
    if (coverage.value > 0) rest.elasticity = -coverage.elasticity * rest.value / coverage.value;
    return rest;
  }

  static void miss(Candidate& candidate, Requirement requirement, double needed, double found) {
    candidate.misses.push_back({requirement, needed, found});
  }

  const Moves& moves_of(const Candidate& candidate) {
    const auto key = std::pair(candidate.switch_kind, candidate.options.storage);
    const auto known = moves_.find(key);
    if (known != moves_.end()) return known->second;
    return moves_
        .emplace(key, moves_over(plan_, plan_.switches[candidate.switch_kind],
                                 candidate.options.storage))
        .first->second;
  }

  Result<std::reference_wrapper<const ChainModel>> model_of(const DesignOptions& options) {
    const std::string key = describe(options);
    auto known = models_.find(key);
    if (known == models_.end())
      known = models_.emplace(key, TRY(ChainModel::make(TRY(design_chain(options))))).first;
    return std::cref(known->second);
  }

  // The slowest service is what counts: one that restarts sooner is down for less time.
  void set_values(Candidate& candidate, const Moves& moves) {
    const ServerKind& server = plan_.servers[candidate.server];
    const SwitchKind& kind = plan_.switches[candidate.switch_kind];
    const RepairRegime& repair = plan_.repairs[candidate.repair];
    double restart = 0;
    for (const ServiceClass& service : plan_.services)
      restart = std::max(restart, service.restart_seconds);
    const bool stops = candidate.options.rebuild == Rebuild::kStopped;
    const double build = stops ? moves.stopped_seconds : moves.slowest.total_seconds;
    const double pause = std::max(moves.longest_pause.pause_seconds, kShortestPause);
    const double sync =
        std::max(1.0, total_files(plan_) / (kind.bytes_per_second * plan_.assumptions.link_share));
    const bool ft = candidate.options.design == Design::kFt;
    const ParameterValues all{
        {"lambda_s", 1 / server.mtbf_hours},
        {"lambda_d", 1 / server.disk_mtbf_hours},
        {"lambda_sw", 1 / kind.mtbf_hours},
        {"lambda_st", candidate.storage ? 1 / plan_.storages[*candidate.storage].mtbf_hours : 0},
        {"mu_s", 1 / repair.server_hours},
        {"mu_d", 1 / repair.disk_hours},
        {"mu_sw", 1 / repair.switch_hours},
        {"mu_st", 1 / repair.storage_hours},
        {"nu", 1 / repair.visit_hours},
        {"sigma", 3600 / sync},
        {"gamma", 3600 / restart},
        {"c", ft ? plan_.assumptions.coverage_ft : plan_.assumptions.coverage_ha},
        {"rho", 1 / plan_.assumptions.recovery_hours},
        {"m", 3600 / std::max(build, kShortestPause)},
        {"theta", 3600 / pause}};
    const auto model = model_of(candidate.options);
    if (!model) return;  // evaluate() reports it
    for (const ParameterDescription& each : model->get().description().parameters)
      if (all.contains(each.name)) candidate.values[each.name] = all.at(each.name);
  }

  void check_equipment(Candidate& candidate) const {
    const Design design = candidate.options.design;
    const double memory = plan_.servers[candidate.server].memory_bytes;
    double needed = total_memory(plan_);
    if (design == Design::kPool) {
      needed = 0;
      for (const ServiceClass& service : plan_.services)
        needed = std::max(needed, service.memory_bytes);
    }
    if (memory < needed) miss(candidate, Requirement::kMemory, needed, memory);
    // A shadow must receive what the services write, as fast as they write it.
    const double rate =
        plan_.switches[candidate.switch_kind].bytes_per_second * plan_.assumptions.link_share;
    if (design == Design::kFt && total_writes(plan_) > rate)
      miss(candidate, Requirement::kNetwork, total_writes(plan_), rate);
    const auto& budget = plan_.requirements.budget;
    if (budget && candidate.cost > *budget)
      miss(candidate, Requirement::kBudget, *budget, candidate.cost);
  }

  void check_moves(Candidate& candidate) const {
    const Requirements& wanted = plan_.requirements;
    const bool nowhere = candidate.options.design == Design::kSingle;
    const double total = nowhere ? kInfinite : candidate.slowest_move.total_seconds;
    const double pause = nowhere ? kInfinite : candidate.longest_pause.pause_seconds;
    if (wanted.longest_move_seconds && total > *wanted.longest_move_seconds)
      miss(candidate, Requirement::kMove, *wanted.longest_move_seconds, total);
    if (wanted.longest_pause_seconds && pause > *wanted.longest_pause_seconds)
      miss(candidate, Requirement::kPause, *wanted.longest_pause_seconds, pause);
  }

  // Without the pauses of moves where they are far shorter than what is allowed: the chance that
  // one of them is too long is below e^-kFarShorter, and the chain has half of the states.
  Result<Chain> chain_of_interruptions(const Candidate& candidate) {
    DesignOptions options = candidate.options;
    const double pause = candidate.longest_pause.pause_seconds;
    if (plan_.requirements.allowed_seconds > kFarShorter * pause) options.move_back = MoveBack::kNo;
    const ChainModel& model = TRY(model_of(options));
    ParameterValues values;
    for (const ParameterDescription& each : model.description().parameters)
      if (const auto known = candidate.values.find(each.name); known != candidate.values.end())
        values.insert(*known);
    return model.at(values);
  }

  Result<void> check_interruption(Candidate& candidate) {
    const auto& wanted = plan_.requirements.no_interruption;
    if (!wanted) return {};
    const Chain chain = TRY(chain_of_interruptions(candidate));
    candidate.no_interruption = TRY(
        no_interruption(chain, plan_.requirements.allowed_seconds / 3600, wanted->mission_hours));
    if (candidate.no_interruption->lower < wanted->probability)
      miss(candidate, Requirement::kNoInterruption, wanted->probability,
           candidate.no_interruption->lower);
    return {};
  }

  const Plan& plan_;
  std::map<std::pair<size_t, Storage>, Moves> moves_;
  std::map<std::string, ChainModel> models_;
};

bool better(const Candidate& a, const Candidate& b) {
  return std::tie(a.cost, a.unavailability) < std::tie(b.cost, b.unavailability);
}

// Of the candidates that can carry the services at all.
std::vector<size_t> pareto_front(const std::vector<Candidate>& candidates) {
  std::vector<size_t> order;
  for (size_t i = 0; i < candidates.size(); ++i)
    if (is_possible(candidates[i])) order.push_back(i);
  std::ranges::stable_sort(
      order, [&](size_t a, size_t b) { return better(candidates[a], candidates[b]); });
  std::vector<size_t> front;
  for (const size_t i : order)
    if (front.empty() || candidates[i].unavailability < candidates[front.back()].unavailability)
      front.push_back(i);
  return front;
}

std::vector<MissSummary> summarise(const std::vector<Candidate>& candidates) {
  std::vector<MissSummary> summaries;
  for (size_t r = 0; r < kRequirements; ++r) {
    MissSummary summary{.requirement = static_cast<Requirement>(r), .smallest = {}};
    for (size_t i = 0; i < candidates.size(); ++i)
      for (const Miss& miss : candidates[i].misses) {
        if (miss.requirement != summary.requirement) continue;
        if (summary.count++ > 0 && miss.by() >= summary.smallest.by()) continue;
        summary.smallest = miss;
        summary.nearest = i;
      }
    if (summary.count > 0) summaries.push_back(summary);
  }
  return summaries;
}

}  // namespace

std::string_view requirement_name(Requirement requirement) {
  constexpr std::array<std::string_view, kRequirements> kNames = {
      "memory",    "network for the shadow", "budget", "longest move", "longest pause",
      "down time", "no interruption"};
  return kNames[static_cast<size_t>(requirement)];
}

double Miss::by() const {
  return needed > 0 ? std::abs(found - needed) / needed : kInfinite;
}

Result<Selection> select(const Plan& plan) {
  Selection selection;
  selection.candidates = Enumeration(plan).run();
  Evaluation evaluation(plan);
  for (Candidate& candidate : selection.candidates)
    TRY_IN(evaluation.evaluate(candidate), describe(plan, candidate));
  for (size_t i = 0; i < selection.candidates.size(); ++i)
    if (selection.candidates[i].misses.empty()) selection.satisfying.push_back(i);
  std::ranges::stable_sort(selection.satisfying, [&](size_t a, size_t b) {
    return better(selection.candidates[a], selection.candidates[b]);
  });
  selection.pareto = pareto_front(selection.candidates);
  selection.discarded = summarise(selection.candidates);
  if (!selection.satisfying.empty())
    selection.sensitivities =
        TRY(evaluation.sensitivities_of(selection.candidates[selection.satisfying.front()]));
  return selection;
}

std::string describe(const Plan& plan, const Candidate& candidate) {
  std::string text =
      fmt::format("{}: {} x {}, {}", describe(candidate.options), candidate.servers,
                  plan.servers[candidate.server].name, plan.switches[candidate.switch_kind].name);
  if (candidate.storage) text += fmt::format(", {}", plan.storages[*candidate.storage].name);
  return text + fmt::format(", {}", plan.repairs[candidate.repair].name);
}

}  // namespace martlet::models
