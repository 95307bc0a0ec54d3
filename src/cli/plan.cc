// Commands that foretell the availability of a cluster before it is bought. They need no agent.
#include <fmt/format.h>

#include <filesystem>

#include "base/fd.h"
#include "base/units.h"
#include "cli/chain_report.h"
#include "cli/command.h"
#include "cli/output.h"
#include "cli/plan_output.h"
#include "cli/plan_page.h"
#include "cli/state_diagram.h"
#include "models/design/chain_file.h"
#include "models/design/evacuation.h"
#include "models/design/selection.h"
#include "models/design/templates.h"

namespace martlet::cli {
namespace {

constexpr int kNoneSatisfies = 3;  // the exit code if a plan cannot be kept

// What chain a command is about, as it was given.
struct ChainChoice {
  std::string target;                // a template's name or a file
  std::vector<std::string> options;  // name=value, of a template
  std::vector<std::string> values;   // name=number, of parameters
};

Result<std::pair<std::string, std::string>> split(const std::string& text, const char* option) {
  const size_t at = text.find('=');
  if (at == std::string::npos || at == 0)
    return fail(Code::kInvalidArgument,
                fmt::format("{} '{}': name=value is expected", option, text));
  return std::pair(text.substr(0, at), text.substr(at + 1));
}

Result<models::ParameterValues> values_of(const ChainChoice& choice) {
  models::ParameterValues values;
  for (const std::string& given : choice.values) {
    const auto [name, text] = TRY(split(given, "--set"));
    const auto parsed = TRY_IN(models::Expression::parse(text), fmt::format("--set {}", name));
    if (!parsed.names().empty())
      return fail(Code::kInvalidArgument,
                  fmt::format("--set {}: '{}' is not a number", name, text));
    values[name] = parsed.evaluate({}).value;
  }
  return values;
}

Result<models::ChainDescription> described(const ChainChoice& choice) {
  const auto design = models::design_of(choice.target);
  if (!design) {
    if (!choice.options.empty())
      return std::unexpected(
          Error(Code::kInvalidArgument, fmt::format("--option with the file {}", choice.target))
              .with_remedy("write the options into the file"));
    auto text = read_file(choice.target);
    if (!text)
      return std::unexpected(std::move(text).error().with_remedy(
          "name a file, or one of the templates of 'martlet plan templates'"));
    return in_context(models::parse_chain_file(*text), choice.target);
  }
  models::DesignOptions options{.design = *design};
  for (const std::string& given : choice.options) {
    const auto [name, text] = TRY(split(given, "--option"));
    TRY(models::set_option(options, name, text));
  }
  return models::design_chain(options);
}

Result<models::ChainModel> model_of(const ChainChoice& choice) {
  return in_context(models::ChainModel::make(TRY(described(choice))), choice.target);
}

void add_chain_choice(CLI::App& command, ChainChoice& choice) {
  command.add_option("chain", choice.target, "template (single, ha, ft, pool) or TOML file")
      ->required();
  command.add_option("--option", choice.options,
                     "option of a template, e.g. repair=visit; see 'martlet plan templates'");
  command.add_option("--set", choice.values, "value of a parameter, e.g. lambda_s=1e-4");
}

Result<int> draw(const Session& session, const ChainChoice& choice, const std::string& path) {
  const models::ChainModel model = TRY(model_of(choice));
  TRY(model.at(TRY(values_of(choice))));
  TRY(replace_file(path, state_diagram(model.description()), 0644));
  if (session.json)
    print_json({{"title", model.description().title},
                {"states", model.description().states.size()},
                {"transitions", model.description().transitions.size()},
                {"file", path}});
  else
    fmt::print("{}\n", path);
  return 0;
}

// Durations as they were given.
struct SolveOptions {
  std::vector<std::string> at{"1h", "24h", "720h", "8766h"};
  std::string mission = "8766h";
  std::string allowed = "0s";
  size_t phases = 0;
};

Result<double> hours_of(const std::string& text, const char* option) {
  const Nanoseconds duration = TRY_IN(parse_duration(text), option);
  return static_cast<double>(duration.count()) / 3600e9;
}

Result<ChainQuestions> questions_of(const ChainChoice& choice, const SolveOptions& options) {
  ChainQuestions questions{.values = TRY(values_of(choice)), .hours = {}, .phases = options.phases};
  for (const std::string& text : options.at) questions.hours.push_back(TRY(hours_of(text, "--at")));
  std::ranges::sort(questions.hours);
  questions.mission = TRY(hours_of(options.mission, "--mission"));
  questions.allowed = TRY(hours_of(options.allowed, "--allowed"));
  return questions;
}

Result<int> solve(const Session& session, const ChainChoice& choice, const SolveOptions& options) {
  const ChainQuestions questions = TRY(questions_of(choice, options));
  const ChainReport report = TRY(report_on(TRY(model_of(choice)), questions));
  if (session.json)
    print_json(to_json(report, questions));
  else
    fmt::print("{}", to_text(report, questions));
  return 0;
}

Result<int> list_templates(const Session& session) {
  if (session.json) {
    Json templates;
    for (const models::DesignInfo& info : models::designs()) templates[info.name] = info.meaning;
    Json parameters;
    for (const models::ParameterDescription& each : models::design_parameters())
      parameters[each.name] = {{"value", each.value.text()}, {"meaning", each.meaning}};
    print_json({{"templates", templates}, {"parameters", parameters}});
    return 0;
  }
  std::vector<std::vector<std::string>> rows{{"template", "meaning"}};
  for (const models::DesignInfo& info : models::designs())
    rows.push_back({std::string(info.name), std::string(info.meaning)});
  fmt::print("{}\n", format_table(rows));
  rows = {{"option", "values, the usual one first"},
          {"repair", "prompt, visit"},
          {"crews", "each, one"},
          {"storage", "replicated, shared"},
          {"switches", "1, 0, 2"},
          {"move_back", "no, yes (ha)"},
          {"rebuild", "live, stopped (ft)"},
          {"hosts, spares", "4, 1 (pool)"}};
  fmt::print("{}\n", format_table(rows));
  rows = {{"parameter", "per hour", "meaning"}};
  for (const models::ParameterDescription& each : models::design_parameters())
    rows.push_back({each.name, each.value.text(), each.meaning});
  fmt::print("{}", format_table(rows, {1}));
  return 0;
}

void add_diagram(CLI::App& group, Session& session) {
  const auto choice = std::make_shared<ChainChoice>();
  const auto path = std::make_shared<std::string>();
  CLI::App* command =
      add_command(group, session, "diagram", "Draw the states of a design",
                  "  martlet plan diagram ha --option switches=0 --svg ha.svg\n"
                  "  martlet plan diagram chain.toml --svg chain.svg",
                  [&session, choice, path] { return draw(session, *choice, *path); });
  add_chain_choice(*command, *choice);
  command->add_option("--svg", *path, "the file to write")->required();
}

void add_solve(CLI::App& group, Session& session) {
  const auto choice = std::make_shared<ChainChoice>();
  const auto options = std::make_shared<SolveOptions>();
  CLI::App* command = add_command(
      group, session, "solve", "Availability, interruptions and sensitivities of a design",
      "  martlet plan solve ft --option repair=visit --set nu=1/168\n"
      "  martlet plan solve chain.toml --allowed 30s --mission 720h --json",
      [&session, choice, options] { return solve(session, *choice, *options); });
  add_chain_choice(*command, *choice);
  command->add_option("--at", options->at, "times at which K(t) is shown")->capture_default_str();
  command->add_option("--mission", options->mission, "time without a long interruption")
      ->capture_default_str();
  command->add_option("--allowed", options->allowed, "how long an interruption may last")
      ->capture_default_str();
  command
      ->add_option("--phases", options->phases,
                   "what is allowed is random, of this many phases; 0: fixed")
      ->check(CLI::Range(0, 1000))
      ->capture_default_str();
}

void add_templates(CLI::App& group, Session& session) {
  add_command(group, session, "templates", "List designs, their options and parameters",
              "  martlet plan templates", [&session] { return list_templates(session); });
}

Json move_json(const models::EvacuationMove& move) {
  return {{"service", move.service},
          {"priority", move.priority},
          {"mode", models::mode_name(move.mode)},
          {"pause_seconds", move.pause_seconds},
          {"seconds", move.seconds},
          {"end_seconds", move.end_seconds > 0 ? Json(move.end_seconds) : Json()}};
}

Json moves_json(const std::vector<models::EvacuationMove>& moves) {
  Json all = Json::array();
  for (const models::EvacuationMove& move : moves) all.push_back(move_json(move));
  return all;
}

std::string moves_table(const std::vector<models::EvacuationMove>& moves) {
  std::vector<std::vector<std::string>> rows{{"service", "mode", "pause", "takes", "done after"}};
  for (const models::EvacuationMove& move : moves)
    rows.push_back({move.service, std::string(models::mode_name(move.mode)),
                    human_seconds(move.pause_seconds), human_seconds(move.seconds),
                    move.end_seconds > 0 ? human_seconds(move.end_seconds) : "-"});
  return format_table(rows, {2, 3, 4});
}

Result<int> empty(const Session& session, const std::string& path, const std::string& deadline) {
  const models::Evacuation host = TRY_IN(models::parse_evacuation(TRY(read_file(path))), path);
  const double seconds = TRY(hours_of(deadline, "--deadline")) * 3600;
  const models::EvacuationPlan plan = TRY(models::plan_evacuation(host, seconds));
  if (session.json) {
    print_json({{"title", host.title},
                {"deadline_seconds", seconds},
                {"seconds_for_all", plan.seconds_for_all},
                {"moved", moves_json(plan.moved)},
                {"left", moves_json(plan.left)}});
  } else {
    fmt::print("{}: {} of {} services can be moved within {}; all need {}\n\n{}", host.title,
               plan.moved.size(), plan.moved.size() + plan.left.size(), human_seconds(seconds),
               human_seconds(plan.seconds_for_all), moves_table(plan.moved));
    if (!plan.left.empty()) fmt::print("\nstay\n{}", moves_table(plan.left));
  }
  return plan.left.empty() ? 0 : kNoneSatisfies;
}

Result<int> show_moves(const Session& session, const std::string& path) {
  const models::Evacuation host = TRY_IN(models::parse_evacuation(TRY(read_file(path))), path);
  std::vector<std::vector<std::string>> rows{{"service", "mode", "pause", "in all", "converges"}};
  Json json = Json::array();
  for (const models::ServiceClass& service : host.services) {
    const models::MoveInputs inputs = models::planned_inputs(
        service, host.bytes_per_second, host.storage, host.assumptions, host.longest_pause_seconds);
    for (const models::Prediction& move : models::planned_moves(inputs)) {
      const std::string mode(models::mode_name(move.mode));
      const bool converges = move.converges != models::Rounds::Converges::kNo;
      rows.push_back({service.name, mode, human_seconds(move.pause.upper),
                      human_seconds(move.total.upper), converges ? "yes" : "no"});
      json.push_back({{"service", service.name},
                      {"mode", mode},
                      {"pause_seconds", {move.pause.lower, move.pause.upper}},
                      {"total_seconds", {move.total.lower, move.total.upper}},
                      {"bytes", {move.bytes.lower, move.bytes.upper}},
                      {"converges", converges}});
    }
  }
  if (session.json)
    print_json(json);
  else
    fmt::print("{}", format_table(rows, {2, 3}));
  return 0;
}

void add_moves(CLI::App& group, Session& session) {
  const auto path = std::make_shared<std::string>();
  CLI::App* command =
      add_command(group, session, "moves", "What the moves of services will take in every mode",
                  "  martlet plan moves examples/plan/host.toml",
                  [&session, path] { return show_moves(session, *path); });
  command->add_option("file", *path, "TOML file of the host's link and services")->required();
}

void add_empty(CLI::App& group, Session& session) {
  const auto path = std::make_shared<std::string>();
  const auto deadline = std::make_shared<std::string>();
  CLI::App* command = add_command(
      group, session, "empty", "Which services can leave a host before a deadline, in which order",
      "  martlet plan empty examples/plan/host.toml --deadline 5m\n"
      "Ends with 3 if some have to stay.",
      [&session, path, deadline] { return empty(session, *path, *deadline); });
  command->add_option("file", *path, "TOML file of the host's link and services")->required();
  command->add_option("--deadline", *deadline, "time until the power is cut")->required();
}

// What `martlet plan FILE` was asked.
struct PlanOptions {
  std::string file;
  std::string html;
  size_t shown = 10;
};

// A catalogue's name is relative to the plan that names it.
Result<models::Plan> read_plan(const std::string& path) {
  const auto folder = std::filesystem::path(path).parent_path();
  const auto read_catalogue = [&](const std::string& name) { return read_file(folder / name); };
  return in_context(models::parse_plan(TRY(read_file(path)), read_catalogue), path);
}

Result<int> choose(const Session& session, const PlanOptions& options) {
  if (options.file.empty())
    return std::unexpected(Error(Code::kInvalidArgument, "plan: no file and no command was given")
                               .with_remedy("see 'martlet plan --help'"));
  const models::Plan plan = TRY(read_plan(options.file));
  const models::Selection selection = TRY(models::select(plan));
  if (!options.html.empty()) TRY(replace_file(options.html, TRY(plan_page(plan, selection)), 0644));
  if (session.json)
    print_json(to_json(plan, selection, options.shown));
  else
    fmt::print("{}", to_text(plan, selection, options.shown));
  return selection.satisfying.empty() ? kNoneSatisfies : 0;
}

}  // namespace

void add_plan_commands(CLI::App& app, Session& session) {
  const auto options = std::make_shared<PlanOptions>();
  CLI::App* group = add_command(app, session, "plan",
                                "Choose a cluster by requirements, prices and failure rates",
                                "  martlet plan examples/plan/shop.toml\n"
                                "  martlet plan examples/plan/shop.toml --html shop.html --json\n"
                                "Ends with 3 if no design satisfies the requirements.",
                                [&session, options] { return choose(session, *options); });
  group->callback([&session, group, options] {  // of its subcommands' callbacks it is the last
    if (!group->get_subcommands().empty()) return;
    session.action = [&session, options] { return choose(session, *options); };
  });
  group->add_option("file", options->file, "TOML file of requirements, services and equipment");
  group->add_option("--html", options->html, "also write a page with charts to this file");
  group->add_option("--top", options->shown, "designs to show")->capture_default_str();
  group->require_subcommand(0, 1);
  add_diagram(*group, session);
  add_solve(*group, session);
  add_templates(*group, session);
  add_moves(*group, session);
  add_empty(*group, session);
}

}  // namespace martlet::cli
