#include "models/design/templates.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <set>

#include "base/check.h"
#include "models/design/pair_rules.h"
#include "models/design/pool_rules.h"

namespace martlet::models {
namespace {

constexpr int kMaxHosts = 32;

ParameterDescription parameter(const char* name, const char* value, const char* meaning) {
  auto parsed = Expression::parse(value);
  CHECK(parsed);
  return {name, std::move(*parsed), meaning};
}

Result<int> whole_number(std::string_view text, std::string_view name, int least, int most) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc() && end == text.data() + text.size() && value >= least && value <= most)
    return value;
  return fail(Code::kInvalidArgument, fmt::format("{} = '{}': a number from {} to {} is expected",
                                                  name, text, least, most));
}

// Sets `target` to the first or the second value.
template <typename Enum>
Result<void> choose(Enum& target, std::string_view name, std::string_view text,
                    std::string_view first, std::string_view second) {
  if (text != first && text != second)
    return fail(Code::kInvalidArgument,
                fmt::format("{} = '{}': '{}' or '{}' is expected", name, text, first, second));
  target = static_cast<Enum>(text == second);
  return {};
}

Result<void> check(const DesignOptions& options) {
  if (options.switches < 0 || options.switches > 2)
    return fail(Code::kInvalidArgument,
                fmt::format("{} switches: 0, 1 or 2 are possible", options.switches));
  if (options.design != Design::kPool) return {};
  if (options.hosts < 1 || options.spares < 0 || options.hosts + options.spares > kMaxHosts)
    return std::unexpected(
        Error(Code::kInvalidArgument,
              fmt::format("a pool of {} hosts and {} spares: at least one host, and {} in all",
                          options.hosts, options.spares, kMaxHosts))
            .with_remedy("model a larger pool as several"));
  return {};
}

// Host, repair and restart of a pool, from those of its parts.
std::vector<ParameterDescription> pool_parameters(const DesignOptions& options) {
  const bool disks = options.storage == Storage::kReplicated;
  return {
      parameter("lambda_h", disks ? "lambda_s + lambda_d" : "lambda_s", "a host fails"),
      parameter("mu_h", disks ? "(lambda_s + lambda_d)/(lambda_s/mu_s + lambda_d/mu_d)" : "mu_s",
                "repair of a host, mean over its parts"),
      parameter("gamma_h", "1/(1/gamma + (1-c)/rho)", "restart, with help where it fails")};
}

// Those that rates use, and those that these use.
std::vector<ParameterDescription> used_parameters(const DesignOptions& options,
                                                  const std::vector<TransitionDescription>& all) {
  std::vector<ParameterDescription> known = design_parameters();
  if (options.design == Design::kPool)
    for (ParameterDescription& derived : pool_parameters(options))
      known.push_back(std::move(derived));
  std::set<std::string> used;
  for (const TransitionDescription& transition : all)
    used.insert(transition.rate.names().begin(), transition.rate.names().end());
  for (auto each = known.rbegin(); each != known.rend(); ++each)  // derived ones come last
    if (used.contains(each->name))
      used.insert(each->value.names().begin(), each->value.names().end());
  std::erase_if(known, [&](const ParameterDescription& each) { return !used.contains(each.name); });
  return known;
}

}  // namespace

const std::vector<DesignInfo>& designs() {
  static const std::vector<DesignInfo> all_designs = {
      {Design::kSingle, "single", "one server: up, or down until repaired"},
      {Design::kHa, "ha", "two servers: on a failure the service restarts on the other"},
      {Design::kFt, "ft", "two servers: a shadow copy takes over without interruption"},
      {Design::kPool, "pool", "N hosts with k spares: what a failed host ran restarts on a spare"}};
  return all_designs;
}

std::string_view design_name(Design design) {
  return designs()[static_cast<size_t>(design)].name;
}

std::optional<Design> design_of(std::string_view name) {
  for (const DesignInfo& info : designs())
    if (info.name == name) return info.design;
  return std::nullopt;
}

const std::vector<ParameterDescription>& design_parameters() {
  static const std::vector<ParameterDescription> all_parameters = {
      parameter("lambda_s", "1.115e-5", "a server fails"),
      parameter("lambda_d", "3.425e-6", "the disks of a server fail"),
      parameter("lambda_sw", "2.3e-6", "a switch fails"),
      parameter("lambda_st", "3.425e-6", "the shared storage fails"),
      parameter("mu_s", "0.33", "repair of a server"),
      parameter("mu_d", "0.17", "repair of disks"),
      parameter("mu_sw", "0.33", "repair of a switch"),
      parameter("mu_st", "0.17", "repair of the shared storage"),
      parameter("nu", "1/24", "visits, without which no repair begins"),
      parameter("sigma", "1", "re-synchronisation of disks"),
      parameter("gamma", "60", "restart of the service on another machine"),
      parameter("c", "0.99", "coverage: share of failures that the fail-over handles"),
      parameter("rho", "2", "recovery by hand where the fail-over failed"),
      parameter("m", "2", "a move back begins its pause; FT: a shadow is built"),
      parameter("theta", "72000", "the pause of a move ends")};
  return all_parameters;
}

Result<void> set_option(DesignOptions& options, std::string_view name, std::string_view text) {
  if (name == "repair") return choose(options.repair, name, text, "prompt", "visit");
  if (name == "crews") return choose(options.crews, name, text, "each", "one");
  if (name == "storage") return choose(options.storage, name, text, "replicated", "shared");
  if (name == "move_back") return choose(options.move_back, name, text, "no", "yes");
  if (name == "rebuild") return choose(options.rebuild, name, text, "live", "stopped");
  int DesignOptions::* number = nullptr;
  if (name == "switches") number = &DesignOptions::switches;
  if (name == "hosts") number = &DesignOptions::hosts;
  if (name == "spares") number = &DesignOptions::spares;
  if (number == nullptr)
    return std::unexpected(
        Error(Code::kInvalidArgument, fmt::format("a design has no option '{}'", name))
            .with_remedy("there are repair, crews, storage, switches, move_back, rebuild, hosts "
                         "and spares"));
  options.*number = TRY(whole_number(text, name, 0, kMaxHosts));
  return {};
}

std::string describe(const DesignOptions& options) {
  std::string text(design_name(options.design));
  if (options.design == Design::kPool) text += fmt::format(" {}+{}", options.hosts, options.spares);
  text += options.repair == Repair::kVisit ? ", repair by visit" : ", prompt repair";
  if (options.crews == Crews::kOne) text += " by one crew";
  text += options.storage == Storage::kShared ? ", shared storage" : ", own disks";
  text += fmt::format(", {} switch{}", options.switches, options.switches == 1 ? "" : "es");
  if (options.design == Design::kHa && options.move_back == MoveBack::kYes) text += ", moves back";
  if (options.design == Design::kFt && options.rebuild == Rebuild::kStopped)
    text += ", stops to rebuild";
  return text;
}

Result<ChainDescription> design_chain(const DesignOptions& options) {
  TRY(check(options));
  ChainDescription chain;
  chain.title = describe(options);
  if (options.design == Design::kPool) {
    explore(PoolRules(options), PoolState{}, chain);
  } else {
    const PairRules rules(options);
    explore(rules, rules.initial(), chain);
  }
  chain.parameters = used_parameters(options, chain.transitions);
  return chain;
}

}  // namespace martlet::models
